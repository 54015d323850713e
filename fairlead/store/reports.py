"""What third parties' provider drivers report of their load balancers.

Invariant: rows are made only below what exists; what a report says of an object that is gone is
dropped. A report counts for the generation that is newest when it arrives: drivers name none.
Called by sql.py.
"""

from collections.abc import Collection, Mapping, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from fairlead.domain import status
from fairlead.domain.tree import OWN_PROVIDERS
from fairlead.store.database import Database
from fairlead.store.schema import past_statistics, reports, resources, trees
from fairlead.wire.heartbeat import Counters

_COUNTED = Counters.__struct_fields__
_MOST_AT_ONCE = 5000
_FORGET = sa.delete(resources).where(
    resources.c.lb_id == sa.bindparam("of_lb"), resources.c.id == sa.bindparam("gone")
)


async def locate(connection: AsyncConnection, ids: Collection[str]) -> dict[str, tuple[str, str]]:
    """Kind and load balancer of the objects among `ids` that exist."""
    found: dict[str, tuple[str, str]] = {}
    wanted = sorted(ids)
    for start in range(0, len(wanted), _MOST_AT_ONCE):
        some = wanted[start : start + _MOST_AT_ONCE]
        rows = await connection.execute(
            sa.select(resources.c.id, resources.c.kind, resources.c.lb_id).where(
                resources.c.id.in_(some)
            )
        )
        found.update((row.id, (row.kind, row.lb_id)) for row in rows)
    return found


async def report(database: Database, lb_id: str, statuses: Mapping[str, str]) -> None:
    """Set reported provisioning statuses by object id."""
    said = sa.bindparam("status", type_=sa.String)
    existing = (
        sa.select(resources.c.id, trees.c.generation, said.label("provisioning_status"))
        .join_from(resources, trees, trees.c.lb_id == resources.c.lb_id)
        .where(resources.c.id == sa.bindparam("of"), resources.c.lb_id == lb_id)
        .where(sa.or_(resources.c.deleted_gen.is_(None), said == status.ERROR))
    )
    rows = [{"of": object_id, "status": one} for object_id, one in statuses.items()]
    if rows:
        statement = database.upsert_from(reports, existing)
        await database.write(lambda c: c.execute(statement, rows))


async def forget(connection: AsyncConnection, lb_id: str, ids: Sequence[str]) -> None:
    """Remove objects; with the load balancer itself everything of it."""
    if lb_id in ids:
        await connection.execute(sa.delete(trees).where(trees.c.lb_id == lb_id))
    elif ids:
        await connection.execute(_FORGET, [{"of_lb": lb_id, "gone": one} for one in ids])


async def count(database: Database, totals: Mapping[str, Counters]) -> None:
    """Set running totals by listener id, of listeners that no amphora of ours serves."""
    root = resources.alias("root")
    provider = root.c.doc["provider"].as_string()
    existing = (
        sa.select(
            resources.c.id.label("listener_id"),
            *(sa.bindparam(name, type_=sa.BigInteger).label(name) for name in _COUNTED),
        )
        .join_from(resources, root, root.c.id == resources.c.lb_id)
        .where(resources.c.id == sa.bindparam("of"), resources.c.kind == "listener")
        .where(*(provider != own for own in sorted(OWN_PROVIDERS)))
    )
    rows = [{"of": one, **msgspec.structs.asdict(total)} for one, total in totals.items()]
    if rows:
        statement = database.upsert_from(past_statistics, existing)
        await database.write(lambda c: c.execute(statement, rows))
