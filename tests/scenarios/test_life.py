"""The usual life of a load balancer, and what edits at any moment do to it."""

import asyncio

from tests.scenarios.stage import Stage


async def test_created_it_becomes_active_and_online(stage: Stage) -> None:
    lb = await stage.create(*stage.web(2))
    assert await stage.provisioning(lb) == "PENDING_CREATE"
    assert await stage.operating(lb) == "OFFLINE"
    await stage.settled(lb)
    assert await stage.provisioning(lb) == "ACTIVE"
    assert await stage.operating(lb) == "ONLINE"
    below = [("listener", "listener"), ("pool", "pool"), ("member", "m1"), ("member", "m2")]
    assert await stage.operating(lb, *below) == ["ONLINE"] * 4
    (record,) = await stage.store.amphorae(lb)
    assert record.status == "ALLOCATED"
    assert record.ha_ip == (await stage.store.tree(lb)).root.vip_address
    assert stage.machine(lb).config.revision == await stage.wanted(lb)


async def test_every_step_is_told_newest_first(stage: Stage) -> None:
    stage.world.step_seconds = 0.25
    lb = await stage.create()
    await stage.settled(lb)
    told = await stage.events(lb)
    assert [event.step for event in told] == [
        "Settle", "RecordAmphora", "Configure", "Attach", "Boot",
        "EnsurePort", "EnsureManagementPort", "RecordAmphora",
    ]  # fmt: skip
    assert all(event.outcome == "ok" for event in told)
    (amphora,) = await stage.store.amphorae(lb)
    assert [e.amphora_id for e in told[1:]] == [amphora.id] * 7
    assert [e.took_ms for e in told if e.step in ("Configure", "Boot", "Attach")] == [250] * 3
    assert [e.at for e in told] == sorted((e.at for e in told), reverse=True)


async def test_ten_edits_at_once_are_few_configurations(stage: Stage) -> None:
    lb = await stage.create(*stage.web(0))
    await stage.settled(lb)
    before = len(stage.machine(lb).configured)
    stage.world.step_seconds = 0.1
    await asyncio.gather(*(stage.edit(lb, stage.member(n)) for n in range(1, 11)))
    tree = await stage.settled(lb)
    assert tree.generation == 11
    assert len(stage.machine(lb).config.servers) == 10
    assert len(stage.machine(lb).configured) - before <= 2


async def test_an_edit_is_taken_in_while_the_creation_runs(stage: Stage) -> None:
    stage.world.step_seconds = 1.0
    lb = await stage.create(*stage.web(1))
    for number in range(2, 6):
        await stage.sleep(0.9)
        assert await stage.provisioning(lb) == "PENDING_CREATE"
        await stage.edit(lb, stage.member(number))
    tree = await stage.settled(lb, within=20)
    assert tree.generation == 5
    assert await stage.provisioning(lb) == "ACTIVE"
    assert len(stage.machine(lb).config.servers) == 5
    assert stage.machine(lb).config.revision == await stage.wanted(lb)


async def test_an_edit_during_the_configuration_is_configured_next(stage: Stage) -> None:
    lb = await stage.create(*stage.web(1))
    await stage.settled(lb)
    stage.world.step_seconds = 1.0
    await stage.change(lb, "member", "m1", weight=2)
    await stage.sleep(0.5)
    await stage.change(lb, "member", "m1", weight=3)
    await stage.settled(lb)
    assert [c.servers[0].weight for c in stage.machine(lb).configured[1:]] == [2, 3]
    assert stage.machine(lb).config.revision == await stage.wanted(lb)


async def test_a_member_on_another_subnet_brings_a_card_and_takes_it_along(stage: Stage) -> None:
    lb = await stage.create(*stage.web(1))
    await stage.settled(lb)
    await stage.edit(lb, stage.member(2, subnet_id="far"))
    await stage.settled(lb)
    assert len(stage.machine(lb).macs) == 2
    await stage.remove(lb, "member", "m2")
    await stage.settled(lb)
    assert len(stage.machine(lb).macs) == 1
    assert (await stage.told(lb))[-4:] == [
        "Configure ok", "Detach ok", "ReleasePort ok", "Settle ok",
    ]  # fmt: skip


async def test_deleted_it_leaves_nothing(stage: Stage) -> None:
    lb = await stage.create(*stage.web())
    await stage.settled(lb)
    await stage.delete(lb)
    assert await stage.provisioning(lb) == "PENDING_DELETE"
    await stage.gone(lb)
    await stage.sleep(30)
    stage.assert_nothing_left()
    stage.assert_nothing_remembered()


async def test_deleted_while_it_is_being_created_it_leaves_nothing(stage: Stage) -> None:
    for moment in range(14):
        stage.world.step_seconds = 1.0
        lb = await stage.create(*stage.web())
        await stage.sleep(moment / 2)
        await stage.delete(lb)
        await stage.gone(lb, within=20)
        stage.assert_nothing_left()


async def test_settled_and_asked_again_it_takes_no_step(stage: Stage) -> None:
    lb = await stage.create(*stage.web())
    await stage.settled(lb)
    before = await stage.told(lb)
    stage.calls.clear()
    await stage.queue.put(lb)
    await stage.sleep(1)
    assert await stage.told(lb) == before
    assert stage.calls["store.tree"] == 1
    assert not stage.calls["amphorae.configure"]


async def test_a_changed_weight_costs_one_look_and_one_configuration(stage: Stage) -> None:
    lb = await stage.create(*stage.web(10))
    await stage.settled(lb)
    stage.calls.clear()
    await stage.change(lb, "member", "m1", weight=7)
    await stage.settled(lb)
    own = {name: n for name, n in stage.calls.items() if not name.startswith("health.")}
    assert own == {
        "store.tree": 1, "store.amphorae": 1, "network.ports": 1, "compute.observe": 1,
        "amphorae.status": 1, "amphorae.configure": 1, "store.settle": 1, "store.record": 1,
    }  # fmt: skip
