"""Lists: a `Query` as SQL, one page of entries as the answer.

Filtered, sorted and cut by the database. A page after a marker is found by comparing with the
marker's own sort values (no OFFSET), nulls first in ascending order on every database. The cost
is one query, one more with a marker, and at most two for links. Objects asked to go are listed
until their deletion is settled. Called by sql.py.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from fairlead.domain.query import Query
from fairlead.domain.views import Entry
from fairlead.errors import Refused
from fairlead.store import documents
from fairlead.store.fields import PROVISIONING, Expression, expressions, operating
from fairlead.store.links import links
from fairlead.store.schema import observations, resources, trees

_LAST_KEYS = (("created_at", False), ("id", False))
Order = Sequence[tuple[Expression, bool]]


async def page(connection: AsyncConnection, query: Query) -> list[Entry]:
    """The entries a query asks for; `Refused` names an unknown field or marker."""
    order = _order(query)
    statement = _joined(
        resources.c.doc,
        PROVISIONING.label("provisioning"),
        operating(query.kind).label("operating"),
    ).where(*_scope(query), *_filters(query), *_tag_filters(query))
    if query.marker is not None:
        values = await _marker_values(connection, query, order)
        statement = statement.where(_after(order, values))
    statement = statement.order_by(*_order_by(order)).limit(query.limit)
    rows = (await connection.execute(statement)).all()
    if query.reverse:
        rows = rows[::-1]
    found = [documents.resource(query.kind, row.doc) for row in rows]
    related = await links(connection, query.kind, found) if found else []
    return [
        Entry(
            resource=one,
            provisioning_status=row.provisioning,
            operating_status=row.operating,
            links=its_links,
        )
        for one, row, its_links in zip(found, rows, related, strict=True)
    ]


def _joined(*columns: Any) -> sa.Select[Any]:
    return (
        sa.select(*columns)
        .select_from(resources)
        .join(trees, trees.c.lb_id == resources.c.lb_id)
        .outerjoin(observations, observations.c.id == resources.c.id)
    )


def _scope(query: Query) -> Iterator[sa.ColumnElement[bool]]:
    """What the caller may see at all."""
    yield resources.c.kind == query.kind
    if query.project_id is not None:
        yield resources.c.project_id == query.project_id
    if query.parent_id is not None:
        yield resources.c.parent_id == query.parent_id


def _filters(query: Query) -> Iterator[sa.ColumnElement[bool]]:
    for name, value in query.filters.items():
        yield _equals(_field(query.kind, name, "filtered"), value)


def _field(kind: str, name: str, verb: str) -> Expression:
    try:
        return expressions(kind)[name]
    except KeyError:
        raise Refused(
            f"Invalid input for field/attribute {name}. It cannot be {verb} by."
        ) from None


def _equals(expression: Expression, value: object) -> sa.ColumnElement[bool]:
    if value is None:
        return expression.is_(None)
    if isinstance(value, bool):
        return expression if value else ~expression
    if isinstance(value, datetime) and value.microsecond == 0:
        # The API shows whole seconds, so that is what people ask for.
        return expression.between(value, value.replace(microsecond=999999))
    return expression == value


def _tag_filters(query: Query) -> Iterator[sa.ColumnElement[bool]]:
    if query.tags:
        yield sa.and_(*map(_has_tag, query.tags))
    if query.tags_any:
        yield sa.or_(*map(_has_tag, query.tags_any))
    if query.not_tags:
        yield ~sa.and_(*map(_has_tag, query.not_tags))
    if query.not_tags_any:
        yield ~sa.or_(*map(_has_tag, query.not_tags_any))


def _has_tag(tag: str) -> sa.ColumnElement[bool]:
    # Unlike LIKE, replace() heeds case on both databases.
    return sa.func.replace(resources.c.tags, documents.tag_needle(tag), "") != resources.c.tags


def _order(query: Query) -> Order:
    """Sort expressions, each with whether it descends; the last ones make the order total."""
    named: dict[str, bool] = {}
    for name, descending in (*query.sort, *_LAST_KEYS):
        named.setdefault(name, descending)
    return [
        (_ordered(_field(query.kind, name, "sorted")), descending != query.reverse)
        for name, descending in named.items()
    ]


def _ordered(expression: Expression) -> Expression:
    """Truth values as numbers, which both databases order."""
    if isinstance(expression.type, sa.Boolean):
        return sa.case((expression, 1), else_=0)
    return expression


def _order_by(order: Order) -> Iterator[sa.ColumnElement[Any]]:
    for expression, descending in order:
        yield expression.desc().nulls_last() if descending else expression.asc().nulls_first()


async def _marker_values(
    connection: AsyncConnection, query: Query, order: Order
) -> Sequence[object]:
    columns = [expression.label(f"key_{n}") for n, (expression, _) in enumerate(order)]
    statement = _joined(*columns).where(*_scope(query), resources.c.id == query.marker)
    row = (await connection.execute(statement)).one_or_none()
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
    return sa.or_(*beyond)


def _follows(expression: Expression, value: object, *, descending: bool) -> sa.ColumnElement[bool]:
    if value is None:
        return sa.false() if descending else expression.is_not(None)
    if descending:
        return sa.or_(expression < value, expression.is_(None))
    return expression > value
