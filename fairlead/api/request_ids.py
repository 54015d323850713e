"""An id for every request: in every answer (X-Openstack-Request-Id) and every log line.

A caller that has an id of its own for what it is doing (global_request_id) sends it in a header of
the same name; it is in the log lines, too. Litestar calls `stamp` before it sends anything, also
for requests that no handler ever saw; it writes the access log.
"""

import re
import time
import uuid
from typing import Any

import structlog
from litestar.types import Message

log = structlog.get_logger()
_KEY = "fairlead_request_id"
_BEGAN = "fairlead_began"
_HEADER = b"x-openstack-request-id"
_ID = re.compile(rb"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def request_id(scope: Any) -> str:
    """The id of the request; made, and bound to the log context, when first asked for."""
    state: dict[str, Any] = scope["state"]
    if _KEY not in state:
        state[_KEY] = f"req-{uuid.uuid4()}"
        state[_BEGAN] = time.perf_counter()
        structlog.contextvars.bind_contextvars(request_id=state[_KEY], **_global_id(scope))
    return str(state[_KEY])


async def stamp(message: Message, scope: Any) -> None:
    """Put the id on an answer, and the answer into the log."""
    if message["type"] == "http.response.start":
        headers = list(message.get("headers") or [])
        headers.append((_HEADER, request_id(scope).encode()))
        message["headers"] = headers
        took = time.perf_counter() - scope["state"][_BEGAN]
        log.info(
            "answered",
            method=scope["method"],
            path=_path(scope),
            status=message["status"],
            seconds=round(took, 4),
        )


def _global_id(scope: Any) -> dict[str, str]:
    given = next((value for name, value in scope["headers"] if name == _HEADER), b"")
    return {"global_request_id": given.decode()} if _ID.fullmatch(given) else {}


def _path(scope: Any) -> str:
    """As it was sent, so that nothing in it can begin a line of its own."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode("unicode_escape")
    return raw.partition(b"?")[0].decode("ascii", "backslashreplace")
