"""A private corner of this host: network namespaces, processes and directories that end with us.

Every function is a context manager that takes away what it made, whatever happened inside.
Namespaces bear our process id in their names; processes are ended by the handles we hold.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_END_SECONDS = 15.0
NAME = f"flbench-{os.getpid()}"


class Trouble(Exception):
    """A measurement could not be taken; the text says why."""


@contextmanager
def network_of_our_own() -> Iterator[None]:
    """Move this process into a fresh network namespace: what it starts inherits it."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if _LIBC.unshare(_CLONE_NEWNET) != 0:
        raise Trouble(f"No network namespace: {os.strerror(ctypes.get_errno())}")
    try:
        run("ip", "link", "set", "lo", "up")
        yield
    finally:
        _LIBC.setns(before, _CLONE_NEWNET)
        os.close(before)


@contextmanager
def namespace(what: str) -> Iterator[str]:
    """A named network namespace; its name."""
    name = f"{NAME}-{what}"
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        run("ip", "netns", "del", name)


@contextmanager
def directory() -> Iterator[Path]:
    """A directory with a short name, for the names of sockets in it are bounded."""
    path = Path(tempfile.mkdtemp(prefix="flbench-", dir="/var/tmp"))
    try:
        path.chmod(0o755)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def process(
    command: Sequence[str], *, log: Path, namespace: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process, in a namespace if one is named; asked to end at the end, then killed."""
    with log.open("ab") as messages:
        child = subprocess.Popen(
            [*into(namespace), *command],
            stdin=subprocess.DEVNULL, stdout=messages, stderr=messages, start_new_session=True,
        )  # fmt: skip
    try:
        yield child
    finally:
        end(child)


def into(namespace: str | None) -> list[str]:
    """The words before a command that is to run in a namespace; the process id stays."""
    return ["nsenter", f"--net=/run/netns/{namespace}"] if namespace else []


def end(child: subprocess.Popen[Any]) -> None:
    """Ask a process to end, and kill it when it does not."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def run(*command: str, namespace: str | None = None, seconds: float = 30.0) -> str:
    """Run a program to its end; what it printed, or `Trouble` with what it complained about."""
    done = subprocess.run(
        [*into(namespace), *command], capture_output=True, text=True, timeout=seconds
    )
    if done.returncode:
        raise Trouble(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def until(what: str, seconds: float, holds: Any, pause: float = 0.002) -> float:
    """Wait until `holds()`; the seconds it took. `Trouble` when it does not in time."""
    began = time.perf_counter()
    while not holds():
        if time.perf_counter() - began > seconds:
            raise Trouble(f"{what}: not within {seconds:g} s")
        time.sleep(pause)
    return time.perf_counter() - began
