"""Amphorae are replaced while traffic goes on, whatever else happens meanwhile."""

from msgspec.structs import replace

from fairlead.domain import edits
from fairlead.errors import Permanent, Retryable
from fairlead.wire.heartbeat import Counters
from tests.scenarios.stage import RETRIES, SILENCE, SLOW_RETRY, Stage


async def web(stage: Stage) -> str:
    lb = await stage.create(*stage.web())
    await stage.settled(lb)
    return lb


async def statuses(stage: Stage, lb: str) -> dict[str, str]:
    return {a.id: a.status for a in await stage.store.amphorae(lb)}


async def test_the_new_one_serves_before_the_old_one_goes(stage: Stage) -> None:
    lb = await web(stage)
    old, seen, operating = stage.amphora(lb), [await statuses(stage, lb)], set()
    stage.world.step_seconds = 0.1
    new = await stage.fail_over(lb)
    assert await stage.provisioning(lb) == "PENDING_UPDATE"
    while await stage.provisioning(lb) != "ACTIVE":
        await stage.sleep(0.02)
        for machine in list(stage.world.machines):
            stage.world.beat(machine)
        operating.add(await stage.operating(lb))
        now = await statuses(stage, lb)
        if now not in (seen[-1], {old: "ALLOCATED", new: "ALLOCATED"}):  # that may be brief
            seen.append(now)
        served = [m.revision for m in stage.world.machines.values()]
        assert any(served), "one of them serves at any time"
    assert seen == [
        {old: "ALLOCATED"},
        {old: "ALLOCATED", new: "BOOTING"},
        {old: "PENDING_DELETE", new: "ALLOCATED"},
        {new: "ALLOCATED"},
    ]
    assert operating == {"ONLINE"}, "an amphora that is not ready yet is no news"
    assert set(stage.world.machines) == {new}
    assert {p.name.split(":")[1] for p in stage.world.ports.values()} == {new, lb}


async def test_the_new_one_says_where_the_vip_is_once_the_old_one_is_gone(stage: Stage) -> None:
    lb = await web(stage)
    new = await stage.fail_over(lb)
    await stage.settled(lb)
    done = await stage.done(lb)
    assert done.index("Destroy ok") < done.index("Announce ok")
    first, *again = stage.world.machines[new].configured
    assert again == [first, first], "when the old one leaves the networks, and when it is gone"


async def test_requests_are_taken_together(stage: Stage) -> None:
    lb = await web(stage)
    stage.world.step_seconds = 0.1
    ids = []
    for _ in range(5):
        ids.append(await stage.fail_over(lb))
        await stage.sleep(0.05)
    await stage.settled(lb, within=10)
    assert len(set(ids)) == 1
    assert (await stage.told(lb)).count("Destroy ok") == 1
    assert await stage.fail_over(lb) not in ids, "the next one is another"
    await stage.settled(lb, within=10)


async def test_a_change_during_a_failover_is_in_force_afterwards(stage: Stage) -> None:
    lb = await web(stage)
    stage.world.step_seconds = 0.1
    await stage.fail_over(lb)
    await stage.sleep(0.15)
    await stage.change(lb, "member", "m1", weight=7)
    await stage.settled(lb, within=10)
    assert stage.machine(lb).config.revision == await stage.wanted(lb)
    assert [s.weight for s in stage.machine(lb).config.servers] == [7, 1]


async def test_while_the_new_one_cannot_be_made_the_old_one_serves(stage: Stage) -> None:
    lb = await web(stage)
    old = stage.amphora(lb)
    stage.world.fail("create", *[Retryable("no machines left")] * 1000)
    new = await stage.fail_over(lb)
    await stage.sleep(30)
    assert await stage.provisioning(lb) == "ERROR"
    assert await statuses(stage, lb) == {old: "ALLOCATED", new: "BOOTING"}
    stage.world.beat(old)
    await stage.sleep(1)
    assert await stage.operating(lb) == "ONLINE"
    later = await stage.fail_over(lb)
    assert later not in (old, new), "what was given up on is begun anew"
    assert old in stage.world.machines
    stage.world.heal()
    await stage.settled(lb, within=SLOW_RETRY)
    assert await statuses(stage, lb) == {later: "ALLOCATED"}
    assert set(stage.world.machines) == {later}


async def test_an_old_one_that_will_not_go_is_tried_again(stage: Stage) -> None:
    lb = await web(stage)
    old = stage.amphora(lb)
    stage.world.fail("delete", *[Permanent("stuck")] * (RETRIES + 2))
    new = await stage.fail_over(lb)
    await stage.sleep(5)
    assert await statuses(stage, lb) == {old: "PENDING_DELETE", new: "ALLOCATED"}
    stage.world.beat(new)
    await stage.sleep(1)
    assert await stage.operating(lb) == "ONLINE"
    await stage.settled(lb, within=SLOW_RETRY * (RETRIES + 3))
    assert await statuses(stage, lb) == {new: "ALLOCATED"}


async def test_failover_cures_a_dead_amphora(stage: Stage) -> None:
    lb = await web(stage)
    stage.world.fail("restart_agent", *[Retryable("it will not")] * 1000)
    await stage.sleep(60)
    stage.machine(lb).hangs = True
    await stage.sleep(SILENCE + 15)
    assert await stage.operating(lb) == "ERROR"
    assert list((await statuses(stage, lb)).values()) == ["ERROR"]
    new = await stage.fail_over(lb)
    await stage.settled(lb)
    stage.world.beat(new)
    await stage.sleep(1)
    assert await stage.operating(lb) == "ONLINE"
    assert set(stage.world.machines) == {new}


async def test_the_last_words_of_the_old_one_are_no_news(stage: Stage) -> None:
    lb = await web(stage)
    old = stage.machine(lb)
    stage.world.fail("delete", *[Retryable("stuck")] * 2)
    await stage.fail_over(lb)
    await stage.sleep(0.1)
    old.healthy = False
    stage.world.beat(old.spec.boot.amphora_id)
    await stage.settled(lb)
    assert await stage.operating(lb) == "ONLINE"


async def test_totals_never_shrink(stage: Stage) -> None:
    lb = await web(stage)
    total = 0
    for _ in range(3):
        counted = Counters(bytes_in=5, total_connections=3, active_connections=1)
        stage.machine(lb).counters = {"listener": counted}
        stage.beat(lb)
        await stage.sleep(1)
        total += 3
        assert (await stage.store.statistics(lb))["listener"].total_connections == total
        await stage.fail_over(lb)
        await stage.settled(lb)
        assert (await stage.store.statistics(lb))["listener"].total_connections == total
    stage.machine(lb).counters = {"listener": replace(counted, total_connections=4)}
    stage.beat(lb)
    await stage.sleep(1)
    stage.world.lose(stage.amphora(lb))
    await stage.sleep(SILENCE + 10)
    stage.machine(lb).counters = {"listener": Counters(total_connections=1)}
    stage.beat(lb)
    await stage.sleep(1)
    assert (await stage.store.statistics(lb))["listener"].total_connections == total + 5


async def test_deleted_in_the_middle_of_a_failover_nothing_is_left(stage: Stage) -> None:
    stage.world.step_seconds = 0.1
    for moment in range(1, 10):
        lb = await stage.create(*(stage.web() if moment == 1 else []))
        await stage.settled(lb)
        await stage.fail_over(lb)
        await stage.sleep(0.1 * moment)
        await stage.delete(lb)
        await stage.gone(lb)
        stage.assert_nothing_left()


async def test_configured_anew_although_nothing_changed(stage: Stage) -> None:
    lb = await web(stage)
    before = len(stage.machine(lb).configured)
    await stage.edit(lb, edits.configure_anew(0))
    await stage.settled(lb)
    first, again = stage.machine(lb).configured[before - 1 :]
    assert again.haproxy_cfg == first.haproxy_cfg
    assert next(e.detail for e in await stage.events(lb) if e.step == "Configure") == "reload"
