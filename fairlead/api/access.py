"""Who calls, and what a caller may do.

Rules follow the default roles of the OpenStack tools: reader sees its project, member changes
it, admin does everything everywhere. A child's project is its load balancer's. An
`Authenticator` (http_basic.py, no_auth.py) turns request headers into a `Caller`; every handler
asks one of the checks below before it answers.
"""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from fairlead.errors import Forbidden

_WRITERS = frozenset({"member", "manager", "admin"})
_READERS = _WRITERS | {"reader"}
_SERVICE = "service"


class Caller(Struct, frozen=True, kw_only=True):
    """An authenticated user, acting in one project."""

    user: str
    project_id: str | None
    roles: frozenset[str]

    @property
    def is_admin(self) -> bool:
        """Whether every project is open to the caller."""
        return "admin" in self.roles


class Authenticator(Protocol):
    """Turns credentials into a caller."""

    async def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """The caller behind a request's headers (names in lower case); `Unauthorized`."""
        ...


def check_read(caller: Caller, project_id: str | None) -> None:
    """`Forbidden` unless the caller may see objects of that project."""
    if caller.is_admin:
        return
    if caller.project_id != project_id or not caller.roles & _READERS:
        raise Forbidden


def check_list(caller: Caller, kind: str, project_id: str | None) -> None:
    """As `check_read`, for a list; members are listed to services of the cloud too."""
    if kind != "member" or _SERVICE not in caller.roles:
        check_read(caller, project_id)


def check_write(caller: Caller, project_id: str | None) -> None:
    """`Forbidden` unless the caller may change objects of that project."""
    if caller.is_admin:
        return
    if caller.project_id != project_id or not caller.roles & _WRITERS:
        raise Forbidden


def check_admin(caller: Caller) -> None:
    """`Forbidden` unless the caller is an operator."""
    if not caller.is_admin:
        raise Forbidden
