"""Lists of the network API: filters, order and pages over rows that are in memory.

PURE. Values of a repeated parameter are alternatives, different parameters must all hold. A port
matches `fixed_ips=subnet_id=A&fixed_ips=ip_address=B` by one address that is both. Without
`limit` a list is whole. Called by networks.py.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct, inspect

from fairlead.api.parameters import Parameters
from fairlead.errors import NotFound, Refused

Row = dict[str, Any]
Test = Callable[[Row, frozenset[str]], bool]

_PAGING = frozenset({"limit", "marker", "page_reverse", "sort_key", "sort_dir", "fields"})
_PLAIN = (inspect.StrType, inspect.IntType, inspect.BoolType, inspect.UnionType)


def _tags_of(row: Row) -> frozenset[str]:
    return frozenset(row["tags"])


# Filters by tags; a comma separates them, too.
_TAGS: dict[str, Test] = {
    "tags": lambda row, wanted: wanted <= _tags_of(row),
    "tags-any": lambda row, wanted: bool(wanted & _tags_of(row)),
    "not-tags": lambda row, wanted: not wanted <= _tags_of(row),
    "not-tags-any": lambda row, wanted: not wanted & _tags_of(row),
}


def fields_of(view: type[Struct]) -> dict[str, bool]:
    """The fields of a kind by name, and whether each has one plain value."""
    info = inspect.type_info(view)
    assert isinstance(info, inspect.StructType)  # noqa: S101 - a Struct is one
    return {one.encode_name: isinstance(_bare(one.type), _PLAIN) for one in info.fields}


def _bare(info: inspect.Type) -> inspect.Type:
    return info.type if isinstance(info, inspect.Metadata) else info


def filtered(rows: Sequence[Row], known: Mapping[str, bool], given: Parameters) -> list[Row]:
    """The rows that are what the query asks for; `known` are the fields of the kind."""
    found = list(rows)
    for name in dict.fromkeys(name for name, _ in given.pairs if name not in _PAGING):
        if name in _TAGS:
            wanted = frozenset(given.many(name))
            found = [row for row in found if _TAGS[name](row, wanted)]
            continue
        values = frozenset(text for key, text in given.pairs if key == name)
        if name == "fixed_ips" and name in known:
            found = [row for row in found if _has_address(row, _parts(values))]
        elif known.get(name):
            found = [row for row in found if _spelled(row[name], values)]
        else:
            raise Refused(f"Invalid input for operation: '{name[:100]}' is not a filter.")
    return found


def ordered(rows: list[Row], known: Mapping[str, bool], given: Parameters) -> list[Row]:
    """By `sort_key` and `sort_dir`; else in the order they were made."""
    keys, words = given.many("sort_key"), given.many("sort_dir")
    if len(words) > len(keys) or set(words) - {"asc", "desc"}:
        raise Refused("Invalid input for sort_dir. Value should be asc or desc for each sort_key.")
    directions = [*words, *["asc"] * (len(keys) - len(words))]
    for key, word in reversed(list(zip(keys, directions, strict=True))):
        if not known.get(key):
            raise Refused(f"Invalid input for sort_key. '{key[:100]}' is not a field.")
        rows = sorted(
            rows, key=lambda row: (row[key] is None, str(row[key])), reverse=word == "desc"
        )
    return rows


def limit_of(given: Parameters) -> int | None:
    """How many rows a page has; None is all."""
    text = given.one("limit")
    if text is None:
        return None
    if not text.isdecimal():
        raise Refused(f"Invalid input for limit. '{text[:100]}' should be a number, 0 or more.")
    return int(text) or None


def page(rows: list[Row], given: Parameters, word: str) -> list[Row]:
    """The page after (or before) the marker; `NotFound` when there is no such row."""
    limit, marker = limit_of(given), given.one("marker")
    backwards = given.flag("page_reverse")
    if backwards:
        rows = rows[::-1]
    if marker is not None:
        place = next((n for n, row in enumerate(rows) if row["id"] == marker), None)
        if place is None:
            raise NotFound(word, marker)
        rows = rows[place + 1 :]
    rows = rows[:limit]
    return rows[::-1] if backwards else rows


def _spelled(value: Any, wanted: frozenset[str]) -> bool:
    if isinstance(value, bool):
        return str(value).lower() in {text.lower() for text in wanted}
    return ("" if value is None else str(value)) in wanted


def _parts(values: frozenset[str]) -> dict[str, set[str]]:
    """ "ip_address=10.0.0.9" and its like, by name."""
    found: dict[str, set[str]] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or name not in ("subnet_id", "ip_address"):
            raise Refused(
                "Invalid input for fixed_ips. Value should be subnet_id=ID or ip_address=ADDRESS."
            )
        found.setdefault(name, set()).add(value)
    return found


def _has_address(row: Row, wanted: Mapping[str, set[str]]) -> bool:
    return any(
        all(ip[name] in values for name, values in wanted.items()) for ip in row["fixed_ips"]
    )
