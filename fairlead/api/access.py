"""Who calls.

An `Authenticator` (http_basic.py, keystone.py, no_auth.py) turns request headers into a `Caller`;
what a caller may do is for policy.py.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from msgspec import Struct

# A role includes the ones after it, as in Keystone's default roles.
_LADDER = ("admin", "manager", "member", "reader")


class Caller(Struct, frozen=True, kw_only=True):
    """An authenticated user, acting in one project, one domain, or (`system`) on everything.

    `everything` says that authentication is off; `service_roles` are those of the service that
    passed the request on with a token of its own.
    """

    user: str
    project_id: str | None
    roles: frozenset[str]
    user_id: str | None = None
    user_domain_id: str | None = None
    project_domain_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    everything: bool = False
    service_roles: frozenset[str] = frozenset()

    def credentials(self) -> dict[str, Any]:
        """What policy rules look at, in the names of the OpenStack tools."""
        return {
            "user_id": self.user_id or self.user,
            "user_domain_id": self.user_domain_id,
            "project_id": self.project_id,
            "tenant_id": self.project_id,
            "project_domain_id": self.project_domain_id,
            "domain_id": self.domain_id,
            "roles": sorted(self.roles),
            "service_roles": sorted(self.service_roles),
            "system_scope": "all" if self.system else None,
            "is_admin": self.everything,
        }


class Authenticator(Protocol):
    """Turns credentials into a caller.

    `own_projects` says that projects are known to this service alone: their names are their ids.
    """

    own_projects: bool

    async def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """The caller behind a request's headers (names in lower case); `Unauthorized`."""
        ...


def with_implied(roles: Iterable[str]) -> frozenset[str]:
    """Roles with those that they include, for users whose roles stand in a file."""
    given = frozenset(roles)
    highest = next((n for n, role in enumerate(_LADDER) if role in given), len(_LADDER))
    return given | frozenset(_LADDER[highest:])
