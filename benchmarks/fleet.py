"""Simulated amphorae: their load balancers in a store, and what their agents would say.

Used by heartbeats.py, which asks too little of them to need machines.
"""

import time
import uuid
from datetime import UTC, datetime

from msgspec.structs import replace

from fairlead.domain import edits
from fairlead.domain.model import LoadBalancer
from fairlead.domain.observed import Amphora
from fairlead.domain.tree import Tree
from fairlead.errors import Permanent
from fairlead.plan.planner import amphora_id
from fairlead.store import SqlStore
from fairlead.wire.amphora import AgentStatus, AmphoraConfig, Applied, Renewal
from fairlead.wire.heartbeat import Counters, ListenerReport, MemberReport, Report, seal

_LISTENERS, _MEMBERS = 2, 10
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Fleet:
    """Reports by amphora id; it also answers for them, as the port `Amphorae`."""

    def __init__(self, reports: dict[str, Report], balancers: list[str]) -> None:
        self._reports = reports
        self._balancers = balancers
        self.amphorae = list(reports)
        self.keys: dict[str, bytes] = {}
        self.sequence = 0

    def beat(self) -> list[bytes]:
        """The next heartbeat of everybody."""
        self.sequence += 1
        return [self._sealed(one) for one in self.amphorae]

    def count(self) -> None:
        """Let every listener have had traffic."""
        for one, report in self._reports.items():
            counters = Counters(bytes_in=self.sequence * 1000, total_connections=self.sequence)
            busy = tuple(replace(entry, counters=counters) for entry in report.listeners)
            self._reports[one] = replace(report, listeners=busy)

    def edge(self, number: int) -> tuple[str, str, bytes]:
        """A member of one of them goes down: load balancer, member, and what the agent says."""
        one, self.sequence = self.amphorae[number], self.sequence + 1
        first, *others = self._reports[one].members
        down = (replace(first, state="DOWN"), *others)
        self._reports[one] = replace(self._reports[one], members=down, edge=True)
        return self._balancers[number], first.id, self._sealed(one)

    def _sealed(self, one: str) -> bytes:
        said = replace(self._reports[one], sequence=self.sequence, sent_at=time.time())
        return seal(said, self.keys[one])

    async def configure(self, amphora_id: str, address: str, config: AmphoraConfig) -> Applied:
        """As the port; nobody asks for it here."""
        raise Permanent("simulated")

    async def renew(self, amphora_id: str, address: str, renewal: Renewal) -> bool:
        """As the port; nobody asks for it here either."""
        raise Permanent("simulated")

    async def status(self, amphora_id: str, address: str) -> AgentStatus:
        """As the port."""
        said = replace(self._reports[amphora_id], sequence=self.sequence, sent_at=time.time())
        return AgentStatus(amphora_id=amphora_id, revision=said.revision, report=said)


async def stored(store: SqlStore, size: int) -> Fleet:
    """So many load balancers in force, each with its amphora."""
    reports: dict[str, Report] = {}
    balancers = []
    for _ in range(size):
        tree = _tree()
        await store.create(tree)
        await store.settle(tree.id, 1, 1)
        record = _record(tree)
        await store.put_amphora(record)
        reports[record.id] = _report(record.id, tree)
        balancers.append(tree.id)
    return Fleet(reports, balancers)


def _tree() -> Tree:
    """Two listeners on a pool of ten members under a monitor."""
    lb_id, pool_id = str(uuid.uuid4()), str(uuid.uuid4())
    tree = Tree(root=LoadBalancer(id=lb_id, project_id="bench", created_at=_NOW))
    tree = _with(tree, "pool", pool_id, loadbalancer_id=lb_id, protocol="HTTP",
                 lb_algorithm="ROUND_ROBIN")  # fmt: skip
    tree = _with(tree, "healthmonitor", pool_id=pool_id, type="TCP", delay=1, timeout=1,
                 max_retries=1)  # fmt: skip
    for number in range(_LISTENERS):
        tree = _with(tree, "listener", loadbalancer_id=lb_id, protocol="HTTP",
                     protocol_port=80 + number, default_pool_id=pool_id)  # fmt: skip
    for number in range(_MEMBERS):
        tree = _with(tree, "member", pool_id=pool_id, address=f"198.51.100.{number}",
                     protocol_port=80)  # fmt: skip
    first = [replace(o, created_gen=1, changed_gen=1) for o in tree.everything()]
    return replace(tree.with_objects(*first), generation=1)


def _with(tree: Tree, kind: str, new_id: str = "", **values: object) -> Tree:
    return edits.add(kind, values, new_id=new_id or str(uuid.uuid4()), now=_NOW)(tree)


def _record(tree: Tree) -> Amphora:
    return Amphora(
        id=amphora_id(tree.id, 0), loadbalancer_id=tree.id, slot=0, lb_network_ip="192.0.2.9",
        role="STANDALONE", status="ALLOCATED", created_at=_NOW,
    )  # fmt: skip


def _report(amphora: str, tree: Tree) -> Report:
    return Report(
        amphora_id=amphora, boot="0123456789abcdef", sequence=0, sent_at=0.0, revision="1" * 32,
        healthy=True,
        listeners=tuple(
            ListenerReport(id=one.id, state="OPEN", counters=Counters()) for one in tree.listeners
        ),
        members=tuple(
            MemberReport(pool_id=pool.id, id=one.id, state="UP")
            for pool in tree.pools
            for one in tree.members(pool.id)
        ),
    )  # fmt: skip
