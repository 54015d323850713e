"""What one operation of the API is, as data.

Every area of the API gives its operations as a list of these (see operations.py); app.py serves
them, openapi.py describes them.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from litestar import Response
from msgspec import Struct

from fairlead.api.calls import Call
from fairlead.api.faults import FaultShape, api_fault
from fairlead.domain.catalog import NAMED

Action = Callable[[Call], Awaitable[Response[bytes]]]
Method = Literal["GET", "POST", "PUT", "DELETE"]
Body = str | type[Struct] | type[bytes] | None


class Operation(Struct, frozen=True, kw_only=True):
    """One method on one path, relative to the version ("/v2") unless it begins with "/".

    `kind` is a kind of the tree, or what the area calls its own; `resource` and `rule` name the
    policy rule. `takes` and `gives` are the bodies, wrapper included, as types; for kinds of the
    tree they are words: "create", "update", "batch" for requests, "one", "list", "statuses",
    "stats", "events" for answers. `bytes` is a body that is no JSON, None is no body. `flag` is a
    yes-or-no query parameter that the operation alone understands, `query` are further parameters
    by name, with what they mean. `errors` are further failures, by their names in
    openapi_errors.py. `example` is a request body, wrapper included, where the fields' own examples
    make none that would be accepted. `fault` is the shape of its errors.
    """

    method: Method
    path: str
    kind: str
    resource: str
    rule: str
    name: str
    summary: str
    action: Action
    status: int = 200
    takes: Body = None
    gives: Body = None
    flag: str | None = None
    query: Mapping[str, str] = {}
    description: str = ""
    example: Any = None
    errors: tuple[str, ...] = ()
    fault: FaultShape = api_fault

    @property
    def full_path(self) -> str:
        """The path with the version, as the document names it."""
        return self.path if self.path.startswith("/") else f"/v2/{self.path}"

    @property
    def tag(self) -> str:
        """The heading it stands under in the document."""
        return NAMED[self.kind].word if self.kind in NAMED else self.kind
