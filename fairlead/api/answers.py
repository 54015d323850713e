"""How an object is shown: from a `domain.views.Entry` to the API's JSON.

Which fields are shown follows from the resource's declaration; the few that the API shows in
another form (links to related objects) are in `LINKS`. Also used by openapi.py, so that the
document and the answers cannot differ.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import cache, partial
from operator import attrgetter
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from fairlead.domain.catalog import NAMED, Item
from fairlead.domain.model import HealthMonitor, L7Policy, Listener, Pool, Resource
from fairlead.domain.observed import Amphora
from fairlead.domain.tree import Tree
from fairlead.domain.types import Access, describe
from fairlead.domain.views import Entry, entry

# The fields that show related objects as [{"id": ...}].
LINKS: dict[str, tuple[str, ...]] = {
    "loadbalancer": ("listeners", "pools"),
    "listener": ("loadbalancers", "l7policies"),
    "pool": ("loadbalancers", "listeners", "members"),
    "healthmonitor": ("pools",),
    "l7policy": ("rules",),
}
# Declared fields that answers leave out: a link shows them, or they are only asked for.
_NOT_SHOWN: dict[str, frozenset[str]] = {
    "listener": frozenset({"loadbalancer_id"}),
    "pool": frozenset({"loadbalancer_id"}),
    "member": frozenset({"request_sriov"}),
    "healthmonitor": frozenset({"pool_id"}),
}
_EMPTY_IS_NULL = frozenset({"allowed_cidrs"})


@cache
def shown_fields(kind: str) -> tuple[str, ...]:
    """Names of the declared fields an answer shows."""
    hidden = _NOT_SHOWN.get(kind, frozenset())
    declared = describe(NAMED[kind].type).values()
    return tuple(
        f.name for f in declared if f.trait.access is not Access.HIDDEN and f.name not in hidden
    )


def moment(value: datetime) -> str:
    """A time as the API shows it: whole seconds, UTC, without a zone."""
    return value.strftime("%Y-%m-%dT%H:%M:%S")


def shown(one: Entry, fields: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The answer that shows an object, without its wrapper; of `fields`, if any, those alone."""
    showing = _showing(one.resource.KIND).items()
    return {name: show(one) for name, show in showing if not fields or name in fields}


@cache
def _showing(kind: str) -> Mapping[str, Callable[[Entry], Any]]:
    """How each field of an answer is made, in the answer's order."""
    declared = describe(NAMED[kind].type)
    found: dict[str, Callable[[Entry], Any]] = {
        name: _own(name, declared[name].type) for name in shown_fields(kind)
    }
    found["tenant_id"] = attrgetter("resource.project_id")
    found["provisioning_status"] = attrgetter("provisioning_status")
    found["operating_status"] = attrgetter("operating_status")
    found |= {name: partial(_linked, name) for name in LINKS.get(kind, ())}
    if kind == "pool":
        found["healthmonitor_id"] = lambda one: next(iter(one.links["healthmonitor_id"]), None)
    return found


def _own(name: str, hint: Any) -> Callable[[Entry], Any]:
    """How a declared field is shown; what JSON has as it is needs no look at its value."""
    value = attrgetter(f"resource.{name}")
    return value if _as_it_is(hint) else lambda one: _plain(name, value(one))


def _as_it_is(hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return True
    if get_origin(hint) is Annotated:
        return _as_it_is(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return all(map(_as_it_is, get_args(hint)))
    return hint in (str, int, float, bool, type(None))


def _linked(name: str, one: Entry) -> list[dict[str, str]]:
    return [{"id": object_id} for object_id in one.links[name]]


def shown_amphora(amphora: Amphora) -> dict[str, Any]:
    """The answer that shows an amphora, without its wrapper."""
    return {name: _plain(name, getattr(amphora, name)) for name in shown_fields("amphora")}


def shown_item(item: Item) -> dict[str, Any]:
    """The answer that shows an item of the catalog, without its wrapper."""
    return {name: getattr(item, name) for name in shown_fields(item.KIND)}


def selected(answer: dict[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """Only the keys a client asked for; all when it asked for none."""
    return {k: v for k, v in answer.items() if k in fields} if fields else answer


def shown_tree(tree: Tree) -> dict[str, Any]:
    """A load balancer with everything below it in full: the answer of a single-call create."""
    answer = shown(entry(tree, tree.root))
    answer["listeners"] = [_full(tree, one) for one in tree.listeners]
    answer["pools"] = [_full(tree, one) for one in tree.pools]
    return answer


def _full(tree: Tree, resource: Resource) -> dict[str, Any]:
    answer = shown(entry(tree, resource))
    match resource:
        case Listener():
            answer["l7policies"] = [_full(tree, p) for p in tree.policies_of(resource.id)]
        case L7Policy():
            answer["rules"] = [_full(tree, r) for r in tree.rules(resource.id)]
        case Pool():
            monitor: HealthMonitor | None = tree.monitors.get(resource.id)
            answer["members"] = [_full(tree, m) for m in tree.members(resource.id)]
            answer["healthmonitor"] = None if monitor is None else _full(tree, monitor)
    return answer


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, tuple):
        if not value and name in _EMPTY_IS_NULL:
            return None
        return [_plain(name, item) for item in value]
    if isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    return dict(value) if isinstance(value, Mapping) else value
