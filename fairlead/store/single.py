"""One object by its id: what most requests begin with, so its statements are made only once.

Gives what a list of that object alone would give. Called by sql.py.
"""

from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from fairlead.domain.model import KINDS
from fairlead.domain.views import Entry
from fairlead.errors import NotFound
from fairlead.store import documents
from fairlead.store.fields import PROVISIONING, operating, with_statuses
from fairlead.store.links import Wanted, links
from fairlead.store.schema import resources


async def entry(
    connection: AsyncConnection, kind: str, object_id: str, parent_id: str | None, wanted: Wanted
) -> Entry:
    """The object with the links that are wanted; `NotFound`, also below another parent."""
    given = {"object_id": object_id} | ({"parent": parent_id} if parent_id else {})
    rows = await connection.execute(_statement(kind, below=parent_id is not None), given)
    row = rows.one_or_none()
    if row is None:
        raise NotFound(KINDS[kind].word, object_id)
    found = documents.resource(kind, row.doc)
    (related,) = await links(connection, kind, [found], wanted)
    return Entry(
        resource=found,
        provisioning_status=row.provisioning,
        operating_status=row.operating,
        links=related,
    )


@cache
def _statement(kind: str, *, below: bool) -> sa.Select[Any]:
    found = with_statuses(
        resources.c.doc,
        PROVISIONING.label("provisioning"),
        operating(kind).label("operating"),
    ).where(resources.c.id == sa.bindparam("object_id"), resources.c.kind == kind)
    return found.where(resources.c.parent_id == sa.bindparam("parent")) if below else found
