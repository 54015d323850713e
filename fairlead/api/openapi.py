"""The OpenAPI 3.1 document, made from the operations and the resources' declarations.

Made once, when first asked for. What lists filter by, what bodies may hold and what answers
show all come from the code that does it.
"""

import re
from functools import cache
from typing import Any

import msgspec

from fairlead import __version__
from fairlead.api import network_operations, openapi_samples, selection
from fairlead.api.openapi_errors import FAILURES, Failure, failures_of
from fairlead.api.openapi_schemas import Link, answer_types, other_answers, request_types
from fairlead.api.operation import Body, Operation
from fairlead.api.operations import operations
from fairlead.domain.catalog import CATALOG, NAMED
from fairlead.domain.model import KINDS

Json = dict[str, Any]
_REFERENCE = "#/components/schemas/{name}"
_ABOUT = (
    "Load balancing as a service in the Octavia v2 API. Everything below /v2 also answers below "
    "/v2.0, and what stands below /v2/lbaas also directly below the version. Changes are "
    "accepted at any time, also while a load balancer is PENDING_*."
)
_OCTETS: Json = {
    "application/octet-stream": {"schema": {}},
    "text/plain": {"schema": {"type": "string"}},
}
# What is true of every kind of the tree, by policy rule; operations may say something of their own.
_SAYS = {
    "get_all": "Objects of the caller's project; of every project for operators. Any field with a "
               "plain value filters; `sort`, `limit` and `marker` order and page; `fields` leaves "
               "out what is not asked for.",
    "get_one": "With its statuses, and the ids of what it is related to. An object that was asked "
               "to go is shown until it is gone.",
    "post": "Answered at once: the object is PENDING_CREATE until it is in force, then ACTIVE. "
            "Accepted at any time, also while something else is pending.",
    "put": "Only the fields that are given change; null restores a field's default. Answered at "
           "once: the object is PENDING_UPDATE until the change is in force.",
    "delete": "Answered at once: the object is PENDING_DELETE until it is gone, then 404.",
}  # fmt: skip


@cache
def document(*, with_networks: bool) -> Json:
    """The whole document; the network API is in it where it is served."""
    schemas = _Schemas(with_networks)
    paths: dict[str, Json] = {}
    for one in _served(with_networks=with_networks):
        paths.setdefault(one.full_path, {})[one.method.lower()] = _described(one, schemas)
    paths |= _open_paths()
    used = {name: f for name, f in FAILURES.items() if f.status or with_networks}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Fairlead", "version": __version__, "description": _ABOUT},
        "security": [{"basic": []}],
        "tags": _tags(paths),
        "paths": paths,
        "components": {
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
            "schemas": schemas.components,
            "responses": {name: _failure(one, schemas) for name, one in used.items()},
        },
    }


def _served(*, with_networks: bool) -> list[Operation]:
    more = network_operations.operations() if with_networks else ()
    return [*operations(), *more]


def _tags(paths: dict[str, Json]) -> list[Json]:
    """The headings, in order of the operations, with what stands below them."""
    about = {kind.word: kind.type.__doc__ for kind in NAMED.values()}
    named = dict.fromkeys(
        tag for item in paths.values() for o in item.values() for tag in o["tags"]
    )
    return [{"name": tag} | ({"description": about[tag]} if tag in about else {}) for tag in named]


class _Schemas:
    """All schemas of the document, and references to them by what they describe."""

    def __init__(self, with_networks: bool) -> None:
        self._requests = request_types()
        self._answers: dict[str, Any] = {**answer_types(), **other_answers()}
        used = [one for one in FAILURES.values() if one.status or with_networks]
        faults = [shape for one in used for shape, _ in one.examples]
        served = _served(with_networks=with_networks)
        named = dict.fromkeys(body for o in served for body in (o.takes, o.gives))
        areas = [body for body in named if isinstance(body, type) and body is not bytes]
        types = [*self._requests.values(), *self._answers.values(), *faults, Link, *areas]
        found, self.components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
        self._by_type = dict(zip(types, found, strict=True))
        for answer in self._answers.values():
            # A client that asks for some fields gets those alone.
            self.components[answer.__name__].pop("required", None)

    def of(self, type_: Any) -> Json:
        """A reference to a type's schema."""
        return dict(self._by_type[type_])

    def sample(self, schema: Json, *, whole: bool) -> Any:
        """An example of a body that no tree has."""
        return openapi_samples.of_schema(schema, self.components, whole=whole)

    def request(self, kind: str, use: Body) -> Json:
        """The body of a request."""
        if not isinstance(use, str):
            return self.of(use)
        if use == "batch":
            one = self.of(self._requests[kind, "create"])
            return _object({KINDS[kind].plural: {"type": "array", "items": one}})
        return _object({NAMED[kind].wrapper: self.of(self._requests[kind, use])})

    def answer(self, kind: str, gives: Body) -> Json:
        """The body of an answer."""
        if not isinstance(gives, str):
            return self.of(gives)
        if gives == "one":
            return _object({NAMED[kind].wrapper: self.of(self._answers[kind])})
        if gives != "list":
            return self.of(self._answers[gives])
        what = NAMED[kind]
        rows = {"type": "array", "items": self.of(self._answers[kind])}
        links = {"type": "array", "items": self.of(Link)}
        return _object({what.plural: rows, what.links_key: links})


def _described(operation: Operation, schemas: _Schemas) -> Json:
    failures = [(FAILURES[name].status, name) for name in failures_of(operation)]
    found: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": _description(operation),
        "tags": [operation.tag],
        "parameters": [*_path_parameters(operation.path), *_query_parameters(operation)],
        "responses": {
            str(operation.status): _success(operation, schemas),
            **{
                str(status or "default"): {"$ref": f"#/components/responses/{name}"}
                for status, name in failures
            },
        },
    }
    if operation.takes:
        if operation.takes is bytes:
            content = _OCTETS
        else:
            body = schemas.request(operation.kind, operation.takes)
            content = _content(body, _asked(operation, schemas))
        found["requestBody"] = {"required": True, "content": content}
    return found


def _description(operation: Operation) -> str:
    says = _SAYS if operation.kind in KINDS else {}
    says = _SAYS_OF_OFFERS if operation.kind in CATALOG else says
    return operation.description or says.get(operation.rule) or operation.summary


def _asked(operation: Operation, schemas: _Schemas) -> Json:
    """Example requests by name."""
    if operation.example is not None:
        return {"request": operation.example}
    if isinstance(operation.takes, str) and operation.kind in KINDS:
        return openapi_samples.request(operation.kind, operation.takes)
    body = schemas.request(operation.kind, operation.takes)
    return {"request": schemas.sample(body, whole=False)}


def _success(operation: Operation, schemas: _Schemas) -> Json:
    if operation.gives is None:
        return {"description": "Accepted; the answer has no body."}
    if operation.gives is bytes:
        return {"description": "As asked.", "content": _OCTETS}
    body = schemas.answer(operation.kind, operation.gives)
    if isinstance(operation.gives, str) and operation.kind in KINDS:
        shown = openapi_samples.answer(operation.kind, operation.gives, operation.method)
    else:
        shown = {"answer": schemas.sample(body, whole=True)}
    return {"description": "As asked.", "content": _content(body, shown)}


def _path_parameters(path: str) -> list[Json]:
    return [_path_parameter(name) for name in re.findall(r"\{(\w+)\}", path)]


def _path_parameter(name: str) -> Json:
    kind = KINDS.get(name.removesuffix("_id"))
    schema: Json = {"type": "string"}
    about = f"The {name.replace('_', ' ')}."
    if kind is not None:
        schema |= {"format": "uuid", "examples": [openapi_samples.object_id(kind.type.KIND)]}
        about = f"Id of the {kind.word}."
    return {"name": name, "in": "path", "required": True, "description": about, "schema": schema}


def _query_parameters(operation: Operation) -> list[Json]:
    texts = {"type": "array", "items": {"type": "string"}}
    found = [_query(name, {"type": "string"}, what) for name, what in operation.query.items()]
    if operation.flag:
        found.append(_query(operation.flag, {"type": "boolean", "default": False},
                            _FLAGS.get(operation.flag, "")))  # fmt: skip
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
            *(_query(n, texts, _TAGS[n]) for n in selection.TAGS if operation.kind in KINDS),
            *_filters(operation.kind),
        ]
    return found


# What is true of flavors, zones and their profiles.
_SAYS_OF_OFFERS = {
    "get_all": "What operators offer to users; any field filters, `sort`, `limit` and `marker` "
               "order and page, `fields` leaves out what is not asked for.",
    "get_one": "What operators offer to users; `fields` leaves out what is not asked for.",
    "post": "For operators. In force at once.",
    "put": "For operators. Only the fields that are given change; load balancers that are there "
           "keep what they were made with.",
    "delete": "For operators. Refused while it is used.",
}  # fmt: skip
_FLAGS = {
    "cascade": "Delete all that is below it, too.",
    "additive_only": "Keep the members that are not in the list.",
}
_TAGS = {
    "tags": "Objects with all of these tags.",
    "tags-any": "Objects with any of these tags.",
    "not-tags": "Objects without all of these tags.",
    "not-tags-any": "Objects without any of these tags.",
}


def _filters(kind: str) -> list[Json]:
    fields = selection.filterable(kind)
    found = [
        _query(name, selection.filter_schema(field), field.description)
        for name, field in fields.items()
    ]
    return found + [
        _query(name, {"type": "string"}, f"Objects with this {name}.")
        for name in (*selection.derived(kind), *(["tenant_id"] if kind in KINDS else []))
    ]


def _query(name: str, schema: Json, description: str = "") -> Json:
    found = {"name": name, "in": "query", "schema": schema}
    return found | ({"description": description} if description else {})


def _open_paths() -> dict[str, Json]:
    """What needs no credentials."""
    rows = (
        ("/", "list_versions", "List the API's versions."),
        ("/v1", "get_secret_version", "Name the version of the secret store."),
        ("/v2", "get_version", "Name the version."),
        ("/openapi.json", "get_openapi", "Show this document."),
    )
    return {
        path: {"get": {
            "operationId": name, "summary": summary, "description": summary, "security": [],
            "tags": ["Discovery"],
            "responses": {"200": {"description": "As asked.", "content": _content({})}},
        }}
        for path, name, summary in rows
    }  # fmt: skip


def _failure(failure: Failure, schemas: _Schemas) -> Json:
    shapes = [schemas.of(shape) for shape in dict.fromkeys(s for s, _ in failure.examples)]
    schema = shapes[0] if len(shapes) == 1 else {"oneOf": shapes}
    shown = {f"example {n}": body for n, (_, body) in enumerate(failure.examples, 1)}
    return {"description": failure.meaning, "content": _content(schema, shown)}


def _object(properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _content(schema: Json, examples: Json | None = None) -> Json:
    shown = {name: {"value": value} for name, value in (examples or {}).items()}
    return {"application/json": {"schema": schema} | ({"examples": shown} if shown else {})}
