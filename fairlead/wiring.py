"""The composition root: the only file that names concrete drivers.

`Service` is everything in one process: store, queue, drivers, controller, health and the API.
Made by `cli serve`; tests make one too. Starting it finds what an earlier process left, adopts
it and repairs it; stopping it leaves amphorae alone.
"""

import asyncio
import fcntl
import hashlib
import math
import os
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import msgspec
import structlog
from litestar import Litestar
from msgspec import Struct
from sqlalchemy.ext.asyncio import create_async_engine

from fairlead import agent
from fairlead.api.access import Authenticator
from fairlead.api.app import create_app
from fairlead.api.first_user import HTPASSWD, USERS, ensure_admin, write_private
from fairlead.api.http_basic import HttpBasic
from fairlead.api.no_auth import NoAuth
from fairlead.api.services import Services
from fairlead.controller.executor import Executor
from fairlead.controller.health import Health
from fairlead.controller.housekeeping import Housekeeping
from fairlead.controller.observer import Drivers, Renderer
from fairlead.controller.reconciler import Patience, Reconciler
from fairlead.drivers import fake
from fairlead.drivers.amphora_rest import AmphoraRest
from fairlead.drivers.clock import SystemClock
from fairlead.drivers.compute_host import ComputeHost
from fairlead.drivers.heartbeats_udp import UdpHeartbeats
from fairlead.drivers.network_local import NetworkLocal
from fairlead.drivers.queue_memory import MemoryQueue
from fairlead.drivers.secrets_local import SecretsLocal
from fairlead.errors import Refused
from fairlead.ports import Amphorae, Compute, Heartbeats, Network, NetworkAdmin, Secrets
from fairlead.render.amphora import amphora_config
from fairlead.settings import Settings
from fairlead.store import SqlStore

log = structlog.get_logger()
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


class Service:
    """One process that does everything; use as an async context manager."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state_dir = Path(settings.state_dir)
        self.clock = SystemClock()
        self.queue = MemoryQueue()
        self.store = SqlStore(f"sqlite+aiosqlite:///{self.state_dir}/fairlead.db")
        self._stack = AsyncExitStack()
        self.outside: Outside
        self.app: Litestar

    async def __aenter__(self) -> "Service":
        async with self._stack as stack:
            stack.enter_context(_only_one(self.state_dir))
            _same_drivers(self.state_dir, self.settings.drivers)
            _private(self.state_dir / "fairlead.db")
            await self.store.start()
            stack.push_async_callback(self.store.close)
            world = _fake_world if self.settings.drivers == "fake" else _host_world
            self.outside = await world(self.settings, self.clock, stack)
            self.app = create_app(self._services())
            await self._start_controller(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    def _services(self) -> Services:
        return Services(
            store=self.store,
            queue=self.queue,
            network=self.outside.network,
            network_admin=self.outside.network_admin,
            clock=self.clock,
            new_id=lambda: str(uuid.uuid4()),
            authenticator=_authenticator(self.settings, self.state_dir),
            page_maximum=self.settings.api.page_limit,
        )

    async def _start_controller(self, stack: AsyncExitStack) -> None:
        """Clean up, adopt what runs, then keep reconciling, listening and watching."""
        controller, health, outside = self.settings.controller, self.settings.health, self.outside
        epoch = await self.store.next_epoch()
        watcher = Health(
            self.store, self.queue, outside.amphorae, outside.secrets, self.clock,
            silence=health.silence,
            lag=health.clock_skew + health.interval,
        )  # fmt: skip
        housekeeping = Housekeeping(
            self.store, outside.network, outside.compute, self.queue, self.clock,
            resync=controller.resync,
        )  # fmt: skip
        reconciler = self._reconciler(epoch, watcher.settled)
        await housekeeping.resync()
        loops = [reconciler.run() for _ in range(controller.runners)]
        loops += [watcher.receive(outside.heartbeats), watcher.watch(), housekeeping.run()]
        for loop in loops:
            stack.push_async_callback(_cancel, asyncio.create_task(loop))

    def _reconciler(self, epoch: int, settled: Callable[[str], None]) -> Reconciler:
        controller, health, outside = self.settings.controller, self.settings.health, self.outside
        drivers = Drivers(
            store=self.store,
            network=outside.network,
            compute=outside.compute,
            amphorae=outside.amphorae,
        )
        executor = Executor(
            drivers,
            outside.secrets,
            self.clock,
            health_managers=outside.health_managers,
            heartbeat_interval=health.interval,
            step_seconds=controller.step_seconds,
        )
        return Reconciler(
            drivers, executor, self.queue, self.clock,
            render=renderer(self.settings),
            patience=Patience(
                retries=controller.retries,
                first_pause=controller.first_pause,
                slow_retry=controller.slow_retry,
            ),
            repairs=max(1, controller.runners // 2),
            epoch=epoch,
            settled=settled,
        )  # fmt: skip


async def _fake_world(settings: Settings, clock: SystemClock, stack: AsyncExitStack) -> Outside:
    world = fake.FakeWorld(settings.fake.step_seconds)
    network = fake.FakeNetwork(world)
    return Outside(
        network=network,
        network_admin=network,
        compute=fake.FakeCompute(world),
        secrets=fake.FakeSecrets(),
        amphorae=fake.FakeAmphorae(world),
        heartbeats=fake.FakeHeartbeats(world),
        health_managers=(),
    )


async def _host_world(settings: Settings, clock: SystemClock, stack: AsyncExitStack) -> Outside:
    state_dir = Path(settings.state_dir)
    network = await local_network(settings, stack)
    secrets = SecretsLocal(state_dir / "secrets", clock=clock)
    amphorae = AmphoraRest(secrets, timeout=settings.controller.step_seconds)
    stack.push_async_callback(amphorae.close)
    heartbeats = UdpHeartbeats()
    port = await heartbeats.start(network.management_gateway, settings.health.port)
    stack.callback(heartbeats.close)
    return Outside(
        network=network,
        network_admin=network,
        compute=_host_compute(settings),
        secrets=secrets,
        amphorae=amphorae,
        heartbeats=heartbeats,
        health_managers=(f"{network.management_gateway}:{port}",),
    )


async def local_network(settings: Settings, stack: AsyncExitStack) -> NetworkLocal:
    """The network driver of this host, started."""
    network = _network(settings, stack)
    await network.start()
    return network


def _network(settings: Settings, stack: AsyncExitStack) -> NetworkLocal:
    state_dir = Path(settings.state_dir)
    database = _private(state_dir / "network.db")
    engine = create_async_engine(f"sqlite+aiosqlite:///{database}")
    stack.push_async_callback(engine.dispose)
    return NetworkLocal(
        engine,
        instance_id(state_dir),
        management_cidr=settings.network.management_cidr,
        default_cidrs=settings.network.default_cidrs,
    )


def _authenticator(settings: Settings, state_dir: Path) -> Authenticator:
    """Who lets callers in; the first start makes the user admin and writes clouds.yaml."""
    if settings.api.auth_strategy == "noauth":
        return NoAuth()
    ensure_admin(state_dir, url=f"http://{settings.api.listen}")
    try:
        return HttpBasic(state_dir / HTPASSWD, state_dir / USERS)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise Refused(f"The users in {state_dir}/{HTPASSWD} and {USERS}: {error}") from error


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
        stack.enter_context(_only_one(Path(settings.state_dir)))
        compute = _host_compute(settings)
        for amphora_id in sorted(await compute.all_ids()):
            await compute.delete(amphora_id)
        await _network(settings, stack).remove_everything()


def renderer(settings: Settings) -> Renderer:
    """What amphorae of this host are to do, as a function of their trees."""
    amphora = settings.amphora
    return partial(
        amphora_config,
        maxconn=amphora.maxconn,
        # As many as the processors that an amphora may and can use.
        threads=min(math.ceil(amphora.cpu_share), os.cpu_count() or 1),
        ping_command=str(PING_COMMAND),
    )


def instance_id(state_dir: Path) -> str:
    """Six hex digits that set this installation's names apart on a shared host."""
    path = state_dir / "instance"
    if not path.exists():
        write_private(path, str(uuid.uuid4()).encode())
    return hashlib.sha256(path.read_bytes()).hexdigest()[:6]


def _only_one(state_dir: Path) -> TextIO:
    """A lock held while a process serves from this state directory, which is made if need be."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = _private(state_dir / "lock").open("w")
    except OSError as error:
        raise Refused(f"The state directory {state_dir}: {error.strerror}.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise Refused(f"Another Fairlead already serves from {state_dir}: stop it first.") from None
    return handle


def _same_drivers(state_dir: Path, drivers: str) -> None:
    """Note at the first start whose state this is; in another world nothing of it exists."""
    path = state_dir / "drivers"
    if not path.exists():
        write_private(path, drivers.encode())
    elif (known := path.read_text()) != drivers:
        raise Refused(
            f"{state_dir} is the state of a service with --drivers {known}, not {drivers}: "
            "name another directory with --state-dir."
        )


def _private(path: Path) -> Path:
    """The file, made if need be, which nobody but its owner can read."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return path


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
