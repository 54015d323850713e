"""Housekeeping: nothing is left behind, nothing is forgotten.

At start `resync` asks for every load balancer to be reconciled and removes machines and ports
that belong to none: what a crash between two steps left over. `run` does both again now and
then; an orphan must be seen twice then, as it may belong to a request that is being answered.
"""

import structlog

from fairlead.errors import FairleadError
from fairlead.ports import Clock, Compute, Network, Store, WorkQueue

log = structlog.get_logger()
_SPREAD = 30.0


class Housekeeping:
    """Sweeps and resynchronisation."""

    def __init__(
        self,
        store: Store,
        network: Network,
        compute: Compute,
        queue: WorkQueue,
        clock: Clock,
        *,
        resync: float,
    ) -> None:
        self._store = store
        self._network = network
        self._compute = compute
        self._queue = queue
        self._clock = clock
        self._resync = resync
        self._suspects: frozenset[str] = frozenset()

    async def resync(self) -> None:
        """At start, before any request is served: clean up, and wake up every load balancer.

        What cannot be removed now is left for later: it shall not keep the service from starting.
        """
        try:
            await self._remove(await self._orphans())
        except FairleadError as error:
            log.warning("cleaning up at the start failed", reason=str(error))
        for lb_id in await self._store.all_ids():
            await self._queue.put(lb_id)

    async def run(self) -> None:
        """Do it again now and then, for ever."""
        while True:
            await self._clock.sleep(self._resync)
            try:
                await self._round()
            except Exception:
                log.exception("housekeeping failed")

    async def _round(self) -> None:
        orphans = await self._orphans()
        await self._remove(orphans & self._suspects)
        self._suspects = orphans - self._suspects
        ids = await self._store.all_ids()
        for number, lb_id in enumerate(ids):
            await self._queue.put(lb_id, delay=_SPREAD * number / len(ids))

    async def _orphans(self) -> frozenset[str]:
        """Ids of machines without a record and owners of ports without a load balancer."""
        recorded = {a.id for a in await self._store.amphorae()}
        known = set(await self._store.all_ids())
        machines = await self._compute.all_ids() - recorded
        owners = await self._network.owners() - known - {""}
        return machines | owners

    async def _remove(self, orphans: frozenset[str]) -> None:
        machines = await self._compute.all_ids()
        for orphan in sorted(orphans):
            log.warning("removing what belongs to no load balancer", id=orphan)
            try:
                if orphan in machines:
                    await self._compute.delete(orphan)
                else:
                    for port in await self._network.ports(orphan):
                        await self._network.release(port.id)
            except FairleadError as error:
                log.warning("an orphan stays", id=orphan, reason=str(error))
