"""What every Store does with trees: create, edit, settle, give up, forget."""

import asyncio
import random
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC

import pytest
import sqlalchemy as sa
from balancers import (
    CHANCES,
    EPOCH,
    STORES,
    Gardener,
    Stores,
    adding_listener,
    adding_member,
    adding_pool,
    balancer,
    chances,
    new_id,
    planted,
    tree_of_members,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fairlead.domain import edits
from fairlead.domain.edits import Edit
from fairlead.domain.events import Event
from fairlead.domain.observed import Amphora
from fairlead.domain.tree import Tree
from fairlead.errors import Conflict, Fenced, NotFound, Stale
from fairlead.store import SqlStore
from fairlead.store.schema import metadata
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


async def rows(store: SqlStore) -> dict[str, int]:
    """How many rows each table has, those that have none left out."""
    async with store.engine.connect() as connection:
        found = {
            table.name: await connection.scalar(sa.select(sa.func.count()).select_from(table))
            for table in metadata.tables.values()
        }
    return {name: count for name, count in found.items() if count}


async def test_a_new_tree_is_read_back(store: SqlStore) -> None:
    tree, _ = tree_of_members(3)
    tree = Tree(root=tree.root, objects=tree.objects, generation=1)
    assert await store.create(tree) == tree
    found = await store.tree(tree.id)
    assert found == tree
    assert list(found.objects) == list(tree.objects)
    assert found.root.created_at.tzinfo is UTC


async def test_objects_made_together_keep_their_order(store: SqlStore) -> None:
    """Also when some of them are gone and others changed."""
    tree, pool_id = tree_of_members(6)
    together = [replace(o, created_gen=1) for o in tree.objects.values()]
    await store.create(tree.with_objects(*together))
    first, second, third, *_, last = tree.members(pool_id)
    for gone in (first, second, third):
        await store.edit(tree.id, edits.remove("member", gone.id))
    generation = (await store.tree(tree.id)).generation
    await store.settle(tree.id, generation, 1)
    await store.edit(tree.id, edits.change("member", last.id, {"weight": 9}, now=EPOCH))
    order = [o for o in tree.objects if o not in (first.id, second.id, third.id)]
    assert list((await store.tree(tree.id)).objects) == order


async def test_a_second_tree_of_the_same_id_conflicts(store: SqlStore) -> None:
    tree = await store.create(balancer())
    with pytest.raises(Conflict, match=tree.id):
        await store.create(tree)
    assert await store.all_ids() == [tree.id]


async def test_a_tree_with_a_foreign_object_conflicts_and_leaves_nothing(store: SqlStore) -> None:
    pool_id = new_id()
    first = balancer()
    await store.create(adding_pool(first.id, pool_id)(first))
    second = balancer()
    with pytest.raises(Conflict):
        await store.create(adding_pool(second.id, pool_id)(second))
    assert await store.all_ids() == [first.id]


async def test_an_unknown_tree_is_not_found(store: SqlStore) -> None:
    with pytest.raises(NotFound, match="Load Balancer nobody not found"):
        await store.tree("nobody")
    with pytest.raises(NotFound):
        await store.edit("nobody", lambda tree: tree)


async def test_an_edit_is_saved_and_returned(store: SqlStore) -> None:
    tree = await store.create(balancer())
    pool_id = new_id()
    edited = await store.edit(tree.id, adding_pool(tree.id, pool_id, tags=("x",)))
    assert edited.generation == 2
    assert edited.objects[pool_id].tags == ("x",)
    assert await store.tree(tree.id) == edited


async def test_an_edit_that_changes_nothing_saves_nothing(store: SqlStore) -> None:
    tree = await store.create(balancer())
    assert await store.edit(tree.id, lambda same: same) == tree
    assert (await store.tree(tree.id)).generation == 1


async def test_an_edit_that_raises_saves_nothing(store: SqlStore) -> None:
    tree = await store.create(balancer())
    await store.edit(tree.id, adding_listener(tree.id, 80))
    with pytest.raises(Conflict):
        await store.edit(tree.id, adding_listener(tree.id, 80))
    assert (await store.tree(tree.id)).generation == 2


@settings(CHANCES, max_examples=25)
@given(chance=chances(), steps=st.integers(0, 25))
async def test_stored_trees_are_what_the_edits_made(
    store: SqlStore, chance: random.Random, steps: int
) -> None:
    """The same edits on a tree in memory and in the store give the same tree, in order."""
    tree = await store.create(balancer())
    for edit in Gardener(chance).edits(steps):
        made: list[Tree] = []

        def remembered(before: Tree, edit=edit, made=made) -> Tree:
            made.append(edit(before))
            return made[-1]

        tree = await store.edit(tree.id, remembered)
        assert tree is made[-1]
    found = await store.tree(tree.id)
    assert found == tree
    assert list(found.objects) == list(tree.objects)


async def test_twenty_edits_at_once_all_land(store: SqlStore) -> None:
    tree = await store.create(balancer())
    done = await asyncio.gather(
        *(store.edit(tree.id, adding_listener(tree.id, 8000 + n)) for n in range(20))
    )
    assert sorted(t.generation for t in done) == list(range(2, 22))
    assert len((await store.tree(tree.id)).listeners) == 20


async def test_edits_from_several_processes_all_land(stores: Stores) -> None:
    several = [await stores.another() for _ in range(3)]
    tree = await several[0].create(balancer())
    seen = await asyncio.gather(
        *(several[n % 3].edit(tree.id, adding_listener(tree.id, 8000 + n)) for n in range(24))
    )
    assert sorted(t.generation for t in seen) == list(range(2, 26))
    assert len((await several[0].tree(tree.id)).listeners) == 24


def elsewhere(stores: Stores, lb_id: str, edit: Edit) -> None:
    """Make an edit from another process, while this one is in the middle of something."""

    async def make() -> None:
        there = SqlStore(stores.url)
        await there.edit(lb_id, edit)
        await there.close()

    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, make()).result()


async def test_an_edit_overtaken_by_another_process_is_computed_again(stores: Stores) -> None:
    store = await stores.another()
    tree = await store.create(balancer())
    seen: list[int] = []

    def overtaken_once(before: Tree) -> Tree:
        seen.append(before.generation)
        if len(seen) == 1:
            elsewhere(stores, tree.id, adding_listener(tree.id, 81))
        return adding_listener(tree.id, 90)(before)

    after = await store.edit(tree.id, overtaken_once)
    assert seen == [1, 2]
    assert {one.protocol_port for one in after.listeners} == {81, 90}
    assert await store.tree(tree.id) == after


async def test_an_edit_that_is_overtaken_every_time_ends(stores: Stores) -> None:
    store = await stores.another()
    tree = await store.create(balancer())
    rename = edits.change("loadbalancer", tree.id, {"name": "theirs"}, now=EPOCH)

    def always_overtaken(before: Tree) -> Tree:
        elsewhere(stores, tree.id, rename)
        return adding_listener(tree.id, 90)(before)

    with pytest.raises(Stale, match=tree.id):
        await store.edit(tree.id, always_overtaken)
    found = await store.tree(tree.id)
    assert (found.root.name, found.listeners) == ("theirs", ())


async def test_edits_cancelled_at_any_moment_do_no_harm(store: SqlStore) -> None:
    """Nothing is half done, and no lock stays behind that the next one would wait for."""
    tree = await store.create(balancer())
    for n in range(100):
        edit = asyncio.create_task(store.edit(tree.id, adding_listener(tree.id, 8000 + n)))
        await asyncio.sleep(n * 0.0001)
        edit.cancel()
        await asyncio.gather(edit, return_exceptions=True)
        async with asyncio.timeout(5):
            await store.next_epoch()
    after = await store.edit(tree.id, adding_listener(tree.id, 80))
    assert after.generation == len(after.listeners) + 1
    assert await store.tree(tree.id) == after


async def test_owner_finds_the_load_balancer(store: SqlStore) -> None:
    tree, pool_id = tree_of_members(1)
    await store.create(tree)
    (member,) = tree.members(pool_id)
    assert await store.owner("member", member.id) == tree.id
    assert await store.owner("loadbalancer", tree.id) == tree.id
    with pytest.raises(NotFound, match=f"Listener {member.id} not found"):
        await store.owner("listener", member.id)


async def test_settling_only_moves_forward(store: SqlStore) -> None:
    tree = await store.create(balancer())
    for generation in (2, 3, 4):
        await store.edit(tree.id, adding_pool(tree.id))
        await store.settle(tree.id, generation - 1, 1)
        await store.settle(tree.id, 1, 1)
        assert (await store.tree(tree.id)).applied == generation - 1
    await store.give_up(tree.id, 4, 1)
    await store.give_up(tree.id, 2, 1)
    found = await store.tree(tree.id)
    assert (found.generation, found.applied, found.failed) == (4, 3, 4)


async def test_settling_removes_what_was_deleted_up_to_that_generation(store: SqlStore) -> None:
    tree, pool_id = tree_of_members(3)
    await store.create(tree)
    gone, going, staying = tree.members(pool_id)
    await store.observe({tree.id: {m.id: "ONLINE" for m in (gone, going, staying)}})
    first = await store.edit(tree.id, edits.remove("member", gone.id))
    second = await store.edit(tree.id, edits.remove("member", going.id))
    await store.settle(tree.id, first.generation, 1)
    found = await store.tree(tree.id)
    assert gone.id not in found.objects
    assert found.objects[going.id].deleted_gen == second.generation
    assert set(found.observed) == {going.id, staying.id}
    assert (await rows(store))["observations"] == 2


async def test_a_settled_deletion_leaves_no_row(store: SqlStore) -> None:
    tree, _ = tree_of_members(5)
    await store.create(tree)
    (listener,) = tree.listeners
    amphora = Amphora(
        id=new_id(), loadbalancer_id=tree.id, slot=0, role="STANDALONE", status="ALLOCATED",
        created_at=tree.root.created_at,
    )  # fmt: skip
    await store.put_amphora(amphora)
    await store.observe({tree.id: {o.id: "ONLINE" for o in tree.everything()}})
    await store.count({amphora.id: {listener.id: Counters(bytes_in=1)}})
    event = Event(
        loadbalancer_id=tree.id, generation=1, at=tree.root.created_at, step="s", outcome="ok"
    )
    await store.record([event])
    assert set(await rows(store)) == {
        "trees", "resources", "observations", "amphorae", "statistics", "events",
    }  # fmt: skip
    gone = await store.edit(tree.id, edits.remove("loadbalancer", tree.id, cascade=True))
    await store.settle(tree.id, gone.generation, 1)
    assert await rows(store) == {}
    with pytest.raises(NotFound):
        await store.tree(tree.id)

    # Whoever comes late does no harm and leaves nothing either.
    await store.settle(tree.id, gone.generation, 1)
    await store.give_up(tree.id, gone.generation, 1)
    await store.observe({tree.id: {listener.id: "ERROR"}})
    await store.count({amphora.id: {listener.id: Counters(bytes_in=1)}})
    await store.record([event])
    await store.drop_amphora(amphora.id)
    with pytest.raises(NotFound):
        await store.put_amphora(amphora)
    assert await rows(store) == {}


async def test_an_older_controller_is_fenced(store: SqlStore) -> None:
    tree = await store.create(balancer())
    await store.settle(tree.id, 1, 5)
    await store.edit(tree.id, adding_pool(tree.id))
    with pytest.raises(Fenced):
        await store.settle(tree.id, 2, 4)
    with pytest.raises(Fenced):
        await store.give_up(tree.id, 2, 4)
    found = await store.tree(tree.id)
    assert (found.applied, found.failed) == (1, 0)
    await store.settle(tree.id, 2, 5)
    assert (await store.tree(tree.id)).applied == 2


async def test_settling_and_editing_do_not_overwrite_each_other(stores: Stores) -> None:
    editing, settling = await stores.another(), await stores.another()
    tree, pool_id = tree_of_members(2)
    await editing.create(tree)

    async def edit() -> None:
        for n in range(30):
            member_id = new_id()
            await editing.edit(tree.id, adding_member(pool_id, 100 + n, member_id))
            if n % 2:
                await editing.edit(tree.id, edits.remove("member", member_id))

    async def settle() -> None:
        for _ in range(40):
            now = await settling.tree(tree.id)
            await settling.settle(tree.id, now.generation, 1)
            await asyncio.sleep(0.002)

    await asyncio.gather(edit(), settle())
    found = await editing.tree(tree.id)
    assert found.generation == tree.generation + 45
    await settling.settle(tree.id, found.generation, 1)
    found = await editing.tree(tree.id)
    assert found.applied == found.generation
    assert len(found.members(pool_id)) == 2 + 15
    assert all(o.deleted_gen is None for o in found.everything())


@settings(CHANCES, max_examples=15)
@given(chance=chances())
async def test_any_tree_deleted_and_settled_leaves_no_row(
    store: SqlStore, chance: random.Random
) -> None:
    tree = await planted(store, chance, 15)
    if not tree.deleted:
        tree = await store.edit(tree.id, edits.remove("loadbalancer", tree.id, cascade=True))
    await store.settle(tree.id, tree.generation, 1)
    assert await rows(store) == {}
