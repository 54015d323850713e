"""Barbican as the cabinet that references lead into, read with the OpenStack SDK.

Whoever names a secret must be of its project: the service logs in to that project (Keystone) for
each reading, so that Barbican itself refuses what is another's. Only the configured address is ever
asked, and a redirection is not followed. The SDK blocks and is slow to import: it is imported when
first needed and called in threads, few at a time. Nothing that Barbican says reaches a user or a
log but statuses. Made by the wiring.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
import structlog
from msgspec import Struct

from fairlead.errors import NotFound, Retryable

log = structlog.get_logger()
T = TypeVar("T", bound=Struct)
_AWAY = "The secret store does not answer."
_AT_ONCE, _REMEMBERED = 4, 64


class ServiceUser(Struct, frozen=True, kw_only=True):
    """Who the service is to Keystone; the password is read again at each login."""

    auth_url: str
    name: str
    password: Callable[[], str]
    domain: str

    def __repr__(self) -> str:
        return f"ServiceUser({self.name!r})"


class _Secret(Struct):
    content_types: dict[str, str] | None = None


class _Named(Struct):
    secret_ref: str
    name: str | None = None


class _Container(Struct):
    secret_refs: list[_Named] = []


class BarbicanCabinet:
    """`ports.Cabinet` on the Barbican at `url`; without a `user` it is asked without a login.

    `verify` is whether, or by which file of authorities, certificates are verified.
    """

    def __init__(
        self, url: str, user: ServiceUser | None, *, timeout: float, verify: bool | str = True
    ) -> None:
        self._url = f"{url.rstrip('/').removesuffix('/v1')}/v1"
        self._user = user
        self._timeout = timeout
        self._verify = verify
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._lock = threading.Lock()
        self._managers: OrderedDict[str, Any] = OrderedDict()

    async def payload(self, secret_id: str, project_id: str) -> bytes:
        """As the port."""
        known = _decoded(await self._get("Secret", secret_id, project_id), _Secret)
        kind = (known.content_types or {}).get("default")
        if kind is None:
            raise NotFound("Payload of secret", secret_id)
        return await self._get("Secret", secret_id, project_id, below="/payload", accept=kind)

    async def parts(self, container_id: str, project_id: str) -> Mapping[str, str]:
        """As the port."""
        answer = await self._get("Container", container_id, project_id)
        named = _decoded(answer, _Container).secret_refs
        return {one.name or "": one.secret_ref.rstrip("/").rpartition("/")[2] for one in named}

    async def _get(
        self,
        word: str,
        object_id: str,
        project_id: str,
        *,
        below: str = "",
        accept: str = "application/json",
    ) -> bytes:
        """The body of an answer. The SDK's own `get_secret` takes an error's body for a payload."""
        path = f"/{word.lower()}s/{object_id}{below}"
        async with self._turns:
            answer = await asyncio.to_thread(self._ask, path, accept, project_id)
        if answer.status_code in (403, 404, 406):
            raise NotFound(word, object_id)
        if answer.status_code != 200:
            log.warning("barbican failed", status=answer.status_code)
            raise Retryable(_AWAY, after=5.0)
        return bytes(answer.content)

    def _ask(self, path: str, accept: str, project_id: str) -> Any:
        """In a thread: the answer, whatever it is."""
        from keystoneauth1.exceptions import ClientException
        from openstack.exceptions import SDKException

        try:
            return self._manager(project_id).get(path, headers={"Accept": accept})
        except (SDKException, ClientException, OSError) as error:
            log.warning("barbican failed", error=type(error).__name__)
            raise Retryable(_AWAY, after=5.0) from None

    def _manager(self, project_id: str) -> Any:
        """The SDK's key manager in that project; the last ones used are remembered."""
        with self._lock:
            manager = self._managers.pop(project_id, None) or self._new_manager(project_id)
            self._managers[project_id] = manager
            while len(self._managers) > _REMEMBERED:
                self._managers.popitem(last=False)
        return manager

    def _new_manager(self, project_id: str) -> Any:
        from keystoneauth1 import session
        from openstack.connection import Connection

        logged_in = session.Session(
            auth=self._login(project_id), verify=self._verify, timeout=self._timeout,
            redirect=False, app_name="fairlead",
        )  # fmt: skip
        manager = Connection(session=logged_in, key_manager_endpoint_override=self._url).key_manager
        # What tells the project where there is no login; with one, Barbican overwrites it.
        manager.additional_headers["X-Project-Id"] = project_id
        return manager

    def _login(self, project_id: str) -> Any:
        from keystoneauth1.identity.v3 import Password
        from keystoneauth1.noauth import NoAuth

        if self._user is None:
            return NoAuth(endpoint=self._url)
        return Password(
            auth_url=self._user.auth_url,
            username=self._user.name,
            password=self._user.password(),
            user_domain_name=self._user.domain,
            project_id=project_id,
        )


def _decoded(answer: bytes, type_: type[T]) -> T:
    try:
        return msgspec.json.decode(answer, type=type_)
    except msgspec.DecodeError:
        log.warning("barbican answered what it should not")
        raise Retryable(_AWAY, after=5.0) from None
