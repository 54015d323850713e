"""`Service` is everything in one process: store, queue, drivers, controller, health and the API.

Made by `cli serve`; tests make one too. Starting it finds what an earlier process left, adopts
it and repairs it; stopping it leaves amphorae alone.
"""

import asyncio
import uuid
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import structlog
from litestar import Litestar

from fairlead.api.app import create_app
from fairlead.api.audit import Audit
from fairlead.api.policy import Policy
from fairlead.api.services import Services
from fairlead.controller.executor import Executor
from fairlead.controller.health import Health
from fairlead.controller.housekeeping import Housekeeping
from fairlead.controller.observer import Drivers
from fairlead.controller.reconciler import Patience, Reconciler
from fairlead.controller.watch import Watch
from fairlead.drivers.clock import SystemClock
from fairlead.drivers.queue_memory import MemoryQueue
from fairlead.plan.suspicion import Limits
from fairlead.ports import Providers, SecretAdmin, Vault
from fairlead.settings import Settings
from fairlead.store import SqlStore
from fairlead.wiring import doors, identity, vaults
from fairlead.wiring.places import only_one, private, same_drivers
from fairlead.wiring.providers import Providing
from fairlead.wiring.worlds import Outside, fake_world, host_world, renderer

log = structlog.get_logger()


class Service:
    """One process that does everything; use as an async context manager."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state_dir = Path(settings.state_dir)
        self.clock = SystemClock()
        self.queue = MemoryQueue()
        self.store = SqlStore(
            f"sqlite+aiosqlite:///{self.state_dir}/fairlead.db",
            quota=settings.quota,
            keeps_quotas=settings.api.auth_strategy != "noauth",
        )
        self._stack = AsyncExitStack()
        self.vault: Vault
        self.cabinet: SecretAdmin | None
        self.outside: Outside
        self.app: Litestar

    async def __aenter__(self) -> "Service":
        identity.check(self.settings)
        policy = doors.policy(self.settings)  # refused before anything is made
        async with self._stack as stack:
            stack.enter_context(only_one(self.state_dir))
            same_drivers(self.state_dir, self.settings.drivers)
            private(self.state_dir / "fairlead.db")
            await self.store.start()
            stack.push_async_callback(self.store.close)
            self.vault, self.cabinet = await vaults.opened(self.settings, self.store, self.clock)
            world = fake_world if self.settings.drivers == "fake" else host_world
            self.outside = await world(self.settings, self.clock, stack)
            providing = Providing(self.settings, self.vault)
            self.app = create_app(self._services(providing.registry, policy, stack))
            await self._start_controller(stack)
            await providing.start_driver_agent(self.store, self.outside.network, stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    def _services(self, providers: Providers, policy: Policy, stack: AsyncExitStack) -> Services:
        return Services(
            store=self.store,
            catalog=self.store.catalog,
            quotas=self.store.quotas,
            queue=self.queue,
            network=self.outside.network,
            network_admin=self.outside.network_admin,
            vault=self.vault,
            secret_admin=self.cabinet,
            public_url=self.settings.api.public_url,
            providers=providers,
            clock=self.clock,
            new_id=lambda: str(uuid.uuid4()),
            authenticator=identity.authenticator(self.settings, self.state_dir, self.clock, stack),
            policy=policy,
            audit=self._audit(stack),
            health_check=self.settings.api.health_check,
            vips=doors.vip_rules(self.settings),
            tls=self.settings.tls.policy(),
            prometheus=self.settings.api.allow_prometheus_listeners,
            ping=self.settings.api.allow_ping_health_monitors,
            page_maximum=self.settings.api.page_limit,
        )

    def _audit(self, stack: AsyncExitStack) -> Audit | None:
        """What notes changes; at the end it writes what is left."""
        audit = identity.audit(self.settings.audit)
        if audit is not None:
            stack.push_async_callback(audit.flush)
            stack.push_async_callback(_cancel, asyncio.create_task(audit.run()))
        return audit

    async def _start_controller(self, stack: AsyncExitStack) -> None:
        """Clean up, adopt what runs, then keep reconciling, listening and watching."""
        controller, health, outside = self.settings.controller, self.settings.health, self.outside
        epoch = await self.store.next_epoch()
        watcher = Health(
            self.store, self.queue, outside.amphorae, outside.secrets, self.clock,
            lag=health.clock_skew + health.interval,
        )  # fmt: skip
        watch = Watch(
            watcher, self.store, self.queue, outside.amphorae, outside.compute, self.clock,
            silence=health.silence,
            limits=Limits(
                share=health.silent_share,
                least=health.silent_least,
                per_minute=health.repairs_per_minute,
            ),
        )  # fmt: skip
        housekeeping = Housekeeping(
            self.store, outside.network, outside.compute, self.queue, self.clock,
            resync=controller.resync,
        )  # fmt: skip
        reconciler = self._reconciler(epoch, watcher)
        await housekeeping.resync()
        loops = [reconciler.run() for _ in range(controller.runners)]
        loops += [*watcher.loops(outside.heartbeats), watch.run(), housekeeping.run()]
        stack.push_async_callback(watcher.finish)
        for loop in loops:
            stack.push_async_callback(_cancel, asyncio.create_task(loop))

    def _reconciler(self, epoch: int, watcher: Health) -> Reconciler:
        controller, health, outside = self.settings.controller, self.settings.health, self.outside
        drivers = Drivers(
            store=self.store,
            network=outside.network,
            compute=outside.compute,
            amphorae=outside.amphorae,
            secrets=outside.secrets,
            vault=self.vault,
            clock=self.clock,
        )
        executor = Executor(
            drivers,
            self.clock,
            health_managers=outside.health_managers,
            heartbeat_interval=health.interval,
            step_seconds=controller.step_seconds,
            counted=watcher.totals.write,
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
            settled=watcher.settled,
        )  # fmt: skip


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
