"""What amphorae counted, written once a second by one transaction for all of them.

Of a listener only the newest total waits, so memory is bounded also while the database is away.
After a crash the next heartbeats say it again. Invariant: once `write` returns, nothing that was
added before is still on its way; whoever has an amphora count from zero, or drops it, waits for
that, or an old total would come after. Called by health.py; Health runs `run`.
"""

import asyncio
from collections.abc import Mapping
from itertools import islice

import structlog

from fairlead.errors import FairleadError
from fairlead.ports import Clock, Store
from fairlead.wire.heartbeat import Counters

log = structlog.get_logger()
WRITE_EVERY = 1.0
_AT_ONCE = 1000  # amphorae in a transaction: edits of users wait for it


class Totals:
    """Totals by amphora and listener id that are not written yet."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._waiting: dict[str, Mapping[str, Counters]] = {}
        self._turn = asyncio.Lock()

    def add(self, amphora_id: str, totals: Mapping[str, Counters]) -> None:
        """Have an amphora's newest totals written."""
        self._waiting[amphora_id] = {**self._waiting.get(amphora_id, {}), **totals}

    async def run(self) -> None:
        """Write every second what there is, for ever."""
        while True:
            await self._clock.sleep(WRITE_EVERY)
            try:
                await self.write()
            except FairleadError as error:
                log.warning("statistics wait", count=len(self._waiting), reason=str(error))
            except Exception:
                log.exception("statistics wait")

    async def write(self) -> None:
        """Write what was added until now; what fails waits on."""
        async with self._turn:
            rest, self._waiting = self._waiting, {}
            try:
                while rest:
                    some = dict(islice(rest.items(), _AT_ONCE))
                    await self._store.count(some)
                    for amphora_id in some:
                        del rest[amphora_id]
            finally:
                newer = self._waiting
                self._waiting = rest
                for amphora_id, totals in newer.items():
                    self.add(amphora_id, totals)
