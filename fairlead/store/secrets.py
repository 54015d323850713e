"""Secrets and containers as rows: the port `SecretRows` on the database.

Every lookup names the project: what is another's is not found. Payloads come sealed and leave
sealed. Made by `SqlStore`; called by the local cabinet.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from fairlead.domain.secrets import WORDS, Container, Secret, SecretKind, SecretQuery
from fairlead.errors import NotFound, QuotaMet
from fairlead.store.database import Database
from fairlead.store.documents import decoder
from fairlead.store.schema import secrets

T = TypeVar("T", Secret, Container)
_KINDS: dict[type[Secret] | type[Container], SecretKind] = {
    Secret: "secret",
    Container: "container",
}
_TYPES = {kind: type_ for type_, kind in _KINDS.items()}


class SqlSecrets:
    """As the port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, row: Secret | Container, sealed: bytes | None, *, most: int) -> None:
        """As the port."""
        kind = _KINDS[type(row)]
        expires = row.expiration if isinstance(row, Secret) else None
        values = {
            "id": row.id, "kind": kind, "project_id": row.project_id, "doc": row,
            "created_at": row.created_at, "expires_at": expires, "sealed": sealed,
        }  # fmt: skip
        held = _of(kind, row.project_id)

        async def write(connection: AsyncConnection) -> None:
            if await _count(connection, held) >= most:
                raise QuotaMet(WORDS[kind])
            await connection.execute(sa.insert(secrets), values)

        await self._database.write(write)

    async def fill(self, secret: Secret, sealed: bytes) -> bool:
        """As the port."""
        empty = [*_one("secret", secret.id, secret.project_id), secrets.c.sealed.is_(None)]
        statement = sa.update(secrets).where(*empty).values(sealed=sealed, doc=secret)
        return (await self._database.write(lambda c: c.execute(statement))).rowcount == 1

    async def get(self, type_: type[T], object_id: str, project_id: str) -> T:
        """As the port."""
        kind = _KINDS[type_]
        query = sa.select(secrets.c.doc).where(*_one(kind, object_id, project_id))
        doc = await self._database.read(lambda c: c.scalar(query))
        if doc is None:
            raise NotFound(WORDS[kind], object_id)
        found: T = decoder(type_).decode(doc)
        return found

    async def sealed(self, secret_id: str, project_id: str) -> tuple[Secret, bytes | None]:
        """As the port."""
        query = sa.select(secrets.c.doc, secrets.c.sealed).where(
            *_one("secret", secret_id, project_id)
        )
        row = await self._database.read(lambda c: _first(c, query))
        if row is None:
            raise NotFound(WORDS["secret"], secret_id)
        return decoder(Secret).decode(row.doc), row.sealed

    async def page(self, query: SecretQuery) -> tuple[Sequence[Secret | Container], int]:
        """As the port."""
        wanted = [
            *_of(query.kind, query.project_id),
            secrets.c.expires_at.is_(None) | (secrets.c.expires_at > query.now),
            *(_equal(name, value) for name, value in query.equal.items()),
        ]
        statement = (
            sa.select(secrets.c.doc)
            .where(*wanted)
            .order_by(secrets.c.created_at, secrets.c.id)
            .offset(query.offset)
            .limit(query.limit)
        )

        async def read(connection: AsyncConnection) -> tuple[Sequence[Secret | Container], int]:
            total = await _count(connection, wanted)
            docs = await connection.scalars(statement)
            decode = decoder(_TYPES[query.kind]).decode
            return [decode(doc) for doc in docs], total

        return await self._database.read(read, snapshot=True)

    async def delete(self, kind: SecretKind, object_id: str, project_id: str) -> None:
        """As the port."""
        statement = sa.delete(secrets).where(*_one(kind, object_id, project_id))
        if (await self._database.write(lambda c: c.execute(statement))).rowcount == 0:
            raise NotFound(WORDS[kind], object_id)

    async def any_sealed(self) -> bool:
        """As the port."""
        query = sa.select(secrets.c.id).where(secrets.c.sealed.is_not(None)).limit(1)
        return await self._database.read(lambda c: c.scalar(query)) is not None

    async def reseal(self, again: Callable[[Secret, bytes], bytes]) -> int:
        """As the port."""

        async def write(connection: AsyncConnection) -> int:
            query = sa.select(secrets.c.id, secrets.c.doc, secrets.c.sealed)
            rows = (await connection.execute(query.where(secrets.c.sealed.is_not(None)))).all()
            for row in rows:
                sealed = again(decoder(Secret).decode(row.doc), row.sealed)
                await connection.execute(
                    sa.update(secrets).where(secrets.c.id == row.id).values(sealed=sealed)
                )
            return len(rows)

        return await self._database.write(write)


def _of(kind: str, project_id: str) -> list[Any]:
    return [secrets.c.project_id == project_id, secrets.c.kind == kind]


def _one(kind: str, object_id: str, project_id: str) -> list[Any]:
    return [secrets.c.id == object_id, *_of(kind, project_id)]


def _equal(name: str, value: str | int) -> Any:
    field = secrets.c.doc[name]
    return field.as_integer() == value if isinstance(value, int) else field.as_string() == value


async def _count(connection: AsyncConnection, where: list[Any]) -> int:
    query = sa.select(sa.func.count()).select_from(secrets).where(*where)
    return int(await connection.scalar(query) or 0)


async def _first(connection: AsyncConnection, query: sa.Select[Any]) -> Any:
    return (await connection.execute(query)).first()
