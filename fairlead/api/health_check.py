"""GET /healthcheck, for whatever stands before the service: no credentials, plain text or JSON.

200 while the database answers, 503 while it does not within two seconds; the bodies are those of
OpenStack's health check. However many ask, the database is asked once at a time, and not more often
than `_KEPT`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from fairlead.api.faults import json_response
from fairlead.errors import Retryable

PATH = "/healthcheck"
_KEPT = 0.5
_PLAIN = frozenset({"text/plain", "text/*", "*/*"})


def handler(ping: Callable[[], Awaitable[None]]) -> HTTPRouteHandler:
    """The route handler; `ping` asks the database."""
    check = HealthCheck(ping)

    async def handle(request: Request[Any, Any, Any]) -> Response[bytes]:
        return await check.answer(request)

    return HTTPRouteHandler(PATH, http_method=["GET", "HEAD"], status_code=200)(handle)


class HealthCheck:
    """Says how the service is, by asking the database for a sign of life."""

    def __init__(self, ping: Callable[[], Awaitable[None]], seconds: float = 2.0) -> None:
        self._ping = ping
        self._seconds = seconds
        self._asked: asyncio.Task[bool] | None = None
        self._until = 0.0

    async def answer(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """200 or 503, with "OK" or what is wrong."""
        healthy = await self.healthy()
        status, reason = (200, "OK") if healthy else (503, "The database does not answer.")
        if request.scope["method"] == "HEAD":
            return Response(b"", status_code=204 if healthy else status, media_type="text/plain")
        if _wants_json(request.headers.get("accept", "")):
            return json_response({"reasons": [reason], "detailed": False}, status)
        return Response(reason.encode(), status_code=status, media_type="text/plain")

    async def healthy(self) -> bool:
        """Whether the database answers; what it said a moment ago counts."""
        if self._asked is None or (self._asked.done() and time.monotonic() >= self._until):
            self._asked = asyncio.create_task(self._ask())
        try:
            # Whoever asks next waits for the same answer.
            return await asyncio.wait_for(asyncio.shield(self._asked), self._seconds)
        except TimeoutError:
            return False

    async def _ask(self) -> bool:
        try:
            await self._ping()
            healthy = True
        except Retryable:
            healthy = False
        self._until = time.monotonic() + _KEPT
        return healthy


def _wants_json(accept: str) -> bool:
    """Plain text goes first where both are welcome."""
    wanted = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return "application/json" in wanted and not wanted & _PLAIN
