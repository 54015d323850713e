"""Amphorae: their records, lists of them, and what they counted.

Invariants: a record is made only below a load balancer that exists; totals of a listener never
shrink, because what an amphora counted is kept when its record goes. Called by sql.py.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from fairlead.domain.model import KINDS
from fairlead.domain.observed import Amphora
from fairlead.domain.query import Query
from fairlead.domain.types import Access, describe
from fairlead.errors import NotFound
from fairlead.store import paging
from fairlead.store.database import Database
from fairlead.store.documents import decoder
from fairlead.store.fields import Expression, in_document, scalar_of
from fairlead.store.records import put_below
from fairlead.store.schema import amphorae, past_statistics, resources, statistics
from fairlead.wire.heartbeat import Counters

_COUNTED = Counters.__struct_fields__
_BESIDE = ("id", "created_at", "updated_at", "cert_expiration")


async def put(database: Database, amphora: Amphora) -> None:
    """Create or replace the record; `NotFound` when its load balancer is gone."""
    row = {
        "id": amphora.id, "lb_id": amphora.loadbalancer_id, "slot": amphora.slot, "doc": amphora,
        "created_at": amphora.created_at, "updated_at": amphora.updated_at,
        "cert_expiration": amphora.cert_expiration,
    }  # fmt: skip

    async def write(connection: AsyncConnection) -> None:
        try:
            await connection.execute(database.upsert(amphorae), row)
        except sa.exc.IntegrityError as error:
            raise NotFound(KINDS["loadbalancer"].word, amphora.loadbalancer_id) from error

    await database.write(write)


async def drop(database: Database, amphora_id: str) -> None:
    """Remove the record; what it counted is kept."""

    async def write(connection: AsyncConnection) -> None:
        await _fold(connection, database, amphora_id)
        await connection.execute(sa.delete(amphorae).where(amphorae.c.id == amphora_id))

    await database.write(write)


async def restart_counting(database: Database, amphora_id: str) -> None:
    """Keep what an amphora counted apart: from now on it counts from zero."""
    await database.write(lambda c: _fold(c, database, amphora_id))


async def _fold(connection: AsyncConnection, database: Database, amphora_id: str) -> None:
    """Move an amphora's totals to those of the gone, which have no open connections."""
    theirs = statistics.c.amphora_id == amphora_id
    source = sa.select(
        statistics.c.listener_id,
        *(
            sa.literal(0).label(name) if name == "active_connections" else statistics.c[name]
            for name in _COUNTED
        ),
    ).where(theirs)
    new = database.insert(past_statistics).from_select(["listener_id", *_COUNTED], source)
    sums = {name: past_statistics.c[name] + new.excluded[name] for name in _COUNTED}
    await connection.execute(new.on_conflict_do_update(index_elements=["listener_id"], set_=sums))
    await connection.execute(sa.delete(statistics).where(theirs))


async def read(connection: AsyncConnection, lb_id: str | None) -> Sequence[Amphora]:
    """Records of one load balancer or of all, by slot."""
    query = sa.select(amphorae.c.doc).order_by(amphorae.c.lb_id, amphorae.c.slot, amphorae.c.id)
    if lb_id is not None:
        query = query.where(amphorae.c.lb_id == lb_id)
    return [decoder(Amphora).decode(doc) for doc in await connection.scalars(query)]


async def page(connection: AsyncConnection, query: Query) -> list[Amphora]:
    """The amphorae a query asks for; its project is the load balancer's."""
    theirs = resources.c.project_id == query.project_id
    source = paging.Source(
        select=_joined,
        scope=[] if query.project_id is None else [theirs],
        fields=_fields(),
        key="id",
        last=("created_at", "id"),
    )
    found = await paging.rows(connection, query, source, amphorae.c.doc)
    return [decoder(Amphora).decode(row.doc) for row in found]


def _joined(*columns: Any) -> sa.Select[Any]:
    root = resources.c.id == amphorae.c.lb_id
    return sa.select(*columns).select_from(amphorae).join(resources, root)


@cache
def _fields() -> Mapping[str, Expression]:
    found: dict[str, Expression] = {"loadbalancer_id": amphorae.c.lb_id}
    for name, field in describe(Amphora).items():
        scalar = scalar_of(field.type)
        if name in _BESIDE:
            found[name] = amphorae.c[name]
        elif scalar is not None and field.trait.access is not Access.HIDDEN:
            found.setdefault(name, in_document(amphorae, name, scalar))
    return found


_COUNTING = (
    sa.select(
        amphorae.c.id.label("amphora_id"),
        resources.c.id.label("listener_id"),
        *(sa.bindparam(name, type_=sa.BigInteger).label(name) for name in _COUNTED),
    )
    .join_from(amphorae, resources, resources.c.lb_id == amphorae.c.lb_id)
    .where(amphorae.c.id == sa.bindparam("by"), resources.c.id == sa.bindparam("of"))
)


async def count(database: Database, totals: Mapping[str, Mapping[str, Counters]]) -> None:
    """Set running totals by amphora and listener id."""
    rows = [
        {"by": amphora_id, "of": listener_id, **msgspec.structs.asdict(total)}
        for amphora_id, theirs in totals.items()
        for listener_id, total in theirs.items()
    ]
    rows.sort(key=itemgetter("by", "of"))  # as in records.observe
    await put_below(database, statistics, _COUNTING, rows)


async def read_statistics(connection: AsyncConnection, lb_id: str) -> Mapping[str, Counters]:
    """Totals by listener id over all amphorae, those that are gone among them."""
    columns = ("listener_id", *_COUNTED)
    both = sa.union_all(
        sa.select(*(statistics.c[name] for name in columns)),
        sa.select(*(past_statistics.c[name] for name in columns)),
    ).subquery()
    return await _summed(connection, both, resources.c.lb_id == lb_id)


async def read_counters(connection: AsyncConnection, amphora_id: str) -> Mapping[str, Counters]:
    """One amphora's totals by listener id."""
    return await _summed(connection, statistics, statistics.c.amphora_id == amphora_id)


async def _summed(
    connection: AsyncConnection, counted: sa.FromClause, which: sa.ColumnElement[bool]
) -> Mapping[str, Counters]:
    sums = [sa.func.sum(counted.c[name]).label(name) for name in _COUNTED]
    found = await connection.execute(
        sa.select(counted.c.listener_id, *sums)
        .join(resources, resources.c.id == counted.c.listener_id)
        .where(which)
        .group_by(counted.c.listener_id)
    )
    return {
        row.listener_id: Counters(**{name: int(getattr(row, name)) for name in _COUNTED})
        for row in found
    }
