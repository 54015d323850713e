"""Bodies as types, made from the declarations, for the OpenAPI document.

PURE. Requests come from `domain.bodies.settable`, answers from what answers.py shows, so this file
knows no field by name but those that the API adds to the declared ones. Called by openapi.py.
"""

from collections.abc import Iterable
from datetime import datetime
from types import GenericAlias
from typing import Annotated, Any, Union, get_args

import msgspec
from msgspec import Meta, Struct, UnsetType, defstruct

from fairlead.api import answers
from fairlead.domain.bodies import settable
from fairlead.domain.catalog import CATALOG, NAMED
from fairlead.domain.events import Event
from fairlead.domain.model import KINDS
from fairlead.domain.types import Field, describe
from fairlead.wire.heartbeat import Counters

Parts = list[tuple[str, Any] | tuple[str, Any, Any]]


class Ref(Struct):
    """A related object."""

    id: str


class Link(Struct):
    """A page before ("previous") or after ("next") this one."""

    rel: str
    href: str


def request_types() -> dict[tuple[str, str], type[Struct]]:
    """The type of each request body, by kind and use ("create", "update")."""
    found = {}
    trees = _tree_types()
    for kind in (*KINDS, *CATALOG):
        found[kind, "create"] = trees.get(kind) or _creation(kind, f"{_title(kind)}Create")
        found[kind, "update"] = _update(kind)
    return found


def answer_types() -> dict[str, type[Struct]]:
    """The type of each kind as it is shown."""
    return {kind: _answer(kind) for kind in (*KINDS, *CATALOG, "amphora")}


def other_answers() -> dict[str, type[Struct]]:
    """Status tree, statistics and events."""
    statuses = _status_tree()
    balancer = defstruct("StatusTree", [("loadbalancer", statuses)])
    counters = defstruct("Statistics", [(n, int) for n in Counters.__struct_fields__])
    return {
        "statuses": defstruct("Statuses", [("statuses", balancer)]),
        "stats": defstruct("Stats", [("stats", counters)]),
        "events": defstruct("Events", [("events", list[Event])]),
    }


def _title(kind: str) -> str:
    return NAMED[kind].type.__name__


def _tree_types() -> dict[str, type[Struct]]:
    """The creation types that hold more than the kind's own fields."""
    monitor = _creation("healthmonitor", "HealthMonitorTree", leave_out={"pool_id"})
    pool = _creation("pool", "PoolTree", leave_out={"loadbalancer_id"}, optional=True, more=[
        ("members", _said(_list(_creation("member", "MemberTree")), "Its members."), []),
        ("healthmonitor", _said(_or(monitor, None), "How its members are checked."), None),
    ])  # fmt: skip
    policy = _creation("l7policy", "L7PolicyTree", leave_out={"listener_id"}, more=[
        ("redirect_pool", _said(_or(pool, None), "Pool of REDIRECT_TO_POOL."), None),
        ("rules", _said(_list(_creation("l7rule", "L7RuleTree")), "All must match."), []),
    ])  # fmt: skip
    listener = _creation("listener", "ListenerTree", leave_out={"loadbalancer_id"}, more=[
        ("default_pool", _said(_or(pool, None), "Pool for what no L7 policy takes."), None),
        ("l7policies", _said(_list(policy), "Its L7 policies, by position."), []),
    ])  # fmt: skip
    balancer = _creation("loadbalancer", "LoadBalancerCreate", more=[
        ("listeners", _said(_list(listener), "Listeners to create with it."), []),
        ("pools", _said(_list(pool), "Pools to create with it; known to listeners by name."), []),
    ])  # fmt: skip
    own_pool = _creation("pool", "PoolCreate", more=[
        ("listener_id", Annotated[str | None, Meta(
            description="The listener whose default pool it becomes.")], None),
    ])  # fmt: skip
    return {"loadbalancer": balancer, "pool": own_pool}


def _creation(
    kind: str,
    name: str,
    *,
    leave_out: Iterable[str] = (),
    optional: bool = False,
    more: Iterable[tuple[str, Any, Any]] = (),
) -> type[Struct]:
    """What a POST takes; `optional` because a name alone refers to another pool."""
    fields = [f for n, f in settable(kind, at_creation=True).items() if n not in leave_out]
    parts: Parts = [
        (f.name, _typed(f)) if f.trait.required and not optional
        else (f.name, _typed(f, None), _default(f))
        for f in fields
    ]  # fmt: skip
    return _struct(name, [*parts, *more], kind, closed=True)


def _update(kind: str) -> type[Struct]:
    """What a PUT takes: nothing is required, null restores a default."""
    parts: Parts = [
        (f.name, _typed(f, UnsetType, *([None] if f.trait.nullable else [])), msgspec.UNSET)
        for f in settable(kind, at_creation=False).values()
    ]
    return _struct(f"{_title(kind)}Update", parts, kind, closed=True)


def _answer(kind: str) -> type[Struct]:
    declared = describe(NAMED[kind].type)
    parts: Parts = [(name, _shown_type(declared[name])) for name in answers.shown_fields(kind)]
    if kind not in KINDS:
        return _struct(_title(kind), parts, kind)
    parts.append(("tenant_id", Annotated[str | None, Meta(description="The same as project_id.")]))
    parts += [
        ("provisioning_status", Annotated[str, Meta(
            description="PENDING_CREATE, PENDING_UPDATE, PENDING_DELETE, ACTIVE or ERROR.")]),
        ("operating_status", Annotated[str, Meta(
            description="ONLINE, OFFLINE, DEGRADED, ERROR, DRAINING or NO_MONITOR.")]),
    ]  # fmt: skip
    parts += [(n, _said(list[Ref], f"Ids of its {n}.")) for n in answers.LINKS.get(kind, ())]
    if kind == "pool":
        parts.append(("healthmonitor_id", _said(str | None, "Id of its health monitor.")))
    return _struct(_title(kind), parts, kind)


def _status_tree() -> type[Struct]:
    own: Parts = [(n, str) for n in ("id", "name", "provisioning_status", "operating_status")]
    member = defstruct("MemberStatus", [*own, ("address", str), ("protocol_port", int)])
    monitor = defstruct("HealthMonitorStatus", [*own, ("type", str)])
    below: Parts = [
        ("members", _list(member)),
        ("health_monitor", _or(monitor, UnsetType), msgspec.UNSET),
    ]
    pool = defstruct("PoolStatus", [*own, *below])
    listener = defstruct("ListenerStatus", [*own, ("pools", _list(pool))])
    return defstruct("LoadBalancerStatus", [*own, ("listeners", _list(listener))])


def _list(item: Any) -> Any:
    return GenericAlias(list, (item,))


def _said(hint: Any, description: str) -> Any:
    return Annotated[hint, Meta(description=description)]


def _or(hint: Any, *others: Any) -> Any:
    """A union, made at run time."""
    return Union[(hint, *others)]


def _typed(field: Field, *others: Any) -> Any:
    """The field's type, or one of the others, with its description and example."""
    return Annotated[_or(field.type, *others), _about(field)]


def _about(field: Field) -> Meta:
    example = field.trait.example
    known = [] if example is msgspec.UNSET else [msgspec.to_builtins(example)]
    return Meta(description=field.description, examples=known or None)


def _shown_type(field: Field) -> Any:
    """The type as answers have it: times are texts, and empty lists may show as null."""
    hint = field.type
    if datetime in (hint, *get_args(hint)):
        hint = str | None
    elif field.name == "allowed_cidrs":
        hint = _or(hint, None)
    return Annotated[hint, _about(field)]


def _default(field: Field) -> Any:
    return None if field.default is msgspec.NODEFAULT else field.default


def _struct(name: str, parts: Parts, kind: str, *, closed: bool = False) -> type[Struct]:
    """A type with the kind's description; `closed` to other keys."""
    about = {"__doc__": NAMED[kind].type.__doc__}
    return defstruct(name, parts, kw_only=True, namespace=about, forbid_unknown_fields=closed)
