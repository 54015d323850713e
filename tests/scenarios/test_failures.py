"""Steps that fail, hang or break: retries, giving up, and what heals it."""

import asyncio
from itertools import pairwise

import pytest

from fairlead.errors import Fenced, Permanent, Retryable
from fairlead.plan.planner import amphora_id
from tests.scenarios.stage import FIRST_PAUSE, RETRIES, SLOW_RETRY, STEP_SECONDS, Stage


async def test_a_failing_configuration_is_tried_again_with_growing_pauses(stage: Stage) -> None:
    stage.world.fail("configure", Retryable("busy"), Retryable("busy"))
    lb = await stage.create()
    await stage.settled(lb)
    tries = [e for e in reversed(await stage.events(lb)) if e.step == "Configure"]
    assert [(e.outcome, e.detail) for e in tries] == [
        ("retry", "busy"), ("retry", "busy"), ("ok", "start"),
    ]  # fmt: skip
    pauses = [(b.at - a.at).total_seconds() for a, b in pairwise(tries)]
    assert pauses == pytest.approx([FIRST_PAUSE, 2 * FIRST_PAUSE])


async def test_a_hint_makes_the_pause_longer(stage: Stage) -> None:
    stage.world.fail("configure", Retryable("busy", after=7.0))
    lb = await stage.create()
    await stage.sleep(6.9)
    assert await stage.provisioning(lb) == "PENDING_CREATE"
    await stage.sleep(0.2)
    assert await stage.provisioning(lb) == "ACTIVE"


async def test_a_pause_does_not_hold_up_the_next_edit(stage: Stage) -> None:
    stage.world.fail("configure", Retryable("busy", after=100.0))
    lb = await stage.create(*stage.web(0))
    await stage.sleep(1)
    await stage.edit(lb, stage.member(1))
    await stage.settled(lb, within=1)


async def test_a_refused_configuration_is_an_error_at_once_with_its_reason(stage: Stage) -> None:
    stage.world.refused_words = {"198.51.100.13"}
    lb = await stage.create(*stage.web(1))
    await stage.settled(lb)
    await stage.edit(lb, stage.member(13))
    await stage.sleep(0.1)
    assert await stage.provisioning(lb) == "ERROR"
    newest = (await stage.events(lb))[0]
    assert (newest.step, newest.outcome) == ("GiveUp", "failed")
    assert "198.51.100.13" in newest.detail
    assert len(stage.machine(lb).config.servers) == 1, "the last good configuration runs"
    # The slow retry goes on until it works.
    stage.world.refused_words = set()
    await stage.settled(lb, within=SLOW_RETRY + 1)
    assert await stage.provisioning(lb) == "ACTIVE"


async def test_the_users_next_edit_heals_an_error(stage: Stage) -> None:
    stage.world.refused_words = {"198.51.100.13"}
    lb = await stage.create(*stage.web(1), stage.member(13))
    await stage.sleep(0.1)
    assert await stage.provisioning(lb) == "ERROR"
    await stage.remove(lb, "member", "m13")
    assert await stage.provisioning(lb) == "PENDING_CREATE"
    await stage.settled(lb, within=1)
    assert await stage.provisioning(lb) == "ACTIVE"


async def test_retries_exhausted_are_an_error_until_it_works(stage: Stage) -> None:
    stage.world.fail("create", *[Retryable("no room")] * (RETRIES + 2))
    lb = await stage.create()
    await stage.sleep(5)
    assert await stage.provisioning(lb) == "ERROR"
    told = await stage.told(lb)
    assert told.count("Boot retry") == RETRIES + 1
    assert told[-1] == "GiveUp failed"
    assert "no room" in (await stage.events(lb))[0].detail
    await stage.settled(lb, within=2 * SLOW_RETRY + 1)
    assert await stage.provisioning(lb) == "ACTIVE"


async def test_a_step_that_hangs_is_ended_at_its_bound(stage: Stage) -> None:
    stage.world.stall("configure")
    lb = await stage.create()
    await stage.sleep(STEP_SECONDS - 1)
    assert await stage.provisioning(lb) == "PENDING_CREATE"
    await stage.settled(lb, within=2)
    failed = next(e for e in await stage.events(lb) if e.outcome == "retry")
    assert (failed.step, failed.took_ms) == ("Configure", STEP_SECONDS * 1000)
    assert "longer than 30 s" in failed.detail


async def test_a_look_that_hangs_is_ended_at_its_bound(stage: Stage) -> None:
    stage.world.stall("ports")
    lb = await stage.create()
    await stage.settled(lb, within=STEP_SECONDS + 1)
    assert (await stage.told(lb))[0] == "Observe retry"


async def test_an_agent_that_hangs_does_not_hold_up_the_look(stage: Stage) -> None:
    lb = await stage.create()
    await stage.settled(lb)
    stage.world.stall("status")
    await stage.edit(lb, stage.web(0)[0])
    await stage.settled(lb, within=6)
    assert (await stage.done(lb))[-3:] == ["Revive ok", "Configure ok", "Settle ok"]


async def test_a_member_whose_subnet_was_deleted_is_an_error_until_it_goes(stage: Stage) -> None:
    lb = await stage.create(*stage.web(1))
    await stage.settled(lb)
    made = await stage.network.create_network("n", project_id="p", shared=False)
    subnet = await stage.network.create_subnet(
        made.id, cidr="198.51.100.0/24", name="", gateway=None, project_id="p"
    )
    await stage.network.delete_subnet(subnet.id)
    await stage.edit(lb, stage.member(2, subnet.id))
    await stage.sleep(1)
    assert await stage.provisioning(lb) == "ERROR"
    given_up, found = (await stage.events(lb))[:2]
    assert (found.step, found.outcome) == ("FindSubnet", "failed")
    assert found.detail == f"Subnet {subnet.id} of member m2 does not exist any more."
    assert found.detail in given_up.detail
    await stage.remove(lb, "member", "m2")
    await stage.settled(lb, within=1)
    assert await stage.provisioning(lb) == "ACTIVE"


async def test_steps_of_a_wave_go_on_when_one_fails(stage: Stage) -> None:
    stage.world.fail("management_port", Permanent("no management network"))
    lb = await stage.create()
    await stage.sleep(0.1)
    assert sorted(await stage.told(lb)) == [
        "EnsureManagementPort failed", "EnsurePort ok", "GiveUp failed", "RecordAmphora ok",
    ]  # fmt: skip


async def test_a_defect_is_told_like_a_failure_and_ends_no_runner(stage: Stage) -> None:
    defects = [KeyError("secret"), ValueError(), TypeError(), OSError()] * (RETRIES + 1)
    stage.world.fail("configure", *defects[: RETRIES + 1])
    lb = await stage.create()
    await stage.sleep(10)
    assert await stage.provisioning(lb) == "ERROR"
    details = [e.detail for e in await stage.events(lb)]
    assert "Configure broke: KeyError" in details
    assert "secret" not in "".join(details)
    stage.world.fail("ports", *defects[: RETRIES + 1])
    other = await stage.create()
    await stage.sleep(10)
    assert await stage.provisioning(other) == "ERROR"
    assert not stage.dead
    for one in (lb, other):
        await stage.settled(one, within=SLOW_RETRY + 1)


async def test_a_store_that_fails_ends_no_runner_and_loses_no_key(stage: Stage) -> None:
    lb = await stage.create()
    await stage.settled(lb)
    for call in ("store.settle", "store.record"):
        stage.world.fail(call, *[Retryable("The database does not answer", after=1.0)] * 3)
        await stage.edit(lb, lambda tree: stage.web(0)[0](tree) if not tree.listeners else
                         stage.adding("pool", "p", loadbalancer_id=lb, protocol="HTTP",
                                      lb_algorithm="ROUND_ROBIN")(tree))  # fmt: skip
        await stage.settled(lb, within=60)
        stage.world.heal()
    assert not stage.dead


async def test_a_slow_retry_that_goes_on_does_not_fill_the_events(stage: Stage) -> None:
    stage.world.refused_words = {"global"}
    lb = await stage.create(*stage.web(1))
    await stage.sleep(3 * SLOW_RETRY)
    after_hours = len(await stage.events(lb))
    await stage.sleep(20 * SLOW_RETRY)
    assert len(await stage.events(lb)) == after_hours
    tries = stage.calls["amphorae.configure"]
    assert tries > 20, "it goes on all the same"


async def test_a_fenced_controller_stops(stage: Stage) -> None:
    lb = await stage.create()
    await stage.settled(lb)
    newer = stage.controller(await stage.store.next_epoch())
    await stage.store.edit(lb, stage.web(0)[0])
    assert await newer.reconcile(lb) is None
    tree = await stage.store.tree(lb)
    assert tree.applied == tree.generation
    # The older one meets the newer epoch at the agent, before it does any harm.
    configured = len(stage.machine(lb).configured)
    await stage.edit(lb, stage.web(0)[1])
    await stage.sleep(60)
    tree = await stage.store.tree(lb)
    assert tree.applied < tree.generation
    assert len(stage.machine(lb).configured) == configured
    assert await stage.provisioning(lb) == "PENDING_UPDATE", "that is the newer one's to decide"
    assert await newer.reconcile(lb) is None
    assert await stage.provisioning(lb) == "ACTIVE"


async def test_a_fenced_controller_cannot_settle_or_give_up(stage: Stage) -> None:
    lb = await stage.create()
    await stage.settled(lb)
    newest = await stage.store.next_epoch()
    await stage.store.settle(lb, 1, newest)
    await stage.edit(lb, stage.web(0)[0])
    stage.world.fail("configure", Permanent("refused"))
    await stage.sleep(1)
    assert await stage.provisioning(lb) == "PENDING_UPDATE"
    with pytest.raises(Fenced):
        await stage.store.settle(lb, 2, newest - 1)
    assert not stage.dead


async def test_a_release_that_fails_holds_up_the_deletion_only_for_a_while(stage: Stage) -> None:
    lb = await stage.create()
    await stage.settled(lb)
    stage.world.fail("release", *[Retryable("busy")] * 20)
    await stage.delete(lb)
    await stage.sleep(5)
    assert await stage.provisioning(lb) == "ERROR"
    assert "GiveUp failed" in await stage.told(lb)
    await stage.gone(lb, within=10 * SLOW_RETRY)
    stage.assert_nothing_left()


async def test_a_machine_that_cannot_be_removed_is_tried_for_ever(stage: Stage) -> None:
    lb = await stage.create()
    await stage.settled(lb)
    stage.world.fail("delete", *[Permanent("stuck")] * 5)
    await stage.delete(lb)
    await stage.sleep(1)
    assert await stage.provisioning(lb) == "ERROR"
    assert stage.world.ports, "nothing a running machine uses is taken away"
    await stage.gone(lb, within=6 * SLOW_RETRY)
    stage.assert_nothing_left()


async def test_a_repair_that_fails_is_told_but_is_no_provisioning_error(stage: Stage) -> None:
    lb = await stage.create(*stage.web())
    await stage.settled(lb)
    stage.world.fail("create", *[Retryable("no room")] * 50)
    stage.world.lose(amphora_id(lb, 0))
    await stage.sleep(60)
    assert await stage.provisioning(lb) == "ACTIVE"
    assert await stage.operating(lb) == "ERROR"
    assert (await stage.told(lb)).count("Boot retry") >= RETRIES
    assert "GiveUp failed" not in await stage.told(lb)
    stage.world.heal()
    await stage.sleep(SLOW_RETRY + 20)
    assert await stage.operating(lb) == "ONLINE"


async def test_an_agent_that_never_answers_has_its_machine_booted_again(stage: Stage) -> None:
    stage.world.fail("status", *[Retryable("silence")] * 100_000)
    lb = await stage.create()
    await stage.sleep(3 * STEP_SECONDS + 5)
    assert (await stage.told(lb))[4:8] == [
        "Attach ok", "AwaitAgent retry", "Revive retry", "Revive retry",
    ]  # fmt: skip
    assert await stage.provisioning(lb) == "ERROR"
    assert stage.calls["compute.restart_agent"] == 1, "not before it had its time to start"
    stage.world.heal()
    await stage.settled(lb, within=SLOW_RETRY)


async def test_stopping_the_service_in_the_middle_of_a_step_is_clean(stage: Stage) -> None:
    stage.world.stall("configure")
    lb = await stage.create()
    await stage.sleep(1)
    await stage.kill()
    claimed = await asyncio.wait_for(stage.queue.claim(), 1)
    assert claimed == lb, "whoever runs next goes on with it"
    await stage.start()
    await stage.settled(lb, within=1)
