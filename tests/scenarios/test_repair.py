"""Agents that hang and haproxies that hang: repaired, without keeping others waiting."""

from fairlead.controller.observer import ANSWER_SECONDS
from fairlead.errors import Retryable
from fairlead.plan.planner import amphora_id
from tests.scenarios.stage import RUNNERS, SILENCE, STEP_SECONDS, Stage


async def grown(stage: Stage) -> str:
    """A load balancer whose agent was started long ago."""
    lb = await stage.create(*stage.web())
    await stage.settled(lb)
    await stage.sleep(STEP_SECONDS)
    stage.beat(lb)
    await stage.sleep(0.1)
    return lb


async def test_an_agent_that_hangs_is_started_anew_and_haproxy_is_left_alone(
    stage: Stage,
) -> None:
    lb = await grown(stage)
    machine = stage.machine(lb)
    life, certificate, config = machine.life, machine.spec.boot.certificate, machine.config
    machine.hangs = True
    await stage.sleep(SILENCE + 15)
    assert machine is stage.machine(lb), "the machine is the same"
    assert machine.life != life
    assert machine.config is config
    assert machine.spec.boot.certificate != certificate, "it starts with fresh credentials"
    assert (await stage.done(lb))[-2:] == ["Heartbeat info", "Revive ok"]
    stage.beat(lb)
    await stage.sleep(1)
    assert await stage.operating(lb) == "ONLINE"


async def test_the_record_tells_when_the_new_credentials_end(stage: Stage) -> None:
    lb = await grown(stage)
    before, boots = (await stage.store.amphorae(lb))[0], stage.calls["compute.create"]
    stage.machine(lb).answers = False
    await stage.sleep(SILENCE + 15)
    after = (await stage.store.amphorae(lb))[0]
    assert stage.calls["compute.create"] == boots + 1
    assert after.cert_expiration > before.cert_expiration
    assert stage.machine(lb).answers


async def test_an_agent_that_is_only_slow_is_not_started_anew(stage: Stage) -> None:
    lb = await grown(stage)
    life = stage.machine(lb).life
    stage.world.stall("status", ANSWER_SECONDS + 1)
    await stage.queue.put(lb)
    await stage.sleep(10)
    assert stage.machine(lb).life == life
    assert (await stage.done(lb))[-1] == "Revive ok"


async def test_an_agent_that_keeps_hanging_is_not_restarted_all_the_time(stage: Stage) -> None:
    lb = await grown(stage)
    stage.world.fail("restart_agent", *[Retryable("it will not")] * 1000)
    stage.machine(lb).hangs = True
    restarts = stage.calls["compute.restart_agent"]
    await stage.sleep(SILENCE + 300)
    assert 2 <= stage.calls["compute.restart_agent"] - restarts <= 330 / STEP_SECONDS
    stage.world.heal()
    await stage.sleep(120)
    assert not stage.machine(lb).hangs


async def test_a_repair_without_effect_is_a_failure_with_pauses(stage: Stage) -> None:
    """As with a haproxy that hangs: the agent answers, but never in time for the look."""
    lb = await grown(stage)
    looks = stage.calls["amphorae.status"]
    for _ in range(50):
        stage.world.stall("status", ANSWER_SECONDS + 1)
        stage.world.stall("status", 0.0)
    await stage.queue.put(lb)
    await stage.sleep(60)
    assert stage.calls["amphorae.status"] - looks < 50
    assert "Revive retry" in await stage.told(lb)
    assert "no effect" in "".join(e.detail for e in await stage.events(lb))
    stage.world.heal()
    await stage.sleep(120)
    assert await stage.reconciler.reconcile(lb) is None


async def test_an_unwell_haproxy_is_configured_again(stage: Stage) -> None:
    lb = await grown(stage)
    stage.machine(lb).healthy = False
    stage.beat(lb)
    await stage.sleep(2)
    assert (await stage.told(lb))[-1] == "Configure ok"
    assert await stage.operating(lb) == "ONLINE"


async def test_amphorae_that_hang_keep_nobody_waiting(stage: Stage) -> None:
    """More of them than runners, all at once."""
    broken = [await stage.create() for _ in range(2 * RUNNERS)]
    await stage.sleep(STEP_SECONDS + 1)
    stage.world.fail("restart_agent", *[Retryable("it will not")] * 1000)
    for lb in broken:
        stage.machine(lb).hangs = True
        await stage.queue.put(lb)
    for wait in (0.01, 1, 3, 10, 20, 40):
        await stage.sleep(wait)
        await stage.settled(await stage.create(), within=0.5)
    stage.world.heal()
    await stage.sleep(200)
    assert not any(stage.world.machines[amphora_id(lb, 0)].hangs for lb in broken)
