"""Servers and clients: machines with network namespaces of their own, and threads inside them.

A machine is joined to a bridge by a veth pair whose other end is made inside the namespace, so
that the pair goes with it. `inside` runs a function on a thread in any namespace.
"""

import ctypes
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

SERVERS = Path(__file__).with_name("servers.py")
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count(1)


def run(*command: str) -> str:
    """Run a command; fails with its complaint."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def namespace_path(name: str) -> Path:
    return Path("/run/netns") / name


def enter(namespace: Path) -> None:
    """Move the calling thread into a network namespace."""
    with namespace.open("rb") as file:
        assert _LIBC.setns(file.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())


def inside(namespace: Path, work: Callable[[], T]) -> T:
    """Run `work` on a thread of its own in a network namespace."""

    def enter_and_work() -> T:
        enter(namespace)
        return work()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(enter_and_work).result()


class Machine:
    """A namespace with one card, and at most one process that serves."""

    def __init__(self, label: str) -> None:
        self.number = next(_numbers)
        self.label = label
        self.name = f"fltest-{os.getpid()}-{self.number}-{label}"
        self.addresses: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    @property
    def path(self) -> Path:
        return namespace_path(self.name)

    @property
    def address(self) -> str:
        return self.addresses[0]

    def ip(self, *words: str) -> str:
        """Run the program ip inside."""
        return run("ip", "-n", self.name, *words)

    def plug(self, bridge: str | None, *addresses: str) -> str:
        """A card with these addresses (with prefix length); the name of its outer end."""
        outer = f"ft{os.getpid() % 0xFFFFFF:x}m{self.number}"
        run("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        if bridge is not None:
            run("ip", "link", "set", outer, "master", bridge)
        run("ip", "link", "set", outer, "up")
        self.ip("link", "set", "eth0", "up")
        for address in addresses:
            self.add(address)
        return outer

    def add(self, address: str) -> None:
        """One more address (with prefix length), usable at once."""
        nodad = ["nodad"] if ":" in address else []
        self.ip("address", "add", address, "dev", "eth0", *nodad)
        self.addresses.append(address.partition("/")[0])

    def serve(self, places: Mapping[int, str], certificate: Path) -> None:
        """Start servers.py inside; returns when it listens."""
        self._process = subprocess.Popen(
            ["nsenter", f"--net={self.path}", sys.executable, "-I", str(SERVERS),
             self.label, str(certificate), json.dumps(places)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._answer() == "ready"

    def tell(self, do: str, port: int | None = None, **more: Any) -> Any:
        """Give servers.py a command; its answer."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, "port": port, **more}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def inside(self, work: Callable[[], T]) -> T:
        return inside(self.path, work)

    def remove(self) -> None:
        """End what serves and let the namespace go."""
        if self._process is not None:
            self._process.kill()
            with self._process:
                self._process.communicate()
        run("ip", "netns", "delete", self.name)

    def _answer(self) -> Any:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the servers of {self.name} ended"
        return json.loads(line)
