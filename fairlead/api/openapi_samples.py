"""Examples of bodies, made by the code that they are examples of.

PURE. For the kinds of the tree a small load balancer is put together by the very edits that serve
requests, and shown as answers show it: an example that breaks a rule cannot be made. For other
areas a body follows from its schema (`of_schema`): each field's own example, else its default,
else the first value it may have. Called by openapi.py.
"""

import uuid
from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec

from fairlead.api import answers
from fairlead.domain import bodies, edits, planting, views
from fairlead.domain.events import Event
from fairlead.domain.model import KINDS, LoadBalancer
from fairlead.domain.tree import Tree
from fairlead.domain.types import describe

Json = dict[str, Any]
Samples = dict[str, Any]
_NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
_NAMES = {"loadbalancer": "web", "listener": "http", "pool": "servers", "member": "one",
          "healthmonitor": "check", "l7policy": "to-shop"}  # fmt: skip
# What a request of the kind says beyond what it must, and what a change says.
_MORE: dict[str, tuple[str, ...]] = {
    "loadbalancer": ("vip_subnet_id",), "member": ("weight",), "healthmonitor": ("url_path",),
    "l7policy": ("redirect_url",),
}  # fmt: skip
_CHANGED: dict[str, tuple[str, ...]] = {
    "loadbalancer": ("description", "tags"), "listener": ("connection_limit", "allowed_cidrs"),
    "pool": ("description",), "member": ("weight",), "healthmonitor": ("delay", "url_path"),
    "l7policy": ("redirect_url",), "l7rule": ("value",),
}  # fmt: skip
_PLACES = ("vip_subnet_id", "vip_network_id", "vip_port_id", "vip_address")
# Values of fields that declare none, by name.
_PROJECT = "e3cd678b11784734bc366148aa37580e"
_BY_NAME: Json = {
    "id": str(uuid.uuid5(uuid.NAMESPACE_URL, "one")), "name": "gold",
    "created_at": "2026-11-24T12:00:00", "updated_at": None,
    "project_id": _PROJECT, "tenant_id": _PROJECT, "description": "What it is for.",
}  # fmt: skip
_BY_TYPE: Json = {"string": "text", "integer": 1, "number": 1.0, "boolean": True, "null": None}


def object_id(kind: str) -> str:
    """The id of the sample of a kind."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, kind))


def request(kind: str, use: str) -> Samples:
    """Request bodies by name, wrapper included."""
    wrapper, plural = KINDS[kind].wrapper, KINDS[kind].plural
    if use == "update":
        return {"change": {wrapper: _declared(kind, _CHANGED[kind])}}
    body = _creation(kind)
    if use == "batch":
        return {"members": {plural: [body, body | {"name": "two", "address": "192.0.2.11"}]}}
    found = {"alone": {wrapper: body}}
    if kind == "loadbalancer":
        found["everything in one request"] = {wrapper: body | _nested()}
    return found


def answer(kind: str, gives: str, method: str) -> Samples:
    """Answer bodies by name, wrapper included."""
    tree = _tree(kind) if method == "POST" else _settled()
    if method == "PUT":
        changes = bodies.changes(kind, _declared(kind, _CHANGED[kind]))
        tree = edits.change(kind, object_id(kind), changes, now=_NOW)(tree)
    shown = answers.shown(views.entry(tree, tree.get(kind, object_id(kind))))
    wrapper, plural = KINDS[kind].wrapper, KINDS[kind].plural
    made: dict[str, Json] = {
        "one": {wrapper: shown},
        "list": {plural: [shown], f"{plural}_links": []},
        "statuses": {"statuses": {"loadbalancer": views.status_tree(_settled())}},
        "stats": {"stats": {"bytes_in": 5120, "bytes_out": 91045, "active_connections": 2,
                            "total_connections": 348, "request_errors": 0}},
        "events": {"events": [msgspec.to_builtins(_event())]},
    }  # fmt: skip
    found = {"alone" if method == "POST" else "found": made[gives]}
    if kind == "loadbalancer" and method == "POST":
        found["everything in one request"] = {wrapper: answers.shown_tree(_planted())}
    return found


def of_schema(schema: Json, components: Json, name: str = "", *, whole: bool = True) -> Any:
    """A value of a JSON schema; unless `whole`, objects have only what they must or exemplify."""
    if "$ref" in schema:
        return of_schema(components[schema["$ref"].rpartition("/")[2]], components, name,
                         whole=whole)  # fmt: skip
    for key, pick in (("examples", 0), ("enum", 0), ("const", None), ("default", None)):
        if key in schema and schema[key] != []:
            return schema[key] if pick is None else schema[key][pick]
    for one in sorted(schema.get("anyOf", ()), key=lambda s: s.get("type") == "null"):
        return of_schema(one, components, name, whole=whole)
    if "properties" in schema:
        must = schema.get("required", ())
        every = schema["properties"]
        named = [n for n, one in every.items() if whole or n in must or "examples" in one]
        return {n: of_schema(every[n], components, n, whole=whole) for n in named or [*every][:1]}
    if schema.get("type") == "array" and name.endswith("_links"):
        return []  # to the pages before and after
    if schema.get("type") == "array":
        return [of_schema(schema["items"], components, name, whole=whole)]
    return _plain(schema, name)


def _plain(schema: Json, name: str) -> Any:
    if name in _BY_NAME:
        return _BY_NAME[name]
    if name.endswith("_id"):
        return str(uuid.uuid5(uuid.NAMESPACE_URL, name))
    return schema.get("minimum", _BY_TYPE.get(schema.get("type", ""), {}))


def _declared(kind: str, names: tuple[str, ...]) -> Json:
    """Fields with the examples that they are declared with, as JSON has them."""
    fields = describe(KINDS[kind].type)
    return {n: msgspec.to_builtins(fields[n].trait.example) for n in names}


def _creation(kind: str) -> Json:
    """What creates the sample of a kind below the samples of the others."""
    fields = bodies.settable(kind, at_creation=True)
    must = tuple(n for n, f in fields.items() if f.trait.required)
    body = {"name": _NAMES[kind]} if kind in _NAMES else {}
    body |= {n: bodies.choices(fields[n].type)[0] for n in must if _first_choice(kind, n)}
    body |= _declared(kind, tuple(n for n in (*must, *_MORE.get(kind, ())) if n not in body))
    parent, field = KINDS[kind].parent, KINDS[kind].parent_field
    if parent and field in must:
        body[field] = object_id(parent)
    return body | ({"listener_id": object_id("listener")} if kind == "pool" else {})


def _first_choice(kind: str, name: str) -> bool:
    field = describe(KINDS[kind].type)[name]
    return field.trait.example is msgspec.UNSET and bool(bodies.choices(field.type))


def _nested() -> Json:
    pool = {k: v for k, v in _creation("pool").items() if k != "listener_id"}
    monitor = {k: v for k, v in _creation("healthmonitor").items() if k != "pool_id"}
    pool |= {"members": [_creation("member")], "healthmonitor": monitor}
    listener = {k: v for k, v in _creation("listener").items() if k != "loadbalancer_id"}
    return {"listeners": [listener | {"default_pool": pool}]}


@cache
def _root() -> LoadBalancer:
    given = _creation("loadbalancer") | _declared("loadbalancer", _PLACES)
    return LoadBalancer(
        id=object_id("loadbalancer"), created_at=_NOW, project_id=_PROJECT,
        **bodies.creation("loadbalancer", given),
    )  # fmt: skip


@cache
def _tree(last: str) -> Tree:
    """One object of each kind up to the last, made by the edits of requests; none is in force."""
    tree = Tree(root=_root(), generation=1)
    kinds = list(KINDS)
    for kind in kinds[1 : kinds.index(last) + 1]:
        body = _creation(kind)
        more = {"listener_id": body.pop("listener_id")} if kind == "pool" else {}
        parent, field = KINDS[kind].parent, KINDS[kind].parent_field
        more[str(field)] = object_id(str(parent))
        values = bodies.creation(kind, body) | more
        tree = edits.add(kind, values, new_id=object_id(kind), now=_NOW)(tree)
    return tree


@cache
def _settled() -> Tree:
    """The same in force, and up."""
    tree = _tree(list(KINDS)[-1])
    up = dict.fromkeys([one.id for one in tree.everything()], "ONLINE")
    return msgspec.structs.replace(tree, applied=tree.generation, observed=up)


@cache
def _planted() -> Tree:
    ids = iter(range(1, 100))
    return planting.plant(
        _root(), _nested(), now=_NOW,
        new_id=lambda: str(uuid.uuid5(uuid.NAMESPACE_URL, f"new {next(ids)}")),
    )  # fmt: skip


def _event() -> Event:
    return Event(
        loadbalancer_id=object_id("loadbalancer"), generation=3, at=_NOW, step="Configure",
        outcome="ok", took_ms=41.5, amphora_id=object_id("amphora"), detail="reload",
    )  # fmt: skip
