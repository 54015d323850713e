"""Where audit events go: lines of JSON, at the end of a file or among the log on stderr.

The file is opened for each writing, so that it can be moved away meanwhile; it is readable by its
owner alone. Called by the API's `Audit`, from a thread.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path


def to_file(path: Path, lines: Sequence[bytes]) -> None:
    """Append; `OSError` when that fails, also for no lines."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(b"".join(line + b"\n" for line in lines))


def to_log(lines: Sequence[bytes]) -> None:
    """Write each after the word AUDIT."""
    for line in lines:
        print("AUDIT", line.decode(), file=sys.stderr, flush=True)
