"""Reading and writing trees.

Invariants: a tree is read by one query; an edit is one transaction that first advances the
generation by compare-and-set and then writes the changed rows by one statement. `applied`,
`failed` and `epoch` are touched only by `settle` and `give_up`, which touch nothing else of a
tree, so they never meet an edit. An edit never changes an object that was asked to go, so it
cannot bring back what `settle` removes. Called by sql.py.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from fairlead.domain.model import KINDS, LoadBalancer, Resource
from fairlead.domain.quota import growth
from fairlead.domain.tree import Report, Tree
from fairlead.errors import Conflict, Fenced, NotFound, Stale
from fairlead.store import catalog, documents
from fairlead.store.database import Database
from fairlead.store.quotas import SqlQuotas
from fairlead.store.schema import observations, reports, resources, trees

_LOAD = (
    sa.select(
        trees.c.generation,
        trees.c.applied,
        trees.c.failed,
        resources.c.kind,
        resources.c.doc,
        resources.c.id,
        observations.c.operating_status,
        reports.c.generation.label("reported"),
        reports.c.provisioning_status,
    )
    .select_from(trees)
    .join(resources, resources.c.lb_id == trees.c.lb_id)
    .outerjoin(observations, observations.c.id == resources.c.id)
    .outerjoin(reports, reports.c.id == resources.c.id)
    .where(trees.c.lb_id == sa.bindparam("lb_id"))
    .order_by(resources.c.created_gen, resources.c.ordinal)
)
_ADVANCE = (
    sa.update(trees)
    .where(trees.c.lb_id == sa.bindparam("of_lb"), trees.c.generation == sa.bindparam("before"))
    .values(generation=sa.bindparam("after"))
)
_SETTLED = sa.delete(resources).where(
    resources.c.lb_id == sa.bindparam("of_lb"),
    resources.c.deleted_gen <= sa.bindparam("up_to"),
)
_ROOTLESS = sa.delete(trees).where(
    trees.c.lb_id == sa.bindparam("of_lb"),
    ~sa.exists().where(resources.c.id == trees.c.lb_id),
)


async def load(connection: AsyncConnection, lb_id: str) -> Tree:
    """The tree, or `NotFound`."""
    rows = (await connection.execute(_LOAD, {"lb_id": lb_id})).all()
    if not rows:
        raise NotFound(KINDS["loadbalancer"].word, lb_id)
    found = {row.id: documents.resource(row.kind, row.doc) for row in rows}
    root = found.pop(lb_id)
    assert isinstance(root, LoadBalancer)  # noqa: S101 - only a load balancer heads a tree
    return Tree(
        root=root,
        objects=found,
        generation=rows[0].generation,
        applied=rows[0].applied,
        failed=rows[0].failed,
        observed={row.id: row.operating_status for row in rows if row.operating_status},
        reports={
            row.id: Report(generation=row.reported, status=row.provisioning_status)
            for row in rows
            if row.reported is not None
        },
    )


async def insert(connection: AsyncConnection, tree: Tree, quotas: SqlQuotas) -> None:
    """A new tree; `Conflict` when its id, or one of its objects', exists.

    `Refused` when its flavor or zone went away meanwhile, `QuotaMet` when it is too much.
    """
    await catalog.hold(connection, tree.root)
    await quotas.check(connection, tree.root.project_id, growth(None, tree))
    head = {"lb_id": tree.id, "generation": tree.generation, "applied": tree.applied}
    rows = [documents.row(o, tree.id, n) for n, o in enumerate(tree.everything())]
    try:
        await connection.execute(sa.insert(trees), head | {"failed": tree.failed, "epoch": 0})
        await connection.execute(sa.insert(resources), rows)
    except sa.exc.IntegrityError as error:
        raise Conflict(f"Load Balancer {tree.id} or one of its objects already exists.") from error


async def save(database: Database, before: Tree, after: Tree, quotas: SqlQuotas) -> None:
    """Write what changed; `Stale` when the stored tree is no longer `before`.

    `QuotaMet` when the project may not have what was added.
    """
    rows, added = list(_changed_rows(before, after)), growth(before, after)
    upsert = database.upsert(resources, keep=frozenset({"created_gen", "ordinal"}))

    async def write(connection: AsyncConnection) -> None:
        moved = {"of_lb": after.id, "before": before.generation, "after": after.generation}
        if (await connection.execute(_ADVANCE, moved)).rowcount != 1:
            raise Stale(f"Load Balancer {after.id} was changed meanwhile.")
        await quotas.check(connection, after.root.project_id, added)
        if rows:
            await connection.execute(upsert, rows)

    await database.write(write)


def _changed_rows(before: Tree, after: Tree) -> Iterator[dict[str, Any]]:
    known: dict[str, Resource] = {**before.objects, before.id: before.root}
    for ordinal, one in enumerate(after.everything()):
        old = known.get(one.id)
        if old is not one and old != one:
            yield documents.row(one, after.id, ordinal)


async def settle(connection: AsyncConnection, lb_id: str, generation: int, epoch: int) -> bool:
    """Record `generation` as applied and remove what it deleted; True when all of it is gone."""
    if not await _mark(connection, trees.c.applied, lb_id, generation, epoch):
        return True
    await connection.execute(_SETTLED, {"of_lb": lb_id, "up_to": generation})
    return bool((await connection.execute(_ROOTLESS, {"of_lb": lb_id})).rowcount)


async def give_up(connection: AsyncConnection, lb_id: str, generation: int, epoch: int) -> None:
    """Record `generation` as given up on."""
    await _mark(connection, trees.c.failed, lb_id, generation, epoch)


async def _mark(
    connection: AsyncConnection, column: sa.Column[int], lb_id: str, generation: int, epoch: int
) -> bool:
    """Raise `column` to `generation`; False when no tree is left, `Fenced` by a newer epoch."""
    raised = sa.case((column < generation, generation), else_=column)
    marked = await connection.execute(
        sa.update(trees)
        .where(trees.c.lb_id == lb_id, trees.c.epoch <= epoch)
        .values({column: raised, trees.c.epoch: epoch})
    )
    if marked.rowcount:
        return True
    if await connection.scalar(sa.select(trees.c.epoch).where(trees.c.lb_id == lb_id)) is None:
        return False
    raise Fenced(f"A newer controller than epoch {epoch} looks after Load Balancer {lb_id}.")


async def owner(connection: AsyncConnection, kind: str, object_id: str) -> str:
    """The load balancer id of an object, also of one that was asked to go."""
    found = await connection.scalar(
        sa.select(resources.c.lb_id).where(resources.c.id == object_id, resources.c.kind == kind)
    )
    if found is None:
        raise NotFound(KINDS[kind].word, object_id)
    return str(found)


async def ids(connection: AsyncConnection) -> Sequence[str]:
    """Ids of every load balancer."""
    return (await connection.scalars(sa.select(trees.c.lb_id).order_by(trees.c.lb_id))).all()
