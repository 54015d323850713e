"""One JSON object a line on standard error: what the agent did, in the shape structlog gives.

structlog itself costs 6 MB of memory, which an amphora does not have to spare. Called by every
module of the agent. Never pass a secret or a configuration's text.
"""

import contextlib
import sys
import time

import msgspec

_identity: dict[str, str] = {}


def bind(amphora_id: str) -> None:
    """Name the amphora in every later event."""
    _identity["amphora_id"] = amphora_id


def event(name: str, **facts: str | int | float | bool | None) -> None:
    """Write one event; nobody is to end because the disk is full."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = msgspec.json.encode({"timestamp": moment, "event": name, **_identity, **facts})
    with contextlib.suppress(OSError):
        sys.stderr.write(line.decode() + "\n")
        sys.stderr.flush()
