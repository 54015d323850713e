"""The in-memory world: fakes of every outside port that share one state.

For `--drivers fake` (people who develop API clients) and for tests. It accepts every subnet,
network and port id. Each call takes `step_seconds`. It can misbehave on purpose: `fail` makes
the next calls of a named function raise, `crash_after` raises `Crashed` after so many calls, as
if the process had died there, and `lose` makes parts of the world vanish. It passes the same
contract suites as the real drivers.
"""

import asyncio
import hashlib
import ipaddress
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from fairlead.domain.observed import FixedIp, Instance, Port, Subnet, Vip
from fairlead.errors import Conflict, Fenced, NotFound, Refused, Retryable
from fairlead.ports import AmphoraSpec, Credentials, VipRequest
from fairlead.wire.amphora import AgentStatus, AmphoraConfig, Applied
from fairlead.wire.heartbeat import Counters, ListenerReport, MemberReport, Report, derive_key, seal

_MASTER = b"fake" * 8
_SPACE = uuid.UUID("3d2f3a7c-93f6-4e65-b9b2-3f0a3a6d2b11")
MANAGEMENT_NETWORK = str(uuid.uuid5(_SPACE, "management"))


class Crashed(BaseException):
    """The process died here: not an error anybody may handle."""


class FakeWorld:
    """The state all fakes share, and the knobs for misbehaving."""

    def __init__(self, step_seconds: float = 0.0) -> None:
        self.step_seconds = step_seconds
        self.ports: dict[str, Port] = {}
        self.machines: dict[str, FakeMachine] = {}
        self.member_states: dict[str, str] = {}
        self.failures: dict[str, list[Exception]] = {}
        self.crash_after: int | None = None
        self.datagrams: asyncio.Queue[bytes] = asyncio.Queue()

    def fail(self, function: str, *errors: Exception) -> None:
        """Have the next calls of a function (such as "configure") raise these, in turn."""
        self.failures.setdefault(function, []).extend(errors)

    def lose(self, amphora_id: str) -> None:
        """Have an amphora's machine vanish."""
        self.machines.pop(amphora_id, None)

    async def step(self, function: str) -> None:
        """Take the time of a step, then fail or crash if asked to."""
        await asyncio.sleep(self.step_seconds)
        waiting = self.failures.get(function)
        if waiting:
            raise waiting.pop(0)
        if self.crash_after is not None:
            self.crash_after -= 1
            if self.crash_after < 0:
                raise Crashed(function)


class FakeMachine:
    """A machine with its agent."""

    def __init__(self, spec: AmphoraSpec) -> None:
        self.spec = spec
        self.running = True
        self.macs: set[str] = set()
        self.config: AmphoraConfig | None = None
        self.epoch = 0
        self.sequence = 0


class FakeNetwork:
    """Every id exists: a subnet's network and range follow from its id."""

    def __init__(self, world: FakeWorld) -> None:
        self._world = world

    async def subnet(self, subnet_id: str, project_id: str | None = None) -> Subnet:
        """A subnet made up from its id."""
        third = int(hashlib.sha256(subnet_id.encode()).hexdigest()[:4], 16)
        cidr = f"10.{third >> 8}.{third & 255}.0/24"
        network_id = str(uuid.uuid5(_SPACE, subnet_id))
        return Subnet(
            id=subnet_id, network_id=network_id, name="", cidr=cidr,
            gateway=cidr.replace(".0/24", ".1"),
        )  # fmt: skip

    async def allocate_vip(self, lb_id: str, project_id: str, request: VipRequest) -> Vip:
        """An address on the subnet, which is made up when only a network or port is given."""
        await self._world.step("allocate_vip")
        name = f"vip:{lb_id}"
        port = self._named(name) or self._vip_port(name, lb_id, request)
        ip = port.fixed_ips[0]
        return Vip(
            vip_address=ip.address,
            vip_port_id=port.id,
            vip_subnet_id=ip.subnet_id,
            vip_network_id=port.network_id,
        )

    def _vip_port(self, name: str, lb_id: str, request: VipRequest) -> Port:
        named = request.vip_subnet_id or request.vip_network_id or request.vip_port_id
        if named is None:
            raise Refused("VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id.")
        subnet_id = request.vip_subnet_id or str(uuid.uuid5(_SPACE, "subnet:" + named))
        network_id = request.vip_network_id or str(uuid.uuid5(_SPACE, subnet_id))
        address = request.vip_address
        if address and any(
            ip.address == address for p in self._on(network_id) for ip in p.fixed_ips
        ):
            raise Conflict(f"IP address {address} is already in use on the network.")
        port_id = request.vip_port_id or str(uuid.uuid4())
        return self._add(name, lb_id, network_id, [(subnet_id, address)], port_id)

    async def ensure_port(
        self, name: str, *, owner: str, network_id: str, subnet_ids: Sequence[str]
    ) -> Port:
        """Find or create, with exactly these subnets."""
        await self._world.step("ensure_port")
        found = self._named(name)
        if found is None:
            return self._add(name, owner, network_id, [(s, None) for s in subnet_ids])
        kept = tuple(ip for ip in found.fixed_ips if ip.subnet_id in subnet_ids)
        missing = set(subnet_ids) - {ip.subnet_id for ip in kept}
        added = tuple(self._fixed(network_id, s, None) for s in sorted(missing))
        port = replace(found, fixed_ips=kept + added)
        self._world.ports[port.id] = port
        return port

    async def management_port(self, name: str, *, owner: str) -> Port:
        """Find or create on the management network."""
        await self._world.step("management_port")
        subnet = MANAGEMENT_NETWORK
        return self._named(name) or self._add(name, owner, MANAGEMENT_NETWORK, [(subnet, None)])

    async def ports(self, owner: str) -> Sequence[Port]:
        """All ports of an owner."""
        return [p for p in self._world.ports.values() if p.owner == owner]

    async def owners(self) -> frozenset[str]:
        """Every owner that has ports."""
        return frozenset(p.owner for p in self._world.ports.values() if p.owner)

    async def release(self, port_id: str) -> None:
        """Forget the port."""
        await self._world.step("release")
        self._world.ports.pop(port_id, None)

    def _named(self, name: str) -> Port | None:
        return next((p for p in self._world.ports.values() if p.name == name), None)

    def _on(self, network_id: str) -> list[Port]:
        return [p for p in self._world.ports.values() if p.network_id == network_id]

    def _add(
        self,
        name: str,
        owner: str,
        network_id: str,
        wanted: Sequence[tuple[str, str | None]],
        port_id: str | None = None,
    ) -> Port:
        port_id = port_id or str(uuid.uuid4())
        tail = hashlib.sha256(port_id.encode()).hexdigest()[:10]
        port = Port(
            id=port_id,
            name=name,
            owner=owner,
            network_id=network_id,
            mac="02:" + ":".join(tail[i : i + 2] for i in range(0, 10, 2)),
            mtu=1500,
            fixed_ips=tuple(self._fixed(network_id, s, a) for s, a in wanted),
            segment=f"fake-{network_id[:8]}",
        )
        self._world.ports[port.id] = port
        return port

    def _fixed(self, network_id: str, subnet_id: str, address: str | None) -> FixedIp:
        if address is None:
            third = int(hashlib.sha256(subnet_id.encode()).hexdigest()[:4], 16)
            base = ipaddress.ip_network(f"10.{third >> 8}.{third & 255}.0/24")
        else:
            length = 24 if ipaddress.ip_address(address).version == 4 else 64
            base = ipaddress.ip_network(f"{address}/{length}", strict=False)
        used = {ip.address for p in self._on(network_id) for ip in p.fixed_ips}
        free = (str(base[n]) for n in range(2, base.num_addresses - 1))
        chosen = address or next((a for a in free if a not in used), None)
        if chosen is None:
            raise Refused(f"Subnet {subnet_id} has no free address.")
        return FixedIp(subnet_id=subnet_id, address=chosen, cidr=str(base), gateway=str(base[1]))


class FakeCompute:
    """Machines in a dict."""

    def __init__(self, world: FakeWorld) -> None:
        self._world = world

    async def create(self, spec: AmphoraSpec) -> None:
        """Find or create, and start."""
        await self._world.step("create")
        machine = self._world.machines.setdefault(spec.boot.amphora_id, FakeMachine(spec))
        machine.running = True

    async def observe(self, amphora_id: str) -> Instance | None:
        """The machine, or None."""
        machine = self._world.machines.get(amphora_id)
        if machine is None:
            return None
        return Instance(
            amphora_id=amphora_id, running=machine.running, macs=frozenset(machine.macs)
        )

    async def attach(self, amphora_id: str, port: Port) -> None:
        """Plug a card."""
        await self._world.step("attach")
        if amphora_id not in self._world.machines:
            raise NotFound("Amphora", amphora_id)
        self._world.machines[amphora_id].macs.add(port.mac)

    async def detach(self, amphora_id: str, mac: str) -> None:
        """Unplug a card."""
        await self._world.step("detach")
        if amphora_id in self._world.machines:
            self._world.machines[amphora_id].macs.discard(mac)

    async def delete(self, amphora_id: str) -> None:
        """Remove the machine."""
        await self._world.step("delete")
        self._world.machines.pop(amphora_id, None)

    async def all_ids(self) -> frozenset[str]:
        """Ids of all machines."""
        return frozenset(self._world.machines)


class FakeAmphorae:
    """Agents that do as they are told; every member is up unless `member_states` differs."""

    def __init__(self, world: FakeWorld) -> None:
        self._world = world

    async def configure(self, amphora_id: str, address: str, config: AmphoraConfig) -> Applied:
        """Take the configuration and send a heartbeat."""
        await self._world.step("configure")
        machine = self._machine(amphora_id)
        if config.epoch < machine.epoch:
            raise Fenced(f"Amphora {amphora_id} has seen epoch {machine.epoch}.")
        machine.epoch = config.epoch
        before = machine.config
        machine.config = config
        self._world.datagrams.put_nowait(
            seal(self._report(amphora_id, machine), derive_key(_MASTER, amphora_id))
        )
        how = "start" if before is None else "reload"
        if before is not None and before.revision == config.revision:
            how = "unchanged"
        elif before is not None and before.skeleton == config.skeleton:
            how = "runtime"
        return Applied(revision=config.revision, how=how)

    async def status(self, amphora_id: str, address: str) -> AgentStatus:
        """What runs."""
        await self._world.step("status")
        machine = self._machine(amphora_id)
        report = self._report(amphora_id, machine)
        return AgentStatus(amphora_id=amphora_id, revision=report.revision, report=report)

    def _machine(self, amphora_id: str) -> FakeMachine:
        machine = self._world.machines.get(amphora_id)
        if machine is None or not machine.running:
            raise Retryable(f"Amphora {amphora_id} does not answer.")
        return machine

    def _report(self, amphora_id: str, machine: FakeMachine) -> Report:
        machine.sequence += 1
        config = machine.config
        servers = config.servers if config else ()
        frontends = [
            line.split()[1]
            for line in (config.haproxy_cfg.splitlines() if config else [])
            if line.startswith("frontend ")
        ]
        return Report(
            amphora_id=amphora_id,
            boot="fake",
            sequence=machine.sequence,
            sent_at=datetime.now(UTC).timestamp(),
            revision=config.revision if config else None,
            healthy=True,
            listeners=tuple(
                ListenerReport(id=one, state="OPEN", counters=Counters()) for one in frontends
            ),
            members=tuple(
                MemberReport(
                    pool_id=server.backend.split(":")[0],
                    id=server.name,
                    state=self._state(server.name, server.enabled, server.weight, server.options),
                )
                for server in servers
            ),
        )

    def _state(self, name: str, enabled: bool, weight: int, options: str) -> str:
        if not enabled:
            return "MAINT"
        if weight == 0:
            return "DRAIN"
        usual = "UP" if "check" in options.split() else "NOCHECK"
        return self._world.member_states.get(name, usual)


class FakeHeartbeats:
    """Datagrams the fake agents sent."""

    def __init__(self, world: FakeWorld) -> None:
        self._world = world

    async def receive(self) -> AsyncIterator[bytes]:
        """Every datagram as it arrives."""
        while True:
            yield await self._world.datagrams.get()


class FakeSecrets:
    """Credentials that open nothing."""

    async def issue(self, amphora_id: str, address: str) -> Credentials:
        """Texts in place of certificates."""
        return Credentials(
            certificate=f"certificate of {amphora_id} at {address}",
            private_key="no key",
            authority="no authority",
            not_after=datetime.now(UTC) + timedelta(days=365),
        )

    async def controller(self) -> Credentials:
        """Texts in place of certificates."""
        return await self.issue("controller", "")

    def heartbeat_key(self, amphora_id: str) -> bytes:
        """Derived from a fixed master key."""
        return derive_key(_MASTER, amphora_id)
