"""Asking Keystone whether a token is valid, with a token of the service's own.

The own token is got when first needed, and again before it ends or when Keystone does not know it
any more. Called by keystone.py. The password is read anew for each login, is in no log and in no
error.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import msgspec
import structlog
from msgspec import Struct

from fairlead.api.access import Caller
from fairlead.api.keystone import Token
from fairlead.errors import Retryable

log = structlog.get_logger()
_RENEW_BEFORE = timedelta(seconds=60)
_AFTER_FAILURE = 2.0
_AWAY = "The identity service cannot be asked now, try again soon."


class ServiceUser(Struct, frozen=True, kw_only=True):
    """Who the service is to Keystone; `password` reads it."""

    name: str
    password: Callable[[], str]
    project: str
    user_domain: str
    project_domain: str

    def login(self) -> dict[str, Any]:
        """The body of a request for a token."""
        user = {"name": self.name, "domain": {"name": self.user_domain}}
        project = {"name": self.project, "domain": {"name": self.project_domain}}
        return {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {"user": {**user, "password": self.password()}},
                },
                "scope": {"project": project},
            }
        }


class _Domain(Struct):
    id: str


class _Named(Struct):
    id: str
    name: str
    domain: _Domain | None = None


class _Role(Struct):
    name: str


class _Said(Struct):
    """A token in Keystone's words; which of the three scopes it has, if any."""

    user: _Named
    expires_at: datetime
    roles: tuple[_Role, ...] = ()
    project: _Named | None = None
    domain: _Domain | None = None
    system: dict[str, bool] | None = None


class _Answer(Struct):
    token: _Said


class KeystoneClient:
    """Validates tokens; `http` has the address of Keystone's v3 API."""

    def __init__(
        self, http: httpx.AsyncClient, user: ServiceUser, *, now: Callable[[], datetime]
    ) -> None:
        self._http = http
        self._user = user
        self._now = now
        self._own: tuple[str, datetime] | None = None
        self._one_login = asyncio.Lock()
        self._no_login_before = 0.0
        self._away = False

    async def validate(self, token: str, *, also_expired: bool) -> Token | None:
        """What Keystone says of a token; `Retryable` when it says nothing that helps."""
        try:
            answer = await self._ask(token, also_expired=also_expired)
            if answer.status_code == 401:  # it was our own token that has ended
                answer = await self._ask(token, also_expired=also_expired)
            if answer.status_code not in (200, 404):
                raise self._failed(f"GET /auth/tokens: {answer.status_code}")
            said = msgspec.json.decode(answer.content, type=_Answer).token if _ok(answer) else None
        except httpx.HTTPError as error:
            raise self._failed(f"{type(error).__name__}: {error}") from error
        except msgspec.MsgspecError as error:
            raise self._failed(f"GET /auth/tokens: {error}") from error
        if self._away:
            self._away = False
            log.warning("keystone answers again")
        return None if said is None else _token(said)

    async def _ask(self, token: str, *, also_expired: bool) -> httpx.Response:
        own = await self._own_token()
        path = "/auth/tokens?nocatalog" + ("&allow_expired=1" if also_expired else "")
        headers = {"X-Auth-Token": own, "X-Subject-Token": token}
        answer = await self._http.get(path, headers=headers)
        if answer.status_code == 401 and self._own is not None and self._own[0] == own:
            self._own = None
        return answer

    async def _own_token(self) -> str:
        async with self._one_login:
            if self._own is None or self._own[1] <= self._now():
                self._own = await self._login()
            return self._own[0]

    async def _login(self) -> tuple[str, datetime]:
        """A new token and when to get the next; after a failure not at once again.

        Whoever waited meanwhile shall not wait for as long once more, nor the user be locked out.
        """
        if time.monotonic() < self._no_login_before:
            raise Retryable(_AWAY, after=_AFTER_FAILURE)
        try:
            answer = await self._http.post("/auth/tokens", json=self._user.login())
        except (OSError, httpx.HTTPError) as error:
            self._no_login_before = time.monotonic() + _AFTER_FAILURE
            raise self._failed(f"{type(error).__name__}: {error}") from error
        if not _ok(answer):
            self._no_login_before = time.monotonic() + _AFTER_FAILURE
            raise self._failed(f"login as {self._user.name}: {answer.status_code}")
        left = msgspec.json.decode(answer.content, type=_Answer).token.expires_at - self._now()
        renewed = self._now() + left - min(_RENEW_BEFORE, left / 2)
        return answer.headers["x-subject-token"], renewed

    def _failed(self, reason: str) -> Retryable:
        """What to raise; the first of many failures is logged."""
        if not self._away:
            self._away = True
            log.error("keystone cannot be asked", error=reason)
        return Retryable(_AWAY, after=_AFTER_FAILURE)


def _ok(answer: httpx.Response) -> bool:
    return answer.status_code in (200, 201)


def _id(one: _Domain | _Named | None) -> str | None:
    return one.id if one else None


def _token(said: _Said) -> Token:
    user, project = said.user, said.project
    caller = Caller(
        user=user.name,
        user_id=user.id,
        user_domain_id=_id(user.domain),
        project_id=_id(project),
        project_domain_id=_id(project.domain) if project else None,
        domain_id=_id(said.domain),
        system=bool(said.system),
        roles=frozenset(role.name for role in said.roles),
    )
    return Token(caller=caller, expires_at=said.expires_at)
