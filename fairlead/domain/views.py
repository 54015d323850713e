"""How an object looks from outside: its fields, statuses and links to other objects.

PURE. An `Entry` is what the API renders. It comes from a tree (`entry`) or straight from the
store's list query; both give the same.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from fairlead.domain import status
from fairlead.domain.model import (
    HealthMonitor,
    L7Policy,
    Listener,
    LoadBalancer,
    Member,
    Pool,
    Resource,
)
from fairlead.domain.tree import Tree

Ids = tuple[str, ...]


class Entry(Struct, frozen=True, kw_only=True):
    """An object with its statuses.

    `links` are ids of related objects by the answer's field name: listeners and pools of a
    load balancer; loadbalancers and l7policies of a listener; loadbalancers, listeners, members
    and healthmonitor_id (one or none) of a pool; pools of a health monitor; rules of a policy.
    """

    resource: Resource
    provisioning_status: str
    operating_status: str
    links: Mapping[str, Ids] = {}


def entry(tree: Tree, resource: Resource) -> Entry:
    """The entry of an object of a tree."""
    return Entry(
        resource=resource,
        provisioning_status=status.provisioning(tree, resource),
        operating_status=status.operating(tree, resource),
        links=links(tree, resource),
    )


def links(tree: Tree, resource: Resource) -> Mapping[str, Ids]:
    """Ids of related live objects, by the name of the field that shows them."""
    match resource:
        case LoadBalancer():
            return {"listeners": _ids(tree.listeners), "pools": _ids(tree.pools)}
        case Listener():
            return {
                "loadbalancers": (tree.id,),
                "l7policies": _ids(tree.policies_of(resource.id)),
            }
        case Pool():
            monitor = tree.monitors.get(resource.id)
            return {
                "loadbalancers": (tree.id,),
                "listeners": _ids(tree.listeners_using(resource.id)),
                "members": _ids(tree.members(resource.id)),
                "healthmonitor_id": () if monitor is None else (monitor.id,),
            }
        case HealthMonitor():
            return {"pools": (resource.pool_id,)}
        case L7Policy():
            return {"rules": _ids(tree.rules(resource.id))}
    return {}


def status_tree(tree: Tree) -> dict[str, Any]:
    """The load balancer's status tree in the API's shape, without its wrapper."""
    return {
        **_statuses(tree, tree.root),
        "listeners": [
            {**_statuses(tree, one), "pools": [_pool(tree, p) for p in tree.pools_used_by(one.id)]}
            for one in tree.listeners
        ],
    }


def _pool(tree: Tree, pool: Pool) -> dict[str, Any]:
    shown = _statuses(tree, pool)
    monitor = tree.monitors.get(pool.id)
    if monitor is not None:
        shown["health_monitor"] = {**_statuses(tree, monitor), "type": monitor.type}
    shown["members"] = [_member(tree, m) for m in tree.members(pool.id)]
    return shown


def _member(tree: Tree, member: Member) -> dict[str, Any]:
    place = {"address": member.address, "protocol_port": member.protocol_port}
    return {**_statuses(tree, member), **place}


def _statuses(tree: Tree, resource: Resource) -> dict[str, Any]:
    return {
        "id": resource.id,
        "name": getattr(resource, "name", ""),
        "provisioning_status": status.provisioning(tree, resource),
        "operating_status": status.operating(tree, resource),
    }


def _ids(resources: tuple[Resource, ...]) -> Ids:
    return tuple(r.id for r in resources)
