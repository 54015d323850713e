"""How an object is shown: from a `domain.views.Entry` to the API's JSON.

Which fields are shown follows from the resource's declaration; the few that the API shows in
another form (links to related objects) are in `LINKS`. Also used by openapi.py, so that the
document and the answers cannot differ.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import cache
from typing import Any

import msgspec

from fairlead.domain.catalog import NAMED, Item
from fairlead.domain.model import HealthMonitor, L7Policy, Listener, Pool, Resource
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


def shown(one: Entry) -> dict[str, Any]:
    """The answer that shows an object, without its wrapper."""
    resource = one.resource
    kind = resource.KIND
    answer = {name: _plain(name, getattr(resource, name)) for name in shown_fields(kind)}
    answer["tenant_id"] = resource.project_id
    answer["provisioning_status"] = one.provisioning_status
    answer["operating_status"] = one.operating_status
    for name in LINKS.get(kind, ()):
        answer[name] = [{"id": object_id} for object_id in one.links[name]]
    if kind == "pool":
        answer["healthmonitor_id"] = next(iter(one.links["healthmonitor_id"]), None)
    return answer


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
