"""The connection to the database, and the little that differs between SQLite and PostgreSQL.

SQLite runs in WAL mode: readers never wait. One write transaction at a time takes its turn in
this process (and waits for other processes up to `_BUSY_SECONDS`); it begins IMMEDIATE, as a
transaction that starts reading and then writes would fail where two meet. `synchronous` is FULL:
NORMAL would already survive kill -9, but an accepted request shall survive a power cut too, and
one fsync per transaction is what that costs.

Invariant: whatever the database raises leaves here as `Retryable`; what a statement may be
expected to hit (a duplicate) is caught where it is executed.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from fairlead.errors import Retryable

_BUSY_SECONDS = 10
_PRAGMAS = (
    f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
)
_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_BEGIN = "fairlead_begin"


class Database:
    """Transactions on one database; `engine` is open to statement counters in tests."""

    def __init__(self, url: str) -> None:
        # Documents go in as structs and come out as JSON text, for typed decoders to read.
        self.engine = create_async_engine(url, json_serializer=_json, json_deserializer=_as_is)
        self._writers = self._readers = self.engine
        self._turn: asyncio.Lock | None = None
        if self.engine.dialect.name == "sqlite":
            self._turn = asyncio.Lock()
            self._writers = self.engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
            self._readers = self.engine.execution_options(**{_BEGIN: None})
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self.engine.sync_engine, "begin", _begin_sqlite)

    @asynccontextmanager
    async def reading(self, *, snapshot: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection to read with; `snapshot` when several queries must see one moment."""
        engine = self.engine if snapshot else self._readers
        with _translated():
            async with engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed when the block ends, undone when it raises."""
        with _translated():
            if self._turn is None:
                async with self._writers.begin() as connection:
                    yield connection
                return
            async with self._turn, self._writers.begin() as connection:
                yield connection

    def upsert(self, table: sa.Table, *, keep: frozenset[str] = frozenset()) -> Any:
        """INSERT that overwrites the row of the same key, but for the columns in `keep`."""
        statement = self.insert(table)
        key = [c.name for c in table.primary_key]
        new = {c.name: statement.excluded[c.name] for c in table.c if c.name not in {*key, *keep}}
        return statement.on_conflict_do_update(index_elements=key, set_=new)

    def upsert_from(self, table: sa.Table, source: sa.Select[Any]) -> Any:
        """As `upsert`, for the rows of a query whose columns are named as the table's."""
        names = [c.name for c in source.selected_columns]
        return self.upsert(table).from_select(names, source)

    def insert(self, table: sa.Table) -> Any:
        """The dialect's INSERT, which knows ON CONFLICT."""
        return _INSERT[self.engine.dialect.name](table)

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver shall not begin transactions by itself
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    statement = connection.get_execution_options().get(_BEGIN, "BEGIN")
    if statement is not None:
        connection.exec_driver_sql(statement)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except exc.IntegrityError as error:
        raise Retryable("What a row belongs to was removed meanwhile.") from error
    except exc.DBAPIError as error:
        raise Retryable(f"The database does not answer: {error.orig}", after=1.0) from error
    except exc.TimeoutError as error:
        raise Retryable("No connection to the database is free.", after=1.0) from error


def _json(document: Any) -> str:
    return msgspec.json.encode(document).decode()


def _as_is(text: Any) -> Any:
    return text
