"""The executor: runs a wave of steps at once, each within its time bound.

One function per step, in one table. A step finds or creates by deterministic names, so running
it again after a crash is harmless. What each step did is told as an event. No step waits long for
an agent: whoever does not answer soon is asked again later, so that it keeps no runner from others.
Called by reconciler.py.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from msgspec import Struct
from msgspec.structs import replace

from fairlead.controller.certificates import Material, read
from fairlead.controller.observer import (
    ANSWER_SECONDS,
    MANAGEMENT,
    Drivers,
    Observation,
    Renderer,
    observe,
    port_name,
)
from fairlead.domain import shape
from fairlead.domain.events import Event
from fairlead.domain.observed import AmphoraSeen
from fairlead.domain.tree import Tree
from fairlead.errors import FairleadError, NotFound, Permanent, Refused, Retryable
from fairlead.plan import steps
from fairlead.plan.steps import Step
from fairlead.ports import AmphoraSpec, Clock, Credentials, VipRequest
from fairlead.wire.amphora import AGENT_PORT, Renewal
from fairlead.wire.boot import Boot as BootData

log = structlog.get_logger()
_AGENT_POLL = 0.02
_AGENT_SECONDS = 3.0
_AGENT_PAUSE = 1.0


class Scene(Struct, frozen=True, kw_only=True):
    """What a wave works on."""

    tree: Tree
    observation: Observation
    epoch: int

    def amphora(self, step: Step) -> AmphoraSeen:
        """The amphora a step is about, as observed."""
        return next(a for a in self.observation.world.amphorae if a.id == step.amphora_id)


class Result(Struct, frozen=True, kw_only=True):
    """How a step ended; `error` is None when it worked."""

    event: Event
    error: FairleadError | None = None


class Executor:
    """Interprets steps with the drivers it was given."""

    def __init__(
        self,
        drivers: Drivers,
        clock: Clock,
        *,
        health_managers: Sequence[str],
        heartbeat_interval: float,
        step_seconds: float,
        counted: Callable[[], Awaitable[None]],
    ) -> None:
        """`counted` has written what amphorae counted so far, when it returns."""
        self._drivers = drivers
        self._clock = clock
        self._health_managers = tuple(health_managers)
        self._heartbeat_interval = heartbeat_interval
        self._step_seconds = step_seconds
        self._counted = counted
        self._begun: dict[str, float] = {}  # when agents were started, by amphora id

    async def look(
        self, tree: Tree, render: Renderer, epoch: int, known: dict[str, Material]
    ) -> Observation:
        """What exists on behalf of a tree; `Retryable` when looking takes too long."""
        try:
            async with asyncio.timeout(self._step_seconds):
                return await observe(tree, self._drivers, render, epoch, known)
        except TimeoutError as error:
            raise self._too_long("Observe") from error

    async def run(self, wave: Sequence[Step], scene: Scene) -> list[Result]:
        """Run every step of the wave at once; failures are results, not exceptions."""
        return list(await asyncio.gather(*(self._timed(step, scene) for step in wave)))

    async def _timed(self, step: Step, scene: Scene) -> Result:
        name = type(step).__name__
        started = self._clock.monotonic()
        at = self._clock.now()
        error: FairleadError | None = None
        detail = ""
        try:
            async with asyncio.timeout(self._step_seconds):
                detail = await _RUN[type(step)](self, step, scene) or ""
        except TimeoutError:
            error = self._too_long(name)
        except FairleadError as raised:
            error = raised
        except Exception as raised:  # a defect: told like any failure, so that it cannot hide
            log.exception("step broke", lb_id=scene.tree.id, step=name)
            error = Retryable(f"{name} broke: {type(raised).__name__}")
        took = (self._clock.monotonic() - started) * 1000
        event = Event(
            loadbalancer_id=scene.tree.id,
            generation=scene.tree.generation,
            at=at,
            step=name,
            outcome="ok" if error is None else "failed" if _final(error) else "retry",
            took_ms=round(took, 1),
            amphora_id=step.amphora_id,
            detail=detail if error is None else str(error),
        )
        log.info(
            "step", lb_id=event.loadbalancer_id, generation=event.generation, step=name,
            amphora_id=step.amphora_id, outcome=event.outcome, took_ms=event.took_ms,
            detail=event.detail,
        )  # fmt: skip
        return Result(event=event, error=error)

    def _too_long(self, name: str) -> Retryable:
        return Retryable(f"{name} took longer than {self._step_seconds:g} s")

    async def _restore_vip(self, step: steps.RestoreVip, scene: Scene) -> None:
        root = scene.tree.root
        # A port of the user's that is gone is not made again: one of our own takes its place.
        request = replace(VipRequest.of(root), vip_port_id=None)
        await self._drivers.network.allocate_vip(root.id, root.project_id or "", request)

    async def _record(self, step: steps.RecordAmphora, scene: Scene) -> str:
        await self._drivers.store.put_amphora(step.record)
        return step.record.status

    async def _management_port(self, step: steps.EnsureManagementPort, scene: Scene) -> str:
        name = port_name(str(step.amphora_id), MANAGEMENT)
        port = await self._drivers.network.management_port(name, owner=scene.tree.id)
        return port.fixed_ips[0].address

    async def _port(self, step: steps.EnsurePort, scene: Scene) -> str:
        port = await self._drivers.network.ensure_port(
            port_name(str(step.amphora_id), step.network_id),
            owner=scene.tree.id,
            network_id=step.network_id,
            subnet_ids=step.subnet_ids,
        )
        return ", ".join(ip.address for ip in port.fixed_ips)

    async def _boot(self, step: steps.Boot, scene: Scene) -> None:
        seen = scene.amphora(step)
        if seen.instance is None:
            await self._counted()
            await self._drivers.store.restart_counting(seen.id)
        await self._start(seen, scene.tree)

    async def _start(self, seen: AmphoraSeen, tree: Tree, *, anew: bool = False) -> None:
        """Have the machine running, with credentials that are new.

        `anew` ends an agent that runs, so that it uses them; then only are they recorded.
        """
        if seen.management is None or seen.record is None:
            raise Retryable("The amphora's management port or record is missing")
        address = seen.management.fixed_ips[0].address
        credentials = await self._drivers.secrets.issue(seen.id, address)
        boot = BootData(
            amphora_id=seen.id,
            listen=address,
            agent_port=AGENT_PORT,
            certificate=credentials.certificate,
            private_key=credentials.private_key,
            authority=credentials.authority,
            heartbeat_key=self._drivers.secrets.heartbeat_key(seen.id),
            health_managers=self._health_managers,
            heartbeat_interval=self._heartbeat_interval,
            not_after=credentials.not_after,
        )
        flavor = shape.of_flavor(tree.root.flavor_data)
        spec = AmphoraSpec(
            management=seen.management,
            boot=boot,
            memory_bytes=flavor.memory_bytes,
            cpu_share=flavor.amphora_cpus,
        )
        await self._drivers.compute.create(spec)
        self._begun[seen.id] = self._clock.monotonic()
        if anew:
            await self._drivers.compute.restart_agent(seen.id)
        record = replace(seen.record, lb_network_ip=address, cert_expiration=credentials.not_after)
        await self._drivers.store.put_amphora(record)

    async def _await_agent(self, step: steps.AwaitAgent, scene: Scene) -> None:
        await self._answered(scene.amphora(step))

    async def _answered(self, seen: AmphoraSeen) -> None:
        """Ask until it answers; `Retryable` when it takes too long."""
        if not await self._answers(seen, _AGENT_SECONDS):
            raise Retryable("The agent does not answer yet", after=_AGENT_PAUSE)

    async def _answers(self, seen: AmphoraSeen, seconds: float) -> bool:
        if seen.management is None:
            raise Retryable("The amphora has no management port")
        address = seen.management.fixed_ips[0].address
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        await self._drivers.amphorae.status(seen.id, address)
                        return True
                    except Retryable:
                        await self._clock.sleep(_AGENT_POLL)
        except TimeoutError:
            return False

    async def _revive(self, step: steps.Revive, scene: Scene) -> None:
        """Start what does not run; start an agent anew that hangs, unless it was started just now.

        Starting repairs the management card, too.
        """
        seen = scene.amphora(step)
        if seen.instance is None or not seen.instance.running:
            await self._start(seen, scene.tree)
        elif not self._fresh(seen.id):
            if await self._answers(seen, ANSWER_SECONDS):
                return
            await self._start(seen, scene.tree, anew=True)
        await self._answered(seen)

    async def _renew(self, step: steps.Renew, scene: Scene) -> str:
        """An agent that cannot take it is started anew with it, which no traffic notices."""
        seen = scene.amphora(step)
        if seen.management is None:
            raise Retryable("The amphora has no management port")
        address = seen.management.fixed_ips[0].address
        credentials = await self._drivers.secrets.issue(seen.id, address)
        renewal = _renewal(credentials, scene.epoch)
        if await self._drivers.amphorae.renew(seen.id, address, renewal):
            return f"until {credentials.not_after:%Y-%m-%d %H:%M:%S}"
        await self._start(seen, scene.tree, anew=True)
        await self._answered(seen)
        return "by starting the agent anew"

    def _fresh(self, amphora_id: str) -> bool:
        """Whether an agent may still be on its way: a busy host takes long to start it."""
        begun = self._begun.get(amphora_id)
        return begun is not None and self._clock.monotonic() - begun < self._step_seconds

    async def _attach(self, step: steps.Attach, scene: Scene) -> str:
        port = scene.amphora(step).ports[step.network_id]
        await self._drivers.compute.attach(str(step.amphora_id), port)
        return port.mac

    async def _configure(self, step: steps.Configure | steps.Announce, scene: Scene) -> str:
        seen = scene.amphora(step)
        if seen.management is None:
            raise Retryable("The amphora has no management port")
        config = scene.observation.configs[seen.id]
        address = seen.management.fixed_ips[0].address
        applied = await self._drivers.amphorae.configure(seen.id, address, config)
        return applied.how

    async def _announce(self, step: steps.Announce, scene: Scene) -> None:
        """An agent that has its configuration already sets its cards right and announces them."""
        if step.amphora_id in scene.observation.configs:
            await self._configure(step, scene)

    async def _detach(self, step: steps.Detach, scene: Scene) -> str:
        await self._drivers.compute.detach(str(step.amphora_id), step.mac)
        return step.mac

    async def _release(self, step: steps.ReleasePort, scene: Scene) -> str:
        await self._drivers.network.release(step.port_id)
        return step.port_id

    async def _destroy(self, step: steps.Destroy, scene: Scene) -> None:
        """One that was replaced leaves the networks first: what it says there misleads neighbours.

        They heard of the new one's VIP when it took it, and may have heard the old one since.
        """
        gone = str(step.amphora_id)
        if scene.observation.configs:
            for port in scene.amphora(step).ports.values():
                await self._drivers.compute.detach(gone, port.mac)
            for amphora_id in scene.observation.configs:
                await self._announce(steps.Announce(amphora_id=amphora_id, gone=gone), scene)
        await self._drivers.compute.delete(gone)

    async def _forget(self, step: steps.ForgetAmphora, scene: Scene) -> None:
        await self._counted()
        await self._drivers.store.drop_amphora(str(step.amphora_id))
        self._begun.pop(str(step.amphora_id), None)

    async def _find_subnet(self, step: steps.FindSubnet, scene: Scene) -> None:
        try:
            await self._drivers.network.subnet(step.subnet_id)
        except NotFound as error:
            raise Permanent(
                f"Subnet {step.subnet_id} of member {step.member_id} does not exist any more."
            ) from error

    async def _read_secret(self, step: steps.ReadSecret, scene: Scene) -> str:
        project_id = scene.tree.root.project_id
        try:
            await read(step.kind, step.reference, self._drivers.vault, project_id)
        except Refused as error:
            raise Permanent(str(error)) from error
        return step.reference

    async def _settle(self, step: steps.Settle, scene: Scene) -> None:
        await self._drivers.store.settle(scene.tree.id, step.generation, scene.epoch)


def _renewal(credentials: Credentials, epoch: int) -> Renewal:
    return Renewal(
        epoch=epoch,
        certificate=credentials.certificate,
        private_key=credentials.private_key,
        authority=credentials.authority,
        not_after=credentials.not_after,
    )


def _final(error: FairleadError) -> bool:
    """Whether trying again at once is pointless."""
    return isinstance(error, Permanent)


Run = Callable[[Executor, Any, Scene], Awaitable[str | None]]

_RUN: dict[type[Step], Run] = {
    steps.RestoreVip: Executor._restore_vip,
    steps.RecordAmphora: Executor._record,
    steps.EnsureManagementPort: Executor._management_port,
    steps.EnsurePort: Executor._port,
    steps.Boot: Executor._boot,
    steps.Revive: Executor._revive,
    steps.AwaitAgent: Executor._await_agent,
    steps.Attach: Executor._attach,
    steps.Configure: Executor._configure,
    steps.Renew: Executor._renew,
    steps.Announce: Executor._announce,
    steps.Detach: Executor._detach,
    steps.ReleasePort: Executor._release,
    steps.Destroy: Executor._destroy,
    steps.ForgetAmphora: Executor._forget,
    steps.FindSubnet: Executor._find_subnet,
    steps.ReadSecret: Executor._read_secret,
    steps.Settle: Executor._settle,
}
