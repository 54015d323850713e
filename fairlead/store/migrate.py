"""Bringing the tables to their newest form at start.

Alembic is imported only when there is something to do: its import alone costs more than all
else that happens here. `NEWEST` names the last file of migrations/versions; a test holds the two
together. Called by SqlStore.start.
"""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from fairlead.errors import Permanent
from fairlead.store.database import Database

NEWEST = "0002"
SCRIPTS = Path(__file__).parent / "migrations"
_STORED = sa.table("alembic_version", sa.column("version_num"))


async def migrate(database: Database) -> None:
    """Migrate when needed; of several processes that start at once one does it.

    `Permanent` when the database was written by a newer Fairlead.
    """
    if await database.read(_stored) != NEWEST:
        await database.write(_to_the_newest)


async def _to_the_newest(connection: AsyncConnection) -> None:
    if await _stored(connection) != NEWEST:
        await connection.run_sync(_upgrade)


async def _stored(connection: AsyncConnection) -> Any:
    """The stored revision, None in an empty database."""
    tables = await connection.run_sync(lambda sync: sa.inspect(sync).has_table("alembic_version"))
    return await connection.scalar(sa.select(_STORED)) if tables else None


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.util import CommandError

    try:
        command.upgrade(configuration(connection), "head")
    except CommandError as error:
        raise Permanent(f"This Fairlead cannot read the database: {error}") from error


def configuration(connection: sa.Connection) -> Any:
    """Alembic's configuration for work on an open connection."""
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("path_separator", "os")
    return config
