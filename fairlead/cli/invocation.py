"""What the user typed: the program's name, options to repeat in a hint, and values that are none.

Invariants: a command shown to the user works when it is copied, from the directory they are in.
Called by the commands.
"""

import argparse
import shlex
import shutil
import sys
from pathlib import Path

from fairlead.errors import Refused

_REPEATED = ("state_dir", "config", "listen")


def command(name: str, *words: str, given: argparse.Namespace | None = None) -> str:
    """A command line of this program; with those of the options `given` that say where things are.

    The program is called as the user called it: nobody need have it on PATH.
    """
    shown = [*_program(), name]
    for option in _REPEATED:
        value = getattr(given, option, None)
        if value is not None:
            shown += [f"--{option.replace('_', '-')}", str(value)]
    return shlex.join([*shown, *words])


def directory(text: str) -> Path:
    """The value of --state-dir. Empty, as from a variable that is not set, is no directory."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; it should name a directory")
    return Path(text)


def address(listen: str) -> tuple[str, int]:
    """Host and port of ADDRESS:PORT; `Refused` says what is wrong."""
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()):
        raise Refused(f"--listen '{listen}' should be ADDRESS:PORT.")
    if not 0 < int(port) < 65536:
        raise Refused(f"--listen '{listen}': the port should be from 1 to 65535.")
    return host.strip("[]"), int(port)


def _program() -> list[str]:
    called = sys.argv[0]
    if Path(called).name != "fairlead":
        return [sys.executable, "-m", "fairlead.cli"]
    found = shutil.which("fairlead")
    return ["fairlead"] if found and Path(found).samefile(called) else [called]
