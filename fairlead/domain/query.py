"""A request for one page of a list.

PURE data. The API checks names and types before it makes one; the store turns it into SQL.
"""

from collections.abc import Mapping

from msgspec import Struct


class Query(Struct, frozen=True, kw_only=True):
    """Which objects of `kind`, in which order, how many.

    `project_id` None is every project. `parent_id` narrows to the children of one object (the
    pool of members, the policy of rules). `filters` are exact matches by API field name,
    provisioning_status, operating_status and loadbalancer_id among them. Tag filters follow
    the API: all of `tags`, any of `tags_any`, not all of `not_tags`, none of `not_tags_any`.
    `sort` is (field, descending); created_at and id are always appended. `marker` is the id of
    the last object of the page before (with `reverse`: of the first of the page after). `links`
    are the links that entries shall carry (see views.py), None all: each costs a query.
    """

    kind: str
    project_id: str | None = None
    parent_id: str | None = None
    filters: Mapping[str, object] = {}
    tags: tuple[str, ...] = ()
    tags_any: tuple[str, ...] = ()
    not_tags: tuple[str, ...] = ()
    not_tags_any: tuple[str, ...] = ()
    sort: tuple[tuple[str, bool], ...] = ()
    limit: int | None = None
    marker: str | None = None
    reverse: bool = False
    links: frozenset[str] | None = None
