"""A real `fairlead serve` for tests: a process with a state directory, started, killed, stopped.

It serves in the network namespace of the thread that starts it. Its process is ended by the id
learnt at its start, and what it said is kept in a file beside the state directory.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import yaml

START_SECONDS = 60.0
STOP_SECONDS = 60.0
READY = "Fairlead is ready"


class LiveService:
    """One state directory and the process that serves from it, if any."""

    def __init__(
        self,
        state_dir: Path,
        *options: str,
        listen: str = "127.0.0.1:9876",
        prefix: Sequence[str] = (),
    ) -> None:
        self.state_dir = state_dir
        self.url = f"http://{listen}"
        self.log = state_dir.with_name(f"{state_dir.name}.log")
        self.process: subprocess.Popen[bytes] | None = None
        own = ("--state-dir", str(state_dir), "--listen", listen)
        self._command = [*prefix, sys.executable, "-m", "fairlead.cli", "serve", *own, *options]
        self._said_before = 0

    def launch(self) -> None:
        """Start the process, and do not wait for it."""
        with self.log.open("ab") as messages:
            self._said_before = messages.tell()
            self.process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages,
                cwd=Path(__file__).parents[1],
            )  # fmt: skip

    def start(self) -> float:
        """Start it; the seconds until it was ready."""
        began = time.monotonic()
        self.launch()
        while READY not in self.said():
            assert self.process is not None
            assert self.process.poll() is None, self.said()
            assert time.monotonic() - began < START_SECONDS, self.said()
            time.sleep(0.002)
        return time.monotonic() - began

    def said(self) -> str:
        """What the process that was started last has written so far."""
        with self.log.open("rb") as messages:
            messages.seek(self._said_before)
            return messages.read().decode()

    def kill(self) -> None:
        """End the process at once, as kill -9 does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask the process to end; its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def memory(self) -> int:
        """The resident set of the process in bytes."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(status[1]) * os.sysconf("SC_PAGE_SIZE")

    def credentials(self) -> tuple[str, str]:
        """Name and password of the first user, as clouds.yaml tells them."""
        cloud = yaml.safe_load((self.state_dir / "clouds.yaml").read_text())["clouds"]["fairlead"]
        return cloud["auth"]["username"], cloud["auth"]["password"]

    @contextlib.contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """Requests of the first user."""
        with httpx.Client(
            base_url=self.url, auth=self.credentials(), timeout=20, trust_env=False
        ) as client:
            yield client
