"""The demo's side of the API: plain requests with the credentials of clouds.yaml.

Everything the demo does to load balancers and networks goes through here, as anybody's requests
would. Called by the story.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec

from fairlead.errors import FairleadError

LBAAS = "/v2/lbaas"
_POLL = 0.01


class Trouble(FairleadError):
    """A step of the demo did not work; the text says which and how."""


class Client:
    """Requests to one service."""

    def __init__(self, clouds: Path) -> None:
        cloud = msgspec.yaml.decode(clouds.read_bytes())["clouds"]["fairlead"]["auth"]
        self._http = httpx.AsyncClient(
            base_url=cloud["endpoint"],
            auth=(cloud["username"], cloud["password"]),
            timeout=30.0,
            trust_env=False,
        )

    async def close(self) -> None:
        """No more requests."""
        await self._http.aclose()

    async def get(self, path: str) -> Any:
        """What is inside the answer's one wrapper; None when it is gone (404)."""
        answer = await self._send("GET", path)
        return None if answer.status_code == 404 else _inside(answer)

    async def post(self, path: str, kind: str, **fields: Any) -> Any:
        """Create, and return what was created."""
        return _inside(await self._send("POST", path, {kind: fields}))

    async def put(self, path: str, kind: str, **fields: Any) -> Any:
        """Change, and return what it is now."""
        return _inside(await self._send("PUT", path, {kind: fields}))

    async def delete(self, path: str) -> None:
        """Have it gone; it may be gone already."""
        await self._send("DELETE", path)

    async def until(self, path: str, seconds: float, **fields: str) -> float:
        """Wait until the object has these values; how long it took, in seconds."""
        started, shown = time.monotonic(), None
        while time.monotonic() - started < seconds:
            shown = await self.get(path)
            if shown is not None and all(shown[name] == v for name, v in fields.items()):
                return time.monotonic() - started
            await asyncio.sleep(_POLL)
        values = {name: shown[name] for name in fields} if shown else "gone"
        raise Trouble(f"{path} should be {fields} within {seconds:g} s; it is {values}.")

    async def until_gone(self, path: str, seconds: float) -> float:
        """Wait until the object answers 404; how long it took."""
        started = time.monotonic()
        while time.monotonic() - started < seconds:
            if await self.get(path) is None:
                return time.monotonic() - started
            await asyncio.sleep(_POLL)
        raise Trouble(f"{path} should be gone within {seconds:g} s.")

    async def _send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        try:
            answer = await self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise Trouble(f"{method} {path}: {error or type(error).__name__}") from error
        if answer.is_error and answer.status_code != 404:
            raise Trouble(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer


def _inside(answer: httpx.Response) -> Any:
    (wrapped,) = (v for name, v in answer.json().items() if not name.endswith("_links"))
    return wrapped
