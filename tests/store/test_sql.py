"""What is particular to the SQL store: its cost in statements, its tables, its start, its end."""

import asyncio
import random
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from structlog.testing import capture_logs

from fairlead.domain import edits
from fairlead.domain.edits import Edit
from fairlead.domain.model import KINDS, LoadBalancer
from fairlead.domain.observed import Amphora
from fairlead.domain.query import Query
from fairlead.domain.tree import Tree
from fairlead.errors import Permanent, Retryable
from fairlead.store import SqlStore, documents, migrate
from fairlead.store.schema import metadata, resources, trees
from fairlead.wire.heartbeat import Counters

NOW = datetime(2026, 5, 1, tzinfo=UTC)
CHILD = Path(__file__).parent / "editing_child.py"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/fairlead.sqlite"


@pytest.fixture
async def store(url: str) -> AsyncIterator[SqlStore]:
    opened = SqlStore(url)
    await opened.start()
    yield opened
    await opened.close()


@contextmanager
def statements(store: SqlStore) -> Iterator[list[str]]:
    """Every statement sent meanwhile; COMMIT is none, the driver has a call for it."""
    seen: list[str] = []

    def note(_connection, _cursor, statement: str, *_rest) -> None:
        seen.append(statement)

    sa.event.listen(store.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        sa.event.remove(store.engine.sync_engine, "before_cursor_execute", note)


def new_id() -> str:
    return str(uuid.uuid4())


def member(pool_id: str, number: int) -> Edit:
    values = {"pool_id": pool_id, "address": "10.0.0.1", "protocol_port": 1 + number}
    return edits.add("member", values, new_id=new_id(), now=NOW)


def tree_of(members: int) -> tuple[Tree, str]:
    root = LoadBalancer(id=new_id(), project_id="p", created_at=NOW)
    pool_id = new_id()
    values = {"loadbalancer_id": root.id, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    tree = edits.add("pool", values, new_id=pool_id, now=NOW)(Tree(root=root))
    values = {"loadbalancer_id": root.id, "protocol": "HTTP", "protocol_port": 80}
    tree = edits.add("listener", values, new_id=new_id(), now=NOW)(tree)
    for number in range(members):
        tree = member(pool_id, number)(tree)
    return tree, pool_id


async def test_an_edit_costs_the_same_statements_in_any_tree(store: SqlStore) -> None:
    for size in (1, 100):
        tree, pool_id = tree_of(size)
        await store.create(tree)
        with statements(store) as seen:
            await store.edit(tree.id, member(pool_id, 1000))
        assert [s.split()[0] for s in seen] == [
            "SELECT", "BEGIN", "UPDATE", "SELECT", "INSERT",  # the second one reads the quota
        ]  # fmt: skip


async def test_a_tree_is_one_query_and_a_new_one_two_inserts(store: SqlStore) -> None:
    tree, _ = tree_of(50)
    with statements(store) as seen:
        await store.create(tree)
    assert [s.split()[0] for s in seen] == ["BEGIN", "SELECT", "INSERT", "INSERT"]
    with statements(store) as seen:
        await store.tree(tree.id)
    assert len(seen) == 1


async def test_news_of_many_amphorae_cost_two_statements(store: SqlStore) -> None:
    news: dict[str, dict[str, str]] = {}
    totals: dict[str, dict[str, Counters]] = {}
    for _ in range(20):
        tree, _ = tree_of(5)
        await store.create(tree)
        one = Amphora(
            id=new_id(), loadbalancer_id=tree.id, slot=0, role="STANDALONE", status="ALLOCATED",
            created_at=NOW,
        )  # fmt: skip
        await store.put_amphora(one)
        news[tree.id] = {o.id: "ONLINE" for o in tree.everything()}
        totals[one.id] = {tree.listeners[0].id: Counters(bytes_in=1)}
    with statements(store) as seen:
        await store.observe(news)
        await store.count(totals)
        await store.observe({})
        await store.count({})
    assert [s.split()[0] for s in seen] == ["BEGIN", "INSERT", "BEGIN", "INSERT"]
    assert (await store.tree(tree.id)).observed == news[tree.id]


async def test_an_edit_that_changes_nothing_writes_nothing(store: SqlStore) -> None:
    tree, _ = tree_of(1)
    await store.create(tree)
    with statements(store) as seen:
        await store.edit(tree.id, lambda same: same)
    assert len(seen) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_list_costs_the_same_statements_for_any_page(store: SqlStore, kind: str) -> None:
    costs = set()
    for size in (2, 5, 20):
        for _ in range(size):
            tree, _ = tree_of(size)
            await store.create(tree)
        page = await store.list(Query(kind=kind))
        marker = page[0].resource.id if page else None
        with statements(store) as seen:
            rest = await store.list(Query(kind=kind, marker=marker))
        assert len(rest) == max(len(page) - 1, 0)
        costs.add(len(seen))
    assert len(costs) == 1
    assert costs.pop() <= 5  # BEGIN, the marker, the page, two for links


async def test_links_of_more_objects_than_a_statement_carries(store: SqlStore) -> None:
    count = 40_000
    roots = [LoadBalancer(id=str(n), created_at=NOW) for n in range(count)]
    heads = [{"lb_id": r.id, "generation": 1, "applied": 0, "failed": 0, "epoch": 0} for r in roots]
    async with store.engine.begin() as connection:
        await connection.execute(sa.insert(trees), heads)
        await connection.execute(sa.insert(resources), [documents.row(r, r.id, 0) for r in roots])
    values = {"loadbalancer_id": "7", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    await store.edit("7", edits.add("pool", values, new_id="pool", now=NOW))
    found = {e.resource.id: e.links["pools"] for e in await store.list(Query(kind="loadbalancer"))}
    assert len(found) == count
    assert found["7"] == ("pool",)
    assert not found["8"]


async def test_the_tables_are_what_the_migrations_make(store: SqlStore) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    async with store.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


def test_the_newest_revision_is_the_one_named() -> None:
    script = ScriptDirectory(str(migrate.SCRIPTS))
    assert script.get_heads() == [migrate.NEWEST]


def test_starting_on_a_migrated_database_is_fast_and_needs_no_alembic(url: str) -> None:
    """The second start, in a process of its own."""
    program = (
        "import asyncio, sys, time\n"
        "from fairlead.store import SqlStore\n"
        "async def run():\n"
        "    store = SqlStore(sys.argv[1])\n"
        "    began = time.perf_counter()\n"
        "    await store.start()\n"
        "    took = time.perf_counter() - began\n"
        "    await store.close()\n"
        "    print(took, 'alembic' in sys.modules)\n"
        "asyncio.run(run())\n"
    )
    results = []
    for _ in range(3):
        run = subprocess.run(
            [sys.executable, "-c", program, url], capture_output=True, text=True, check=True
        )
        results.append(run.stdout.split())
    assert [loaded for _, loaded in results] == ["True", "False", "False"]
    assert min(float(took) for took, _ in results[1:]) < 0.05


async def test_several_starts_at_once_on_an_empty_database(url: str) -> None:
    several = [SqlStore(url) for _ in range(4)]
    await asyncio.gather(*(one.start() for one in several))
    assert await several[3].all_ids() == []
    for one in several:
        await one.close()


async def test_a_database_of_a_newer_fairlead_is_left_alone(url: str, tmp_path: Path) -> None:
    first = SqlStore(url)
    await first.start()
    await first.close()
    with sqlite3.connect(tmp_path / "fairlead.sqlite") as plain:
        plain.execute("UPDATE alembic_version SET version_num = '9999'")
    plain.close()
    second = SqlStore(url)
    with pytest.raises(Permanent, match="9999"):
        await second.start()
    await second.close()


async def test_every_connection_is_set_up(store: SqlStore) -> None:
    async with store.engine.connect() as one, store.engine.connect() as two:
        for connection in (one, two):
            pragmas = {
                name: await connection.scalar(sa.text(f"PRAGMA {name}"))
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            }
            assert pragmas == {
                "journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10000,
            }  # fmt: skip


async def test_a_database_that_cannot_be_opened_is_retryable_and_says_so_in_our_words() -> None:
    before = threading.active_count()
    store = SqlStore("sqlite+aiosqlite:////nowhere/at/all.sqlite")
    with capture_logs() as logs, pytest.raises(Retryable) as refusal:
        await store.all_ids()
    assert str(refusal.value) == "The database does not answer."
    assert "unable to open" in logs[0]["error"]
    await store.close()
    for _ in range(1000):  # the driver's thread reports to this loop before it ends
        if threading.active_count() <= before:
            break
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("seed", range(4))
async def test_an_acknowledged_edit_survives_kill_9(store: SqlStore, url: str, seed: int) -> None:
    """A child edits as fast as it can and is killed at any moment."""
    tree, pool_id = tree_of(0)
    await store.create(tree)
    child = subprocess.Popen(
        [sys.executable, str(CHILD), url, tree.id, pool_id], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    try:
        first = "".join(child.stdout.readline() for _ in range(6))
        time.sleep(0.1 + random.Random(seed).random() * 0.2)
    finally:
        child.kill()
        rest, _ = child.communicate()
    lines = (first + rest).splitlines(keepends=True)  # the last one may be cut
    acknowledged = [line.split() for line in lines if line.endswith("\n")]
    assert len(acknowledged) > 5
    found = await store.tree(tree.id)
    assert {member_id for _, member_id in acknowledged} <= {m.id for m in found.members(pool_id)}
    last = int(acknowledged[-1][0])
    assert last <= found.generation <= last + 1
    assert len(found.members(pool_id)) == found.generation - tree.generation
