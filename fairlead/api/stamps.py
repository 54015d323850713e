"""How it is noticed that a file is another one than when it was read.

Called for each request by http_basic.py and policy.py, which read their files again when they
change: so it costs one look and no reading.
"""

from pathlib import Path

Stamp = tuple[int, int, int] | None


def stamp(file: Path | None) -> Stamp:
    """What changes when the file does; None without a file."""
    if file is None:
        return None
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
