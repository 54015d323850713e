"""`fairlead serve` with a state directory of its own, and its removal from this host."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.api import Api
from benchmarks.lab import Trouble, directory, process
from fairlead.settings import Settings
from fairlead.wiring import instance_id, uninstall

_HOST, _PORT = "127.0.0.1", 9876
_READY_SECONDS = 30.0


class Service:
    """A running service; `ready_after` is in seconds from the start of its process."""

    def __init__(
        self, state_dir: Path, child: subprocess.Popen[bytes], ready_after: float, api: Api
    ) -> None:
        self.state_dir = state_dir
        self.pid = child.pid
        self.ready_after = ready_after
        self.api = api
        self.instance = instance_id(state_dir)


@contextmanager
def service() -> Iterator[Service]:
    """A service on an empty state directory; in the end nothing of it is left."""
    with installation() as state_dir, serving(state_dir) as running:
        yield running


@contextmanager
def installation() -> Iterator[Path]:
    """A state directory; in the end amphorae and networks that belong to it are removed."""
    with directory() as parent:
        state_dir = parent / "s"
        try:
            yield state_dir
        finally:
            asyncio.run(uninstall(Settings(state_dir=str(state_dir))))


@contextmanager
def serving(state_dir: Path) -> Iterator[Service]:
    """The service's process, from ready to the end of the block."""
    log = state_dir.parent / "serve.log"
    command = [sys.executable, "-m", "fairlead.cli", "serve", "--state-dir", str(state_dir),
               "--listen", f"{_HOST}:{_PORT}"]  # fmt: skip
    log.write_bytes(b"")
    began = time.perf_counter()
    with process(command, log=log) as child:
        _await_ready(child, log)
        ready_after = time.perf_counter() - began
        api = Api(_HOST, _PORT, state_dir / "clouds.yaml")
        try:
            yield Service(state_dir, child, ready_after, api)
        finally:
            api.close()


def _await_ready(child: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _READY_SECONDS
    while b"Fairlead is ready" not in log.read_bytes():
        if child.poll() is not None or time.monotonic() > until:
            raise Trouble(f"fairlead serve is not ready: {log.read_text()[-1000:]}")
        time.sleep(0.002)
