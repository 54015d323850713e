"""When it is the controller, its database or its network that is broken, nobody is repaired."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from fairlead.errors import Retryable
from fairlead.plan.planner import amphora_id
from fairlead.wire.heartbeat import Report, derive_key, seal
from tests.scenarios.stage import SILENCE, Stage
from tests.scenarios.virtual_time import stand_still

MANY = 200
DEAD = 5
BEAT = 5.0


class Fleet:
    """Load balancers whose amphorae beat, as far as `passes` lets their words through."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.ids: list[str] = []
        self.passes: Callable[[], bool] = lambda: True
        self.before: dict[str, int] = {}
        self.beating: asyncio.Task[None] | None = None

    async def found(self, number: int = MANY) -> None:
        subnets = [str(uuid.UUID(int=1 + n // 100)) for n in range(number)]
        self.ids = [await self.stage.create(subnet_id=one) for one in subnets]
        for lb in self.ids:
            await self.stage.settled(lb, within=60)
        self.beating = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            for lb in self.ids:
                machine = self.stage.world.machines.get(amphora_id(lb, 0))
                if machine is not None and machine.running and self.passes():
                    self.stage.beat(lb)

    async def end(self) -> None:
        assert self.beating is not None
        self.beating.cancel()
        await asyncio.gather(self.beating, return_exceptions=True)

    async def repaired(self) -> set[str]:
        """Load balancers that something was done to since they were made."""
        done = ("Boot", "Revive", "Destroy")
        found = set()
        for lb in self.ids:
            first = self.before[lb]
            told = (await self.stage.told(lb))[first:]
            if any(word.split()[0] in done for word in told):
                found.add(lb)
        return found

    async def quiet(self) -> None:
        """From here on it counts who is repaired."""
        for lb in self.ids:
            self.before[lb] = len(await self.stage.told(lb))


@pytest.fixture
async def fleet(stage: Stage) -> AsyncIterator[Fleet]:
    made = Fleet(stage)
    await made.found()
    await stage.sleep(2 * BEAT)
    await made.quiet()
    yield made
    await made.end()


async def database_away(fleet: Fleet) -> None:
    async def away(_name: str) -> None:
        raise Retryable("The database does not answer")

    fleet.stage.before_health_write = away
    await fleet.stage.sleep(60)
    fleet.stage.before_health_write = None


async def controller_paused(fleet: Fleet) -> None:
    stand_still(60)
    await fleet.stage.sleep(0)


async def most_heartbeats_lost(fleet: Fleet) -> None:
    chance = random.Random(7)
    fleet.passes = lambda: chance.random() < 0.2
    await fleet.stage.sleep(120)
    fleet.passes = lambda: True


async def network_cut(fleet: Fleet) -> None:
    fleet.passes = lambda: False
    for machine in fleet.stage.world.machines.values():
        machine.answers = False
    await fleet.stage.sleep(120)
    for machine in fleet.stage.world.machines.values():
        machine.answers = True
    fleet.passes = lambda: True


@pytest.mark.parametrize(
    "storm", [database_away, controller_paused, most_heartbeats_lost, network_cut]
)
async def test_only_the_dead_are_repaired(
    fleet: Fleet, storm: Callable[[Fleet], Awaitable[None]]
) -> None:
    dead = set(fleet.ids[:: MANY // DEAD][:DEAD])
    for lb in dead:
        fleet.stage.world.stop(amphora_id(lb, 0))
    await storm(fleet)
    await fleet.stage.sleep(3 * SILENCE)
    assert await fleet.repaired() == dead
    assert all(machine.running for machine in fleet.stage.world.machines.values())


async def test_a_cut_network_is_told_of_and_leaves_statuses_as_they_were(fleet: Fleet) -> None:
    fleet.passes = lambda: False
    for machine in fleet.stage.world.machines.values():
        machine.answers = False
    await fleet.stage.sleep(2 * SILENCE)
    details = "".join(e.detail for e in await fleet.stage.events(fleet.ids[0]))
    assert f"{MANY} of {MANY} amphorae are silent at once" in details
    assert await fleet.stage.operating(fleet.ids[0]) == "ONLINE"


async def test_who_was_away_gives_everybody_time_to_be_heard(stage: Stage) -> None:
    fleet = Fleet(stage)
    await fleet.found(2)
    await fleet.quiet()
    stand_still(60)
    fleet.passes = lambda: False
    for machine in stage.world.machines.values():
        machine.answers = False
    await stage.sleep(7)
    fleet.passes = lambda: True
    for machine in stage.world.machines.values():
        machine.answers = True
    await stage.sleep(3 * SILENCE)
    assert await fleet.repaired() == set()
    await fleet.end()


async def test_forged_heartbeats_are_counted_and_logged_once_a_minute(stage: Stage) -> None:
    lb = await stage.create()
    await stage.settled(lb)
    said: Report = stage.machine(lb).report(stage.clock.now(), {})
    forged = seal(said, derive_key(b"x" * 32, said.amphora_id))
    for _ in range(50):
        for nonsense in (forged, b"", forged[:60], b"\1" + bytes(70_000)):
            stage.world.datagrams.put_nowait(nonsense)
        await stage.sleep(1)
    assert stage.health.refusals.total.total() == 200
    assert stage.health.refusals.told == 1
    await stage.sleep(11)
    stage.world.datagrams.put_nowait(forged)
    await stage.sleep(1)
    assert stage.health.refusals.told == 2
    assert await stage.operating(lb) == "ONLINE"


async def test_while_more_heartbeats_wait_than_can_be_taken_in_nobody_is_repaired(
    stage: Stage,
) -> None:
    """The datagrams of the living may be among those that were dropped."""
    fleet = Fleet(stage)
    await fleet.found(2)
    await fleet.quiet()
    fleet.passes = lambda: False
    for machine in stage.world.machines.values():
        machine.answers = False
    stage.world.flooded = True
    stage.world.datagrams.put_nowait(b"nonsense")
    await stage.sleep(3 * SILENCE)
    assert await fleet.repaired() == set()
    assert stage.health.behind > SILENCE
    stage.world.flooded = False
    stage.world.datagrams.put_nowait(b"nonsense")
    await stage.sleep(SILENCE - 2)
    assert await fleet.repaired() == set(), "everybody has a whole period to be heard"
    await stage.sleep(SILENCE)
    assert await fleet.repaired() == set(fleet.ids)
    await fleet.end()
