"""Health: heartbeats in, operating statuses and statistics out.

Taking in a heartbeat touches memory only, and nothing waits for it. A heartbeat counts when its
signature fits the amphora it names, it was sent just now, and it is newer than what was seen of
that life of its agent. A life that is not known is believed only once the agent itself was asked:
the heartbeat may be a copy. What changed is written behind (assessor.py, totals.py); who is not
heard is looked after by watch.py. Wiring starts `loops`, and calls `finish` at the end.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import structlog

from fairlead.controller.assessor import Assessor
from fairlead.controller.refusals import Refusals
from fairlead.controller.roster import Pulse, Roster
from fairlead.controller.totals import Totals
from fairlead.errors import FairleadError
from fairlead.ports import Amphorae, Clock, Heartbeats, Secrets, Store, WorkQueue
from fairlead.wire.heartbeat import Forged, Report, claimed_sender, unseal

log = structlog.get_logger()
_ANSWER_SECONDS = 5.0
_ASKED_AT_ONCE = 50
_INTRODUCE_EVERY = 1.0


class Health:
    """Turns reports into what is remembered, and has it written."""

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
        self._amphorae = amphorae
        self._secrets = secrets
        self._clock = clock
        self._lag = lag
        self.refusals = Refusals(clock)
        self.roster = Roster(store, clock)
        self.assessor = Assessor(store, queue, clock, self.roster)
        self.totals = Totals(store, clock)
        self._strangers: dict[str, Report | None] = {}
        self._changed: set[str] = set()
        self._called = asyncio.Event()
        self._full_since: float | None = None
        self._asking: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(_ASKED_AT_ONCE)

    def loops(self, heartbeats: Heartbeats) -> list[Coroutine[Any, Any, None]]:
        """What has to run for ever."""
        return [
            self._receive(heartbeats), self._introduce(), self.assessor.run(), self.totals.run(),
        ]  # fmt: skip

    async def finish(self) -> None:
        """Write what the loops, which have ended, left in memory."""
        try:
            await self.assessor.write()
            await self.totals.write()
        except FairleadError as error:
            log.warning("last words of amphorae were not written", reason=str(error))

    def settled(self, lb_id: str) -> None:
        """A new generation is in force: the next report is assessed against the new tree."""
        for pulse in self.roster.of(lb_id):
            pulse.assessed = False
        self._changed.add(lb_id)
        self._called.set()

    @property
    def behind(self) -> float:
        """Seconds for which there were always more datagrams than could be taken in."""
        return 0.0 if self._full_since is None else self._clock.monotonic() - self._full_since

    async def _receive(self, heartbeats: Heartbeats) -> None:
        """Take in datagrams for ever."""
        try:
            async for heard in heartbeats.receive():
                for datagram in heard.datagrams:
                    self._survived(datagram)
                if not heard.more:
                    self._full_since = None
                elif self._full_since is None:
                    self._full_since = self._clock.monotonic()
        finally:
            for task in self._asking:
                task.cancel()
            await asyncio.gather(*self._asking, return_exceptions=True)

    def _survived(self, datagram: bytes) -> None:
        """Take it in; what is wrong with one heartbeat is no concern of the next."""
        try:
            self.heartbeat(datagram)
        except Forged as error:
            self.refusals.add(str(error))
        except Exception:
            log.exception("heartbeat failed")

    def heartbeat(self, datagram: bytes) -> None:
        """Take in one datagram; `Forged` when it is not what it claims."""
        sender = claimed_sender(datagram)
        report = unseal(datagram, self._secrets.heartbeat_key(sender))
        age = self._clock.now().timestamp() - report.sent_at
        if abs(age) > self._lag:
            raise Forged(f"the clock of amphora {sender} is off, or its words were held up")
        pulse = self.roster.pulses.get(sender)
        if pulse is not None:
            self._hear(pulse, report)
        elif self._strangers.get(sender, report) is not None:
            self._strangers[sender] = report
            self._called.set()

    def _hear(self, pulse: Pulse, report: Report) -> None:
        if report.boot == pulse.boot:
            self.take(pulse, report)
        elif not pulse.asked:
            pulse.asked = True
            task = asyncio.create_task(self._meet(pulse))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def refresh(self) -> None:
        """Read who there is. Who is not among them is passed over until it is read again."""
        await self.roster.refresh()
        self._greet()
        self._strangers = {i: None for i, said in self._strangers.items() if said is not None}

    async def _introduce(self) -> None:
        """Get to know amphorae that are new, for ever."""
        while True:
            waiting = any(self._strangers.values())
            with suppress(TimeoutError):
                async with asyncio.timeout(_INTRODUCE_EVERY if waiting else None):
                    await self._called.wait()
            self._called.clear()
            try:
                await self._learn()
            except FairleadError as error:
                log.warning("new amphorae wait", reason=str(error))
                self._called.set()
                await self._clock.sleep(_INTRODUCE_EVERY)
            except Exception:
                log.exception("amphorae were not read")

    async def _learn(self) -> None:
        while self._changed:
            lb_id = next(iter(self._changed))
            await self.roster.learn(lb_id)
            self._changed.discard(lb_id)
        self._greet()
        if any(self._strangers.values()) and self.roster.age >= _INTRODUCE_EVERY:
            await self.refresh()

    def _greet(self) -> None:
        """Take in what strangers said who are known by now."""
        for amphora_id in self._strangers.keys() & self.roster.pulses.keys():
            said = self._strangers.pop(amphora_id)
            if said is not None:
                self._hear(self.roster.pulses[amphora_id], said)

    async def _meet(self, pulse: Pulse) -> None:
        """Ask an agent that seems to have begun a new life; silence is for `Watch` to judge."""
        try:
            if pulse.address is None:
                await self.roster.learn(pulse.lb_id)
            if pulse.address is not None:
                async with self._turns, asyncio.timeout(_ANSWER_SECONDS):
                    found = await self._amphorae.status(pulse.amphora_id, pulse.address)
                self.take(pulse, found.report)
        except TimeoutError:
            log.warning("agent does not answer after its heartbeat", amphora_id=pulse.amphora_id)
        except FairleadError as error:
            log.warning("heartbeat not processed", reason=str(error))
        except Exception:
            log.exception("heartbeat failed")
        finally:
            pulse.asked = False

    def take(self, pulse: Pulse, report: Report) -> None:
        """Take in a report of a life that is known, or answered, unless a newer one came first."""
        if not pulse.is_news(report):
            return
        pulse.seen = self._clock.monotonic()
        changed = pulse.hear(report)
        returned, pulse.silence = pulse.silence is not None, None
        if changed or returned or not pulse.assessed:
            self.assessor.note(pulse.amphora_id, wake=returned)
        if totals := pulse.count(report):
            self.totals.add(pulse.amphora_id, totals)
