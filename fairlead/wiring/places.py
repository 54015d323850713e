"""The state directory: who serves from it, whose it is, what sets its names apart."""

import fcntl
import hashlib
import os
import uuid
from pathlib import Path
from typing import TextIO

from fairlead.api.first_user import write_private
from fairlead.errors import Refused


def instance_id(state_dir: Path) -> str:
    """Six hex digits that set this installation's names apart on a shared host."""
    path = state_dir / "instance"
    if not path.exists():
        write_private(path, str(uuid.uuid4()).encode())
    return hashlib.sha256(path.read_bytes()).hexdigest()[:6]


def only_one(state_dir: Path) -> TextIO:
    """A lock held while a process serves from this state directory, which is made if need be."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = private(state_dir / "lock").open("w")
    except OSError as error:
        raise Refused(f"The state directory {state_dir}: {error.strerror}.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise Refused(f"Another Fairlead already serves from {state_dir}: stop it first.") from None
    return handle


def same_drivers(state_dir: Path, drivers: str) -> None:
    """Note at the first start whose state this is; in another world nothing of it exists."""
    path = state_dir / "drivers"
    if not path.exists():
        write_private(path, drivers.encode())
    elif (known := path.read_text()) != drivers:
        raise Refused(
            f"{state_dir} is the state of a service with --drivers {known}, not {drivers}: "
            "name another directory with --state-dir."
        )


def private(path: Path) -> Path:
    """The file, made if need be, which nobody but its owner can read."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return path
