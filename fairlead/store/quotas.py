"""The `Quotas` port, and the check that keeps projects within their limits.

Invariant: what is counted and what is added are of one transaction, and those of one project take
turns: SQLite has one writer; on PostgreSQL a lock named after the project is held until the
transaction ends. A write that adds nothing is not checked, one that adds costs one statement,
and one more where there is a limit. Called by trees.py, made by sql.py.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from fairlead.domain.model import KINDS
from fairlead.domain.query import Query
from fairlead.domain.quota import UNLIMITED, ProjectQuota, Quota
from fairlead.errors import QuotaMet
from fairlead.store import paging
from fairlead.store.database import Database
from fairlead.store.documents import decoder
from fairlead.store.schema import quotas, resources

_LIMITS = Quota.__struct_fields__


class SqlQuotas:
    """See the port; `defaults` hold for what a project has not set, `enforced` is whether."""

    def __init__(self, database: Database, defaults: Quota, *, enforced: bool) -> None:
        self._database = database
        self._defaults = defaults
        self._enforced = enforced

    async def list(self, query: Query) -> Sequence[ProjectQuota]:
        """As the port."""
        source = paging.Source(
            select=sa.select,
            scope=[] if query.project_id is None else [quotas.c.project_id == query.project_id],
            fields={"project_id": quotas.c.project_id, **{k: self._limit(k) for k in _LIMITS}},
            key="project_id",
            last=("project_id",),
        )
        columns = (quotas.c.project_id, quotas.c.doc)
        rows = await self._database.read(
            lambda c: paging.rows(c, query, source, *columns), snapshot=True
        )
        return [self._quota(row.project_id, row.doc) for row in rows]

    async def of(self, project_id: str) -> ProjectQuota:
        """As the port."""
        return self._quota(project_id, await self._database.read(lambda c: _read(c, project_id)))

    def defaults(self, project_id: str) -> ProjectQuota:
        """As the port."""
        return self._quota(project_id, None)

    async def put(self, project_id: str, limits: Mapping[str, int | None]) -> ProjectQuota:
        """As the port."""

        async def write(connection: AsyncConnection) -> str:
            # An upsert first: it locks the row, also one that was not there.
            first = self._database.insert(quotas).values(project_id=project_id, doc={})
            keyed = {"index_elements": ["project_id"], "set_": {"project_id": project_id}}
            document = await connection.scalar(
                first.on_conflict_do_update(**keyed).returning(quotas.c.doc)
            )
            merged = {**_limits(document), **limits}
            own = {kind: limit for kind, limit in merged.items() if limit is not None}
            row = quotas.c.project_id == project_id
            await connection.execute(sa.update(quotas).where(row).values(doc=own))
            return msgspec.json.encode(own).decode()

        return self._quota(project_id, await self._database.write(write))

    async def reset(self, project_id: str) -> None:
        """As the port."""
        row = quotas.c.project_id == project_id
        await self._database.write(lambda c: c.execute(sa.delete(quotas).where(row)))

    async def check(
        self, connection: AsyncConnection, project_id: str | None, added: Mapping[str, int]
    ) -> None:
        """`QuotaMet` unless the project may have so many more; before they are stored."""
        if not added or not self._enforced or project_id is None:
            return
        own = await self._locked(connection, project_id)
        limits = {kind: getattr(own, kind) for kind in added}
        limited = [kind for kind, limit in limits.items() if limit != UNLIMITED]
        if not limited:
            return
        used = await _used(connection, project_id, limited)
        met = [k for k in KINDS if k in limited and used.get(k, 0) + added[k] > limits[k]]
        if met:
            raise QuotaMet(*(KINDS[kind].word for kind in met))

    async def _locked(self, connection: AsyncConnection, project_id: str) -> ProjectQuota:
        own = sa.select(quotas.c.doc).where(quotas.c.project_id == project_id).scalar_subquery()
        columns: list[Any] = [own]
        if connection.dialect.name == "postgresql":
            key = sa.func.hashtextextended(f"quota {project_id}", 0)
            columns.append(sa.func.pg_advisory_xact_lock(key))
        row = (await connection.execute(sa.select(*columns))).one()
        return self._quota(project_id, row[0])

    def _quota(self, project_id: str, document: str | None) -> ProjectQuota:
        limits = {**msgspec.structs.asdict(self._defaults), **_limits(document)}
        return ProjectQuota(project_id=project_id, **limits)

    def _limit(self, kind: str) -> sa.ColumnElement[Any]:
        own = quotas.c.doc[kind].as_integer()
        return sa.func.coalesce(own, getattr(self._defaults, kind))


def _limits(document: str | None) -> dict[str, int]:
    return decoder(dict[str, int]).decode(document) if document else {}


async def _read(connection: AsyncConnection, project_id: str) -> str | None:
    found: str | None = await connection.scalar(
        sa.select(quotas.c.doc).where(quotas.c.project_id == project_id)
    )
    return found


async def _used(
    connection: AsyncConnection, project_id: str, kinds: Collection[str]
) -> dict[str, int]:
    """How many a project has; of what was asked to go, load balancers alone still count."""
    counted = sa.or_(resources.c.deleted_gen.is_(None), resources.c.kind == "loadbalancer")
    rows = await connection.execute(
        sa.select(resources.c.kind, sa.func.count())
        .where(resources.c.project_id == project_id, resources.c.kind.in_(kinds), counted)
        .group_by(resources.c.kind)
    )
    return {row[0]: row[1] for row in rows}
