"""Health: heartbeats in, operating statuses and statistics out.

Works in memory and writes changes only. A heartbeat counts when its signature fits the amphora
it names, it was sent just now, and it is newer than what was seen of that life of its agent. A
life that is not known is believed only once the agent itself was asked: the heartbeat may be a
copy. Who is not heard is looked after by watch.py. Runs next to the reconciler; wiring starts
`receive`.
"""

import asyncio
from collections.abc import Collection, Coroutine, Mapping
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from fairlead.controller.refusals import Refusals
from fairlead.domain import status
from fairlead.domain.observed import Amphora, serving
from fairlead.domain.tree import Tree
from fairlead.errors import FairleadError, NotFound
from fairlead.plan.planner import amphora_ids
from fairlead.ports import Amphorae, Clock, Heartbeats, Secrets, Store, WorkQueue
from fairlead.wire.heartbeat import (
    Counters,
    Forged,
    ListenerReport,
    MemberReport,
    Report,
    claimed_sender,
    unseal,
)

log = structlog.get_logger()
_ANSWER_SECONDS = 5.0


class Silence(Struct, kw_only=True):
    """An amphora that does not answer; `told` is what was last said of it."""

    since: float
    proven: bool
    reason: str
    begun: bool = False
    told: str = ""


class Pulse(Struct, kw_only=True):
    """What is remembered of one amphora; `turn` has its reports processed one after the other."""

    lb_id: str
    seen: float
    boot: str = ""
    sequence: int = -1
    asked: bool = False
    silence: Silence | None = None
    basis: object = None
    revision: str | None = None
    listeners: dict[str, ListenerReport] = {}
    members: dict[tuple[str, str], MemberReport] = {}
    counted: Mapping[str, Counters] = {}
    turn: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)


class Remembered(Struct, frozen=True, kw_only=True):
    """Ids of amphorae, and of load balancers with a new tree, at a moment."""

    amphorae: frozenset[str]
    stale: frozenset[str]


class Health:
    """Turns reports into observations."""

    def __init__(
        self,
        store: Store,
        queue: WorkQueue,
        amphorae: Amphorae,
        secrets: Secrets,
        clock: Clock,
        *,
        lag: float,
    ) -> None:
        """Heartbeats count when sent within `lag` seconds of now."""
        self._store = store
        self._queue = queue
        self._amphorae = amphorae
        self._secrets = secrets
        self._clock = clock
        self.refusals = Refusals(clock)
        self._lag = lag
        self._pulses: dict[str, Pulse] = {}
        self._written: dict[str, dict[str, str]] = {}
        self._stale: set[str] = set()
        self._asking: set[asyncio.Task[None]] = set()

    def settled(self, lb_id: str) -> None:
        """A new generation is in force: the next report is assessed against the new tree."""
        self._stale.add(lb_id)

    async def receive(self, heartbeats: Heartbeats) -> None:
        """Take in datagrams for ever."""
        try:
            async for datagram in heartbeats.receive():
                await self._survived(self.heartbeat(datagram))
        finally:
            for task in self._asking:
                task.cancel()
            await asyncio.gather(*self._asking, return_exceptions=True)

    async def _survived(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it; what goes wrong with one heartbeat is no concern of the next."""
        try:
            await work
        except Forged as error:
            self.refusals.add(str(error))
        except FairleadError as error:
            log.warning("heartbeat not processed", reason=str(error))
        except Exception:
            log.exception("heartbeat failed")

    async def heartbeat(self, datagram: bytes) -> None:
        """Take in one datagram; `Forged` when it is not what it claims."""
        sender = claimed_sender(datagram)
        report = unseal(datagram, self._secrets.heartbeat_key(sender))
        age = self._clock.now().timestamp() - report.sent_at
        if abs(age) > self._lag:
            raise Forged(f"the clock of amphora {sender} is off, or its words were held up")
        pulse = await self._pulse(sender)
        if pulse is None:
            return
        if report.boot == pulse.boot:
            await self.take(pulse, report)
        elif not pulse.asked:
            pulse.asked = True
            task = asyncio.create_task(self._survived(self._meet(sender, pulse)))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _meet(self, amphora_id: str, pulse: Pulse) -> None:
        """Ask an agent that seems to have begun a new life; silence is for `look` to judge."""
        try:
            for amphora in await self._store.amphorae(pulse.lb_id):
                if amphora.id == amphora_id and amphora.lb_network_ip is not None:
                    async with asyncio.timeout(_ANSWER_SECONDS):
                        found = await self._amphorae.status(amphora_id, amphora.lb_network_ip)
                    await self.take(pulse, found.report)
        except TimeoutError:
            log.warning("heartbeat of an agent that does not answer", amphora_id=amphora_id)
        finally:
            pulse.asked = False

    def pulse_of(self, amphora: Amphora) -> Pulse:
        """What is remembered of an amphora, from now on at the latest."""
        return self._pulses.setdefault(amphora.id, self._first(amphora))

    def keep_only(self, amphorae: Collection[Amphora], remembered: Remembered) -> None:
        """Drop what was `remembered` and is in no record now."""
        known = {a.loadbalancer_id for a in amphorae}
        for amphora_id in remembered.amphorae - {a.id for a in amphorae}:
            self._pulses.pop(amphora_id, None)
        self._stale -= remembered.stale - known
        for lb_id in self._written.keys() - known - {p.lb_id for p in self._pulses.values()}:
            del self._written[lb_id]

    @property
    def remembered(self) -> Remembered:
        """Whom something is remembered of, to be asked before the records are read."""
        return Remembered(amphorae=frozenset(self._pulses), stale=frozenset(self._stale))

    async def silenced(self, amphora_id: str, pulse: Pulse) -> None:
        """All that an amphora served is down."""
        pulse.basis = None
        try:
            tree = await self._store.tree(pulse.lb_id)
        except NotFound:
            return
        if await self._counts(tree, amphora_id):
            await self._observed(pulse, status.silent(tree))

    async def _counts(self, tree: Tree, amphora_id: str) -> bool:
        """Whether it is this amphora that serves: another may take its place, or it another's."""
        records = await self._store.amphorae(tree.id)
        return amphora_id in serving(records, amphora_ids(tree))

    async def take(self, pulse: Pulse, report: Report) -> None:
        """Take in a report of a life that is known, or answered, unless a newer one came first."""
        async with pulse.turn:
            if report.boot != pulse.boot or report.sequence > pulse.sequence:
                pulse.boot, pulse.sequence = report.boot, report.sequence
                await self._alive(pulse, report)

    async def _alive(self, pulse: Pulse, report: Report) -> None:
        if pulse.silence is not None:
            await self._queue.put(pulse.lb_id)
        pulse.seen, pulse.silence = self._clock.monotonic(), None
        _merge(pulse, report)
        basis = (report.revision, report.healthy, _states(pulse))
        if basis != pulse.basis or pulse.lb_id in self._stale:
            pulse.basis = None  # until it is written: a failure shall not pass for done
            if await self._assess(pulse, report):
                pulse.basis = basis
        counted = {i: one.counters for i, one in pulse.listeners.items()}
        changed = {i: c for i, c in counted.items() if pulse.counted.get(i) != c}
        if changed:
            await self._store.count(pulse.lb_id, report.amphora_id, changed)
            pulse.counted = counted

    async def _assess(self, pulse: Pulse, report: Report) -> bool:
        """Write what a report means; False when it is not this amphora's word that counts."""
        stale = pulse.lb_id in self._stale
        self._stale.discard(pulse.lb_id)
        try:
            tree = await self._store.tree(pulse.lb_id)
        except NotFound:
            return True
        if not await self._counts(tree, report.amphora_id):
            if stale:
                self._stale.add(pulse.lb_id)
            return False
        if report.revision is None and tree.applied == 0:
            return True  # an agent that waits for its first configuration
        if report.revision is None or not report.healthy:
            await self._queue.put(pulse.lb_id)
            await self._observed(pulse, status.silent(tree))
            return True
        found = status.assess(
            tree,
            {one.id: one.state for one in pulse.listeners.values()},
            {one.id: one.state for one in pulse.members.values()},
        )
        await self._observed(pulse, found)
        return True

    async def _observed(self, pulse: Pulse, found: dict[str, str]) -> None:
        known = self._written.get(pulse.lb_id, {})
        changed = {i: s for i, s in found.items() if known.get(i) != s}
        if changed:
            await self._store.observe(pulse.lb_id, changed)
        self._written[pulse.lb_id] = found

    async def _pulse(self, amphora_id: str) -> Pulse | None:
        """What is remembered of an amphora; None when no such amphora is known."""
        if amphora_id not in self._pulses:
            for amphora in await self._store.amphorae():
                self._pulses.setdefault(amphora.id, self._first(amphora))
        return self._pulses.get(amphora_id)

    def _first(self, amphora: Amphora) -> Pulse:
        return Pulse(lb_id=amphora.loadbalancer_id, seen=self._clock.monotonic())


def _merge(pulse: Pulse, report: Report) -> None:
    """Take in a report; a large amphora tells its state in several parts."""
    if report.revision != pulse.revision:
        pulse.revision, pulse.listeners, pulse.members = report.revision, {}, {}
    pulse.listeners.update({one.id: one for one in report.listeners})
    pulse.members.update({(m.pool_id, m.id): m for m in report.members})


def _states(pulse: Pulse) -> tuple[object, ...]:
    listeners = tuple(sorted((i, one.state) for i, one in pulse.listeners.items()))
    members = tuple(sorted((k, m.state) for k, m in pulse.members.items()))
    return listeners, members
