"""Which amphorae there are, and what is remembered of each.

Read from the records when somebody asks for it, not by the clock alone: after a change of a load
balancer (`learn`), when an unknown amphora speaks, before anything is decided about a silent one,
and else every `READ_EVERY` seconds (`refresh`). Memory is bounded by what is recorded. Used by
health.py, assessor.py and watch.py, on one event loop.
"""

import sys
from collections.abc import Iterable, Mapping

from msgspec import Struct

from fairlead.domain.observed import Amphora
from fairlead.ports import Clock, Store
from fairlead.wire.heartbeat import Counters, Report

READ_EVERY = 30.0
_WATCHED = frozenset({"ALLOCATED", "ERROR"})


class Silence(Struct, kw_only=True):
    """An amphora that does not answer; `told` is what was last said of it."""

    since: float
    proven: bool
    reason: str
    begun: bool = False
    told: str = ""


class Pulse(Struct, kw_only=True):
    """What is remembered of one amphora; states and totals are by object id.

    `watched` is whether its silence matters. `assessed` is false while its state, though nothing
    in it changed, has yet to become operating statuses.
    """

    amphora_id: str
    lb_id: str
    address: str | None
    watched: bool
    seen: float
    boot: str = ""
    sequence: int = -1
    asked: bool = False
    silence: Silence | None = None
    assessed: bool = False
    revision: str | None = None
    healthy: bool = True
    listeners: dict[str, str] = {}
    members: dict[str, str] = {}
    counted: dict[str, Counters] = {}

    def is_news(self, report: Report) -> bool:
        """Whether the report is of another life, or later than what was heard."""
        return report.boot != self.boot or report.sequence > self.sequence

    def hear(self, report: Report) -> bool:
        """Take in a report that is news; whether it tells another state than before.

        A large amphora tells its state in several parts, so what is not in it stays.
        """
        if report.boot != self.boot:
            self.boot, self.counted = report.boot, {}  # a new life may count from zero
        self.sequence = report.sequence
        changed = report.healthy is not self.healthy
        self.healthy = report.healthy
        if report.revision != self.revision:
            self.revision, self.listeners, self.members, self.counted = report.revision, {}, {}, {}
            changed = True
        listeners = _merge(self.listeners, ((one.id, one.state) for one in report.listeners))
        members = _merge(self.members, ((one.id, one.state) for one in report.members))
        return changed or listeners or members

    def count(self, report: Report) -> Mapping[str, Counters]:
        """The totals that are others than before."""
        known = self.counted
        changed = {o.id: o.counters for o in report.listeners if known.get(o.id) != o.counters}
        known.update(changed)
        return changed


def _merge(states: dict[str, str], found: Iterable[tuple[str, str]]) -> bool:
    """Take in states; whether one of them was another before."""
    changed = False
    for object_id, state in found:
        if states.get(object_id) != state:
            states[object_id] = sys.intern(state)
            changed = True
    return changed


class Roster:
    """The pulses of all recorded amphorae, by id."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._read = float("-inf")
        self.pulses: dict[str, Pulse] = {}

    @property
    def age(self) -> float:
        """Seconds since all records were read; infinite before the first time."""
        return self._clock.monotonic() - self._read

    async def refresh(self) -> None:
        """Read all records."""
        before = set(self.pulses)
        self._take(await self._store.amphorae(), before)
        self._read = self._clock.monotonic()

    async def learn(self, lb_id: str) -> None:
        """Read the records of one load balancer."""
        before = {p.amphora_id for p in self.of(lb_id)}
        self._take(await self._store.amphorae(lb_id), before)

    def of(self, lb_id: str) -> list[Pulse]:
        """Those that are known of one load balancer."""
        return [p for p in self.pulses.values() if p.lb_id == lb_id]

    def _take(self, records: Iterable[Amphora], before: set[str]) -> None:
        """Know who is recorded; of those known `before` it was read, drop the others."""
        for record in records:
            before.discard(record.id)
            pulse = self.pulses.get(record.id)
            if pulse is None:
                self.pulses[record.id] = self._first(record)
            else:
                pulse.address, pulse.watched = record.lb_network_ip, record.status in _WATCHED
        for amphora_id in before:
            self.pulses.pop(amphora_id, None)

    def _first(self, record: Amphora) -> Pulse:
        return Pulse(
            amphora_id=record.id, lb_id=record.loadbalancer_id, address=record.lb_network_ip,
            watched=record.status in _WATCHED, seen=self._clock.monotonic(),
        )  # fmt: skip
