"""What every Store keeps beside the trees: amphorae, observations, statistics, events, epochs."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest
from balancers import EPOCH, STATUSES, STORES, Stores, balancer, new_id, tree_of_members

from fairlead.domain import edits
from fairlead.domain.events import Event
from fairlead.domain.observed import Amphora
from fairlead.domain.query import Query
from fairlead.domain.tree import Tree
from fairlead.domain.types import Access, describe
from fairlead.errors import NotFound, Refused, Retryable
from fairlead.store import SqlStore
from fairlead.wire.heartbeat import Counters


@pytest.fixture(params=STORES.values(), ids=STORES.keys())
async def stores(request: pytest.FixtureRequest, tmp_path) -> AsyncIterator[Stores]:
    async with request.param(tmp_path) as url:
        opened = Stores(url)
        try:
            yield opened
        finally:
            await opened.close()


@pytest.fixture
async def store(stores: Stores) -> SqlStore:
    return await stores.another()


@pytest.fixture
async def tree(store: SqlStore) -> Tree:
    grown, _ = tree_of_members(3)
    return await store.create(grown)


def amphora(lb_id: str, slot: int = 0) -> Amphora:
    return Amphora(
        id=new_id(), loadbalancer_id=lb_id, slot=slot, role="STANDALONE", status="BOOTING",
        created_at=EPOCH, cert_expiration=EPOCH + timedelta(days=30),
    )  # fmt: skip


def event(lb_id: str, number: int) -> Event:
    return Event(
        loadbalancer_id=lb_id, generation=number, at=EPOCH + timedelta(milliseconds=number),
        step="configure", outcome="retry", took_ms=1.5, amphora_id=None, detail='it "broke"\n',
    )  # fmt: skip


async def test_amphorae_are_kept_by_slot(store: SqlStore, tree: Tree) -> None:
    other = await store.create(balancer())
    mine = [amphora(tree.id, slot) for slot in (2, 0, 1)]
    theirs = amphora(other.id)
    for one in (*mine, theirs):
        await store.put_amphora(one)
    assert await store.amphorae(tree.id) == sorted(mine, key=lambda a: a.slot)
    assert {a.id for a in await store.amphorae()} == {a.id for a in (*mine, theirs)}
    assert await store.amphorae(new_id()) == []


async def test_an_amphora_is_replaced_and_dropped(store: SqlStore, tree: Tree) -> None:
    one = amphora(tree.id)
    await store.put_amphora(one)
    newer = msgspec.structs.replace(one, status="ALLOCATED", lb_network_ip="192.0.2.7", slot=3)
    await store.put_amphora(newer)
    assert await store.amphorae(tree.id) == [newer]
    await store.drop_amphora(one.id)
    await store.drop_amphora(one.id)
    assert await store.amphorae(tree.id) == []


async def test_an_amphora_of_no_load_balancer_is_not_kept(store: SqlStore) -> None:
    with pytest.raises(NotFound, match="Load Balancer"):
        await store.put_amphora(amphora(new_id()))
    assert await store.amphorae() == []


async def test_observations_appear_in_the_tree(store: SqlStore, tree: Tree) -> None:
    (listener,) = tree.listeners
    await store.observe({tree.id: {tree.id: "ONLINE", listener.id: "DEGRADED"}})
    assert (await store.tree(tree.id)).observed == {tree.id: "ONLINE", listener.id: "DEGRADED"}
    await store.observe({tree.id: {listener.id: "ONLINE"}})
    await store.observe({tree.id: {}})
    assert (await store.tree(tree.id)).observed == {tree.id: "ONLINE", listener.id: "ONLINE"}


async def test_what_many_amphorae_say_is_kept_by_one_call(store: SqlStore) -> None:
    trees = [await store.create(tree_of_members(0)[0]) for _ in range(3)]
    made = [amphora(tree.id) for tree in trees]
    for one in made:
        await store.put_amphora(one)
    await store.observe({t.id: {t.id: s} for t, s in zip(trees, STATUSES, strict=False)})
    listeners = [tree.listeners[0].id for tree in trees]
    totals = [{one: Counters(bytes_in=n)} for n, one in enumerate(listeners)]
    await store.count({one.id: total for one, total in zip(made, totals, strict=True)})
    for tree, one, status, total in zip(trees, made, STATUSES, totals, strict=False):
        assert (await store.tree(tree.id)).observed == {tree.id: status}
        assert await store.counters(one.id) == total


async def test_an_edit_keeps_observations(store: SqlStore, tree: Tree) -> None:
    await store.observe({tree.id: {tree.id: "ONLINE"}})
    change = edits.change("loadbalancer", tree.id, {"name": "new"}, now=EPOCH)
    assert (await store.edit(tree.id, change)).observed == {tree.id: "ONLINE"}
    assert (await store.tree(tree.id)).observed == {tree.id: "ONLINE"}


async def test_observations_of_strangers_are_passed_over(store: SqlStore, tree: Tree) -> None:
    other = await store.create(balancer())
    await store.observe({tree.id: {new_id(): "ONLINE", other.id: "ERROR"}})
    await store.observe({new_id(): {tree.id: "ERROR"}})
    assert (await store.tree(tree.id)).observed == {}
    assert (await store.tree(other.id)).observed == {}


async def test_heartbeats_and_edits_at_once(stores: Stores) -> None:
    """Neither waits for, nor overwrites, the other."""
    health, api = await stores.another(), await stores.another()
    grown, pool_id = tree_of_members(5)
    tree = await api.create(grown)
    members = [m.id for m in tree.members(pool_id)]

    async def observe() -> None:
        for n in range(30):
            status = "ONLINE" if n % 2 else "ERROR"
            await health.observe({tree.id: dict.fromkeys(members, status)})

    async def edit() -> None:
        for n in range(30):
            change = edits.change("member", members[0], {"weight": n}, now=EPOCH)
            await api.edit(tree.id, change)

    await asyncio.gather(observe(), edit())
    found = await api.tree(tree.id)
    assert found.generation == tree.generation + 30
    assert {found.observed[m] for m in members} == {"ONLINE"}


async def test_statistics_add_up_over_amphorae(store: SqlStore, tree: Tree) -> None:
    (listener,) = tree.listeners
    first, second = amphora(tree.id), amphora(tree.id, 1)
    await store.put_amphora(first)
    await store.put_amphora(second)
    big = Counters(bytes_in=2**40, bytes_out=2, active_connections=3, total_connections=4)
    await store.count({first.id: {listener.id: Counters(bytes_in=7, request_errors=9)}})
    await store.count({first.id: {listener.id: big}})
    await store.count({second.id: {listener.id: Counters(bytes_in=1, request_errors=5)}})
    assert await store.statistics(tree.id) == {
        listener.id: Counters(
            bytes_in=2**40 + 1, bytes_out=2, active_connections=3, total_connections=4,
            request_errors=5,
        )
    }  # fmt: skip
    assert all(type(n) is int for n in msgspec.structs.astuple(big))
    assert await store.counters(second.id) == {listener.id: Counters(bytes_in=1, request_errors=5)}


async def test_what_an_amphora_counted_outlives_it(store: SqlStore, tree: Tree) -> None:
    (listener,) = tree.listeners
    total = 0
    for _ in range(3):
        one = amphora(tree.id)
        await store.put_amphora(one)
        await store.count({one.id: {listener.id: Counters(active_connections=2)}})
        counted = Counters(bytes_in=2**40, active_connections=5, total_connections=4)
        await store.count({one.id: {listener.id: counted}})
        total += 4
        assert (await store.statistics(tree.id))[listener.id].total_connections == total
        await store.drop_amphora(one.id)
        await store.drop_amphora(one.id)
        await store.count({one.id: {listener.id: counted}})
        assert await store.counters(one.id) == {}
        assert await store.statistics(tree.id) == {
            listener.id: Counters(bytes_in=2**40 * total // 4, total_connections=total)
        }
    gone = await store.edit(tree.id, edits.remove("listener", listener.id))
    await store.settle(tree.id, gone.generation, 1)
    assert await store.statistics(tree.id) == {}


async def test_an_amphora_that_lost_its_memory_counts_from_zero(
    store: SqlStore, tree: Tree
) -> None:
    (listener,) = tree.listeners
    one = amphora(tree.id)
    await store.put_amphora(one)
    await store.count({one.id: {listener.id: Counters(bytes_in=7)}})
    for _ in range(2):
        await store.restart_counting(one.id)
        assert await store.statistics(tree.id) == {listener.id: Counters(bytes_in=7)}
    await store.count({one.id: {listener.id: Counters(bytes_in=2)}})
    assert await store.statistics(tree.id) == {listener.id: Counters(bytes_in=9)}
    assert await store.counters(one.id) == {listener.id: Counters(bytes_in=2)}


async def test_amphorae_are_listed_as_plain_python_would(store: SqlStore) -> None:
    """Every field filters and sorts, over pages of two, in both directions."""
    chance, owners, made = random.Random(7), {}, []
    for project in ("p1", "p2", "p2"):
        tree = await store.create(balancer(project_id=project))
        owners[tree.id] = project
        for slot in range(3):
            made.append(_drawn(chance, tree.id, slot))
            await store.put_amphora(made[-1])
    assert await store.list_amphorae(Query(kind="amphora")) == sorted(
        made, key=lambda a: (a.created_at, a.id)
    )
    for name in [n for n, f in describe(Amphora).items() if f.trait.access is not Access.HIDDEN]:
        for value in {getattr(a, name) for a in made}:
            found = await store.list_amphorae(Query(kind="amphora", filters={name: value}))
            assert {a.id for a in found} == {a.id for a in made if getattr(a, name) == value}
        for descending in (False, True):
            await _check_pages(store, made, name, descending=descending)
    theirs = await store.list_amphorae(Query(kind="amphora", project_id="p1"))
    assert {a.id for a in theirs} == {
        a.id for a in made if owners[a.loadbalancer_id] == "p1"
    }  # fmt: skip
    with pytest.raises(Refused):
        await store.list_amphorae(Query(kind="amphora", marker=new_id()))


async def _check_pages(
    store: SqlStore, made: list[Amphora], name: str, *, descending: bool
) -> None:
    expected = sorted(made, key=lambda a: (a.created_at, a.id))
    expected.sort(
        key=lambda a: (getattr(a, name) is not None, getattr(a, name)), reverse=descending
    )
    seen: list[Amphora] = []
    while len(seen) < len(made):
        marker = seen[-1].id if seen else None
        query = Query(kind="amphora", sort=((name, descending),), limit=2, marker=marker)
        page = await store.list_amphorae(query)
        assert page
        seen += page
    assert [a.id for a in seen] == [a.id for a in expected], (name, descending)


def _drawn(chance: random.Random, lb_id: str, slot: int) -> Amphora:
    return msgspec.structs.replace(
        amphora(lb_id, slot),
        role=chance.choice(("MASTER", "BACKUP")),
        status=chance.choice(("BOOTING", "ALLOCATED", "ERROR")),
        lb_network_ip=chance.choice((None, "10.0.0.9", "10.0.0.10")),
        cert_busy=chance.random() < 0.5,
        vrrp_priority=chance.choice((None, 9, 10)),
        updated_at=chance.choice((None, EPOCH, EPOCH + timedelta(microseconds=876544))),
        created_at=EPOCH + timedelta(seconds=chance.randrange(3)),
    )


async def test_counters_of_strangers_are_passed_over(store: SqlStore, tree: Tree) -> None:
    (listener,) = tree.listeners
    one = amphora(tree.id)
    await store.count({one.id: {listener.id: Counters(bytes_in=1)}})
    await store.put_amphora(one)
    other, _ = tree_of_members(0)
    await store.create(other)
    foreign = other.listeners[0].id
    await store.count({one.id: {new_id(): Counters(), foreign: Counters(bytes_in=1)}})
    await store.count({one.id: {}})
    await store.count({})
    assert await store.statistics(tree.id) == {}
    assert await store.statistics(other.id) == {}


async def test_statistics_of_a_deleted_listener_go_with_it(store: SqlStore, tree: Tree) -> None:
    (listener,) = tree.listeners
    one = amphora(tree.id)
    await store.put_amphora(one)
    await store.count({one.id: {listener.id: Counters(bytes_in=1)}})
    gone = await store.edit(tree.id, edits.remove("listener", listener.id))
    await store.settle(tree.id, gone.generation, 1)
    assert await store.statistics(tree.id) == {}


async def test_events_are_read_newest_first(store: SqlStore, tree: Tree) -> None:
    other = await store.create(balancer())
    written = [event(tree.id, n) for n in range(5)]
    await store.record(written[:3])
    await store.record([*written[3:], event(other.id, 9)])
    await store.record([])
    assert await store.events(tree.id) == written[::-1]
    assert await store.events(tree.id, limit=2) == [written[4], written[3]]
    assert await store.events(other.id) == [event(other.id, 9)]
    assert await store.events(new_id()) == []


async def test_events_are_bounded(store: SqlStore, tree: Tree) -> None:
    other = await store.create(balancer())
    await store.record([event(other.id, 1)])
    for start in range(0, 1300, 26):
        await store.record([event(tree.id, start + n) for n in range(26)])
    kept = await store.events(tree.id, limit=5000)
    assert 500 <= len(kept) <= 600
    assert [e.generation for e in kept] == list(range(1299, 1299 - len(kept), -1))
    assert len(await store.events(other.id)) == 1


async def test_events_of_a_missing_load_balancer_do_not_hold_up_others(
    store: SqlStore, tree: Tree
) -> None:
    await store.record([event(new_id(), 1), event(tree.id, 2)])
    assert await store.events(tree.id) == [event(tree.id, 2)]


async def test_epochs_only_grow(stores: Stores) -> None:
    several = [await stores.another() for _ in range(3)]
    taken = await asyncio.gather(*(several[n % 3].next_epoch() for n in range(30)))
    assert sorted(taken) == list(range(1, 31))
    for store in several:
        await store.close()
    assert await (await stores.another()).next_epoch() == 31


async def test_a_sign_of_life(store: SqlStore, tree: Tree) -> None:
    await store.ping()
    async with store.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE trees RENAME TO gone")
    with pytest.raises(Retryable):
        await store.ping()
