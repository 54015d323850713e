"""A database that an older release left is brought up to date with all that is in it."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from alembic import command

from fairlead.domain.query import Query
from fairlead.store import SqlStore
from fairlead.store.migrate import configuration

LB = "00000000-0000-0000-0000-00000000000a"
MADE = "2026-05-01T12:00:00.5Z"


def first_release(file: Path) -> None:
    """A load balancer with its amphora, as the first tables hold them."""
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        command.upgrade(configuration(connection), "0001")
    engine.dispose()
    root = {"id": LB, "project_id": "p", "created_at": MADE}
    amphora = {"id": "amphora", "loadbalancer_id": LB, "slot": 0, "role": "STANDALONE",
               "status": "ALLOCATED", "created_at": MADE}  # fmt: skip
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("INSERT INTO trees VALUES (?, 1, 1, 0, 0)", (LB,))
        database.execute(
            "INSERT INTO resources VALUES (?, 'loadbalancer', 'p', ?, NULL, '', 1, '', 1, 1, NULL,"
            " ?, NULL, 0, ?)", (LB, LB, MADE, json.dumps(root)),
        )  # fmt: skip
        database.execute("INSERT INTO amphorae VALUES ('amphora', ?, 0, ?)",
                         (LB, json.dumps(amphora)))  # fmt: skip


async def test_amphorae_of_the_first_release_are_listed(tmp_path: Path) -> None:
    first_release(tmp_path / "old.sqlite")
    store = SqlStore(f"sqlite+aiosqlite:///{tmp_path}/old.sqlite")
    await store.start()
    made = datetime(2026, 5, 1, 12, 0, 0, 500000, tzinfo=UTC)
    (found,) = await store.list_amphorae(Query(kind="amphora", filters={"created_at": made}))
    assert (found.id, found.created_at, found.compute_id) == ("amphora", made, None)
    tree = await store.tree(LB)
    assert [slot.incarnation for slot in tree.root.slots] == [0]
    await store.close()
