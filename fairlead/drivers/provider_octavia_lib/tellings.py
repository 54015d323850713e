"""Edits that a driver is being told of, and what drivers report of them meanwhile.

A driver may report a status before the call that told it has returned, so before the objects are
stored. Such reports wait here until they are. Invariant: reports of one load balancer are passed
on in the order in which they came. Used by provider.py (which tells) and door.py (which hears).
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog
from msgspec import Struct

from fairlead.domain.tree import Tree
from fairlead.errors import FairleadError
from fairlead.ports import DriverReports
from fairlead.wire.driver_agent import Malformed, Said

log = structlog.get_logger()
_MOST_HELD = 100_000


class _Open(Struct):
    """A load balancer that is being told about; `tree` is what it shall become."""

    tree: Tree
    under_way: int = 0
    held: list[Said] = []

    def knows(self, object_id: str) -> bool:
        return object_id == self.tree.id or object_id in self.tree.objects


class Tellings:
    """All of one process."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._reports: DriverReports | None = None
        self._draining: set[asyncio.Task[None]] = set()

    def connect(self, reports: DriverReports) -> None:
        """Who takes reports in."""
        self._reports = reports

    @contextmanager
    def about(self, after: Tree) -> Iterator[None]:
        """While an edit is told and stored."""
        one = self._open.setdefault(after.id, _Open(after))
        one.tree = after
        one.under_way += 1
        try:
            yield
        finally:
            one.under_way -= 1
            if one.under_way == 0:
                self._drain_later(after.id, one)

    def tree_of(self, kind: str, object_id: str) -> Tree | None:
        """The tree of an object that is being told about, as it shall become."""
        for one in self._open.values():
            if one.under_way and one.knows(object_id):
                found = one.tree.root if object_id == one.tree.id else one.tree.objects[object_id]
                live = kind == found.KIND and found.deleted_gen is None
                return one.tree if live else None
        return None

    async def status(self, said: Sequence[Said]) -> None:
        """Pass statuses on, or hold back what is about load balancers under way."""
        ready: list[Said] = []
        for one in said:
            holder = next((o for o in self._open.values() if o.knows(one.id)), None)
            if holder is None:
                ready.append(one)
            elif len(holder.held) < _MOST_HELD:
                holder.held.append(one)
            else:
                raise Malformed("Too many reports wait until what they are about is stored.")
        if ready and self._reports is not None:
            await self._reports.status(ready)

    def _drain_later(self, lb_id: str, one: _Open) -> None:
        if not one.held:
            del self._open[lb_id]
            return
        task = asyncio.create_task(self._drain(lb_id, one))
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)

    async def _drain(self, lb_id: str, one: _Open) -> None:
        """Pass on what was held; what comes meanwhile queues up behind it."""
        while one.held and not one.under_way:
            held, one.held = one.held, []
            try:
                assert self._reports is not None  # noqa: S101 - only it can have been heard
                await self._reports.status(held)
            except (FairleadError, Malformed) as error:
                log.warning("a report was lost", lb_id=lb_id, reason=str(error))
        if not one.under_way:
            self._open.pop(lb_id, None)
