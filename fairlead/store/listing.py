"""Lists: a `Query` as SQL, one page of entries as the answer.

Filtered, sorted and cut by the database (see paging.py); at most two more queries for links.
Objects asked to go are listed until their deletion is settled. Called by sql.py.
"""

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from fairlead.domain.query import Query
from fairlead.domain.views import Entry
from fairlead.store import documents, paging
from fairlead.store.fields import PROVISIONING, expressions, operating, with_statuses
from fairlead.store.links import links
from fairlead.store.schema import resources


async def page(connection: AsyncConnection, query: Query) -> list[Entry]:
    """The entries a query asks for; `Refused` names an unknown field or marker."""
    source = paging.Source(
        select=with_statuses,
        scope=list(_scope(query)),
        fields=expressions(query.kind),
        key="id",
        last=("created_at", "id"),
    )
    rows = await paging.rows(
        connection,
        query,
        source,
        resources.c.doc,
        PROVISIONING.label("provisioning"),
        operating(query.kind).label("operating"),
        narrowed=list(_tag_filters(query)),
    )
    found = [documents.resource(query.kind, row.doc) for row in rows]
    related = await links(connection, query.kind, found, query.links) if found else []
    return [
        Entry(
            resource=one,
            provisioning_status=row.provisioning,
            operating_status=row.operating,
            links=its_links,
        )
        for one, row, its_links in zip(found, rows, related, strict=True)
    ]


def _scope(query: Query) -> Iterator[sa.ColumnElement[bool]]:
    """What the caller may see at all."""
    yield resources.c.kind == query.kind
    if query.project_id is not None:
        yield resources.c.project_id == query.project_id
    if query.parent_id is not None:
        yield resources.c.parent_id == query.parent_id


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
