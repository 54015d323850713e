"""The service that the demo runs: the real `fairlead serve`, with a state directory of its own.

Invariants: the state directory is readable by root alone and deleted at the end; the process
gets no signal from the terminal, so that Ctrl-C ends the demo in order. Called by the story and
the cleaning.
"""

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

from fairlead.cli.demo import earlier
from fairlead.cli.demo.client import Trouble
from fairlead.settings import Settings
from fairlead.wiring import instance_id, uninstall

_START_SECONDS = 20.0
_STOP_SECONDS = 15.0


class LiveService:
    """`fairlead serve` on a free loopback port."""

    def __init__(self) -> None:
        self.state_dir = Path(tempfile.mkdtemp(prefix=earlier.PREFIX, dir=earlier.PLACE))
        self._held = earlier.hold(self.state_dir)
        self.instance = instance_id(self.state_dir)
        self.listen = f"127.0.0.1:{_free_port()}"
        self._process: asyncio.subprocess.Process | None = None
        self._ready = False

    @property
    def clouds(self) -> Path:
        """The file with the credentials, once the service was ready."""
        return self.state_dir / "clouds.yaml"

    @property
    def log(self) -> Path:
        """What the service says."""
        return self.state_dir / "serve.log"

    async def start(self) -> float:
        """Start it; the seconds until it says that it is ready."""
        started = time.monotonic()
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "fairlead.cli", "serve",
                "--state-dir", str(self.state_dir), "--listen", self.listen,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        while b"Fairlead is ready" not in self.log.read_bytes():
            if self._process.returncode is not None:
                raise Trouble(f"fairlead serve ended: {self.last_words()}")
            if time.monotonic() - started > _START_SECONDS:
                raise Trouble(f"fairlead serve was not ready within {_START_SECONDS:g} s")
            await asyncio.sleep(0.01)
        self._ready = True
        return time.monotonic() - started

    async def stop(self) -> float:
        """Ask it to end by SIGTERM; the seconds it took. Killed when it does not end in time."""
        started, process, self._process = time.monotonic(), self._process, None
        if process is None or process.returncode is not None:
            return 0.0
        process.terminate()
        try:
            status = await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise Trouble(f"fairlead serve did not end within {_STOP_SECONDS:g} s") from None
        # Before it is ready it ends by the signal itself, and leaves what `remove` removes.
        if status and (self._ready or status != -signal.SIGTERM):
            raise Trouble(f"fairlead serve ended with status {status}: {self.last_words()}")
        return time.monotonic() - started

    async def remove(self) -> None:
        """Take everything of it off this host."""
        await uninstall(Settings(state_dir=str(self.state_dir)))
        shutil.rmtree(self.state_dir)
        os.close(self._held)

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2000:].strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
