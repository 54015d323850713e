"""One request, as the handlers see it.

`admitted` is the gate every handler but the open ones sits behind: it refuses answers that are
not JSON, authenticates, and gives a `Call`. A body is read here and nowhere else: JSON only,
of bounded size and depth, without NUL characters (no database stores them).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import structlog
from litestar import Request
from litestar.exceptions import HTTPException, NotFoundException
from msgspec import Struct

from fairlead.api import audit
from fairlead.api.access import Caller
from fairlead.api.parameters import Parameters
from fairlead.api.policy_rules import rule_name
from fairlead.api.request_ids import request_id
from fairlead.api.services import Services
from fairlead.domain.catalog import NAMED
from fairlead.domain.model import KINDS
from fairlead.domain.types import uuid_text
from fairlead.errors import Forbidden, NotFound, Refused

_DEPTH = 16
_JSON = frozenset({"application/json", "application/*", "*/*", ""})


class Call(Struct, frozen=True):
    """An admitted request; `kind` is what its path is about ("" where that is no resource).

    `resource` and `action` name the policy rule that decides (see policy.py).
    """

    services: Services
    caller: Caller
    request: Request[Any, Any, Any]
    kind: str = ""
    resource: str = ""
    action: str = ""

    def allows(self, project_id: str | None, action: str = "") -> bool:
        """Whether the caller may do it, or `action`, to that project's objects."""
        rule = rule_name(self.resource, action or self.action)
        return self.services.policy.allows(self.caller, rule, project_id)

    def allow(self, project_id: str | None, action: str = "") -> None:
        """`Forbidden` unless `allows`."""
        audit.about(self.request.scope, project_id)
        if not self.allows(project_id, action):
            raise Forbidden

    def id_of(self, kind: str) -> str:
        """The id that the path gives for an object of that kind, in canonical form."""
        given = str(self.request.path_params[f"{kind}_id"])
        try:
            return uuid_text(given)
        except ValueError:
            raise NotFound(NAMED[kind].word, given) from None

    @property
    def object_id(self) -> str:
        """The id of the object the path is about."""
        return self.id_of(self.kind)

    @property
    def holder(self) -> tuple[str, str] | None:
        """Kind and id of the object whose path this one continues, as a pool for its members."""
        parent = KINDS[self.kind].parent if self.kind in KINDS else None
        if parent is None or f"{parent}_id" not in self.request.path_params:
            return None
        return parent, self.id_of(parent)

    @property
    def address(self) -> str:
        """Where clients reach the service: what links in answers begin with."""
        return address_of(self.services, self.request)

    @property
    def parameters(self) -> Parameters:
        """The query string, decoded."""
        return Parameters.of(self.request.scope["query_string"])

    async def document(self) -> Any:
        """The request's body, decoded; `Refused` when it is no sane JSON."""
        mime = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if mime not in ("", "application/json"):
            raise HTTPException(status_code=415, detail=f"Unknown mimetype: {mime[:100]}")
        try:
            decoded = msgspec.json.decode(await self.request.body())
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError):
            raise Refused("Request body is not valid JSON.") from None
        _check_sane(decoded)
        return decoded

    async def body(self, wrapper: str) -> Any:
        """What the request's body holds in its wrapper, {"loadbalancer": ...}."""
        decoded = await self.document()
        if not isinstance(decoded, dict):
            raise Refused(f'Request body should be an object with the key "{wrapper}".')
        unknown = next((key for key in decoded if key != wrapper), None)
        if unknown is not None:
            raise Refused(f'Unknown argument: "{unknown[:100]}"')
        if wrapper not in decoded:
            raise Refused(f'Missing argument: "{wrapper}"')
        return decoded[wrapper]


async def admitted(
    services: Services,
    request: Request[Any, Any, Any],
    kind: str,
    resource: str,
    action: str,
    *,
    json: bool = True,
) -> Call:
    """The call behind a request; `Unauthorized`, or 406 where the answer is `json`, otherwise."""
    request_id(request.scope)
    if json:
        check_acceptable(request)
    caller = await services.authenticator.authenticate(request.headers)
    structlog.contextvars.bind_contextvars(user=caller.user, project_id=caller.project_id)
    audit.begin(request.scope, caller, resource, action)
    return Call(services, caller, request, kind, resource, action)


def address_of(services: Services, request: Request[Any, Any, Any]) -> str:
    """The configured address, or else the request's own; without a slash at the end."""
    return (services.public_url or str(request.base_url)).rstrip("/")


@contextmanager
def finding_the_path() -> Iterator[None]:
    """What is not found in here makes the whole path unknown (a fault of routing)."""
    try:
        yield
    except NotFound as error:
        raise NotFoundException(detail=str(error)) from None


def check_acceptable(request: Request[Any, Any, Any]) -> None:
    """406 when the client says that it cannot read JSON."""
    accept = request.headers.get("accept", "")
    wanted = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if not wanted & _JSON:
        raise HTTPException(status_code=406, detail="Only application/json is available.")


def _check_sane(decoded: Any) -> None:
    level = [decoded]
    for _ in range(_DEPTH):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += value.keys()
                below += value.values()
            elif isinstance(value, list):
                below += value
            elif isinstance(value, str) and "\0" in value:
                raise Refused("Request body should not contain NUL characters.")
        level = below
        if not level:
            return
    raise Refused(f"Request body should not be nested deeper than {_DEPTH} levels.")
