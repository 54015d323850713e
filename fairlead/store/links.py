"""Ids of related objects for a whole page, in the order a tree gives them.

At most two queries however long the page is, none for links that nobody wants. Equal to
`domain.views.links`; the contract suite compares them. Called by listing.py and single.py.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from fairlead.domain.model import Pool, Resource
from fairlead.store.documents import ids
from fairlead.store.schema import resources

Links = Mapping[str, tuple[str, ...]]
Wanted = frozenset[str] | None
Found = Mapping[tuple[str, str], Sequence[str]]
_LONGEST_IN = 5000

# Links to children, each with the kind it shows; and links that the object itself tells.
_CHILDREN: dict[str, dict[str, str]] = {
    "loadbalancer": {"listeners": "listener", "pools": "pool"},
    "listener": {"l7policies": "l7policy"},
    "pool": {"members": "member", "healthmonitor_id": "healthmonitor"},
    "l7policy": {"rules": "l7rule"},
}
_OWN = {
    "listener": {"loadbalancers": "loadbalancer_id"},
    "pool": {"loadbalancers": "loadbalancer_id"},
    "healthmonitor": {"pools": "pool_id"},
}


def needs_queries(kind: str, wanted: Wanted) -> bool:
    """Whether the wanted links of a kind are not told by the object itself."""
    return bool(_children_wanted(kind, wanted)) or _users_wanted(kind, wanted)


async def links(
    connection: AsyncConnection, kind: str, page: Sequence[Any], wanted: Wanted
) -> list[Links]:
    """The wanted links of each object of a page of one kind, None all."""
    children = _children_wanted(kind, wanted)
    found = await _children(connection, page, tuple(children.values())) if children else {}
    users = await _users(connection, page) if _users_wanted(kind, wanted) else None
    made: list[Links] = []
    for one in page:
        its: dict[str, tuple[str, ...]] = {
            name: (getattr(one, field),) for name, field in _OWN.get(kind, {}).items()
        }
        if users is not None:
            its["listeners"] = tuple(users.get(one.id, ()))
        its |= {name: tuple(found.get((one.id, child), ())) for name, child in children.items()}
        if "healthmonitor_id" in its:
            its["healthmonitor_id"] = its["healthmonitor_id"][-1:]
        made.append(its)
    return made


def _children_wanted(kind: str, wanted: Wanted) -> Mapping[str, str]:
    every = _CHILDREN.get(kind, {})
    return every if wanted is None else {n: child for n, child in every.items() if n in wanted}


def _users_wanted(kind: str, wanted: Wanted) -> bool:
    return kind == "pool" and (wanted is None or "listeners" in wanted)


async def _children(
    connection: AsyncConnection, parents: Sequence[Resource], kinds: tuple[str, ...]
) -> Found:
    """Ids of live children by (parent id, kind), policies by position, others as created."""
    few = len(parents) <= _LONGEST_IN
    given = {"parents": ids(parents)} if few else {}
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for parent, kind, child in await connection.execute(_children_of(kinds, few=few), given):
        found[parent, kind].append(child)
    return found


@cache
def _children_of(kinds: tuple[str, ...], *, few: bool) -> sa.Select[Any]:
    """Children of `parents`; of every object when those are more than a statement may carry."""
    position = [resources.c.doc["position"].as_integer()] if kinds == ("l7policy",) else []
    found = (
        sa.select(resources.c.parent_id, resources.c.kind, resources.c.id)
        .where(resources.c.kind.in_(kinds), resources.c.deleted_gen.is_(None))
        .order_by(*position, resources.c.created_gen, resources.c.ordinal)
    )
    if few:
        found = found.where(resources.c.parent_id.in_(sa.bindparam("parents", expanding=True)))
    return found


async def _users(connection: AsyncConnection, pools: Sequence[Pool]) -> Mapping[str, list[str]]:
    """Ids of the live listeners that use each pool, by default or through an L7 policy."""
    lb_ids = sorted({pool.loadbalancer_id for pool in pools})
    few = len(lb_ids) <= _LONGEST_IN
    rows = (await connection.execute(_users_in(few=few), {"lb_ids": lb_ids} if few else {})).all()
    wanted: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.pool_id is not None:
            wanted[row.id if row.kind == "listener" else row.parent_id].add(row.pool_id)
    users: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        for pool_id in wanted[row.id] if row.kind == "listener" else ():
            users[pool_id].append(row.id)
    return users


@cache
def _users_in(*, few: bool) -> sa.Select[Any]:
    """What may use a pool in some load balancers; in all when those are too many to name."""
    default_pool = resources.c.doc["default_pool_id"].as_string()
    redirect_pool = resources.c.doc["redirect_pool_id"].as_string()
    found = (
        sa.select(
            resources.c.kind, resources.c.id, resources.c.parent_id,
            sa.func.coalesce(default_pool, redirect_pool).label("pool_id"),
        )
        .where(resources.c.kind.in_(("listener", "l7policy")))
        .where(resources.c.deleted_gen.is_(None))
        .order_by(resources.c.created_gen, resources.c.ordinal)
    )  # fmt: skip
    if few:
        found = found.where(resources.c.lb_id.in_(sa.bindparam("lb_ids", expanding=True)))
    return found
