"""Stores that the contract of `ports.Store` is tried on, and trees to fill them with.

A store joins by one line in `STORES`: a context that yields a URL of an empty database.
"""

import random
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from fairlead.domain import edits
from fairlead.domain.edits import Edit
from fairlead.domain.model import LoadBalancer
from fairlead.domain.tree import Tree
from fairlead.errors import FairleadError
from fairlead.store import SqlStore

EPOCH = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
STATUSES = ("ONLINE", "OFFLINE", "DEGRADED", "ERROR", "DRAINING", "NO_MONITOR")
REPORTS = ("ACTIVE", "ERROR", "PENDING_UPDATE")
NAMES = ("", "a", "B", "b", "Ä", 'say "hi"', "100%", "a_b", "1")
TAGS = ("red", "Red", "re", 'a"b', "a,b", ",", "\n", "ü", "\\")


@asynccontextmanager
async def sqlite(directory: Path) -> AsyncIterator[str]:
    yield f"sqlite+aiosqlite:///{directory}/fairlead.sqlite"


STORES = {"sqlite": sqlite}

# Trees are drawn by seed; shrinking a seed says nothing, so a failure names it and stops.
CHANCES = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)


def chances() -> st.SearchStrategy[random.Random]:
    return st.integers(0, 10**9).map(random.Random)


class Stores:
    """Several stores on one database, as several processes have them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._open: list[SqlStore] = []

    async def another(self) -> SqlStore:
        store = SqlStore(self.url)
        self._open.append(store)
        await store.start()
        return store

    async def close(self) -> None:
        for store in self._open:
            await store.close()


def new_id() -> str:
    return str(uuid.uuid4())


def balancer(name: str = "web", project_id: str = "p1", **values: Any) -> Tree:
    """A new load balancer without children."""
    root = LoadBalancer(
        id=new_id(), name=name, project_id=project_id, created_at=EPOCH, **values
    )  # fmt: skip
    return Tree(root=root)


def adding(kind: str, object_id: str | None = None, **values: Any) -> Edit:
    return edits.add(kind, values, new_id=object_id or new_id(), now=EPOCH)


def adding_pool(lb_id: str, object_id: str | None = None, **values: Any) -> Edit:
    given = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"} | values
    return adding("pool", object_id, loadbalancer_id=lb_id, **given)


def adding_listener(lb_id: str, port: int, object_id: str | None = None, **values: Any) -> Edit:
    given = {"protocol": "HTTP", "protocol_port": port} | values
    return adding("listener", object_id, loadbalancer_id=lb_id, **given)


def adding_member(pool_id: str, number: int, object_id: str | None = None, **values: Any) -> Edit:
    address = f"10.0.{number // 250}.{number % 250 + 1}"
    return adding("member", object_id, pool_id=pool_id, address=address, protocol_port=80, **values)


def tree_of_members(members: int) -> tuple[Tree, str]:
    """A tree with one listener and one pool of so many members, and the pool's id."""
    tree, pool_id = balancer(), new_id()
    tree = adding_pool(tree.id, pool_id)(tree)
    tree = adding_listener(tree.id, 80, default_pool_id=pool_id)(tree)
    for number in range(members):
        tree = adding_member(pool_id, number)(tree)
    return tree, pool_id


class Gardener:
    """Random edits of every kind, as users would ask for them."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def edits(self, count: int) -> Iterator[Edit]:
        for _ in range(count):
            yield self.edit

    def edit(self, tree: Tree) -> Tree:
        """One random step; the same tree when the domain refuses it."""
        if tree.deleted:
            return tree
        makers: list[Callable[[Tree], Edit]] = [
            self._pool, self._listener, self._member, self._member, self._monitor,
            self._policy, self._policy, self._rule, self._rule, self._change, self._remove,
        ]  # fmt: skip
        try:
            return self.chance.choice(makers)(tree)(tree)
        except (FairleadError, IndexError):
            return tree

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.chance.randrange(4))

    def _add(self, kind: str, **values: Any) -> Edit:
        values["admin_state_up"] = self.chance.random() < 0.8
        values["tags"] = tuple(self.chance.sample(TAGS, self.chance.randrange(3)))
        if kind != "l7rule":
            values["name"] = self.chance.choice(NAMES)
        return edits.add(kind, values, new_id=new_id(), now=self.now())

    def _pool(self, tree: Tree) -> Edit:
        algorithm = self.chance.choice(("ROUND_ROBIN", "SOURCE_IP"))
        return self._add("pool", loadbalancer_id=tree.id, protocol="HTTP", lb_algorithm=algorithm)

    def _listener(self, tree: Tree) -> Edit:
        pool = self.chance.choice([None, *tree.pools])
        return self._add(
            "listener", loadbalancer_id=tree.id, protocol="HTTP",
            protocol_port=self.chance.randrange(80, 90), default_pool_id=pool and pool.id,
            insert_headers=self.chance.choice(({}, {"X-Forwarded-For": "true"})),
            hsts_max_age=self.chance.choice((None, 0, 9, 10)),
            description=self.chance.choice(NAMES),
        )  # fmt: skip

    def _member(self, tree: Tree) -> Edit:
        return self._add(
            "member", pool_id=self.chance.choice(tree.pools).id,
            address=f"10.0.0.{self.chance.randrange(1, 20)}", protocol_port=80,
            weight=self.chance.choice((0, 1, 9, 10)), backup=self.chance.random() < 0.5,
            monitor_port=self.chance.choice((None, 8080, 99)),
        )  # fmt: skip

    def _monitor(self, tree: Tree) -> Edit:
        type_, version = self.chance.choice((("TCP", None), ("HTTP", 1.0), ("HTTP", 1.1)))
        return self._add(
            "healthmonitor", pool_id=self.chance.choice(tree.pools).id, type=type_,
            delay=self.chance.randrange(1, 4), timeout=1, max_retries=2, http_version=version,
        )  # fmt: skip

    def _policy(self, tree: Tree) -> Edit:
        target = self.chance.choice(
            [{"action": "REJECT"}]
            + [{"action": "REDIRECT_TO_POOL", "redirect_pool_id": p.id} for p in tree.pools]
        )
        return self._add(
            "l7policy", listener_id=self.chance.choice(tree.listeners).id,
            position=self.chance.randrange(1, 5), **target,
        )  # fmt: skip

    def _rule(self, tree: Tree) -> Edit:
        return self._add(
            "l7rule", l7policy_id=self.chance.choice(tree.policies).id, type="PATH",
            compare_type="STARTS_WITH", value=self.chance.choice(("/a", "/B")),
            invert=self.chance.random() < 0.5,
        )  # fmt: skip

    def _change(self, tree: Tree) -> Edit:
        one = self.chance.choice([o for o in tree.everything() if o.deleted_gen is None])
        up = self.chance.random() < 0.7
        return edits.change(one.KIND, one.id, {"admin_state_up": up}, now=self.now())

    def _remove(self, tree: Tree) -> Edit:
        one = self.chance.choice([o for o in tree.everything() if o.deleted_gen is None])
        if one.id == tree.id and self.chance.random() < 0.9:
            raise IndexError
        return edits.remove(one.KIND, one.id, cascade=True)


async def planted(store: SqlStore, chance: random.Random, edits_made: int) -> Tree:
    """A random tree in the store, with random generations applied, given up on, and observed."""
    project = chance.choice(("p1", "p2"))
    tree = await store.create(
        balancer(
            chance.choice(NAMES), project, tags=tuple(chance.sample(TAGS, chance.randrange(3))),
            vip_address=chance.choice((None, "192.0.2.1", "2001:db8::1")),
        )
    )  # fmt: skip
    gardener = Gardener(chance)
    for edit in gardener.edits(edits_made):
        tree = await store.edit(tree.id, edit)
        if chance.random() < 0.1:
            await store.settle(tree.id, chance.randrange(tree.generation + 1), 1)
            if tree.id not in await store.all_ids():
                return await planted(store, chance, edits_made // 2)
    await store.give_up(tree.id, chance.randrange(tree.generation + 1), 1)
    await store.observe(
        {
            tree.id: {
                o.id: chance.choice(STATUSES) for o in tree.everything() if chance.random() < 0.6
            }
        }
    )
    await store.report(
        tree.id, {o.id: chance.choice(REPORTS) for o in tree.everything() if chance.random() < 0.2}
    )
    for edit in gardener.edits(chance.randrange(3)):
        tree = await store.edit(tree.id, edit)
    return await store.tree(tree.id)
