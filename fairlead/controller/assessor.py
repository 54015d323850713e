"""What amphorae say becomes operating statuses, a few tens of milliseconds later.

Amphorae whose state changed are noted, and many of them are written by one transaction. What is
written follows from what is remembered at that moment (roster.py), so nothing else waits here: when
the database is away the ids stay noted, and then the newest state is written. Called by health.py
and watch.py; Health runs `run`, and `write` once more when the service stops.
"""

import asyncio
from collections.abc import Sequence
from itertools import islice

import structlog

from fairlead.controller.roster import Pulse, Roster
from fairlead.domain import status
from fairlead.domain.observed import serving
from fairlead.domain.tree import Tree
from fairlead.errors import FairleadError, NotFound
from fairlead.plan.planner import amphora_ids
from fairlead.ports import Clock, Store, WorkQueue

log = structlog.get_logger()
GATHER_SECONDS = 0.02
_RETRY_SECONDS = 1.0
_AT_ONCE = 100


class Assessor:
    """Amphorae to be assessed (`_due`, longest waiting first), and those that were silent."""

    def __init__(self, store: Store, queue: WorkQueue, clock: Clock, roster: Roster) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._roster = roster
        self._due: dict[str, None] = {}
        self._woken: set[str] = set()
        self._called = asyncio.Event()
        self._turn = asyncio.Lock()

    def note(self, amphora_id: str, *, wake: bool = False) -> None:
        """Have an amphora assessed soon; `wake`: its load balancer is to be looked at."""
        self._due[amphora_id] = None
        if wake:
            self._woken.add(amphora_id)
        self._called.set()

    async def run(self) -> None:
        """Write what was noted, for ever."""
        while True:
            await self._called.wait()
            await self._clock.sleep(GATHER_SECONDS)
            try:
                await self.write()
            except FairleadError as error:
                log.warning("operating statuses wait", count=len(self._due), reason=str(error))
                await self._clock.sleep(_RETRY_SECONDS)
            except Exception:
                log.exception("operating statuses wait")
                await self._clock.sleep(_RETRY_SECONDS)

    async def write(self) -> None:
        """Write what was noted until now; what fails stays noted."""
        async with self._turn:
            self._called.clear()
            while some := list(islice(self._due, _AT_ONCE)):
                for amphora_id in some:
                    del self._due[amphora_id]
                try:
                    await self._write(some)
                except BaseException:
                    self._due = {**dict.fromkeys(some), **self._due}
                    self._called.set()
                    raise

    async def _write(self, amphorae: Sequence[str]) -> None:
        found: dict[str, dict[str, str]] = {}
        for amphora_id in amphorae:
            pulse = self._roster.pulses.get(amphora_id)
            if pulse is None:
                self._woken.discard(amphora_id)
            elif changed := await self._survived(pulse):
                found.setdefault(pulse.lb_id, {}).update(changed)
        if found:
            await self._store.observe(found)

    async def _survived(self, pulse: Pulse) -> dict[str, str]:
        """As `_assess`; a fault with one load balancer is no concern of the others."""
        try:
            return await self._assess(pulse)
        except FairleadError:
            raise
        except Exception:
            pulse.assessed = False
            log.exception("assessing failed", lb_id=pulse.lb_id)
            return {}

    async def _assess(self, pulse: Pulse) -> dict[str, str]:
        """Operating statuses that are others than those stored.

        Empty when it is not this amphora whose word counts: another may take its place, or it
        another's. Then it is asked about again with its next report.
        """
        if pulse.amphora_id in self._woken:
            await self._queue.put(pulse.lb_id)
            self._woken.discard(pulse.amphora_id)
        pulse.assessed = True  # from here on a change of the tree makes it false again
        try:
            tree = await self._store.tree(pulse.lb_id)
        except NotFound:
            return {}
        records = await self._store.amphorae(pulse.lb_id)
        if pulse.amphora_id not in serving(records, amphora_ids(tree)):
            pulse.assessed = False
            return {}
        found = await self._meaning(pulse, tree)
        return {i: s for i, s in found.items() if tree.observed.get(i) != s}

    async def _meaning(self, pulse: Pulse, tree: Tree) -> dict[str, str]:
        if pulse.silence is not None and pulse.silence.begun:
            return status.silent(tree)
        if pulse.revision is None and tree.applied == 0:
            return {}  # an agent that waits for its first configuration
        if pulse.revision is None or not pulse.healthy:
            await self._queue.put(pulse.lb_id)
            return status.silent(tree)
        return status.assess(tree, pulse.listeners, pulse.members)
