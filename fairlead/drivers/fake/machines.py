"""Machines and agents of the in-memory world: `Compute`, `Amphorae` and `Heartbeats`."""

import asyncio
import uuid
from collections.abc import AsyncIterator

from msgspec.structs import replace

from fairlead.domain.observed import Instance, Port
from fairlead.drivers.fake.world import FakeMachine, FakeWorld
from fairlead.errors import Fenced, Permanent, Retryable
from fairlead.ports import AmphoraSpec, Heard
from fairlead.wire.amphora import AgentStatus, AmphoraConfig, Applied, Renewal


class FakeCompute:
    """Machines in a dict."""

    def __init__(self, world: FakeWorld) -> None:
        self._world = world

    async def create(self, spec: AmphoraSpec) -> None:
        """As the port; a machine that starts again begins a new life of its agent."""
        await self._world.step("create")
        amphora_id = spec.boot.amphora_id
        machine = self._world.machines.get(amphora_id)
        if machine is None:
            self._world.machines[amphora_id] = FakeMachine(spec, _life())
        elif not machine.running:
            machine.begin(spec, _life())
            machine.running = machine.healthy = True
        else:
            machine.spec = spec

    async def observe(self, amphora_id: str) -> Instance | None:
        """As the port."""
        await self._world.look("observe")
        machine = self._world.machines.get(amphora_id)
        if machine is None:
            return None
        return Instance(
            amphora_id=amphora_id, running=machine.running, macs=frozenset(machine.macs)
        )

    async def restart_agent(self, amphora_id: str) -> None:
        """As the port; what haproxy does is not touched."""
        await self._world.step("restart_agent")
        machine = self._world.machines.get(amphora_id)
        if machine is not None and machine.running:
            machine.begin(machine.spec, _life())

    async def attach(self, amphora_id: str, port: Port) -> None:
        """As the port."""
        await self._world.step("attach")
        if amphora_id not in self._world.machines:
            raise Retryable(f"Amphora {amphora_id} does not exist.")
        self._world.machines[amphora_id].plug(port.mac)

    async def detach(self, amphora_id: str, mac: str) -> None:
        """As the port."""
        await self._world.step("detach")
        if amphora_id in self._world.machines:
            self._world.machines[amphora_id].macs.pop(mac, None)

    async def delete(self, amphora_id: str) -> None:
        """As the port."""
        await self._world.step("delete")
        self._world.machines.pop(amphora_id, None)

    async def all_ids(self) -> frozenset[str]:
        """As the port."""
        return frozenset(self._world.machines)


class FakeAmphorae:
    """Agents that do as they are told and send a heartbeat afterwards."""

    def __init__(self, world: FakeWorld) -> None:
        self._world = world

    async def configure(self, amphora_id: str, address: str, config: AmphoraConfig) -> Applied:
        """As the port."""
        await self._world.step("configure")
        machine = await self._machine(amphora_id)
        if config.epoch < machine.epoch:
            raise Fenced(f"Amphora {amphora_id} has seen epoch {machine.epoch}.")
        machine.epoch = config.epoch
        for word in self._world.refused_words:
            if word in config.haproxy_cfg:
                raise Permanent(f"Amphora {amphora_id} refused its configuration: {word}")
        how = _how(machine, config)
        machine.take(config)
        self._world.beat(amphora_id)
        return Applied(revision=config.revision, how=how)

    async def status(self, amphora_id: str, address: str) -> AgentStatus:
        """As the port."""
        await self._world.look("status")
        machine = await self._machine(amphora_id)
        report = machine.report(self._world.now(), self._world.member_states)
        return AgentStatus(
            amphora_id=amphora_id,
            revision=report.revision,
            report=report,
            held=machine.config.sources if machine.config else {},
            not_after=None if machine.earlier else machine.not_after,
        )

    async def renew(self, amphora_id: str, address: str, renewal: Renewal) -> bool:
        """As the port."""
        await self._world.step("renew")
        machine = await self._machine(amphora_id)
        if machine.earlier:
            return False
        if renewal.epoch < machine.epoch:
            raise Fenced(f"Amphora {amphora_id} has seen epoch {machine.epoch}.")
        if not renewal.certificate.startswith("certificate "):
            raise Permanent(f"Amphora {amphora_id} refused its certificate.")
        boot = replace(
            machine.spec.boot,
            certificate=renewal.certificate,
            private_key=renewal.private_key,
            authority=renewal.authority,
            not_after=renewal.not_after,
        )
        machine.spec = replace(machine.spec, boot=boot)
        machine.certificate, machine.not_after = renewal.certificate, renewal.not_after
        return True

    async def _machine(self, amphora_id: str) -> FakeMachine:
        """The machine, once its agent takes the call: one that hangs never does."""
        machine = self._world.machines.get(amphora_id)
        if machine is not None and machine.hangs:
            await asyncio.get_running_loop().create_future()
        if machine is None or not (machine.running and machine.answers):
            raise Retryable(f"Amphora {amphora_id} does not answer.")
        if machine.not_after is not None and machine.not_after <= self._world.now():
            raise Retryable(f"Amphora {amphora_id}: its certificate has expired.")
        return machine


class FakeHeartbeats:
    """Datagrams the fake agents sent."""

    def __init__(self, world: FakeWorld) -> None:
        self._world = world

    async def receive(self) -> AsyncIterator[Heard]:
        """As the port, one at a time."""
        while True:
            datagram = await self._world.datagrams.get()
            yield Heard(datagrams=(datagram,), more=self._world.flooded)


def _how(machine: FakeMachine, after: AmphoraConfig) -> str:
    before = machine.config
    if before is None:
        return "start"
    if machine.revision == after.revision:
        return "unchanged"
    if not before.haproxy_cfg:
        return "start"
    return "runtime" if before.skeleton == after.skeleton else "reload"


def _life() -> str:
    return uuid.uuid4().hex[:16]
