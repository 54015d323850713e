"""The whole service inside this process, asked without a network in between.

So that CPU time and SQL statements can be told per request. It is the same `Service` that
`fairlead serve` runs, with its own state directory, and nothing is left of it in the end.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import structlog

from benchmarks.api import LBAAS, authorization
from benchmarks.lab import Trouble
from fairlead.settings import Settings
from fairlead.wiring import Service


class Inside:
    """Requests as calls of the application."""

    def __init__(self, service: Service, clouds: Path) -> None:
        self.service = service
        self._headers = [(b"host", b"bench"), (b"content-type", b"application/json"),
                         (b"authorization", authorization(clouds).encode())]  # fmt: skip

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's content; `Trouble` on a status above 299."""
        place, _, query = path.partition("?")
        content = b"" if body is None else json.dumps(body).encode()
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": place, "raw_path": place.encode(),
            "query_string": query.encode(), "root_path": "", "server": ("bench", 80),
            "client": ("127.0.0.1", 1), "state": {},
            "headers": [*self._headers, (b"content-length", str(len(content)).encode())],
        }  # fmt: skip
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.service.app(scope, receive, send)  # type: ignore[arg-type] # dicts of ASGI
        said = b"".join(message.get("body", b"") for message in sent[1:])
        if sent[0]["status"] > 299:
            raise Trouble(f"{method} {path}: {sent[0]['status']} {said[:300].decode()}")
        return json.loads(said) if said else None

    async def await_active(self, lb_id: str, seconds: float = 30.0) -> None:
        """Wait until nothing is pending."""
        until = time.monotonic() + seconds
        while True:
            shown = (await self.ask("GET", f"{LBAAS}/loadbalancers/{lb_id}"))["loadbalancer"]
            if shown["provisioning_status"] == "ACTIVE":
                return
            if time.monotonic() > until:
                raise Trouble(f"load balancer {lb_id} is {shown['provisioning_status']}")
            await asyncio.sleep(0.01)


@asynccontextmanager
async def inside(state_dir: Path, drivers: Literal["host", "fake"]) -> AsyncIterator[Inside]:
    """A service in this process and this network namespace; it only tells of trouble."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    async with Service(Settings(state_dir=str(state_dir), drivers=drivers)) as service:
        yield Inside(service, state_dir / "clouds.yaml")
