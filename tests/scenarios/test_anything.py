"""Whatever users, machines, drivers and the process itself do: in a world that is well again,
everything converges, and then there is nothing left to do."""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, example, given, settings
from structlog.testing import capture_logs

from fairlead.domain import edits
from fairlead.domain.model import Member, Resource
from fairlead.drivers.fake import Crashed
from fairlead.errors import FairleadError, Permanent, Retryable
from tests.scenarios.stage import RESYNC, SLOW_RETRY, STEP_SECONDS, Stage
from tests.scenarios.virtual_time import VirtualLoop

Act = tuple[Any, ...]
CALLS = [
    "allocate_vip", "ensure_port", "management_port", "release", "ports", "subnet",
    "create", "observe", "attach", "detach", "delete", "configure", "status",
    "store.settle", "store.record", "store.put_amphora", "store.give_up", "store.drop_amphora",
]  # fmt: skip
which, some = st.integers(0, 1), st.integers(0, 5)
ACTS = st.one_of(
    st.tuples(st.just("create")),
    st.tuples(st.just("add"), which, st.sampled_from([None, "near", "far"])),
    st.tuples(st.just("change"), which, some, st.integers(0, 3)),
    st.tuples(st.just("remove"), which, some),
    st.tuples(st.just("delete"), which),
    st.tuples(st.sampled_from(["failover", "push"]), which),
    st.tuples(st.just("fail"), st.sampled_from(CALLS), st.booleans(), st.integers(1, 6)),
    st.tuples(st.just("stall"), st.sampled_from(CALLS)),
    st.tuples(st.sampled_from(["lose", "stop", "hang", "break", "unplug", "strip"]), some),
    st.tuples(st.just("wait"), st.sampled_from([0.01, 0.3, 5.0, 20.0, 70.0])),
    st.tuples(st.just("crash"), st.integers(0, 30)),
    st.tuples(st.just("restart")),
)


class Story:
    """One run; every act is a method."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.balancers: list[str] = []
        self._names = count(1)

    async def play(self, acts: list[Act]) -> None:
        for act in acts:
            function: Callable[..., Coroutine[Any, Any, None]] = getattr(self, act[0] + "_")
            try:
                await function(*act[1:])
            except FairleadError:
                continue  # the user is told, and lives with it
            except Crashed:
                await self.restart_()
            if self.stage.dead:
                await self.restart_()

    async def end_well(self) -> None:
        stage = self.stage
        stage.world.heal()
        for machine in stage.world.machines.values():
            machine.answers = True
        if stage.dead:
            await self.restart_()
        await stage.sleep(SLOW_RETRY + STEP_SECONDS + RESYNC + 40)
        alive = await stage.store.all_ids()
        assert set(alive) <= set(self.balancers)
        assert set(stage.world.machines) == {stage.amphora(lb) for lb in alive}
        for lb in alive:
            await self.assert_in_force(lb)
        for lb in alive:
            await stage.delete(lb)
        await stage.sleep(10)
        await stage.sleep(2 * RESYNC + 40)
        stage.assert_nothing_left()
        stage.assert_nothing_remembered()

    async def assert_in_force(self, lb: str) -> None:
        stage = self.stage
        tree = await stage.store.tree(lb)
        assert not tree.deleted
        assert tree.applied == tree.generation
        assert stage.machine(lb).config.revision == await stage.wanted(lb)
        assert await stage.operating(lb) == "ONLINE"
        plugged = {p.mac for p in stage.world.ports.values() if stage.amphora(lb) in p.name}
        assert len(plugged - stage.machine(lb).macs.keys()) == 1, "all but the management port"
        assert stage.machine(lb).macs.keys() < plugged
        told = await stage.told(lb)
        assert await stage.reconciler.reconcile(lb) is None
        assert await stage.told(lb) == told, "there is nothing left to do"

    # The user.

    async def create_(self) -> None:
        if len(self.balancers) < 2:
            self.balancers.append(await self.stage.create())

    async def add_(self, which: int, subnet_id: str | None) -> None:
        lb, number = self._balancer(which), next(self._names)
        tree = await self.stage.store.tree(lb)
        if not tree.pools:
            pool, listener = f"pool{number}", f"listener{number}"
            edit = self.stage.adding(
                "listener", listener, loadbalancer_id=lb, protocol="TCP", protocol_port=80
            )
            await self.stage.edit(lb, edit)
            edit = self.stage.adding(
                "pool", pool, loadbalancer_id=lb, listener_id=listener, protocol="TCP",
                lb_algorithm="ROUND_ROBIN",
            )  # fmt: skip
            await self.stage.edit(lb, edit)
            return
        edit = self.stage.adding(
            "member", f"m{number}", pool_id=tree.pools[0].id, subnet_id=subnet_id,
            address=f"198.51.100.{number}", protocol_port=80,
        )  # fmt: skip
        await self.stage.edit(lb, edit)

    async def change_(self, which: int, some: int, weight: int) -> None:
        lb, found = await self._object(which, some)
        values = {"weight": weight} if isinstance(found, Member) else {"name": str(weight)}
        await self.stage.change(lb, found.KIND, found.id, **values)

    async def remove_(self, which: int, some: int) -> None:
        lb, found = await self._object(which, some)
        await self.stage.remove(lb, found.KIND, found.id)

    async def failover_(self, which: int) -> None:
        await self.stage.fail_over(self._balancer(which))

    async def push_(self, which: int) -> None:
        await self.stage.edit(self._balancer(which), edits.configure_anew(0))

    async def delete_(self, which: int) -> None:
        await self.stage.delete(self._balancer(which))

    def _balancer(self, which: int) -> str:
        if which >= len(self.balancers):
            raise Retryable("no such load balancer")
        return self.balancers[which]

    async def _object(self, which: int, some: int) -> tuple[str, Resource]:
        tree = await self.stage.store.tree(self._balancer(which))
        found = [o for o in tree.objects.values() if o.deleted_gen is None]
        if not found:
            raise Retryable("no such object")
        return tree.id, found[some % len(found)]

    # The world.

    async def fail_(self, call: str, permanent: bool, times: int) -> None:
        error = Permanent("broken") if permanent else Retryable("busy")
        self.stage.world.fail(call, *[error] * times)

    async def stall_(self, call: str) -> None:
        self.stage.world.stall(call, 10 * STEP_SECONDS)

    async def lose_(self, some: int) -> None:
        self.stage.world.lose(self._machine(some))

    async def stop_(self, some: int) -> None:
        self.stage.world.stop(self._machine(some))

    async def hang_(self, some: int) -> None:
        self.stage.world.machines[self._machine(some)].answers = False

    async def break_(self, some: int) -> None:
        machine = self._machine(some)
        self.stage.world.machines[machine].healthy = False
        if self.stage.world.machines[machine].running:
            self.stage.world.beat(machine)

    async def unplug_(self, some: int) -> None:
        self.stage.world.machines[self._machine(some)].macs.clear()

    async def strip_(self, some: int) -> None:
        """A port of an amphora vanishes."""
        ports = [p for p in self.stage.world.ports.values() if p.name.startswith("amphora:")]
        if ports:
            del self.stage.world.ports[ports[some % len(ports)].id]

    def _machine(self, some: int) -> str:
        machines = sorted(self.stage.world.machines)
        if not machines:
            raise Retryable("no such machine")
        return machines[some % len(machines)]

    # The operator.

    async def wait_(self, seconds: float) -> None:
        await self.stage.sleep(seconds)

    async def crash_(self, moment: int) -> None:
        self.stage.world.crash_after = moment

    async def restart_(self) -> None:
        self.stage.world.crash_after = None
        await self.stage.kill()
        await self.stage.start()


async def tell(acts: list[Act]) -> None:
    with tempfile.TemporaryDirectory() as directory, capture_logs():
        async with Stage(Path(directory)).open() as stage:
            story = Story(stage)
            await story.play([("create",), ("add", 0, None), *acts])
            await story.end_well()


@settings(max_examples=30, deadline=timedelta(seconds=60), suppress_health_check=list(HealthCheck))
@example(acts=[("wait", 5.0), ("delete", 0), ("fail", "delete", True, 6), ("crash", 3)])
@example(acts=[("lose", 0), ("delete", 0)])
@given(acts=st.lists(ACTS, max_size=25))
def test_whatever_happens_it_ends_well(acts: list[Act]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(tell(acts))
