"""Filters, sort keys and markers of a `Query` as SQL, over whatever a list is made of.

A page after a marker is found by comparing with the marker's own sort values (no OFFSET), nulls
first in ascending order on every database: one query, and one more with a marker. Called by
listing.py (objects of trees) and by what is not of a tree (amphorae.py, catalog.py, quotas.py).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from fairlead.domain.query import Query
from fairlead.errors import Refused

Expression = sa.ColumnElement[Any]
Order = Sequence[tuple[Expression, bool]]


class Source(Struct, frozen=True, kw_only=True):
    """What a list is made of.

    `select` gives columns of the tables, joined; `scope` says which rows may be seen at all.
    `fields` are expressions by the API's names. A marker is a value of the field `key`; `last`
    are the sort keys that make every order total.
    """

    select: Callable[..., sa.Select[Any]]
    scope: Sequence[sa.ColumnElement[bool]]
    fields: Mapping[str, Expression]
    key: str
    last: Sequence[str]

    def field(self, name: str, verb: str) -> Expression:
        """The expression of a field; `Refused` for an unknown one."""
        try:
            return self.fields[name]
        except KeyError:
            raise Refused(
                f"Invalid input for field/attribute {name}. It cannot be {verb} by."
            ) from None


async def rows(
    connection: AsyncConnection,
    query: Query,
    source: Source,
    *columns: Any,
    narrowed: Sequence[sa.ColumnElement[bool]] = (),
) -> Sequence[Any]:
    """The rows of a page with these columns; `Refused` names an unknown field or marker."""
    order = _order(query, source)
    filters = [_equals(source.field(n, "filtered"), v) for n, v in query.filters.items()]
    statement = source.select(*columns).where(*source.scope, *filters, *narrowed)
    if query.marker is not None:
        values = await _marker_values(connection, query, source, order)
        statement = statement.where(_after(order, values))
    statement = statement.order_by(*_order_by(order)).limit(query.limit)
    found: Sequence[Any] = (await connection.execute(statement)).all()
    return found[::-1] if query.reverse else found


def _equals(expression: Expression, value: object) -> sa.ColumnElement[bool]:
    if value is None:
        return expression.is_(None)
    if isinstance(value, bool):
        return expression if value else ~expression
    if isinstance(value, datetime) and value.microsecond == 0:
        # The API shows whole seconds, so that is what people ask for.
        return expression.between(value, value.replace(microsecond=999999))
    return expression == value


def _order(query: Query, source: Source) -> Order:
    """Sort expressions, each with whether it descends; the last ones make the order total."""
    named: dict[str, bool] = {}
    for name, descending in (*query.sort, *((name, False) for name in source.last)):
        named.setdefault(name, descending)
    return [
        (_ordered(source.field(name, "sorted")), descending != query.reverse)
        for name, descending in named.items()
    ]


def _ordered(expression: Expression) -> Expression:
    """Truth values as numbers, which both databases order."""
    if isinstance(expression.type, sa.Boolean):
        return sa.case((expression, 1), else_=0)
    return expression


def _order_by(order: Order) -> Iterator[sa.ColumnElement[Any]]:
    for expression, descending in order:
        way = expression.desc() if descending else expression.asc()
        if _never_null(expression):
            yield way  # as indexes are, on every database
        else:
            yield way.nulls_last() if descending else way.nulls_first()


async def _marker_values(
    connection: AsyncConnection, query: Query, source: Source, order: Order
) -> Sequence[object]:
    columns = [expression.label(f"key_{n}") for n, (expression, _) in enumerate(order)]
    marked = source.fields[source.key] == query.marker
    row = (
        await connection.execute(source.select(*columns).where(*source.scope, marked))
    ).one_or_none()
    if row is None:
        raise Refused(f"Invalid input for field/attribute marker. Value: '{query.marker}'. "
                      "No such object can be seen here.")  # fmt: skip
    return list(row)


def _after(order: Order, values: Sequence[object]) -> sa.ColumnElement[bool]:
    """Rows that come after the marker: equal in the first keys, then beyond it in one."""
    beyond = []
    equal: list[sa.ColumnElement[bool]] = []
    for (expression, descending), value in zip(order, values, strict=True):
        beyond.append(sa.and_(*equal, _follows(expression, value, descending=descending)))
        equal.append(expression.is_(None) if value is None else expression == value)
    first, descending = order[0]
    if not _never_null(first):
        return sa.or_(*beyond)
    # Says nothing new, but lets the database begin in an index where the page before ended.
    return sa.and_(first <= values[0] if descending else first >= values[0], sa.or_(*beyond))


def _never_null(expression: Expression) -> bool:
    return isinstance(expression, sa.Column) and not expression.nullable


def _follows(expression: Expression, value: object, *, descending: bool) -> sa.ColumnElement[bool]:
    if value is None:
        return sa.false() if descending else expression.is_not(None)
    if descending:
        return sa.or_(expression < value, expression.is_(None))
    return expression > value
