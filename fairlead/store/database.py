"""The connection to the database, and the little that differs between SQLite and PostgreSQL.

SQLite runs in WAL mode: readers never wait. One write transaction at a time takes its turn in
this process (and waits for other processes up to `_BUSY_SECONDS`); it begins IMMEDIATE, as a
transaction that starts reading and then writes would fail where two meet. `synchronous` is FULL:
NORMAL would already survive kill -9, but an accepted request shall survive a power cut too, and
one fsync per transaction is what that costs.

Invariant: whatever the database raises leaves here as `Retryable`, without the driver's words,
which users would read; those go to the log. What a statement may be expected to hit (a
duplicate) is caught where it is executed.
"""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy import event, exc
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from fairlead.errors import Retryable

log = structlog.get_logger()
T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]

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
        self._under_way: set[asyncio.Task[Any]] = set()
        if self.engine.dialect.name == "sqlite":
            self._turn = asyncio.Lock()
            self._writers = self.engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
            self._readers = self.engine.execution_options(**{_BEGIN: None})
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self.engine.sync_engine, "begin", _begin_sqlite)

    async def read(self, work: Work[T], *, snapshot: bool = False) -> T:
        """What `work` returns, given a connection; `snapshot` when its queries are several.

        As every transaction, it runs to its end also when the caller is cancelled: a statement
        that is abandoned in the driver's thread could leave its transaction, and its locks, open.
        """
        return await self._to_the_end(self._read(work, self.engine if snapshot else self._readers))

    async def write(self, work: Work[T]) -> T:
        """What `work` returns, its changes committed; undone when it raises."""
        return await self._to_the_end(self._write(work))

    async def _read(self, work: Work[T], engine: AsyncEngine) -> T:
        with _translated():
            async with engine.connect() as connection:
                return await work(connection)

    async def _write(self, work: Work[T]) -> T:
        with _translated():
            async with self._turn or nullcontext(), self._writers.begin() as connection:
                return await work(connection)

    async def _to_the_end(self, transaction: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(transaction)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

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
        """Close every connection, once what is under way has ended."""
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self.engine.dispose()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver shall not begin transactions by itself
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        _patiently(cursor, pragma)
    cursor.close()


def _patiently(cursor: Any, pragma: str) -> None:
    """The busy timeout does not hold for the change to WAL, which two first starts may meet in."""
    end = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            cursor.execute(pragma)
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)


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
        log.error("database failed", error=str(error.orig))
        raise Retryable("The database does not answer.", after=1.0) from error
    except exc.TimeoutError as error:
        raise Retryable("No connection to the database is free.", after=1.0) from error


def _json(document: Any) -> str:
    return msgspec.json.encode(document).decode()


def _as_is(text: Any) -> Any:
    return text
