"""The worlds a service can run in: this host, or an in-memory one. They name the drivers."""

import math
import os
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path

from msgspec import Struct
from sqlalchemy.ext.asyncio import create_async_engine

from fairlead import agent
from fairlead.controller.observer import Renderer
from fairlead.drivers import fake
from fairlead.drivers.amphora_rest import AmphoraRest
from fairlead.drivers.clock import SystemClock
from fairlead.drivers.compute_host import ComputeHost
from fairlead.drivers.heartbeats_udp import UdpHeartbeats
from fairlead.drivers.network_local import NetworkLocal
from fairlead.drivers.secrets_local import SecretsLocal
from fairlead.ports import Amphorae, Compute, Heartbeats, Network, NetworkAdmin, Secrets
from fairlead.render.amphora import amphora_config
from fairlead.settings import Settings
from fairlead.wiring.places import instance_id, only_one, private

PING_COMMAND = Path(agent.__file__).with_name("ping.sh")


class Outside(Struct, frozen=True, kw_only=True):
    """The concrete drivers of one world, and where its health managers listen."""

    network: Network
    network_admin: NetworkAdmin | None
    compute: Compute
    secrets: Secrets
    amphorae: Amphorae
    heartbeats: Heartbeats
    health_managers: tuple[str, ...]


async def fake_world(settings: Settings, clock: SystemClock, stack: AsyncExitStack) -> Outside:
    """An in-memory world, for people who develop API clients."""
    world = fake.FakeWorld(settings.fake.step_seconds)
    network = fake.FakeNetwork(world)
    return Outside(
        network=network,
        network_admin=network,
        compute=fake.FakeCompute(world),
        secrets=fake.FakeSecrets(life=timedelta(seconds=settings.trust.certificate_life)),
        amphorae=fake.FakeAmphorae(world),
        heartbeats=fake.FakeHeartbeats(world),
        health_managers=(),
    )


async def host_world(settings: Settings, clock: SystemClock, stack: AsyncExitStack) -> Outside:
    """Namespaces, bridges and real haproxies on this machine."""
    state_dir = Path(settings.state_dir)
    network = await local_network(settings, stack)
    secrets = SecretsLocal(
        state_dir / "secrets",
        clock=clock,
        life=timedelta(seconds=settings.trust.certificate_life),
        authority_life=timedelta(seconds=settings.trust.authority_life),
    )
    amphorae = AmphoraRest(secrets, timeout=settings.controller.step_seconds)
    stack.push_async_callback(amphorae.close)
    heartbeats = UdpHeartbeats(network.management_gateway, settings.health.port)
    stack.callback(heartbeats.close)
    return Outside(
        network=network,
        network_admin=network,
        compute=_host_compute(settings),
        secrets=secrets,
        amphorae=amphorae,
        heartbeats=heartbeats,
        health_managers=(f"{network.management_gateway}:{heartbeats.port}",),
    )


async def local_network(settings: Settings, stack: AsyncExitStack) -> NetworkLocal:
    """The network driver of this host, started."""
    network = _network(settings, stack)
    await network.start()
    return network


def _network(settings: Settings, stack: AsyncExitStack) -> NetworkLocal:
    state_dir = Path(settings.state_dir)
    database = private(state_dir / "network.db")
    engine = create_async_engine(f"sqlite+aiosqlite:///{database}")
    stack.push_async_callback(engine.dispose)
    return NetworkLocal(
        engine,
        instance_id(state_dir),
        management_cidr=settings.network.management_cidr,
        default_cidrs=settings.network.default_cidrs,
    )


def _host_compute(settings: Settings) -> ComputeHost:
    return ComputeHost(
        Path(settings.state_dir),
        instance_id(Path(settings.state_dir)),
        memory_bytes=settings.amphora.memory_bytes,
        cpu_share=settings.amphora.cpu_share,
        pids=settings.amphora.pids,
    )


async def uninstall(settings: Settings) -> None:
    """Remove all amphorae and networks of this installation from the host, whatever they do.

    The state directory stays, for the caller to delete. `Refused` while a service runs.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(only_one(Path(settings.state_dir)))
        compute = _host_compute(settings)
        for amphora_id in sorted(await compute.all_ids()):
            await compute.delete(amphora_id)
        await _network(settings, stack).remove_everything()


def renderer(settings: Settings) -> Renderer:
    """What amphorae of this host are to do, as a function of their trees."""
    amphora, processors = settings.amphora, os.cpu_count() or 1
    return partial(
        amphora_config,
        maxconn=amphora.maxconn,
        # As many as the processors that an amphora may and can use.
        threads=min(math.ceil(amphora.cpu_share), processors),
        processors=processors,
        ping_command=str(PING_COMMAND),
    )
