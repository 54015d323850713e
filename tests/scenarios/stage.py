"""A whole service but for its API, on the in-memory world and on virtual time.

`Stage` puts the parts together as wiring.py does: the real store on a file, the real queue, the
controller, health and housekeeping. Tests play the user (`create`, `edit`, `delete`), the world
(`stage.world`) and the operator (`kill`, `start`), let time pass (`sleep`) and look at what came
of it. Every call of the controller to a driver or to the store is counted in `calls`; a crash may
come before any of them.
"""

import asyncio
import inspect
import sqlite3
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import asdict, replace

from fairlead.controller.executor import Executor
from fairlead.controller.health import Health
from fairlead.controller.housekeeping import Housekeeping
from fairlead.controller.observer import Drivers, observe
from fairlead.controller.reconciler import Patience, Reconciler
from fairlead.controller.watch import Watch
from fairlead.domain import edits, status
from fairlead.domain.edits import Edit
from fairlead.domain.events import Event
from fairlead.domain.model import AdditionalVip, LoadBalancer
from fairlead.domain.tree import Tree
from fairlead.drivers import fake
from fairlead.drivers.queue_memory import MemoryQueue
from fairlead.plan.planner import amphora_id
from fairlead.plan.suspicion import Limits
from fairlead.ports import VipRequest
from fairlead.render.amphora import amphora_config
from fairlead.store import SqlStore
from tests.scenarios.virtual_time import VirtualClock, outside

STEP_SECONDS, RETRIES, FIRST_PAUSE, SLOW_RETRY = 30.0, 3, 0.2, 60.0
SILENCE, RESYNC, RUNNERS, REPAIRS = 16.0, 300.0, 3, 2
SUBNET = str(uuid.UUID(int=1))
LAG = 65.0
WRITTEN = 0.05  # by then what a heartbeat changed is written
COUNTED = 1.1  # and what was counted
LIMITS = Limits(share=0.5, least=3, per_minute=30)
READS = {
    "store.tree", "store.amphorae", "store.all_ids", "network.ports", "network.subnet",
    "compute.observe", "amphorae.status", "store.events", "vault.bundle", "vault.text",
}  # fmt: skip


class Watched:
    """Stands before a port: counts the calls, and lets `before` crash or fail them."""

    def __init__(
        self, target: Any, name: str, calls: Counter[str], before: Callable[[str], Awaitable[None]]
    ) -> None:
        self._target, self._name, self._calls, self._before = target, name, calls, before

    def __getattr__(self, attribute: str) -> Any:
        function = getattr(self._target, attribute)
        if not inspect.iscoroutinefunction(function):
            return function

        async def call(*arguments: Any, **named: Any) -> Any:
            name = f"{self._name}.{attribute}"
            self._calls[name] += 1
            await self._before(name)
            return await function(*arguments, **named)

        return call


class OffLoop:
    """Stands before the store: announces that calls are out on a thread."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def __getattr__(self, attribute: str) -> Any:
        function = getattr(self._target, attribute)
        if not inspect.iscoroutinefunction(function):
            return function

        async def call(*arguments: Any, **named: Any) -> Any:
            with outside():
                return await function(*arguments, **named)

        return call


class Stage:
    """One installation, over several lives of its service."""

    def __init__(self, directory: Path, *, life: timedelta = timedelta(days=365)) -> None:
        self.file = directory / "fairlead.sqlite"
        self.clock = VirtualClock()
        self.world = fake.FakeWorld(now=self.clock.now)
        self.network = fake.FakeNetwork(self.world)
        self.secrets = fake.FakeSecrets(self.clock.now, life)
        self.vault = fake.FakeVault()
        self.calls: Counter[str] = Counter()
        self.store: Any = None
        self.queue = MemoryQueue()
        self.before_health_write: Callable[[str], Awaitable[None]] | None = None
        self.tasks: list[asyncio.Task[None]] = []
        self._incarnations: dict[str, int] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Stage"]:
        await self.start()
        try:
            yield self
        finally:
            await self.kill()

    # The operator.

    async def start(self) -> None:
        """Begin a life of the service."""
        self.store = OffLoop(SqlStore(f"sqlite+aiosqlite:///{self.file}"))
        await self.store.start()
        self.queue = MemoryQueue()
        watched = self.watched(self.store, "store")
        compute = self.watched(fake.FakeCompute(self.world), "compute")
        network = self.watched(self.network, "network")
        amphorae = self.watched(fake.FakeAmphorae(self.world), "amphorae")
        self.health = Health(
            self.watched(self.store, "health"), self.queue, amphorae, self.secrets, self.clock,
            lag=LAG,
        )  # fmt: skip
        self.watch = Watch(
            self.health, self.watched(self.store, "health"), self.queue, amphorae, compute,
            self.clock, silence=SILENCE, limits=LIMITS,
        )  # fmt: skip
        self.housekeeping = Housekeeping(
            watched, network, compute, self.queue, self.clock, resync=RESYNC
        )
        self.drivers = Drivers(
            store=watched, network=network, compute=compute, amphorae=amphorae,
            secrets=self.secrets, vault=self.watched(self.vault, "vault"), clock=self.clock,
        )  # fmt: skip
        self.reconciler = self.controller(await self.store.next_epoch())
        await self.housekeeping.resync()
        loops = [self.reconciler.run() for _ in range(RUNNERS)]
        loops += [*self.health.loops(fake.FakeHeartbeats(self.world)), self.watch.run()]
        self.tasks = [asyncio.create_task(one) for one in [*loops, self.housekeeping.run()]]

    def controller(self, epoch: int) -> Reconciler:
        """A reconciler on this stage."""
        executor = self.executor = Executor(
            self.drivers, self.clock, health_managers=("192.0.2.1:5555",),
            heartbeat_interval=5.0, step_seconds=STEP_SECONDS, counted=self.health.totals.write,
        )  # fmt: skip
        return Reconciler(
            self.drivers, executor, self.queue, self.clock,
            render=partial(amphora_config, maxconn=1000, ping_command="/ping"),
            patience=Patience(retries=RETRIES, first_pause=FIRST_PAUSE, slow_retry=SLOW_RETRY),
            repairs=REPAIRS, epoch=epoch, settled=self.health.settled,
        )  # fmt: skip

    def watched(self, target: Any, name: str) -> Any:
        return Watched(target, name, self.calls, self._before)

    async def _before(self, name: str) -> None:
        """Drivers count their own steps; the controller's writes to the store count here."""
        if name.startswith("health.") and self.before_health_write is not None:
            await self.before_health_write(name)
        if name.startswith("store.") and name not in READS:
            await self.world.look(name)

    async def kill(self) -> None:
        """End the service where it stands; datagrams on their way are lost."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks = []
        await self.store.close()
        while not self.world.datagrams.empty():
            self.world.datagrams.get_nowait()

    @property
    def dead(self) -> bool:
        """Whether a crash has ended a loop of the service."""
        return any(task.done() for task in self.tasks)

    # The user.

    async def create(
        self,
        *edit: Edit,
        subnet_id: str = SUBNET,
        additional_vips: tuple[AdditionalVip, ...] = (),
    ) -> str:
        """A load balancer with what the edits add to it, stored as the API does."""
        lb_id = str(uuid.uuid4())
        request = VipRequest(vip_subnet_id=subnet_id, additional_vips=additional_vips)
        vip = await self.network.allocate_vip(lb_id, "p", request)
        root = LoadBalancer(
            id=lb_id, project_id="p", created_at=self.clock.now(),
            **asdict(vip),
        )  # fmt: skip
        tree = Tree(root=root)
        for one in edit:
            tree = one(tree)
        first = [replace(o, created_gen=1, changed_gen=1) for o in tree.everything()]
        await self.store.create(replace(tree.with_objects(*first), generation=1))
        await self.queue.put(lb_id)
        return lb_id

    async def edit(self, lb_id: str, edit: Edit) -> Tree:
        tree: Tree = await self.store.edit(lb_id, edit)
        await self.queue.put(lb_id)
        return tree

    async def change(self, lb_id: str, kind: str, object_id: str, **values: Any) -> Tree:
        return await self.edit(lb_id, edits.change(kind, object_id, values, now=self.clock.now()))

    async def remove(self, lb_id: str, kind: str, object_id: str) -> Tree:
        return await self.edit(lb_id, edits.remove(kind, object_id, cascade=True))

    async def delete(self, lb_id: str) -> Tree:
        return await self.remove(lb_id, "loadbalancer", lb_id)

    async def fail_over(self, lb_id: str) -> str:
        """Have the amphora replaced; the id of the new one."""
        tree = await self.edit(lb_id, edits.renew())
        self._incarnations[lb_id] = tree.root.slots[0].incarnation
        return self.amphora(lb_id)

    def beat(self, lb_id: str) -> bytes:
        """Have the amphora send a heartbeat; the datagram."""
        return self.world.beat(self.amphora(lb_id))

    def adding(self, kind: str, object_id: str, **values: Any) -> Edit:
        return edits.add(kind, values, new_id=object_id, now=self.clock.now())

    def web(self, members: int = 2, *, monitor: bool = True) -> list[Edit]:
        """Edits for a listener "listener", its pool "pool", members "m1"... and a monitor."""

        def with_root(kind: str, new_id: str, **values: Any) -> Edit:
            return lambda tree: self.adding(kind, new_id, loadbalancer_id=tree.id, **values)(tree)

        listener = {"protocol": "HTTP", "protocol_port": 80}
        pool = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "listener_id": "listener"}
        found = [with_root("listener", "listener", **listener), with_root("pool", "pool", **pool)]
        found += [self.member(n) for n in range(1, members + 1)]
        if monitor:
            found.append(
                self.adding("healthmonitor", "monitor", pool_id="pool", type="TCP", delay=1,
                            timeout=1, max_retries=1)
            )  # fmt: skip
        return found

    def member(self, number: int, subnet_id: str | None = None) -> Edit:
        return self.adding(
            "member", f"m{number}", pool_id="pool", address=f"198.51.100.{number}",
            protocol_port=80, subnet_id=subnet_id,
        )  # fmt: skip

    # Looking.

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def until(
        self, condition: Callable[[], Coroutine[Any, Any, bool]], within: float
    ) -> None:
        """Wait for it; at most `within` seconds of virtual time."""
        end, pause = self.clock.monotonic() + within, 0.01
        while not await condition():
            assert self.clock.monotonic() < end, f"not within {within} s"
            await asyncio.sleep(pause)
            pause = min(pause * 1.1, 1.0)

    async def settled(self, lb_id: str, within: float = 5.0) -> Tree:
        """Wait until the newest generation is in force."""

        async def in_force() -> bool:
            tree = await self.store.tree(lb_id)
            return bool(tree.applied == tree.generation)

        await self.until(in_force, within)
        await asyncio.sleep(WRITTEN)
        tree: Tree = await self.store.tree(lb_id)
        return tree

    async def gone(self, lb_id: str, within: float = 5.0) -> None:
        """Wait until nothing is left of a load balancer's tree."""

        async def away() -> bool:
            return lb_id not in await self.store.all_ids()

        await self.until(away, within)

    async def provisioning(self, lb_id: str) -> str:
        tree = await self.store.tree(lb_id)
        return status.provisioning(tree, tree.root)

    async def operating(self, lb_id: str, *kinds_and_ids: tuple[str, str]) -> Any:
        """Operating status of the load balancer, or of the objects named."""
        tree = await self.store.tree(lb_id)
        if not kinds_and_ids:
            return status.operating(tree, tree.root)
        return [status.operating(tree, tree.get(kind, i)) for kind, i in kinds_and_ids]

    async def told(self, lb_id: str) -> list[str]:
        """The events so far, oldest first, as "Step outcome"."""
        return [f"{e.step} {e.outcome}" for e in reversed(await self.events(lb_id))]

    async def done(self, lb_id: str) -> list[str]:
        """As `told`, without what was noted of amphorae."""
        return [one for one in await self.told(lb_id) if not one.startswith("RecordAmphora")]

    async def events(self, lb_id: str) -> list[Event]:
        return list(await self.store.events(lb_id, limit=1000))

    def machine(self, lb_id: str) -> fake.FakeMachine:
        return self.world.machines[self.amphora(lb_id)]

    def amphora(self, lb_id: str) -> str:
        """The amphora that the tree asks for."""
        return amphora_id(lb_id, 0, self._incarnations.get(lb_id, 0))

    async def wanted(self, lb_id: str) -> str | None:
        """The revision that the stored tree asks of the amphora."""
        tree = await self.store.tree(lb_id)
        drivers = Drivers(
            store=self.store, network=self.network, compute=fake.FakeCompute(self.world),
            amphorae=fake.FakeAmphorae(self.world), secrets=self.secrets, vault=self.vault,
            clock=self.clock,
        )  # fmt: skip
        seen = await observe(
            tree, drivers, partial(amphora_config, maxconn=1000, ping_command="/ping"), 0, {}
        )
        return seen.world.amphorae[0].wanted

    def rows(self) -> dict[str, int]:
        """How many rows the tables have, without the empty ones and the epoch counter."""
        kept = "('counters', 'alembic_version', 'sqlite_sequence')"
        query = f"SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN {kept}"
        with closing(sqlite3.connect(self.file)) as database:
            names = [name for (name,) in database.execute(query)]
            counts = {n: database.execute(f"SELECT count(*) FROM {n}").fetchone()[0] for n in names}
        return {name: count for name, count in counts.items() if count}

    def assert_nothing_left(self) -> None:
        """No machine, no port and no row of anything."""
        assert not self.world.machines
        assert not self.world.ports
        assert self.rows() == {}

    def assert_nothing_remembered(self) -> None:
        """No memory of load balancers that are gone."""
        health, reconciler = self.health, self.reconciler
        for memory in (health.roster.pulses, health._strangers, health._changed,
                       health.assessor._due, health.assessor._woken, health.totals._waiting,
                       reconciler._troubles, reconciler._parked, reconciler._unrenewed,
                       self.executor._begun):  # fmt: skip
            assert not memory, memory
