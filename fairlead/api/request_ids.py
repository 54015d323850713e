"""An id for every request, in every answer (X-Openstack-Request-Id) and every log line.

Litestar calls `stamp` before it sends anything, also for requests that no handler ever saw.
"""

import uuid
from typing import Any

import structlog
from litestar.types import Message

_KEY = "fairlead_request_id"


def request_id(scope: Any) -> str:
    """The id of the request; made, and bound to the log context, when first asked for."""
    state: dict[str, Any] = scope["state"]
    if _KEY not in state:
        state[_KEY] = f"req-{uuid.uuid4()}"
        structlog.contextvars.bind_contextvars(request_id=state[_KEY])
    return str(state[_KEY])


async def stamp(message: Message, scope: Any) -> None:
    """Put the id on an answer."""
    if message["type"] == "http.response.start":
        headers = list(message.get("headers") or [])
        headers.append((b"x-openstack-request-id", request_id(scope).encode()))
        message["headers"] = headers
