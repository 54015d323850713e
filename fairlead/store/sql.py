"""The `Store` port on an SQL database.

Who calls: the API (edits, lists) and the controller (everything else), made by the wiring.
Invariants: edits of one load balancer take turns inside this process, which only saves work;
what makes them correct, also between processes, is the compare-and-set of trees.save.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from weakref import WeakValueDictionary

from sqlalchemy.ext.asyncio import AsyncEngine

from fairlead.domain.edits import Edit
from fairlead.domain.events import Event
from fairlead.domain.observed import Amphora
from fairlead.domain.query import Query
from fairlead.domain.quota import Quota, growth
from fairlead.domain.tree import Tree
from fairlead.domain.views import Entry
from fairlead.errors import Stale
from fairlead.ports.store import Announce, unannounced
from fairlead.store import amphorae, listing, records, reports, single, trees
from fairlead.store.catalog import SqlCatalog
from fairlead.store.database import Database
from fairlead.store.links import needs_queries
from fairlead.store.migrate import migrate
from fairlead.store.quotas import SqlQuotas
from fairlead.store.secrets import SqlSecrets
from fairlead.wire.heartbeat import Counters

_EDIT_ATTEMPTS = 100
_NO_LIMITS = Quota()


class SqlStore:
    """Everything remembered in the database at `url` (sqlite+aiosqlite or postgresql+psycopg).

    `quota` are the limits of projects that have none of their own; `keeps_quotas` False lets
    everybody have everything.
    """

    def __init__(self, url: str, *, quota: Quota = _NO_LIMITS, keeps_quotas: bool = True) -> None:
        self._database = Database(url)
        self.catalog = SqlCatalog(self._database)
        self.quotas = SqlQuotas(self._database, quota, enforced=keeps_quotas)
        self._events = records.EventLog(self._database)
        self.secrets = SqlSecrets(self._database)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def engine(self) -> AsyncEngine:
        """The engine, for counting statements."""
        return self._database.engine

    async def start(self) -> None:
        """Bring the tables to the newest form; needed before any other call."""
        await migrate(self._database)

    async def close(self) -> None:
        """Close every connection."""
        await self._database.close()

    async def ping(self) -> None:
        """As the port: looks for a row of what matters."""
        await self._database.read(records.anything)

    async def edit(self, lb_id: str, edit: Edit, announce: Announce = unannounced) -> Tree:
        """As the port; `Stale` when a hundred attempts met other changes."""
        async with self._turns.setdefault(lb_id, asyncio.Lock()):
            for _ in range(_EDIT_ATTEMPTS):
                before = await self.tree(lb_id)
                after = edit(before)
                if after is before:
                    return after
                await self._may_be_told(before, after)
                with suppress(Stale):
                    async with announce(before, after):
                        await trees.save(self._database, before, after, self.quotas)
                    return after
        raise Stale(f"Load Balancer {lb_id} is being changed from too many places at once.")

    async def create(self, tree: Tree, announce: Announce = unannounced) -> Tree:
        """As the port."""
        await self._may_be_told(None, tree)
        async with announce(None, tree):
            await self._database.write(lambda c: trees.insert(c, tree, self.quotas))
        return tree

    async def _may_be_told(self, before: Tree | None, after: Tree) -> None:
        """`QuotaMet` before a third party's driver hears of what could not be stored."""
        if not after.own:
            project_id, added = after.root.project_id, growth(before, after)
            await self._database.read(lambda c: self.quotas.check(c, project_id, added))

    async def tree(self, lb_id: str) -> Tree:
        """As the port."""
        return await self._database.read(lambda c: trees.load(c, lb_id))

    async def owner(self, kind: str, object_id: str) -> str:
        """As the port; objects that were asked to go are found until that is settled."""
        return await self._database.read(lambda c: trees.owner(c, kind, object_id))

    async def one(
        self,
        kind: str,
        object_id: str,
        *,
        parent_id: str | None = None,
        links: frozenset[str] | None = None,
    ) -> Entry:
        """As the port."""
        return await self._database.read(
            lambda c: single.entry(c, kind, object_id, parent_id, links),
            snapshot=needs_queries(kind, links),
        )

    async def list(self, query: Query) -> Sequence[Entry]:
        """As the port; see fields.py for what can be filtered and sorted by."""
        several = query.marker is not None or needs_queries(query.kind, query.links)
        return await self._database.read(lambda c: listing.page(c, query), snapshot=several)

    async def all_ids(self) -> Sequence[str]:
        """As the port."""
        return await self._database.read(trees.ids)

    async def settle(self, lb_id: str, generation: int, epoch: int) -> None:
        """As the port; harmless when nothing is left."""
        if await self._database.write(lambda c: trees.settle(c, lb_id, generation, epoch)):
            self._events.forget(lb_id)

    async def give_up(self, lb_id: str, generation: int, epoch: int) -> None:
        """As the port."""
        await self._database.write(lambda c: trees.give_up(c, lb_id, generation, epoch))

    async def locate(self, ids: Collection[str]) -> Mapping[str, tuple[str, str]]:
        """As the port; also objects that were asked to go."""
        return await self._database.read(lambda c: reports.locate(c, ids))

    async def report(self, lb_id: str, statuses: Mapping[str, str]) -> None:
        """As the port; ids that the load balancer does not have are passed over."""
        await reports.report(self._database, lb_id, statuses)

    async def forget(self, lb_id: str, ids: Sequence[str]) -> None:
        """As the port; harmless when nothing is left."""
        await self._database.write(lambda c: reports.forget(c, lb_id, ids))
        if lb_id in ids:
            self._events.forget(lb_id)

    async def count_reported(self, counters: Mapping[str, Counters]) -> None:
        """As the port; other listeners are passed over."""
        await reports.count(self._database, counters)

    async def put_amphora(self, amphora: Amphora) -> None:
        """As the port; `NotFound` when its load balancer is gone."""
        await amphorae.put(self._database, amphora)

    async def drop_amphora(self, amphora_id: str) -> None:
        """As the port."""
        await amphorae.drop(self._database, amphora_id)

    async def restart_counting(self, amphora_id: str) -> None:
        """As the port."""
        await amphorae.restart_counting(self._database, amphora_id)

    async def amphorae(self, lb_id: str | None = None) -> Sequence[Amphora]:
        """As the port."""
        return await self._database.read(lambda c: amphorae.read(c, lb_id))

    async def list_amphorae(self, query: Query) -> Sequence[Amphora]:
        """As the port."""
        return await self._database.read(lambda c: amphorae.page(c, query), snapshot=True)

    async def observe(self, statuses: Mapping[str, Mapping[str, str]]) -> None:
        """As the port; ids that the load balancer does not have are passed over."""
        await records.observe(self._database, statuses)

    async def count(self, counters: Mapping[str, Mapping[str, Counters]]) -> None:
        """As the port; an unknown amphora or listener is passed over."""
        await amphorae.count(self._database, counters)

    async def statistics(self, lb_id: str) -> Mapping[str, Counters]:
        """As the port."""
        return await self._database.read(lambda c: amphorae.read_statistics(c, lb_id))

    async def counters(self, amphora_id: str) -> Mapping[str, Counters]:
        """As the port."""
        return await self._database.read(lambda c: amphorae.read_counters(c, amphora_id))

    async def record(self, events: Sequence[Event]) -> None:
        """As the port; events of a load balancer that is gone are passed over."""
        await self._events.record(events)

    async def events(self, lb_id: str, *, limit: int = 100) -> Sequence[Event]:
        """As the port."""
        return await self._database.read(lambda c: records.read_events(c, lb_id, limit))

    async def next_epoch(self) -> int:
        """As the port."""
        return await records.next_epoch(self._database)
