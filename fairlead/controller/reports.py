"""Reports of third parties' provider drivers: what they mean for what is stored.

Drivers may speak only of load balancers that a third party provides: Fairlead's own are not
theirs to judge. What is said of an object that is gone is passed over. Called by the driver
agent's sockets, which the wiring connects.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import structlog

from fairlead.domain import edits
from fairlead.domain.model import KINDS
from fairlead.domain.tree import Tree, parent_id
from fairlead.errors import FairleadError, NotFound
from fairlead.ports import Network, Store
from fairlead.wire.driver_agent import PLURALS, Malformed, Said
from fairlead.wire.heartbeat import Counters

log = structlog.get_logger()
DELETED = "DELETED"


class Reports:
    """Implements `ports.DriverReports`."""

    def __init__(self, store: Store, network: Network) -> None:
        self._store = store
        self._network = network

    async def status(self, said: Sequence[Said]) -> None:
        """As the port. Nothing counts when one object is not a driver's to speak of."""
        located = await self._store.locate({one.id for one in said})
        per_lb: dict[str, list[Said]] = defaultdict(list)
        for one in said:
            if one.id not in located:
                log.info("a report about nothing", kind=one.kind, id=one.id)
                continue
            kind, lb_id = located[one.id]
            if kind != one.kind:
                raise _refused(one, f"{KINDS[one.kind].word} {one.id} not found.")
            per_lb[lb_id].append(one)
        trees = {lb_id: await self._tree(lb_id) for lb_id in per_lb}
        for lb_id, its in per_lb.items():
            tree = trees[lb_id]
            if tree is not None and tree.own:
                raise _refused(its[0], f"Load Balancer {lb_id} has no provider driver.")
        for lb_id, its in per_lb.items():
            tree = trees[lb_id]
            if tree is not None:
                await self._take(tree, its)

    async def statistics(self, counted: Mapping[str, Counters]) -> None:
        """As the port."""
        await self._store.count_reported(counted)

    async def tree_of(self, kind: str, object_id: str) -> Tree | None:
        """As the port."""
        try:
            tree = await self._store.tree(await self._store.owner(kind, object_id))
            tree.get(kind, object_id)
        except NotFound:
            return None
        return None if tree.own else tree

    async def _tree(self, lb_id: str) -> Tree | None:
        try:
            return await self._store.tree(lb_id)
        except NotFound:
            return None

    async def _take(self, tree: Tree, said: Iterable[Said]) -> None:
        """What a driver says of one load balancer; the last word about an object counts."""
        states: dict[str, str] = {}
        observed: dict[str, str] = {}
        for one in said:
            if one.provisioning == DELETED:
                if await self._remove(tree, one):
                    return
                continue
            if one.provisioning is not None:
                states[one.id] = one.provisioning
            if one.operating is not None:
                observed[one.id] = one.operating
        await self._store.report(tree.id, states)
        await self._store.observe({tree.id: observed})

    async def _remove(self, tree: Tree, one: Said) -> bool:
        """Remove an object with what hangs below it; whether the whole load balancer is gone."""
        if one.id == tree.id:
            await self._store.forget(tree.id, [tree.id])
            await self._release(tree)
            return True
        try:
            marked = await self._store.edit(tree.id, edits.gone(one.kind, one.id))
        except NotFound:
            return True
        except FairleadError as error:
            raise _refused(one, str(error)) from error
        await self._store.forget(tree.id, _with_descendants(marked, one.id))
        return False

    async def _release(self, tree: Tree) -> None:
        """Give the VIP back; what fails here is left to housekeeping."""
        try:
            ports = {port.id for port in await self._network.ports(tree.id)}
            for port_id in ports | {tree.root.vip_port_id or ""} - {""}:
                await self._network.release(port_id)
        except FairleadError as error:
            log.warning("a port stays for now", lb_id=tree.id, reason=str(error))


def _with_descendants(tree: Tree, object_id: str) -> list[str]:
    """The object and all below it, also what was asked to go."""
    found = [object_id] if object_id in tree.objects else []
    for above in found:
        found += [one.id for one in tree.objects.values() if parent_id(one) == above]
    return found


def _refused(one: Said, fault: str) -> Malformed:
    return Malformed(fault, status_object=PLURALS[one.kind], status_object_id=one.id)
