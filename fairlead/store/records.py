"""What is known beside the desired trees: observations, events, epochs.

Invariant: rows are made only below what exists. What hangs below an object or a load balancer
that is gone is dropped silently: a heartbeat may well be late. Called by sql.py and amphorae.py.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from fairlead.domain.events import Event
from fairlead.store.database import Database
from fairlead.store.schema import (
    counters,
    events,
    observations,
    resources,
    trees,
)

KEPT_EVENTS = 500


async def anything(connection: AsyncConnection) -> None:
    """Look for a load balancer, whether or not there is one."""
    await connection.execute(sa.select(trees.c.lb_id).limit(1))


_OBSERVED = sa.select(
    resources.c.id, sa.bindparam("status", type_=sa.String).label("operating_status")
).where(resources.c.id == sa.bindparam("of"), resources.c.lb_id == sa.bindparam("of_lb"))


async def observe(database: Database, statuses: Mapping[str, Mapping[str, str]]) -> None:
    """Set operating statuses by load balancer and object id."""
    rows = [
        {"of_lb": lb_id, "of": object_id, "status": status}
        for lb_id, theirs in statuses.items()
        for object_id, status in theirs.items()
    ]
    rows.sort(key=itemgetter("of"))  # whoever writes at the same time takes locks in this order
    await put_below(database, observations, _OBSERVED, rows)


async def put_below(
    database: Database, table: sa.Table, source: sa.Select[Any], rows: list[dict[str, Any]]
) -> None:
    """Write rows whose parents a query finds."""
    if rows:
        statement = database.upsert_from(table, source)
        await database.write(lambda c: c.execute(statement, rows))


class EventLog:
    """Events per load balancer; of each the newest `KEPT_EVENTS` stay.

    Older ones are cut only after every `_CUT_EVERY` new ones, counted in memory, so that an
    event costs one insert. After a restart counting begins anew: the bound may then be passed
    by less than `_CUT_EVERY` until the next cut.
    """

    _CUT_EVERY = 100

    def __init__(self, database: Database) -> None:
        self._database = database
        self._since_cut: dict[str, int] = {}

    async def record(self, found: Sequence[Event]) -> None:
        """Append."""
        if not found:
            return
        columns = [c for c in events.c if c.name not in ("seq", "lb_id")]
        values = [sa.bindparam(f"new_{c.name}", type_=c.type).label(c.name) for c in columns]
        source = sa.select(trees.c.lb_id, *values).where(trees.c.lb_id == sa.bindparam("of"))
        statement = sa.insert(events).from_select([c.name for c in source.selected_columns], source)
        rows = [
            {"of": e.loadbalancer_id, **{f"new_{c.name}": getattr(e, c.name) for c in columns}}
            for e in found
        ]

        async def write(connection: AsyncConnection) -> None:
            await connection.execute(statement, rows)
            for lb_id in self._full(found):
                await connection.execute(_beyond(lb_id))

        await self._database.write(write)

    def _full(self, found: Sequence[Event]) -> list[str]:
        """Load balancers whose events are to be cut now."""
        for event in found:
            lb_id = event.loadbalancer_id
            self._since_cut[lb_id] = self._since_cut.get(lb_id, 0) + 1
        full = [i for i, n in self._since_cut.items() if n >= self._CUT_EVERY]
        for lb_id in full:
            del self._since_cut[lb_id]
        return full

    def forget(self, lb_id: str) -> None:
        """Stop counting for a load balancer that is gone."""
        self._since_cut.pop(lb_id, None)


def _beyond(lb_id: str) -> sa.Delete:
    """Removes all but the newest events."""
    last = (
        sa.select(events.c.seq)
        .where(events.c.lb_id == lb_id)
        .order_by(events.c.seq.desc())
        .offset(KEPT_EVENTS)
        .limit(1)
        .scalar_subquery()
    )
    return sa.delete(events).where(events.c.lb_id == lb_id, events.c.seq <= last)


async def read_events(connection: AsyncConnection, lb_id: str, limit: int) -> Sequence[Event]:
    """The newest first."""
    columns = [c for c in events.c if c.name not in ("seq", "lb_id")]
    rows = await connection.execute(
        sa.select(*columns)
        .where(events.c.lb_id == lb_id)
        .order_by(events.c.seq.desc())
        .limit(limit)
    )
    return [Event(loadbalancer_id=lb_id, **row) for row in rows.mappings()]


async def next_epoch(database: Database) -> int:
    """Count up, atomically over all processes."""
    first = database.insert(counters).values(name="epoch", value=1)
    statement = first.on_conflict_do_update(
        index_elements=["name"], set_={"value": counters.c.value + 1}
    ).returning(counters.c.value)
    return int(await database.write(lambda c: c.scalar(statement)))
