"""Authentication by tokens of Keystone (X-Auth-Token).

A token is validated once and then remembered, by its digest, for some seconds: within these a
revoked one still counts, as it does with every OpenStack service. Its own end is honoured to the
moment. Refused ones are remembered apart and shorter, so that guessing neither burdens Keystone
nor pushes good ones out. Requests with the same token wait for one question. When Keystone is away
nobody is refused: `Retryable`. Talks to Keystone through keystone_client.py.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from fairlead.api.access import Caller
from fairlead.errors import Retryable, Unauthorized

_REFUSAL = "The request you have made requires authentication."
_REMEMBERED = 10_000
_REFUSED_SECONDS = 5.0
_ASKING = 100
_LONGEST = 8192


class Token(Struct, frozen=True, kw_only=True):
    """What a valid token says, and until when it is one."""

    caller: Caller
    expires_at: datetime


class Tokens(Protocol):
    """Where tokens are validated."""

    async def validate(self, token: str, *, also_expired: bool) -> Token | None:
        """What the token says, None when it is none (any more); `Retryable`."""
        ...


class _Verdict(Struct, frozen=True):
    token: Token | None
    until: float


class Keystone:
    """Authenticates by tokens; `uri` tells clients where to get one."""

    own_projects = False

    def __init__(
        self, tokens: Tokens, *, uri: str, cache_seconds: float, now: Callable[[], datetime]
    ) -> None:
        self._tokens = tokens
        self._challenge = f'Keystone uri="{uri}"'
        self._good_for, self._bad_for = cache_seconds, min(cache_seconds, _REFUSED_SECONDS)
        self._now = now
        self._good: dict[bytes, _Verdict] = {}
        self._bad: dict[bytes, _Verdict] = {}
        self._asking: dict[bytes, asyncio.Task[_Verdict]] = {}

    async def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """The caller behind the token; `Unauthorized`, or `Retryable` when Keystone is away.

        A service that passes a user's request on may add a token of its own (X-Service-Token):
        with the role service it vouches for a user's token that has ended meanwhile.
        """
        token, passing = headers.get("x-auth-token", ""), headers.get("x-service-token")
        if passing is None:
            return await self._caller(token, late=False)
        service = await self._caller(passing, late=False)
        caller = await self._caller(token, late="service" in service.roles)
        return replace(caller, service_roles=service.roles)

    async def _caller(self, token: str, *, late: bool) -> Caller:
        if not 0 < len(token) <= _LONGEST or not token.isascii() or not token.isprintable():
            raise Unauthorized(_REFUSAL, self._challenge)
        key = hashlib.sha256(token.encode() + (b" late" if late else b"")).digest()
        found = self._remembered(key) or await self._ask(key, token, late=late)
        if found.token is None or (not late and found.token.expires_at <= self._now()):
            raise Unauthorized(_REFUSAL, self._challenge)
        return found.token.caller

    def _remembered(self, key: bytes) -> _Verdict | None:
        found = self._good.get(key) or self._bad.get(key)
        return found if found and time.monotonic() < found.until else None

    async def _ask(self, key: bytes, token: str, *, late: bool) -> _Verdict:
        """Ask Keystone, or wait for the one who does."""
        asking = self._asking.get(key)
        if asking is None:
            if len(self._asking) >= _ASKING:
                raise Retryable("Too many tokens are being checked, try again soon.", after=1.0)
            asking = asyncio.create_task(self._verdict(key, token, late=late))
            self._asking[key] = asking
            asking.add_done_callback(lambda task: self._answered(key, task))
        # Whoever gives up does not take the answer from the others.
        return await asyncio.shield(asking)

    def _answered(self, key: bytes, task: asyncio.Task[_Verdict]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # seen, also when nobody waits for it any more

    async def _verdict(self, key: bytes, token: str, *, late: bool) -> _Verdict:
        said = await self._tokens.validate(token, also_expired=late)
        kept, seconds = (self._bad, self._bad_for) if said is None else (self._good, self._good_for)
        verdict = _Verdict(said, time.monotonic() + seconds)
        self._good.pop(key, None)
        self._bad.pop(key, None)
        if len(kept) >= _REMEMBERED:
            del kept[next(iter(kept))]
        kept[key] = verdict
        return verdict
