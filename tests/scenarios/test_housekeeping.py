"""Nothing is left behind, nothing is forgotten: sweeps at start and now and then."""

import uuid

from fairlead.domain.observed import Port
from fairlead.drivers.fake import FakeMachine
from fairlead.errors import Retryable
from fairlead.ports import AmphoraSpec, VipRequest
from fairlead.wire.boot import Boot
from tests.scenarios.stage import RESYNC, SUBNET, Stage


def orphaned_machine(stage: Stage) -> str:
    """A machine that nobody knows."""
    orphan = str(uuid.uuid4())
    port = Port(
        id="p", name="p", owner="", network_id="n", mac="m", mtu=1500, fixed_ips=(), segment="s"
    )
    boot = Boot(
        amphora_id=orphan, listen="", agent_port=1, certificate="", private_key="", authority="",
        heartbeat_key=b"", health_managers=(),
    )  # fmt: skip
    stage.world.machines[orphan] = FakeMachine(AmphoraSpec(management=port, boot=boot), "life")
    return orphan


async def orphaned_vip(stage: Stage) -> None:
    """What a crash between allocating a VIP and storing the load balancer leaves."""
    await stage.network.allocate_vip(str(uuid.uuid4()), "p", VipRequest(vip_subnet_id=SUBNET))


async def test_orphans_go_at_the_start_and_the_living_stay(stage: Stage) -> None:
    lb = await stage.create(*stage.web())
    await stage.settled(lb)
    await stage.kill()
    machines, ports = set(stage.world.machines), set(stage.world.ports)
    orphaned_machine(stage)
    await orphaned_vip(stage)
    await stage.start()
    assert set(stage.world.machines) == machines
    assert set(stage.world.ports) == ports


async def test_while_it_runs_an_orphan_must_be_seen_twice(stage: Stage) -> None:
    orphaned_machine(stage)
    await orphaned_vip(stage)
    await stage.sleep(RESYNC + 1)
    assert stage.world.machines
    assert stage.world.ports
    await stage.sleep(RESYNC)
    assert not stage.world.machines
    assert not stage.world.ports


async def test_what_finds_its_load_balancer_in_time_stays(stage: Stage) -> None:
    await stage.sleep(RESYNC - 1)
    stage.world.step_seconds = 1.0
    lb = await stage.create(*stage.web())
    await stage.sleep(2 * RESYNC)
    assert await stage.operating(lb) == "ONLINE"
    assert len([e for e in await stage.told(lb) if e.startswith("Boot")]) == 1


async def test_an_orphan_that_cannot_be_removed_keeps_nobody_from_starting(stage: Stage) -> None:
    lb = await stage.create(*stage.web())
    await stage.kill()
    orphaned_machine(stage)
    stage.world.fail("delete", *[Retryable("busy")] * 2)
    await stage.start()
    await stage.settled(lb)
    await stage.sleep(5 * RESYNC)
    assert len(stage.world.machines) == 1


async def test_a_start_wakes_every_load_balancer(stage: Stage) -> None:
    lbs = [await stage.create() for _ in range(5)]
    await stage.settled(lbs[0])
    await stage.kill()
    for machine in stage.world.machines.values():
        machine.running = False
    await stage.start()
    for lb in lbs:
        await stage.settled(lb)
    assert len(stage.world.machines) == 5
    assert all(machine.running for machine in stage.world.machines.values())


async def test_a_resync_now_and_then_repairs_what_nobody_told_of(stage: Stage) -> None:
    lb = await stage.create(*stage.web())
    await stage.settled(lb)
    stage.machine(lb).macs.clear()
    await stage.sleep(RESYNC + 31)
    assert len(stage.machine(lb).macs) == 1
    assert (await stage.told(lb))[-2:] == ["Attach ok", "Configure ok"]
    assert await stage.operating(lb) == "ONLINE"


async def test_an_edit_that_woke_nobody_is_found_at_the_start(stage: Stage) -> None:
    lb = await stage.create()
    await stage.settled(lb)
    await stage.store.edit(lb, stage.web(0)[0])
    await stage.kill()
    await stage.start()
    tree = await stage.settled(lb)
    assert tree.generation == 2
