"""Ids of related objects for a whole page, in the order a tree gives them.

At most two queries however long the page is. Equal to `domain.views.links`; the contract suite
compares them. Called by listing.py.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from fairlead.domain.model import HealthMonitor, L7Policy, Listener, LoadBalancer, Pool, Resource
from fairlead.store.documents import ids
from fairlead.store.schema import resources

Links = Mapping[str, tuple[str, ...]]
Found = Mapping[tuple[str, str], Sequence[str]]
_LONGEST_IN = 5000


async def links(connection: AsyncConnection, kind: str, page: Sequence[Any]) -> list[Links]:
    """The links of each object of a page of one kind."""
    match kind:
        case "loadbalancer":
            return await _of_load_balancers(connection, page)
        case "listener":
            return await _of_listeners(connection, page)
        case "pool":
            return await _of_pools(connection, page)
        case "healthmonitor":
            return [_of_monitor(one) for one in page]
        case "l7policy":
            return await _of_policies(connection, page)
    return [{} for _ in page]


async def _of_load_balancers(
    connection: AsyncConnection, page: Sequence[LoadBalancer]
) -> list[Links]:
    found = await _children(connection, page, "listener", "pool")
    return [
        {"listeners": _get(found, one, "listener"), "pools": _get(found, one, "pool")}
        for one in page
    ]


async def _of_listeners(connection: AsyncConnection, page: Sequence[Listener]) -> list[Links]:
    found = await _children(
        connection, page, "l7policy", first=resources.c.doc["position"].as_integer()
    )
    return [
        {"loadbalancers": (one.loadbalancer_id,), "l7policies": _get(found, one, "l7policy")}
        for one in page
    ]


def _of_monitor(monitor: HealthMonitor) -> Links:
    return {"pools": (monitor.pool_id,)}


async def _of_policies(connection: AsyncConnection, page: Sequence[L7Policy]) -> list[Links]:
    found = await _children(connection, page, "l7rule")
    return [{"rules": _get(found, one, "l7rule")} for one in page]


async def _of_pools(connection: AsyncConnection, page: Sequence[Pool]) -> list[Links]:
    found = await _children(connection, page, "member", "healthmonitor")
    users = await _users(connection, page)
    return [
        {
            "loadbalancers": (one.loadbalancer_id,),
            "listeners": tuple(users.get(one.id, ())),
            "members": _get(found, one, "member"),
            "healthmonitor_id": _get(found, one, "healthmonitor")[-1:],
        }
        for one in page
    ]


async def _children(
    connection: AsyncConnection,
    parents: Sequence[Resource],
    *kinds: str,
    first: sa.ColumnElement[Any] | None = None,
) -> Found:
    """Ids of live children by (parent id, kind), in order of `first`, then of creation."""
    order = [resources.c.created_gen, resources.c.ordinal]
    rows = await connection.execute(
        sa.select(resources.c.parent_id, resources.c.kind, resources.c.id)
        .where(_one_of(resources.c.parent_id, ids(parents)), resources.c.kind.in_(kinds))
        .where(resources.c.deleted_gen.is_(None))
        .order_by(*order if first is None else [first, *order])
    )
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for parent, kind, child in rows:
        found[parent, kind].append(child)
    return found


async def _users(connection: AsyncConnection, pools: Sequence[Pool]) -> Mapping[str, list[str]]:
    """Ids of the live listeners that use each pool, by default or through an L7 policy."""
    default_pool = resources.c.doc["default_pool_id"].as_string()
    redirect_pool = resources.c.doc["redirect_pool_id"].as_string()
    lb_ids = sorted({pool.loadbalancer_id for pool in pools})
    rows = (
        await connection.execute(
            sa.select(
                resources.c.kind, resources.c.id, resources.c.parent_id,
                sa.func.coalesce(default_pool, redirect_pool).label("pool_id"),
            )
            .where(_one_of(resources.c.lb_id, lb_ids))
            .where(resources.c.kind.in_(("listener", "l7policy")))
            .where(resources.c.deleted_gen.is_(None))
            .order_by(resources.c.created_gen, resources.c.ordinal)
        )
    ).all()  # fmt: skip
    wanted: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.pool_id is not None:
            wanted[row.id if row.kind == "listener" else row.parent_id].add(row.pool_id)
    users: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        for pool_id in wanted[row.id] if row.kind == "listener" else ():
            users[pool_id].append(row.id)
    return users


def _one_of(column: sa.Column[Any], values: Sequence[str]) -> sa.ColumnElement[bool]:
    """Narrows to `values`; not at all when they are more than a statement may carry."""
    return column.in_(values) if len(values) <= _LONGEST_IN else sa.true()


def _get(found: Found, parent: Resource, kind: str) -> tuple[str, ...]:
    return tuple(found.get((parent.id, kind), ()))
