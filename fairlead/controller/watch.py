"""Watching for amphorae that are not heard any more.

A missing heartbeat makes a suspect, no more: it is asked over mutual TLS, and the compute driver is
asked whether its machine runs. What then counts as dead, and may be repaired now, is decided in
plan/suspicion.py. Nothing is decided right after a time in which this process was itself away (it
was paused, or the database did not answer): everybody gets a whole period to be heard first. Every
decision is an event of the load balancer. Wiring starts `run` beside `Health.receive`.
"""

import asyncio
from collections.abc import Sequence

import structlog

from fairlead.controller.health import Health, Pulse, Silence
from fairlead.domain.events import Event
from fairlead.domain.observed import Amphora
from fairlead.errors import FairleadError
from fairlead.plan.suspicion import Limits, Silent, judged
from fairlead.ports import Amphorae, Clock, Compute, Store, WorkQueue

log = structlog.get_logger()
_WATCHED = frozenset({"ALLOCATED", "ERROR"})
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
        remembered = self._health.remembered
        records = await self._store.amphorae()
        self._health.keep_only(records, remembered)
        watched = [a for a in records if a.status in _WATCHED]
        pulses = {a.id: self._health.pulse_of(a) for a in records}
        now = self._clock.monotonic()
        if now - self._rested > _WATCH_EVERY + _LATE:
            self._excuse(list(pulses.values()), now - self._rested)
        else:
            overdue = [a for a in watched if now - pulses[a.id].seen >= self._silence]
            await asyncio.gather(*(self._ask(a, pulses[a.id]) for a in overdue))
            await self._decide(watched, pulses)
        self._rested = self._clock.monotonic()

    def _excuse(self, pulses: Sequence[Pulse], seconds: float) -> None:
        """What was not heard while this process was away means nothing."""
        log.warning("was away, everybody gets time to be heard", seconds=round(seconds, 1))
        for pulse in pulses:
            pulse.seen = self._clock.monotonic()

    async def _ask(self, amphora: Amphora, pulse: Pulse) -> None:
        async with self._turns:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    found = await self._amphorae.status(amphora.id, amphora.lb_network_ip or "")
            except TimeoutError:
                reason = f"no answer in {_ANSWER_SECONDS:g} s"
            except FairleadError as error:
                reason = str(error)
            else:
                await self._health.take(pulse, found.report)
                return
            await self._suspect(amphora, pulse, reason)

    async def _suspect(self, amphora: Amphora, pulse: Pulse, reason: str) -> None:
        try:
            machine = await self._compute.observe(amphora.id)
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

    async def _decide(self, watched: Sequence[Amphora], pulses: dict[str, Pulse]) -> None:
        now = self._clock.monotonic()
        self._begun = [at for at in self._begun if now - at < _MINUTE]
        silent = [
            Silent(amphora_id=a.id, since=one.since, proven=one.proven, begun=one.begun)
            for a in watched
            if (one := pulses[a.id].silence) is not None
        ]
        if not silent:
            return
        verdict = judged(silent, len(watched), self._begun, self._limits, now)
        for amphora in watched:
            pulse = pulses[amphora.id]
            if amphora.id in verdict.repair:
                await self._repair(amphora, pulse)
            elif amphora.id in verdict.held:
                await self._tell(amphora, pulse, "held", verdict.held[amphora.id])

    async def _repair(self, amphora: Amphora, pulse: Pulse) -> None:
        async with pulse.turn:
            silence = pulse.silence
            if silence is None:
                return  # heard of meanwhile
            proof = ", and its machine does not run" if silence.proven else ""
            await self._tell(
                amphora, pulse, "repair", f"The amphora is silent: {silence.reason}{proof}"
            )
            await self._health.silenced(amphora.id, pulse)
            silence.begun = True
            self._begun.append(self._clock.monotonic())
        await self._queue.put(pulse.lb_id)

    async def _tell(self, amphora: Amphora, pulse: Pulse, what: str, detail: str) -> None:
        """An event, when it is another decision than the one told last."""
        silence = pulse.silence
        if silence is None or silence.told == what:
            return
        silence.told = what
        log.warning(
            "amphora silent", lb_id=amphora.loadbalancer_id, amphora_id=amphora.id, what=what,
            detail=detail,
        )  # fmt: skip
        event = Event(
            loadbalancer_id=amphora.loadbalancer_id, generation=0, at=self._clock.now(),
            step="Heartbeat", outcome="info", amphora_id=amphora.id, detail=detail,
        )  # fmt: skip
        await self._store.record([event])
