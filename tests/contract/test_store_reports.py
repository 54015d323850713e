"""What every Store does with the reports of third parties' provider drivers."""

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import pytest
from balancers import (
    EPOCH,
    STORES,
    Stores,
    adding_listener,
    adding_member,
    adding_pool,
    new_id,
    tree_of_members,
)
from test_store import rows

from fairlead.domain import edits
from fairlead.domain.status import operating, provisioning
from fairlead.domain.tree import Report, Tree
from fairlead.errors import Broken, NotFound
from fairlead.store import SqlStore
from fairlead.wire.heartbeat import Counters


@pytest.fixture(params=STORES.values(), ids=STORES.keys())
async def store(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    async with request.param(tmp_path) as url:
        opened = Stores(url)
        try:
            yield await opened.another()
        finally:
            await opened.close()


async def theirs(store: SqlStore, members: int = 1) -> tuple[Tree, str, str]:
    """A tree of another provider, its pool's id and its listener's."""
    made, pool_id = tree_of_members(members)
    tree = made.with_objects(type(made.root)(
        id=made.id, project_id="p1", created_at=EPOCH, provider="theirs",
    ))  # fmt: skip
    await store.create(tree)
    return tree, pool_id, tree.listeners[0].id


async def shown(store: SqlStore, lb_id: str) -> dict[str, str]:
    tree = await store.tree(lb_id)
    return {one.KIND: provisioning(tree, one) for one in tree.everything()}


async def test_an_object_is_pending_until_its_driver_reports(store: SqlStore) -> None:
    tree, pool_id, _ = await theirs(store)
    assert set((await shown(store, tree.id)).values()) == {"PENDING_CREATE"}
    await store.report(tree.id, {tree.id: "ACTIVE", pool_id: "ERROR"})
    assert (await store.tree(tree.id)).reports == {
        tree.id: Report(generation=tree.generation, status="ACTIVE"),
        pool_id: Report(generation=tree.generation, status="ERROR"),
    }
    assert await shown(store, tree.id) == {
        "loadbalancer": "ACTIVE", "pool": "ERROR", "listener": "PENDING_CREATE",
        "member": "PENDING_CREATE",
    }  # fmt: skip


async def test_a_newer_edit_makes_an_older_report_worthless(store: SqlStore) -> None:
    tree, pool_id, _ = await theirs(store)
    every = {one.id: "ACTIVE" for one in tree.everything()}
    await store.report(tree.id, every)
    assert set((await shown(store, tree.id)).values()) == {"ACTIVE"}
    changing = edits.change("pool", pool_id, {"name": "other"}, now=EPOCH)
    await store.edit(tree.id, changing)
    assert await shown(store, tree.id) == {
        "loadbalancer": "PENDING_UPDATE", "pool": "PENDING_UPDATE",
        "listener": "PENDING_UPDATE", "member": "ACTIVE",
    }  # fmt: skip
    await store.report(tree.id, every)
    assert set((await shown(store, tree.id)).values()) == {"ACTIVE"}


async def test_of_what_shall_go_only_failure_counts(store: SqlStore) -> None:
    tree, pool_id, _ = await theirs(store)
    await store.edit(tree.id, edits.remove("pool", pool_id))
    await store.report(tree.id, {pool_id: "ACTIVE"})
    assert (await shown(store, tree.id))["pool"] == "PENDING_DELETE"
    await store.report(tree.id, {pool_id: "ERROR"})
    assert (await shown(store, tree.id))["pool"] == "ERROR"


async def test_reports_about_nothing_are_passed_over(store: SqlStore) -> None:
    tree, _, _ = await theirs(store)
    await store.report(tree.id, {new_id(): "ACTIVE"})
    await store.report(new_id(), {tree.id: "ACTIVE"})
    await store.report(tree.id, {})
    assert (await store.tree(tree.id)).reports == {}


async def test_objects_are_located(store: SqlStore) -> None:
    tree, pool_id, listener_id = await theirs(store)
    assert await store.locate({pool_id, tree.id, listener_id, new_id()}) == {
        tree.id: ("loadbalancer", tree.id),
        pool_id: ("pool", tree.id),
        listener_id: ("listener", tree.id),
    }
    assert await store.locate(set()) == {}


async def test_what_a_provider_removed_is_forgotten(store: SqlStore) -> None:
    tree, _, listener_id = await theirs(store)
    member = next(one.id for one in tree.objects.values() if one.KIND == "member")
    await store.report(tree.id, {member: "ACTIVE"})
    await store.observe({tree.id: {member: "ONLINE"}})
    after = await store.edit(tree.id, edits.gone("member", member))
    await store.forget(tree.id, [member])
    found = await store.tree(tree.id)
    assert member not in found.objects
    assert found.generation == after.generation
    assert not {"reports", "observations"} & (await rows(store)).keys()
    await store.count_reported({listener_id: Counters(bytes_in=1)})
    await store.forget(tree.id, [tree.id])
    assert await rows(store) == {}
    with pytest.raises(NotFound):
        await store.tree(tree.id)
    await store.forget(tree.id, [tree.id])


async def test_what_goes_by_itself_makes_nothing_else_pending(store: SqlStore) -> None:
    tree, pool_id, listener_id = await theirs(store)
    await store.report(tree.id, {one.id: "ACTIVE" for one in tree.everything()})
    after = await store.edit(tree.id, edits.gone("pool", pool_id))
    assert after.find(type(after.objects[listener_id]), listener_id).default_pool_id is None
    assert await shown(store, tree.id) == {
        "loadbalancer": "ACTIVE", "listener": "ACTIVE", "pool": "PENDING_DELETE",
        "member": "PENDING_DELETE",
    }  # fmt: skip
    assert await store.edit(tree.id, edits.gone("pool", pool_id)) == await store.tree(tree.id)
    assert await store.edit(tree.id, edits.gone("pool", new_id())) == await store.tree(tree.id)


async def test_statistics_of_their_listeners(store: SqlStore) -> None:
    tree, _, listener_id = await theirs(store)
    totals = Counters(bytes_in=1, bytes_out=2**40, active_connections=3, total_connections=4)
    await store.count_reported({listener_id: Counters(), new_id(): totals, tree.id: totals})
    await store.count_reported({listener_id: totals})
    assert await store.statistics(tree.id) == {listener_id: totals}


async def test_statistics_of_our_own_listeners_are_not_theirs_to_report(store: SqlStore) -> None:
    tree, _ = tree_of_members(0)
    await store.create(tree)
    await store.count_reported({tree.listeners[0].id: Counters(bytes_in=1)})
    assert await store.statistics(tree.id) == {}


async def test_edits_are_announced_in_the_order_in_which_they_are_saved(store: SqlStore) -> None:
    tree, _, _ = await theirs(store)
    heard: list[tuple[int, int]] = []

    @asynccontextmanager
    async def announce(before: Tree | None, after: Tree) -> Any:
        assert before is not None
        await asyncio.sleep(0.001 if len(heard) % 2 else 0)
        heard.append((before.generation, after.generation))
        assert (await store.tree(tree.id)).generation == before.generation
        yield
        assert (await store.tree(tree.id)).generation == after.generation

    await asyncio.gather(
        *(store.edit(tree.id, adding_pool(tree.id), announce) for _ in range(8)),
        *(store.edit(tree.id, adding_listener(tree.id, 90 + n), announce) for n in range(8)),
    )
    first = tree.generation
    assert heard == [(n, n + 1) for n in range(first, first + 16)]


async def test_an_announcement_that_fails_keeps_the_edit_from_being_saved(store: SqlStore) -> None:
    tree, pool_id, _ = await theirs(store)

    @asynccontextmanager
    async def announce(before: Tree | None, after: Tree) -> Any:
        raise Broken("theirs", "No.")
        yield

    with pytest.raises(Broken):
        await store.edit(tree.id, adding_member(pool_id, 7), announce)
    assert await store.tree(tree.id) == tree
    untouched = await store.edit(tree.id, lambda same: same, announce)
    assert untouched == tree, "nobody is told of an edit that does nothing"


async def test_operating_statuses_are_observations_like_any(store: SqlStore) -> None:
    tree, pool_id, _ = await theirs(store)
    await store.observe({tree.id: {pool_id: "DEGRADED"}})
    found = await store.tree(tree.id)
    assert operating(found, found.objects[pool_id]) == "DEGRADED"
