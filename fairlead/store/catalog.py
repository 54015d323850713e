"""The `Catalog` port: flavors, availability zones and their profiles in one table.

Invariant: what is used stays. A row is locked before it is changed or removed, and by those who
begin to use it (`share`, in the transaction that stores what uses it), so that the one who comes
second sees what the first has done. SQLite has one writer anyway. Made by sql.py.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from fairlead.domain.catalog import CATALOG, AvailabilityZone, Flavor, Item, means_the_same
from fairlead.domain.model import LoadBalancer
from fairlead.domain.query import Query
from fairlead.domain.types import Access, describe
from fairlead.errors import Conflict, NotFound, Refused
from fairlead.ports.catalog import Change
from fairlead.store import paging
from fairlead.store.database import Database
from fairlead.store.documents import decoder
from fairlead.store.fields import in_document, scalar_of
from fairlead.store.schema import catalog, resources

# Which field of a load balancer names an item.
_NAMED_BY = {Flavor.KIND: "flavor_id", AvailabilityZone.KIND: "availability_zone"}


class SqlCatalog:
    """See the port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, query: Query) -> Sequence[Item]:
        """As the port."""
        return await self._database.read(lambda c: _page(c, query), snapshot=True)

    async def find(self, kind: str, key: str) -> Item:
        """As the port."""
        return await self._database.read(lambda c: _read(c, _row(kind, key), kind, key))

    async def add(self, item: Item) -> None:
        """As the port."""

        async def write(connection: AsyncConnection) -> None:
            if item.PROFILE is not None:
                await share(connection, item.PROFILE[0], str(item.profile_id))
            await _guarded(connection, sa.insert(catalog).values(_values(item)), item)

        await self._database.write(write)

    async def change(self, kind: str, key: str, change: Change) -> Item:
        """As the port."""

        async def write(connection: AsyncConnection) -> Item:
            before = await _read(connection, _row(kind, key).with_for_update(), kind, key)
            after = change(before)
            if not means_the_same(before, after):
                await _check_unused(connection, before)
            changing = sa.update(catalog).where(catalog.c.id == before.id).values(_values(after))
            await _guarded(connection, changing, after)
            return after

        return await self._database.write(write)

    async def remove(self, kind: str, key: str) -> None:
        """As the port."""

        async def write(connection: AsyncConnection) -> None:
            item = await _read(connection, _row(kind, key).with_for_update(), kind, key)
            await _check_unused(connection, item)
            await connection.execute(sa.delete(catalog).where(catalog.c.id == item.id))

        await self._database.write(write)


async def share(connection: AsyncConnection, kind: str, key: str) -> Item:
    """An item that stays as it is until the transaction ends; `NotFound`."""
    return await _read(connection, _row(kind, key).with_for_update(read=True), kind, key)


async def hold(connection: AsyncConnection, root: LoadBalancer) -> None:
    """Keep what a load balancer is about to use; `Refused` when it is gone."""
    for kind, field in _NAMED_BY.items():
        key = getattr(root, field)
        if key is not None:
            try:
                await share(connection, kind, key)
            except NotFound as error:
                raise Refused(str(error)) from error


async def _page(connection: AsyncConnection, query: Query) -> Sequence[Item]:
    by_id = describe(CATALOG[query.kind].type)["id"].trait.access is not Access.HIDDEN
    source = paging.Source(
        select=sa.select,
        scope=[catalog.c.kind == query.kind],
        fields=_fields(query.kind),
        key="id" if by_id else "name",
        last=("name", "id") if by_id else ("name",),
    )
    rows = await paging.rows(connection, query, source, catalog.c.doc)
    return [_item(query.kind, row.doc) for row in rows]


@cache
def _fields(kind: str) -> dict[str, sa.ColumnElement[Any]]:
    found: dict[str, sa.ColumnElement[Any]] = {}
    for name, field in describe(CATALOG[kind].type).items():
        scalar = scalar_of(field.type)
        if field.trait.access is not Access.HIDDEN and scalar is not None:
            beside = name in ("id", "name")
            found[name] = catalog.c[name] if beside else in_document(catalog, name, scalar)
    return found


def _row(kind: str, key: str) -> sa.Select[Any]:
    column = catalog.c.unique_name if kind == AvailabilityZone.KIND else catalog.c.id
    return sa.select(catalog.c.doc).where(catalog.c.kind == kind, column == key)


async def _read(
    connection: AsyncConnection, statement: sa.Select[Any], kind: str, key: str
) -> Item:
    document = await connection.scalar(statement)
    if document is None:
        raise NotFound(CATALOG[kind].word, key)
    return _item(kind, document)


def _item(kind: str, document: str) -> Item:
    found: Item = decoder(CATALOG[kind].type).decode(document)
    return found


def _values(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "kind": item.KIND,
        "name": item.name,
        "unique_name": item.name if item.PROFILE else None,
        "parent_id": item.profile_id,
        "doc": item,
    }


async def _guarded(connection: AsyncConnection, statement: Any, item: Item) -> None:
    try:
        await connection.execute(statement)
    except sa.exc.IntegrityError as error:
        word = CATALOG[item.KIND].word.lower()
        raise Conflict(f"A {word} of {item.name} already exists.") from error


async def _check_unused(connection: AsyncConnection, item: Item) -> None:
    """`Conflict` while something that is stored needs the item as it is."""
    using: sa.ColumnElement[bool] = sa.exists().where(catalog.c.parent_id == item.id)
    if item.KIND in _NAMED_BY:
        named = resources.c.doc[_NAMED_BY[item.KIND]].as_string()
        using = sa.exists().where(resources.c.kind == "loadbalancer", named == item.key)
    if await connection.scalar(sa.select(using)):
        word = CATALOG[item.KIND].word
        raise Conflict(f"{word} {item.key} is in use and cannot be modified.")
