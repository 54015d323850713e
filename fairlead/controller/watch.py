"""Watching for amphorae that are not heard any more.

A missing heartbeat makes a suspect, no more: it is asked over mutual TLS, and the compute driver is
asked whether its machine runs. What then counts as dead, and may be repaired now, is decided in
plan/suspicion.py. Nothing is decided right after a time in which this process was itself away (it
was paused, or the database did not answer): everybody gets a whole period to be heard first. Every
decision is an event of the load balancer. While more heartbeats wait than can be taken in, silence
means nothing either. Records are read when something may be decided. Wiring starts `run` beside
Health's loops.
"""

import asyncio

import structlog

from fairlead.controller.health import Health
from fairlead.controller.roster import READ_EVERY, Pulse, Silence
from fairlead.domain.events import Event
from fairlead.errors import FairleadError
from fairlead.plan.suspicion import Limits, Silent, judged
from fairlead.ports import Amphorae, Clock, Compute, Store, WorkQueue

log = structlog.get_logger()
_WATCH_EVERY = 1.0
_LATE = 3.0
_ANSWER_SECONDS = 5.0
_ASKED_AT_ONCE = 50
_MINUTE = 60.0


class Watch:
    """`silence` is how long an amphora may be unheard, in seconds."""

    def __init__(
        self,
        health: Health,
        store: Store,
        queue: WorkQueue,
        amphorae: Amphorae,
        compute: Compute,
        clock: Clock,
        *,
        silence: float,
        limits: Limits,
    ) -> None:
        self._health = health
        self._store = store
        self._queue = queue
        self._amphorae = amphorae
        self._compute = compute
        self._clock = clock
        self._silence = silence
        self._limits = limits
        self._rested = clock.monotonic()
        self._begun: list[float] = []
        self._turns = asyncio.Semaphore(_ASKED_AT_ONCE)

    async def run(self) -> None:
        """Look for silent amphorae for ever."""
        while True:
            await self._clock.sleep(_WATCH_EVERY)
            try:
                await self.look()
            except Exception:
                log.exception("watch failed")

    async def look(self) -> None:
        """Ask every amphora that was not heard for too long, and decide what to do."""
        if self._health.roster.age >= READ_EVERY or self._in_doubt():
            await self._health.refresh()
        away = self._clock.monotonic() - self._rested - _WATCH_EVERY
        missed = max(away, self._health.behind)
        if missed > _LATE:
            self._excuse(missed)
        else:
            await asyncio.gather(*(self._ask(pulse) for pulse in self._overdue()))
            await self._decide()
        self._rested = self._clock.monotonic()

    def _watched(self) -> list[Pulse]:
        return [p for p in self._health.roster.pulses.values() if p.watched]

    def _overdue(self) -> list[Pulse]:
        now = self._clock.monotonic()
        return [p for p in self._watched() if now - p.seen >= self._silence]

    def _in_doubt(self) -> bool:
        """Whether something may be decided, which the newest records are needed for."""
        silent = any(p.silence is not None for p in self._watched())
        return silent or bool(self._overdue())

    def _excuse(self, seconds: float) -> None:
        """What was not heard while this process was away, or could not listen, means nothing."""
        log.warning("was away, everybody gets time to be heard", seconds=round(seconds, 1))
        for pulse in self._health.roster.pulses.values():
            pulse.seen = self._clock.monotonic()

    async def _ask(self, pulse: Pulse) -> None:
        async with self._turns:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    found = await self._amphorae.status(pulse.amphora_id, pulse.address or "")
            except TimeoutError:
                reason = f"no answer in {_ANSWER_SECONDS:g} s"
            except FairleadError as error:
                reason = str(error)
            else:
                self._health.take(pulse, found.report)
                return
            await self._suspect(pulse, reason)

    async def _suspect(self, pulse: Pulse, reason: str) -> None:
        try:
            machine = await self._compute.observe(pulse.amphora_id)
            proven = machine is None or not machine.running
        except FairleadError:
            proven = False
        now = self._clock.monotonic()
        if now - pulse.seen < self._silence:
            return  # heard of while it was asked
        before, pulse.seen = pulse.silence, now
        if before is None:
            pulse.silence = Silence(since=now, proven=proven, reason=reason)
            return
        before.proven, before.reason = proven, reason
        if before.begun:
            await self._queue.put(pulse.lb_id)

    async def _decide(self) -> None:
        watched = self._watched()
        now = self._clock.monotonic()
        self._begun = [at for at in self._begun if now - at < _MINUTE]
        silent = [
            Silent(amphora_id=p.amphora_id, since=one.since, proven=one.proven, begun=one.begun)
            for p in watched
            if (one := p.silence) is not None
        ]
        if not silent:
            return
        verdict = judged(silent, len(watched), self._begun, self._limits, now)
        for pulse in watched:
            if pulse.amphora_id in verdict.repair:
                await self._repair(pulse)
            elif pulse.amphora_id in verdict.held:
                await self._tell(pulse, "held", verdict.held[pulse.amphora_id])

    async def _repair(self, pulse: Pulse) -> None:
        silence = pulse.silence
        if silence is None:
            return  # heard of meanwhile
        proof = ", and its machine does not run" if silence.proven else ""
        await self._tell(pulse, "repair", f"The amphora is silent: {silence.reason}{proof}")
        if pulse.silence is silence:
            silence.begun = True
            self._begun.append(self._clock.monotonic())
            self._health.assessor.note(pulse.amphora_id)
            await self._queue.put(pulse.lb_id)

    async def _tell(self, pulse: Pulse, what: str, detail: str) -> None:
        """An event, when it is another decision than the one told last."""
        silence = pulse.silence
        if silence is None or silence.told == what:
            return
        silence.told = what
        log.warning(
            "amphora silent", lb_id=pulse.lb_id, amphora_id=pulse.amphora_id, what=what,
            detail=detail,
        )  # fmt: skip
        event = Event(
            loadbalancer_id=pulse.lb_id, generation=0, at=self._clock.now(),
            step="Heartbeat", outcome="info", amphora_id=pulse.amphora_id, detail=detail,
        )  # fmt: skip
        await self._store.record([event])
