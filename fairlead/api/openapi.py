"""The OpenAPI 3.1 document, made from the operations and the resources' declarations.

Made once, when first asked for. What lists filter by, what bodies may hold and what answers
show all come from the code that does it.
"""

import re
from functools import cache
from typing import Any

import msgspec

from fairlead import __version__
from fairlead.api import networks, selection
from fairlead.api.openapi_schemas import (
    Fault,
    Link,
    NetworkFault,
    RoutingFault,
    Unauthenticated,
    answer_types,
    other_answers,
    request_types,
)
from fairlead.api.operation import Body, Operation
from fairlead.api.operations import operations
from fairlead.domain.model import KINDS

Json = dict[str, Any]
_REFERENCE = "#/components/schemas/{name}"
_ABOUT = (
    "Load balancing as a service in the Octavia v2 API. Everything below /v2 also answers below "
    "/v2.0, and what stands below /v2/lbaas also directly below the version. Changes are "
    "accepted at any time, also while a load balancer is PENDING_*."
)
_READ_ERRORS = (400, 401, 403, 404, 406)
_WRITE_ERRORS = (*_READ_ERRORS, 409, 413, 415, 501, 503)
_ERRORS = {
    400: "The request breaks a rule.", 401: "No valid credentials.", 403: "Not allowed.",
    404: "No such object.", 406: "The client does not accept JSON.",
    409: "It contradicts what exists.", 413: "The body is too large.",
    415: "The body is not JSON.", 501: "The provider cannot do this.",
    503: "A part of the service does not answer; try again.",
}  # fmt: skip


@cache
def document(*, with_networks: bool) -> Json:
    """The whole document; the network API is in it where it is served."""
    schemas = _Schemas(with_networks)
    paths: dict[str, Json] = {}
    for operation in operations():
        path = f"/v2/{operation.path}"
        paths.setdefault(path, {})[operation.method.lower()] = _described(operation, schemas)
    paths |= _network_paths(schemas) if with_networks else {}
    paths |= _open_paths()
    return {
        "openapi": "3.1.0",
        "info": {"title": "Fairlead", "version": __version__, "description": _ABOUT},
        "security": [{"basic": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
            "schemas": schemas.components,
            "responses": {
                f"Error{status}": _error(status, schemas, Fault, RoutingFault)
                for status in _ERRORS
            },
        },
    }  # fmt: skip


class _Schemas:
    """All schemas of the document, and references to them by what they describe."""

    def __init__(self, with_networks: bool) -> None:
        self._requests = request_types()
        self._answers: dict[str, Any] = {**answer_types(), **other_answers()}
        faults = (Fault, RoutingFault, Unauthenticated)
        theirs = [NetworkFault, *(k.body for k in networks.KINDS.values())] if with_networks else []
        named = [body for o in operations() for body in (o.takes, o.gives)]
        areas = [body for body in named if isinstance(body, type)]
        types = [*self._requests.values(), *self._answers.values(), *faults, Link, *theirs, *areas]
        _, self.components = msgspec.json.schema_components(types, ref_template=_REFERENCE)

    def of(self, type_: Any) -> Json:
        """A reference to a type's schema."""
        return {"$ref": _REFERENCE.format(name=type_.__name__)}

    def request(self, kind: str, use: Body) -> Json:
        """The body of a request."""
        if not isinstance(use, str):
            return self.of(use)
        if use == "batch":
            one = self.of(self._requests[kind, "create"])
            return _object({KINDS[kind].plural: {"type": "array", "items": one}})
        return _object({KINDS[kind].wrapper: self.of(self._requests[kind, use])})

    def answer(self, kind: str, gives: Body) -> Json:
        """The body of an answer."""
        if not isinstance(gives, str):
            return self.of(gives)
        if gives == "one":
            return _object({KINDS[kind].wrapper: self.of(self._answers[kind])})
        if gives != "list":
            return self.of(self._answers[gives])
        plural = KINDS[kind].plural
        rows = {"type": "array", "items": self.of(self._answers[kind])}
        links = {"type": "array", "items": self.of(Link)}
        return _object({plural: rows, f"{plural}_links": links})


def _described(operation: Operation, schemas: _Schemas) -> Json:
    writes = operation.method != "GET"
    found: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [*_path_parameters(operation.path), *_query_parameters(operation)],
        "responses": {
            str(operation.status): _success(operation, schemas),
            **_errors(_WRITE_ERRORS if writes else _READ_ERRORS),
        },
    }
    if operation.takes:
        found["requestBody"] = _json_body(schemas.request(operation.kind, operation.takes))
    return found


def _success(operation: Operation, schemas: _Schemas) -> Json:
    if operation.gives is None:
        return {"description": "Accepted; the answer has no body."}
    return {
        "description": "As asked.",
        "content": _content(schemas.answer(operation.kind, operation.gives)),
    }


def _path_parameters(path: str) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", path)
    ]


def _query_parameters(operation: Operation) -> list[Json]:
    texts = {"type": "array", "items": {"type": "string"}}
    found = [_query(name, {"type": "string"}, what) for name, what in operation.query.items()]
    if operation.flag:
        found.append(_query(operation.flag, {"type": "boolean", "default": False}))
    if operation.gives in ("one", "list") and operation.method == "GET":
        found.append(_query("fields", texts, "Only these keys of each object."))
    if operation.gives in ("list", "events"):
        found.append(_query("limit", {"type": "integer"}, "Most objects to answer with."))
    if operation.gives == "list":
        found += [
            _query("sort", {"type": "string"}, "key[:asc|desc],key2..."),
            _query("sort_key", {"type": "string"}, "Keys, separated by commas."),
            _query("sort_dir", {"type": "string"}, "asc or desc for each key."),
            _query("marker", {"type": "string"}, "Id of the last object of the page before."),
            _query("page_reverse", {"type": "boolean", "default": False}, "The page before it."),
            *(_query(name, texts, "Filter by tags.") for name in selection.TAGS),
            *_filters(operation.kind),
        ]
    return found


def _filters(kind: str) -> list[Json]:
    fields = selection.filterable(kind)
    found = [
        _query(name, msgspec.json.schema(field.type), field.description)
        for name, field in fields.items()
    ]
    return found + [
        _query(name, {"type": "string"}, f"Objects with this {name}.")
        for name in (*selection.STATUSES, "tenant_id")
    ]


def _query(name: str, schema: Json, description: str = "") -> Json:
    found = {"name": name, "in": "query", "schema": schema}
    return found | ({"description": description} if description else {})


def _network_paths(schemas: _Schemas) -> dict[str, Json]:
    """Networks, subnets and ports."""
    paths: dict[str, Json] = {}
    for kind, what in networks.KINDS.items():
        body = _json_body(_object({kind: schemas.of(what.body)}))
        rows: tuple[tuple[str, str, str, str, int, Json], ...] = (
            (f"{kind}s", "get", f"list_{kind}s", f"List {what.word}s.", 200, {}),
            (f"{kind}s", "post", f"create_{kind}", f"Create a {what.word}.", 201,
             {"requestBody": body}),
            (f"{kind}s/{{id}}", "get", f"get_{kind}", f"Show a {what.word}.", 200, {}),
            (f"{kind}s/{{id}}", "delete", f"delete_{kind}", f"Delete a {what.word}.", 204, {}),
        )  # fmt: skip
        for path, method, name, summary, status, more in rows:
            at = f"{networks.VERSION}/{path}"
            answer: Json = {"description": "As asked."}
            if status != 204:
                answer |= {"content": _content({"type": "object"})}
            failed = {"description": "An error.", "content": _content(schemas.of(NetworkFault))}
            paths.setdefault(at, {})[method] = {
                "operationId": name, "summary": summary, "tags": [what.word],
                "parameters": _path_parameters(path),
                "responses": {str(status): answer, "default": failed}, **more,
            }  # fmt: skip
    return paths


def _open_paths() -> dict[str, Json]:
    """What needs no credentials."""
    rows = (
        ("/", "list_versions", "List the API's versions."),
        ("/v2", "get_version", "Name the version."),
        ("/openapi.json", "get_openapi", "Show this document."),
    )
    return {
        path: {"get": {
            "operationId": name, "summary": summary, "security": [],
            "responses": {"200": {"description": "As asked.", "content": _content({})}},
        }}
        for path, name, summary in rows
    }  # fmt: skip


def _errors(statuses: tuple[int, ...]) -> Json:
    return {str(s): {"$ref": f"#/components/responses/Error{s}"} for s in statuses}


def _error(status: int, schemas: _Schemas, *shapes: type[Any]) -> Json:
    schema: Json = {"oneOf": [schemas.of(shape) for shape in shapes]}
    if status == 401:
        schema = schemas.of(Unauthenticated)
    return {"description": _ERRORS[status], "content": _content(schema)}


def _object(properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _json_body(schema: Json) -> Json:
    return {"required": True, "content": _content(schema)}


def _content(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}
