"""Resources as rows: the document, and the columns that repeat parts of it.

`row` and `resource` are inverse to each other. Called by trees.py and listing.py.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec

from fairlead.domain.model import KINDS, Resource
from fairlead.domain.tree import parent_id


def row(resource: Resource, lb_id: str, ordinal: int) -> dict[str, Any]:
    """The values of a `resources` row; `ordinal` is its place in its tree when it is new."""
    return {
        "id": resource.id,
        "kind": resource.KIND,
        "project_id": resource.project_id,
        "lb_id": lb_id,
        "parent_id": parent_id(resource),
        "name": getattr(resource, "name", ""),
        "admin_state_up": resource.admin_state_up,
        "tags": "".join(map(tag_needle, resource.tags)),
        "created_gen": resource.created_gen,
        "changed_gen": resource.changed_gen,
        "deleted_gen": resource.deleted_gen,
        "created_at": resource.created_at,
        "updated_at": resource.updated_at,
        "ordinal": ordinal,
        "doc": resource,
    }


def resource(kind: str, document: str | bytes) -> Resource:
    """The object a document describes."""
    found: Resource = decoder(KINDS[kind].type).decode(document)
    return found


def tag_needle(tag: str) -> str:
    """How one tag stands in the `tags` column.

    JSON leaves no raw line feed inside, so a tag between two of them can only be itself.
    """
    return f"\n{msgspec.json.encode(tag).decode()}\n"


@cache
def decoder(type_: type[Any]) -> "msgspec.json.Decoder[Any]":
    """A decoder for stored documents of a type."""
    return msgspec.json.Decoder(type_)


def ids(found: Iterable[Resource]) -> list[str]:
    """Ids in the same order."""
    return [one.id for one in found]
