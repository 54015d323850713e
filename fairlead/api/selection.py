"""Lists: which objects, which fields, in which order, which page.

Names and types come from the resource's declaration: every field with one plain value can be
filtered and sorted by. `query_of` reads a list request, `links_of` makes the links to the pages
before and after. The database does the work.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, get_args, get_origin
from urllib.parse import urlencode

import msgspec
from litestar.exceptions import HTTPException

from fairlead.api.calls import Call
from fairlead.api.parameters import Parameters
from fairlead.domain.bodies import choices, refused
from fairlead.domain.catalog import NAMED, Item
from fairlead.domain.model import KINDS, Kind
from fairlead.domain.observed import Amphora
from fairlead.domain.query import Query
from fairlead.domain.quota import ProjectQuota
from fairlead.domain.types import Access, Field, describe, uuid_text
from fairlead.domain.views import Entry
from fairlead.errors import Refused

STATUSES = ("provisioning_status", "operating_status")
TAGS = {"tags": "tags", "tags-any": "tags_any", "not-tags": "not_tags",
        "not-tags-any": "not_tags_any"}  # fmt: skip
_PAGING = frozenset({"fields", "sort", "sort_key", "sort_dir", "limit", "marker", "page_reverse"})
# The SDK asks for these under names of its own.
_SAID_BY_CLIENTS = {
    ("listener", "load_balancer_id"): "loadbalancer_id",
    ("l7rule", "rule_value"): "value",
    ("pool", "health_monitor_id"): "healthmonitor_id",
}
_OWNER = frozenset({"project_id", "tenant_id"})
# What belongs to a project although no field says so: amphorae are their load balancer's owner's.
_OWNED = frozenset({"amphora"})
_PLAIN = (str, int, float, bool, datetime)
# Each is a term of the query, and databases bound how deep those nest.
_MOST_TAGS = 100
_DIRECTIONS = {"asc": False, "desc": True}


def query_of(call: Call, parent_id: str | None, project_id: str | None) -> Query:
    """The query a list request describes; `project_id` is the owner it is narrowed to."""
    given = call.parameters
    return Query(
        kind=call.kind,
        project_id=project_id,
        parent_id=parent_id,
        filters=_filters(call.kind, given),
        sort=_sort(call.kind, given),
        limit=limit_of(given, call.services.page_maximum),
        marker=_marker(call.kind, given.one("marker")),
        reverse=given.flag("page_reverse"),
        links=frozenset(given.many("fields")) or None,
        **({f: _tags(given, name) for name, f in TAGS.items()} if call.kind in KINDS else {}),
    )


def project_of(call: Call) -> str | None:
    """The project a list is narrowed to, None for all; `Forbidden` for a foreign one."""
    given = call.parameters
    asked = given.one("project_id") or given.one("tenant_id")
    if call.allows(None, "get_all-global"):
        return asked
    call.allow(asked or call.caller.project_id)
    return asked or call.caller.project_id


def links_of(
    call: Call, query: Query, page: Sequence[Entry | Item | ProjectQuota | Amphora]
) -> list[dict[str, str]]:
    """Links to the pages before and after."""
    return page_links(call, [_key(one) for one in page], query.limit, query.marker)


def page_links(
    call: Call, ids: Sequence[str], limit: int | None, marker: str | None
) -> list[dict[str, str]]:
    """Links around a page of objects with these ids; they repeat all that was asked for."""
    if not ids:
        return []
    kept = [(k, v) for k, v in call.parameters.pairs if k not in ("marker", "page_reverse")]
    if not any(name == "limit" for name, _ in kept):
        kept.append(("limit", str(limit)))
    here = f"{call.address}{call.request.url.path}"
    links = []
    if marker:
        before = urlencode([*kept, ("marker", ids[0]), ("page_reverse", "True")])
        links.append({"rel": "previous", "href": f"{here}?{before}"})
    if limit is not None and len(ids) >= limit:
        after = urlencode([*kept, ("marker", ids[-1])])
        links.append({"rel": "next", "href": f"{here}?{after}"})
    return links


def _key(one: Entry | Item | ProjectQuota | Amphora) -> str:
    """What a marker calls an object of a page."""
    if isinstance(one, Amphora):
        return one.id
    if isinstance(one, ProjectQuota):
        return one.project_id
    return one.key if isinstance(one, Item) else one.resource.id


@cache
def filterable(kind: str) -> dict[str, Field]:
    """Fields with one plain value, by name: what lists filter and sort by.

    The parent's id is one of them also where only the path shows it: clients repeat it.
    """
    what = NAMED[kind]
    parent = what.parent_field if isinstance(what, Kind) else None
    return {
        name: field
        for name, field in describe(what.type).items()
        if (field.trait.access is not Access.HIDDEN or name == parent) and _is_plain(field.type)
    }


def derived(kind: str) -> tuple[str, ...]:
    """The fields nobody sets that lists of a kind filter and sort by as well."""
    if kind not in KINDS:
        return ()
    return (*STATUSES, "healthmonitor_id") if kind == "pool" else STATUSES


def _is_plain(hint: Any) -> bool:
    if any(get_origin(part) in (tuple, dict) for part in (hint, *get_args(hint))):
        return False
    return bool(choices(hint)) or hint in _PLAIN or any(_is_plain(p) for p in get_args(hint))


def _filters(kind: str, given: Parameters) -> dict[str, object]:
    fields, others = filterable(kind), derived(kind)
    found: dict[str, object] = {}
    for said, text in given.pairs:
        name = _SAID_BY_CLIENTS.get((kind, said), said)
        if name in _PAGING or (name in TAGS and kind in KINDS):
            continue
        if name in _OWNER and ("project_id" in fields or kind in _OWNED):
            continue
        if name in found or (name not in fields and name not in others):
            raise Refused(f"One or more arguments are either duplicate or invalid: {said}")
        found[name] = _value(fields[name], text) if name in fields else _canonical(text)
    return found


def _tags(given: Parameters, name: str) -> tuple[str, ...]:
    found = given.many(name)
    if len(found) > _MOST_TAGS:
        raise refused(name, f"{len(found)} tags", f"Value should be at most {_MOST_TAGS} tags.")
    return found


def _marker(kind: str, given: str | None) -> str | None:
    """The id in canonical form; what is no id the store does not find, or it is a name."""
    return _canonical(given) if given and "id" in filterable(kind) else given


def _canonical(text: str) -> str:
    """An id as ids are stored; other text as it is."""
    try:
        return uuid_text(text)
    except ValueError:
        return text


def _value(field: Field, text: str) -> object:
    """The text as the field's type; text that no such field can have matches nothing."""
    try:
        value = msgspec.convert(text, field.type, strict=False)
        value = field.trait.check(value) if field.trait.check else value
        if isinstance(value, datetime):
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (msgspec.ValidationError, ValueError, OverflowError) as error:
        if _is_text(field.type):
            return text
        raise refused(field.name, text, f"{error}.") from None
    return value


def filter_schema(field: Field) -> dict[str, Any]:
    """What the field may be filtered by, as a JSON schema: any text where the field is one."""
    return {"type": "string"} if _is_text(field.type) else msgspec.json.schema(field.type)


def _is_text(hint: Any) -> bool:
    offered = choices(hint)
    if offered:
        return isinstance(offered[0], str)
    return hint is str or any(_is_text(part) for part in get_args(hint))


def _sort(kind: str, given: Parameters) -> tuple[tuple[str, bool], ...]:
    pairs = [part.partition(":") for part in given.many("sort")]
    keys = [key.strip() for key, _, _ in pairs]
    words = [word.strip() for _, _, word in pairs]
    if not pairs:
        keys, words = list(given.many("sort_key")), list(given.many("sort_dir"))
        if len(words) > len(keys):
            raise Refused("Validation failure: sort_dir has more entries than sort_key.")
        words += [""] * (len(keys) - len(words))
    return tuple(_order(kind, key, word) for key, word in zip(keys, words, strict=True))


def _order(kind: str, key: str, word: str) -> tuple[str, bool]:
    name = "project_id" if key == "tenant_id" else key
    if name not in filterable(kind) and name not in derived(kind):
        raise refused("sort", key, "Value should be the name of a field.")
    if (word or "asc") not in _DIRECTIONS:
        raise refused("sort", word, "Value should be one of: asc, desc.")
    return name, _DIRECTIONS[word or "asc"]


def limit_of(given: Parameters, maximum: int, default: int | None = None) -> int:
    """How many objects to answer with; `limit` below 1 or "infinite" is as many as allowed."""
    text = given.one("limit")
    if text is None:
        return default or maximum
    if text == "infinite":
        return maximum
    try:
        asked = int(text)
    except ValueError:
        raise HTTPException(status_code=400, detail="limit should be an integer") from None
    return min(asked, maximum) if asked > 0 else maximum
