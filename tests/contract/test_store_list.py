"""What every Store answers to list queries: the same as a plain Python list of the trees would."""

import random
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest
from balancers import (
    CHANCES,
    EPOCH,
    STORES,
    TAGS,
    Stores,
    adding_member,
    balancer,
    chances,
    new_id,
    planted,
    tree_of_members,
)
from hypothesis import given, settings

from fairlead.domain import edits, views
from fairlead.domain.model import KINDS
from fairlead.domain.query import Query
from fairlead.domain.tree import Tree
from fairlead.domain.types import Access, describe
from fairlead.domain.views import Entry
from fairlead.errors import Refused
from fairlead.store import SqlStore

NOT_SCALAR = {
    "tags", "vip_sg_ids", "additional_vips", "insert_headers", "sni_container_refs",
    "allowed_cidrs", "tls_versions", "alpn_protocols", "session_persistence",
}  # fmt: skip


@pytest.fixture(params=STORES.values(), ids=STORES.keys())
async def store(request: pytest.FixtureRequest, tmp_path) -> AsyncIterator[SqlStore]:
    async with request.param(tmp_path) as url:
        opened = Stores(url)
        try:
            yield await opened.another()
        finally:
            await opened.close()


def fields(kind: str) -> list[str]:
    """Every field that can be filtered and sorted by."""
    declared = describe(KINDS[kind].type).items()
    plain = [n for n, f in declared if f.trait.access is not Access.HIDDEN and n not in NOT_SCALAR]
    extra = ["loadbalancer_id", "provisioning_status", "operating_status"]
    extra += ["healthmonitor_id"] if kind == "pool" else []
    parent = KINDS[kind].parent_field
    return list(dict.fromkeys([*plain, *extra, *([parent] if parent else [])]))


class Shelf:
    """Every entry of some trees, with the answers a list query should give."""

    def __init__(self, trees: Iterable[Tree]) -> None:
        self.of: dict[str, str] = {}
        self.entries: list[Entry] = []
        for tree in trees:
            for one in tree.everything():
                self.of[one.id] = tree.id
                self.entries.append(views.entry(tree, one))

    def kind(self, kind: str) -> list[Entry]:
        return [e for e in self.entries if kind == e.resource.KIND]

    def value(self, entry: Entry, field: str) -> Any:
        if field == "loadbalancer_id":
            return self.of[entry.resource.id]
        if field in ("provisioning_status", "operating_status"):
            return getattr(entry, field)
        if field == "healthmonitor_id":
            return next(iter(entry.links[field]), None)
        return getattr(entry.resource, field)

    def matching(self, kind: str, accepts: Callable[[Entry], bool]) -> set[str]:
        return {e.resource.id for e in self.kind(kind) if accepts(e)}

    def sorted(self, kind: str, *sort: tuple[str, bool]) -> list[str]:
        found = self.kind(kind)
        for field, descending in reversed([*sort, ("created_at", False), ("id", False)]):
            found.sort(key=lambda e, f=field: _nulls_first(self.value(e, f)), reverse=descending)
        return [e.resource.id for e in found]


def _nulls_first(value: Any) -> tuple[bool, Any]:
    return (value is not None, value)


async def shelf(store: SqlStore, chance: random.Random, trees: int = 4) -> Shelf:
    for _ in range(trees):
        await planted(store, chance, 40)
    return Shelf([await store.tree(i) for i in await store.all_ids()])


async def found(store: SqlStore, kind: str, **query: Any) -> list[str]:
    return [e.resource.id for e in await store.list(Query(kind=kind, **query))]


@settings(CHANCES, max_examples=10)
@given(chance=chances())
async def test_entries_equal_those_of_the_trees(store: SqlStore, chance: random.Random) -> None:
    """Statuses and links are computed by the database as the domain computes them."""
    expected = await shelf(store, chance, trees=2)
    for kind in KINDS:
        by_id = {e.resource.id: e for e in await store.list(Query(kind=kind))}
        assert by_id == {e.resource.id: e for e in expected.kind(kind)}


async def test_the_trees_compared_have_every_status(store: SqlStore) -> None:
    """The comparisons of this file would mean little on trees that are all alike."""
    all_of_them = await shelf(store, random.Random(1), trees=15)
    assert {e.provisioning_status for e in all_of_them.entries} == {
        "PENDING_CREATE", "PENDING_UPDATE", "PENDING_DELETE", "ACTIVE", "ERROR",
    }  # fmt: skip
    assert {e.operating_status for e in all_of_them.kind("member")} == {
        "ONLINE", "OFFLINE", "DEGRADED", "ERROR", "DRAINING", "NO_MONITOR",
    }  # fmt: skip
    links = {(e.resource.KIND, k) for e in all_of_them.entries for k, ids in e.links.items() if ids}
    assert len(links) == 10
    await check_filters(store, all_of_them)


async def check_filters(store: SqlStore, expected: Shelf) -> None:
    for kind in KINDS:
        for field in fields(kind):
            for value in {expected.value(e, field) for e in expected.kind(kind)}:

                def same(entry: Entry, field: str = field, value: Any = value) -> bool:
                    return bool(expected.value(entry, field) == value)

                listed = await found(store, kind, filters={field: value})
                assert set(listed) == expected.matching(kind, same), (kind, field, value)


@pytest.mark.parametrize("kind", KINDS)
async def test_every_field_sorts_and_pages(store: SqlStore, kind: str) -> None:
    chance = random.Random(kind)
    expected = await shelf(store, chance, trees=1)
    for _ in range(50):
        if len(expected.kind(kind)) >= 10:
            break
        expected = await shelf(store, chance, trees=1)
    assert len(expected.kind(kind)) >= 10
    for field in fields(kind):
        for sort in (((field, False),), ((field, True), ("name", False))):
            if kind == "l7rule":
                sort = tuple(s for s in sort if s[0] != "name")
            wanted = expected.sorted(kind, *sort)
            assert await found(store, kind, sort=sort) == wanted, sort
            await check_pages(store, kind, sort, wanted, size=chance.randrange(2, 6))


async def check_pages(
    store: SqlStore, kind: str, sort: tuple[tuple[str, bool], ...], wanted: list[str], size: int
) -> None:
    """Forward to the end, and from there back to the start."""
    forward: list[str] = []
    marker = None
    for _ in range(len(wanted) + 1):
        page = await found(store, kind, sort=sort, limit=size, marker=marker)
        if not page:
            break
        forward += page
        marker = page[-1]
    assert forward == wanted, sort
    backward: list[str] = []
    marker = None
    for _ in range(len(wanted) + 1):
        page = await found(store, kind, sort=sort, limit=size, marker=marker, reverse=True)
        if not page:
            break
        backward = page + backward
        marker = page[0]
    assert backward == wanted, sort


@settings(CHANCES, max_examples=10)
@given(chance=chances())
async def test_tags_filter(store: SqlStore, chance: random.Random) -> None:
    expected = await shelf(store, chance, trees=3)
    picked = tuple(chance.sample(TAGS, chance.randrange(1, 3)))
    kind = chance.choice(("loadbalancer", "member", "pool", "listener"))

    def tags(entry: Entry) -> set[str]:
        return set(entry.resource.tags)

    for name, accepts in {
        "tags": lambda e: set(picked) <= tags(e),
        "tags_any": lambda e: bool(set(picked) & tags(e)),
        "not_tags": lambda e: not set(picked) <= tags(e),
        "not_tags_any": lambda e: not set(picked) & tags(e),
    }.items():
        listed = set(await found(store, kind, **{name: picked}))
        assert listed == expected.matching(kind, accepts), (name, picked)


async def test_a_tag_is_matched_whole_and_by_case(store: SqlStore) -> None:
    tree = await store.create(balancer(tags=("red", 'a"b', "x,y", "")))
    for tag, known in {
        "red": True, "Red": False, "re": False, "r%": False, 'a"b': True, "a": False, "b": False,
        "x,y": True, ",": False, "": True, '","': False,
    }.items():  # fmt: skip
        assert await found(store, "loadbalancer", tags=(tag,)) == ([tree.id] if known else []), tag


async def test_filters_combine(store: SqlStore) -> None:
    wanted = await store.create(balancer("a", "p1"))
    for name, project in (("a", "p2"), ("b", "p1")):
        await store.create(balancer(name, project))
    assert await found(store, "loadbalancer", project_id="p1", filters={"name": "a"}) == [wanted.id]
    both = {"name": "a", "admin_state_up": False}
    assert await found(store, "loadbalancer", filters=both) == []


async def test_filters_know_types(store: SqlStore) -> None:
    """'1' is a name, 1 a number, True a truth, and null is none of them."""
    tree, pool_id = tree_of_members(0)
    one, other = new_id(), new_id()
    for object_id, values in {
        one: {"name": "1", "weight": 1, "backup": True, "monitor_port": 1},
        other: {"name": "true", "weight": 0, "backup": False, "monitor_port": None},
    }.items():
        tree = adding_member(pool_id, values["weight"], object_id, **values)(tree)
    await store.create(tree)
    for field, value, wanted in (
        ("name", "1", [one]), ("name", "true", [other]), ("weight", 1, [one]),
        ("weight", 0, [other]), ("backup", True, [one]), ("backup", False, [other]),
        ("monitor_port", 1, [one]), ("monitor_port", None, [other]), ("subnet_id", "", []),
    ):  # fmt: skip
        assert await found(store, "member", filters={field: value}) == wanted, (field, value)


async def test_a_time_in_whole_seconds_covers_its_second(store: SqlStore) -> None:
    tree = await store.create(balancer())
    shown = EPOCH.replace(microsecond=0)
    assert await found(store, "loadbalancer", filters={"created_at": shown}) == [tree.id]
    for moment in (shown + timedelta(seconds=1), shown - timedelta(seconds=1)):
        assert await found(store, "loadbalancer", filters={"created_at": moment}) == []


async def test_parent_and_project_narrow(store: SqlStore) -> None:
    tree, pool_id = tree_of_members(3)
    other, _ = tree_of_members(2)
    await store.create(tree)
    await store.create(other)
    members = {m.id for m in tree.members(pool_id)}
    assert set(await found(store, "member", parent_id=pool_id)) == members
    assert len(await found(store, "member", project_id="p1")) == 5
    assert await found(store, "member", project_id="p2") == []


async def test_objects_asked_to_go_are_listed_until_settled(store: SqlStore) -> None:
    tree, pool_id = tree_of_members(1)
    await store.create(tree)
    (member,) = tree.members(pool_id)
    gone = await store.edit(tree.id, edits.remove("member", member.id))
    (entry,) = await store.list(Query(kind="member"))
    assert entry.provisioning_status == "PENDING_DELETE"
    await store.settle(tree.id, gone.generation, 1)
    assert await store.list(Query(kind="member")) == []


async def test_an_unknown_marker_is_refused(store: SqlStore) -> None:
    tree = await store.create(balancer())
    for query in (
        Query(kind="loadbalancer", marker="nobody"),
        Query(kind="pool", marker=tree.id),
        Query(kind="loadbalancer", project_id="p2", marker=tree.id),
    ):
        with pytest.raises(Refused, match="marker"):
            await store.list(query)


@pytest.mark.parametrize("field", [*sorted(NOT_SCALAR), "bogus", "changed_gen", "doc"])
async def test_other_fields_are_refused_by_name(store: SqlStore, field: str) -> None:
    with pytest.raises(Refused, match=field):
        await store.list(Query(kind="listener", filters={field: "x"}))
    with pytest.raises(Refused, match=field):
        await store.list(Query(kind="listener", sort=((field, False),)))
