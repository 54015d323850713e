"""What demos left that were killed before they could clean up.

Invariants: only a demo holds the lock on its state directory, and the kernel lets go of it when
the demo ends, however it ends. What belongs to a directory that nobody holds is removed, and
nothing else. Called by `demo` before its own beginning.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from fairlead.cli.demo import leftovers
from fairlead.cli.demo.client import Trouble
from fairlead.cli.demo.servers import run
from fairlead.errors import FairleadError
from fairlead.settings import Settings
from fairlead.wiring import instance_id, uninstall

PLACE = Path("/var/tmp")  # noqa: S108 - directories in it are made by mkdtemp
PREFIX = "fairlead-demo-"
_SECONDS = 10.0


def hold(directory: Path) -> int:
    """Take the lock on a demo's directory; `BlockingIOError` when a demo that runs has it.

    The lock lasts until the file descriptor is closed, at the latest with this process.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    return descriptor


async def remove(say: Callable[[str], None]) -> None:
    """Remove what dead demos left, and say so; what resists is said too, and left."""
    for directory in _found():
        try:
            descriptor = hold(directory)
        except BlockingIOError:
            continue
        try:
            await _remove(directory)
        except (FairleadError, OSError) as error:
            say(f"An earlier demo was killed, and {directory} cannot be removed: {error}")
        else:
            say(f"Removed what a demo that was killed had left: {directory} and all that was its")
        finally:
            os.close(descriptor)


def _found() -> list[Path]:
    """Directories of demos, dead or alive; a demo has this file once it holds the lock."""
    return sorted(one.parent for one in PLACE.glob(f"{PREFIX}*/instance"))


async def _remove(state_dir: Path) -> None:
    instance = instance_id(state_dir)
    await _end(leftovers.processes(instance, state_dir))
    for name in leftovers.namespaces(instance):
        if name.startswith("fldemo-"):
            await run("ip", "netns", "del", name)
    await uninstall(Settings(state_dir=str(state_dir)))
    for name in leftovers.links(instance):
        await run("ip", "link", "del", name)
    shutil.rmtree(state_dir)
    left = leftovers.found(instance, state_dir)
    if left:
        raise Trouble(f"An earlier demo left what cannot be removed: {', '.join(left)}")


async def _end(processes: list[str]) -> None:
    """Kill processes, which are told by the instance in their command lines, and see them gone."""
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    until = time.monotonic() + _SECONDS
    while any(_runs(pid) for pid in processes):
        if time.monotonic() > until:
            raise Trouble(f"Processes of an earlier demo do not end: {', '.join(processes)}")
        await asyncio.sleep(0.01)


def _runs(pid: str) -> bool:
    """Whether it is there, and no zombie that waits for its parent."""
    try:
        stat = Path("/proc", pid, "stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")
