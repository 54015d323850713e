"""Heartbeats: what they say becomes operating status and statistics, and silence is noticed."""

import uuid
from typing import Any

import pytest
from msgspec.structs import replace

from fairlead.controller.roster import READ_EVERY
from fairlead.domain.tree import Tree
from fairlead.drivers.fake.world import MASTER_KEY
from fairlead.errors import Retryable
from fairlead.plan.planner import amphora_id
from fairlead.wire.heartbeat import Counters, Forged, Report, derive_key, seal
from tests.scenarios.stage import COUNTED, LAG, SILENCE, WRITTEN, Stage

MEMBERS = [("member", "m1"), ("member", "m2")]
ALL = [("listener", "listener"), ("pool", "pool"), *MEMBERS]
WRITES = ("health.observe", "health.count", "health.record")


async def web(stage: Stage, members: int = 2, **more: Any) -> str:
    lb = await stage.create(*stage.web(members, **more))
    await stage.settled(lb)
    return lb


async def beaten(stage: Stage, lb: str) -> None:
    stage.beat(lb)
    await stage.sleep(WRITTEN)


def writes(stage: Stage) -> int:
    return sum(stage.calls[name] for name in WRITES)


async def report(stage: Stage, lb: str, **changes: Any) -> bytes:
    """A datagram as the amphora would send it, with some fields changed."""
    machine = stage.machine(lb)
    said: Report = replace(machine.report(stage.clock.now(), stage.world.member_states), **changes)
    return seal(said, derive_key(MASTER_KEY, said.amphora_id))


async def test_a_member_that_is_down_degrades_all_above_it(stage: Stage) -> None:
    lb = await web(stage)
    stage.world.member_states = {"m1": "DOWN"}
    await beaten(stage, lb)
    assert await stage.operating(lb, *ALL) == ["ONLINE", "DEGRADED", "ERROR", "ONLINE"]
    assert await stage.operating(lb) == "DEGRADED"
    stage.world.member_states = {"m1": "DOWN", "m2": "DOWN"}
    await beaten(stage, lb)
    assert await stage.operating(lb, *ALL) == ["ONLINE", "ERROR", "ERROR", "ERROR"]
    assert await stage.operating(lb) == "ERROR"
    stage.world.member_states = {}
    await beaten(stage, lb)
    assert await stage.operating(lb) == "ONLINE"
    assert await stage.provisioning(lb) == "ACTIVE"


async def test_weight_zero_is_draining(stage: Stage) -> None:
    lb = await web(stage)
    await stage.change(lb, "member", "m1", weight=0)
    await stage.settled(lb)
    assert await stage.operating(lb, *MEMBERS) == ["DRAINING", "ONLINE"]
    assert await stage.operating(lb) == "ONLINE"


async def test_without_a_monitor_members_have_no_monitor(stage: Stage) -> None:
    lb = await web(stage, monitor=False)
    assert await stage.operating(lb, *ALL) == ["ONLINE", "ONLINE", "NO_MONITOR", "NO_MONITOR"]


async def test_a_monitor_that_goes_leaves_members_without_one(stage: Stage) -> None:
    lb = await web(stage)
    await stage.remove(lb, "healthmonitor", "monitor")
    await stage.settled(lb)
    assert await stage.operating(lb, *MEMBERS) == ["NO_MONITOR", "NO_MONITOR"]


@pytest.mark.parametrize("kind", ["listener", "pool"])
async def test_what_is_down_by_the_administrator_is_offline(stage: Stage, kind: str) -> None:
    lb = await web(stage)
    await stage.change(lb, kind, kind, admin_state_up=False)
    await stage.settled(lb)
    assert await stage.operating(lb, (kind, kind)) == ["OFFLINE"]
    await stage.change(lb, kind, kind, admin_state_up=True)
    await stage.settled(lb)
    assert await stage.operating(lb, (kind, kind)) == ["ONLINE"]


async def test_a_member_down_by_the_administrator_degrades_nobody(stage: Stage) -> None:
    lb = await web(stage)
    await stage.change(lb, "member", "m1", admin_state_up=False)
    await stage.settled(lb)
    assert await stage.operating(lb, *ALL) == ["ONLINE", "ONLINE", "OFFLINE", "ONLINE"]
    assert await stage.operating(lb) == "ONLINE"


async def test_a_load_balancer_down_by_the_administrator_is_offline(stage: Stage) -> None:
    lb = await web(stage)
    await stage.change(lb, "loadbalancer", lb, admin_state_up=False)
    await stage.settled(lb)
    assert await stage.operating(lb) == "OFFLINE"


async def test_heartbeats_that_say_nothing_new_write_nothing(stage: Stage) -> None:
    lb = await web(stage, 5)
    await beaten(stage, lb)
    await stage.sleep(COUNTED)
    stage.calls.clear()
    for _ in range(20):
        await stage.sleep(5)
        stage.beat(lb)
    assert writes(stage) == 0
    assert stage.calls["health.tree"] == 0
    assert stage.calls["amphorae.status"] == 0, "who beats is not asked"


async def test_one_changed_member_is_one_write(stage: Stage) -> None:
    lb = await web(stage, 5)
    await beaten(stage, lb)
    await stage.sleep(COUNTED)
    stage.calls.clear()
    stage.world.member_states = {"m3": "DOWN"}
    await beaten(stage, lb)
    assert writes(stage) == 1


async def test_totals_become_statistics(stage: Stage) -> None:
    lb = await web(stage)
    for total in (1000, 1500):
        stage.machine(lb).counters["listener"] = Counters(bytes_in=total, total_connections=3)
        stage.beat(lb)
        await stage.sleep(COUNTED)
        found = await stage.store.statistics(lb)
        assert found == {"listener": Counters(bytes_in=total, total_connections=3)}


async def test_forged_heartbeats_are_refused(stage: Stage) -> None:
    lb = await web(stage)
    stage.world.member_states = {"m1": "DOWN"}
    true = await report(stage, lb)
    other = derive_key(MASTER_KEY, str(uuid.uuid4()))
    forged = seal(stage.machine(lb).report(stage.clock.now(), {"m1": "DOWN"}), other)
    for datagram in (forged, true[:-1], b"", b"nonsense" * 20, true[:33] + b"\0" * 16 + true[49:]):
        with pytest.raises(Forged):
            stage.health.heartbeat(datagram)
        stage.world.datagrams.put_nowait(datagram)
    await stage.sleep(0.1)
    assert await stage.operating(lb) == "ONLINE"
    assert not stage.dead


async def test_replayed_heartbeats_change_nothing(stage: Stage) -> None:
    lb = await web(stage)
    stage.world.member_states = {"m1": "DOWN"}
    old = stage.beat(lb)
    await stage.sleep(1)
    stage.world.member_states = {}
    await beaten(stage, lb)
    stage.health.heartbeat(old)
    await stage.sleep(WRITTEN)
    assert await stage.operating(lb) == "ONLINE"


async def test_an_older_life_of_the_agent_changes_nothing(stage: Stage) -> None:
    lb = await web(stage)
    stage.world.member_states = {"m1": "DOWN"}
    earlier = stage.clock.now().timestamp() - 60
    old = await report(stage, lb, boot="before", sequence=10_000, sent_at=earlier)
    stage.world.member_states = {}
    stage.health.heartbeat(old)
    await stage.sleep(WRITTEN)
    assert await stage.operating(lb) == "ONLINE"
    stage.world.member_states = {"m1": "DOWN"}
    stage.machine(lb).life, stage.machine(lb).sequence = "after", 0
    await beaten(stage, lb)
    assert await stage.operating(lb) == "DEGRADED"


async def test_a_restarted_agent_whose_clock_went_back_is_believed_when_asked(
    stage: Stage,
) -> None:
    lb = await web(stage)
    await stage.sleep(1000)
    stage.beat(lb)
    await stage.sleep(1)
    machine, now = stage.machine(lb), stage.world.now
    machine.life, machine.sequence = "with a wrong clock", 0
    stage.world.now = lambda: now().replace(year=2020)
    stage.world.member_states = {"m1": "DOWN"}
    await beaten(stage, lb)
    assert await stage.operating(lb) == "ONLINE"
    await stage.sleep(SILENCE + 2)
    assert await stage.operating(lb) == "DEGRADED"
    stage.world.member_states = {}
    await stage.sleep(SILENCE + 2)
    assert await stage.operating(lb) == "ONLINE"


async def test_heartbeats_from_before_a_restart_are_no_news(stage: Stage) -> None:
    lb = await web(stage)
    stage.world.member_states = {"m1": "DOWN", "m2": "DOWN"}
    copies = [stage.beat(lb)]
    await stage.sleep(10)
    copies.append(stage.beat(lb))
    stage.world.member_states = {}
    await beaten(stage, lb)
    await stage.kill()
    await stage.start()
    await stage.sleep(0.1)
    for copy in copies:
        stage.world.datagrams.put_nowait(copy)
        await stage.sleep(0.1)
        assert await stage.operating(lb) == "ONLINE"
    stage.world.member_states = {"m1": "DOWN"}
    await beaten(stage, lb)
    assert await stage.operating(lb) == "DEGRADED"


@pytest.mark.parametrize("seconds", [-(LAG + 1), LAG + 1])
async def test_a_heartbeat_of_another_time_is_refused(stage: Stage, seconds: float) -> None:
    lb = await web(stage)
    await beaten(stage, lb)
    stage.world.member_states = {"m1": "DOWN"}
    at = stage.clock.now().timestamp() + seconds
    with pytest.raises(Forged, match="the clock of amphora"):
        stage.health.heartbeat(await report(stage, lb, sent_at=at))
    await stage.sleep(WRITTEN)
    assert await stage.operating(lb) == "ONLINE"
    held_up = await report(stage, lb, sent_at=at - seconds * 0.1)
    stage.health.heartbeat(held_up)
    await stage.sleep(WRITTEN)
    assert await stage.operating(lb) == "DEGRADED"


async def test_copies_do_not_have_an_agent_asked_many_times_at_once(stage: Stage) -> None:
    lb = await web(stage)
    copy = await report(stage, lb, boot="another")
    stage.calls.clear()
    stage.machine(lb).hangs = True
    for _ in range(20):
        stage.health.heartbeat(copy)
    await stage.sleep(1)
    assert stage.calls["amphorae.status"] == 1
    stage.machine(lb).hangs = False


async def test_an_unknown_sender_is_passed_over(stage: Stage) -> None:
    stranger = str(uuid.uuid4())
    said = Report(
        amphora_id=stranger,
        boot="b",
        sequence=1,
        sent_at=stage.clock.now().timestamp(),
        revision="r",
        healthy=True,
    )
    stage.health.heartbeat(seal(said, derive_key(MASTER_KEY, stranger)))
    assert writes(stage) == 0


async def test_a_large_amphora_tells_its_state_in_parts(stage: Stage) -> None:
    lb = await web(stage, 4)
    stage.world.member_states = {"m1": "DOWN", "m4": "DOWN"}
    whole = stage.machine(lb).report(stage.clock.now(), stage.world.member_states)
    for number, members in enumerate((whole.members[:2], whole.members[2:])):
        part = replace(whole, sequence=whole.sequence + number, members=members)
        stage.health.heartbeat(seal(part, derive_key(MASTER_KEY, whole.amphora_id)))
    members = [("member", f"m{n}") for n in range(1, 5)]
    await stage.sleep(WRITTEN)
    assert await stage.operating(lb, *members) == ["ERROR", "ONLINE", "ONLINE", "ERROR"]


async def test_a_silent_amphora_that_answers_is_well(stage: Stage) -> None:
    lb = await web(stage)
    stage.calls.clear()
    await stage.sleep(3 * SILENCE)
    assert stage.calls["amphorae.status"] == 3, "it is asked instead"
    assert await stage.operating(lb) == "ONLINE"
    assert "Heartbeat info" not in await stage.told(lb)


async def test_a_machine_that_vanishes_is_noticed_and_repaired(stage: Stage) -> None:
    lb = await web(stage)
    await stage.sleep(1)
    stage.world.lose(amphora_id(lb, 0))
    stage.world.step_seconds = 1.0
    await stage.sleep(SILENCE + 0.5)
    assert await stage.operating(lb, *ALL) == ["ERROR"] * 4
    assert await stage.operating(lb) == "ERROR"
    assert await stage.provisioning(lb) == "ACTIVE"
    await stage.sleep(10)
    assert await stage.operating(lb) == "ONLINE"
    assert (await stage.done(lb))[-4:] == [
        "Heartbeat info", "Boot ok", "Attach ok", "Configure ok",
    ]  # fmt: skip
    assert stage.machine(lb).config.revision == await stage.wanted(lb)


async def test_a_machine_that_stopped_is_revived(stage: Stage) -> None:
    lb = await web(stage)
    stage.world.stop(amphora_id(lb, 0))
    await stage.sleep(SILENCE + 2)
    assert (await stage.done(lb))[-2:] == ["Heartbeat info", "Revive ok"]
    stage.beat(lb)
    await stage.sleep(1)
    assert await stage.operating(lb) == "ONLINE"


async def test_an_amphora_that_lost_its_configuration_gets_it_again(stage: Stage) -> None:
    lb = await web(stage)
    stage.world.step_seconds = 1.0
    stage.machine(lb).config = None
    await beaten(stage, lb)
    assert await stage.operating(lb) == "ERROR"
    await stage.sleep(2)
    assert await stage.operating(lb) == "ONLINE"
    assert (await stage.told(lb))[-1] == "Configure ok"


async def test_an_amphora_whose_haproxy_died_is_configured_again(stage: Stage) -> None:
    lb = await web(stage)
    stage.world.step_seconds = 1.0
    stage.machine(lb).healthy = False
    await beaten(stage, lb)
    assert await stage.operating(lb) == "ERROR"
    await stage.sleep(2)
    assert await stage.operating(lb) == "ONLINE"


async def test_silence_is_told_once(stage: Stage) -> None:
    lb = await web(stage)
    stage.world.fail("create", *[Retryable("no room")] * 1000)
    stage.world.lose(amphora_id(lb, 0))
    await stage.sleep(10 * SILENCE)
    assert (await stage.told(lb)).count("Heartbeat info") == 1
    assert len(await stage.events(lb)) < 30


async def test_one_amphora_that_hangs_does_not_hide_another(stage: Stage) -> None:
    for _ in range(3):
        await stage.settled(await stage.create())
    await stage.sleep(10)
    *_, last = await stage.store.amphorae()
    stage.world.stall("status", 1000.0)  # the first that is asked
    stage.world.lose(last.id)
    await stage.sleep(SILENCE)
    assert "Heartbeat info" in await stage.told(last.loadbalancer_id)


async def test_an_amphora_that_hangs_is_silent(stage: Stage) -> None:
    lb = await web(stage)
    stage.world.stall("status")
    await stage.sleep(SILENCE + 6)
    assert "no answer in 5 s" in "".join(e.detail for e in await stage.events(lb))
    assert await stage.operating(lb) == "ERROR"
    stage.beat(lb)
    await stage.sleep(1)
    assert await stage.operating(lb) == "ONLINE"


async def test_a_status_that_could_not_be_written_is_written_later(stage: Stage) -> None:
    lb = await web(stage)

    async def busy(name: str) -> None:
        if name == "health.observe":
            raise Retryable("The database does not answer")

    stage.before_health_write = busy
    stage.world.member_states = {"m1": "DOWN"}
    await beaten(stage, lb)
    assert await stage.operating(lb) == "ONLINE"
    stage.before_health_write = None
    await stage.sleep(1)
    assert await stage.operating(lb) == "DEGRADED"


async def test_a_new_object_is_assessed_against_the_new_tree(stage: Stage) -> None:
    lb = await web(stage)
    await stage.edit(lb, stage.member(3))
    await stage.settled(lb)
    assert await stage.operating(lb, ("member", "m3")) == ["ONLINE"]


async def test_an_object_that_changes_no_configuration_is_assessed_once_it_is_settled(
    stage: Stage,
) -> None:
    lb = await web(stage)
    configured = len(stage.machine(lb).configured)
    policy = stage.adding("l7policy", "policy", listener_id="listener", action="REJECT")
    await stage.edit(lb, policy)
    await stage.settled(lb)
    assert len(stage.machine(lb).configured) == configured, "it has no rules yet"

    async def busy(name: str) -> None:
        if name == "health.observe":
            raise Retryable("The database does not answer")

    stage.before_health_write = busy
    await beaten(stage, lb)
    stage.before_health_write = None
    await stage.sleep(1)
    assert await stage.operating(lb, ("l7policy", "policy")) == ["ONLINE"]


async def test_a_heartbeat_after_the_deletion_leaves_nothing(stage: Stage) -> None:
    lb = await web(stage)
    await beaten(stage, lb)
    stage.machine(lb).counters["listener"] = Counters(bytes_in=9)
    stage.world.member_states = {"m1": "DOWN"}
    late = await report(stage, lb)
    await stage.delete(lb)
    await stage.gone(lb)
    stage.health.heartbeat(late)
    await stage.sleep(COUNTED)
    stage.assert_nothing_left()
    await stage.sleep(READ_EVERY + 2)
    stage.assert_nothing_remembered()


async def test_assessing_races_with_deletion_and_leaves_nothing(stage: Stage) -> None:
    """The tree goes between reading it and writing what was seen."""
    lb = await web(stage)
    held: list[Tree] = []

    async def deleted_meanwhile(name: str) -> None:
        if name in ("health.observe", "health.count") and not held:
            held.append(await stage.delete(lb))
            await stage.gone(lb)

    stage.before_health_write = deleted_meanwhile
    stage.world.member_states = {"m1": "DOWN"}
    stage.machine(lb).counters["listener"] = Counters(bytes_in=9)
    stage.health.heartbeat(await report(stage, lb))
    await stage.sleep(COUNTED)
    assert held
    stage.assert_nothing_left()
    await stage.sleep(5)
    stage.assert_nothing_remembered()


async def test_counters_of_many_heartbeats_are_one_write_a_second(stage: Stage) -> None:
    """Also of several amphorae; and each of them ends with its newest total."""
    one, other = await stage.create(*stage.web()), await stage.create()
    await stage.settled(one)
    await stage.settled(other)
    await stage.sleep(COUNTED)
    stage.calls.clear()
    for total in range(1, 41):
        stage.machine(one).counters["listener"] = Counters(bytes_in=total)
        stage.beat(one)
        stage.beat(other)
        await stage.sleep(0.1)
    await stage.sleep(COUNTED)
    assert 4 <= stage.calls["health.count"] <= 6
    assert stage.calls["health.observe"] == 0
    assert await stage.store.statistics(one) == {"listener": Counters(bytes_in=40)}


async def test_what_was_counted_outlives_a_database_that_is_away(stage: Stage) -> None:
    lb = await web(stage)

    async def away(_name: str) -> None:
        raise Retryable("The database does not answer")

    stage.before_health_write = away
    for total in (1, 2, 3):
        stage.machine(lb).counters["listener"] = Counters(bytes_in=total)
        stage.beat(lb)
        await stage.sleep(5)
    assert await stage.store.statistics(lb) != {"listener": Counters(bytes_in=3)}
    assert len(stage.health.totals._waiting) == 1
    stage.before_health_write = None
    await stage.sleep(COUNTED)
    assert await stage.store.statistics(lb) == {"listener": Counters(bytes_in=3)}


async def test_newer_totals_win_over_those_of_a_write_that_fails(stage: Stage) -> None:
    lb = await web(stage)
    await stage.sleep(COUNTED)

    async def heard_meanwhile(name: str) -> None:
        if name == "health.count":
            stage.before_health_write = None
            stage.machine(lb).counters["listener"] = Counters(bytes_in=2)
            stage.health.heartbeat(await report(stage, lb))
            raise Retryable("The database does not answer")

    stage.before_health_write = heard_meanwhile
    stage.machine(lb).counters["listener"] = Counters(bytes_in=1)
    stage.beat(lb)
    await stage.sleep(3 * COUNTED)
    assert stage.before_health_write is None
    assert await stage.store.statistics(lb) == {"listener": Counters(bytes_in=2)}


async def test_an_orderly_stop_writes_what_waits(stage: Stage) -> None:
    lb = await web(stage)
    stage.world.member_states = {"m1": "DOWN"}
    stage.machine(lb).counters["listener"] = Counters(bytes_in=5)
    stage.health.heartbeat(await report(stage, lb))
    await stage.health.finish()
    assert await stage.operating(lb) == "DEGRADED"
    assert await stage.store.statistics(lb) == {"listener": Counters(bytes_in=5)}


async def test_after_a_crash_the_next_heartbeat_says_it_again(stage: Stage) -> None:
    lb = await web(stage)
    stage.world.member_states = {"m1": "DOWN"}
    stage.machine(lb).counters["listener"] = Counters(bytes_in=5)
    stage.health.heartbeat(await report(stage, lb))
    await stage.kill()
    await stage.start()
    assert await stage.operating(lb) == "ONLINE"
    stage.beat(lb)
    await stage.sleep(COUNTED)
    assert await stage.operating(lb) == "DEGRADED"
    assert await stage.store.statistics(lb) == {"listener": Counters(bytes_in=5)}


async def test_totals_that_wait_are_written_before_an_amphora_counts_from_zero(
    stage: Stage,
) -> None:
    """Written after, they would come on top of what was kept."""
    lb = await web(stage)
    stage.machine(lb).counters["listener"] = Counters(bytes_in=7)
    stage.health.heartbeat(await report(stage, lb))
    stage.world.lose(amphora_id(lb, 0))
    await stage.queue.put(lb)
    await stage.sleep(0.5)
    assert await stage.store.statistics(lb) == {"listener": Counters(bytes_in=7)}
    stage.machine(lb).counters["listener"] = Counters(bytes_in=2)
    stage.beat(lb)
    await stage.sleep(COUNTED)
    assert await stage.store.statistics(lb) == {"listener": Counters(bytes_in=9)}


async def test_records_are_not_read_while_all_is_well(stage: Stage) -> None:
    lb = await web(stage)
    await stage.sleep(READ_EVERY)
    stage.calls.clear()
    for _ in range(12):
        stage.beat(lb)
        await stage.sleep(5)
    assert stage.calls["health.amphorae"] <= 2


async def test_a_stranger_that_goes_on_speaking_costs_no_reading_each_time(stage: Stage) -> None:
    await web(stage)
    stranger = str(uuid.uuid4())
    await stage.sleep(READ_EVERY)
    stage.calls.clear()
    for number in range(60):
        said = Report(
            amphora_id=stranger, boot="b", sequence=number,
            sent_at=stage.clock.now().timestamp(), revision="r", healthy=True,
        )  # fmt: skip
        stage.health.heartbeat(seal(said, derive_key(MASTER_KEY, stranger)))
        await stage.sleep(0.5)
    assert 1 <= stage.calls["health.amphorae"] <= 6
