"""Certificates of amphorae are renewed in time, whatever happens meanwhile; nothing expires unseen.

Agents of the in-memory world are not believed any more once their certificate has ended.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from fairlead.errors import Permanent, Retryable
from tests.scenarios.stage import RESYNC, Stage

LIFE = timedelta(hours=1)
SECONDS = LIFE.total_seconds()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage(tmp_path, life=LIFE).open() as ready:
        yield ready


async def pass_time(stage: Stage, seconds: float) -> None:
    """Let amphorae be heard meanwhile, as they are."""
    for _ in range(round(seconds / 10)):
        await stage.sleep(10)
        for amphora_id, machine in stage.world.machines.items():
            if machine.running and machine.answers:
                stage.world.beat(amphora_id)


async def renewals(stage: Stage, lb: str) -> list[str]:
    return [one for one in await stage.told(lb) if one.startswith("Renew ")]


async def notes(stage: Stage, lb: str) -> list[str]:
    return [e.detail for e in await stage.events(lb) if e.step == "Certificates"]


async def test_lives_pass_and_everything_is_renewed(stage: Stage) -> None:
    lbs = [await stage.create(*stage.web(1)), await stage.create()]
    for lb in lbs:
        await stage.settled(lb)
    configured = {lb: len(stage.machine(lb).configured) for lb in lbs}
    for _ in range(25):
        await pass_time(stage, SECONDS / 10)
        for lb in lbs:
            assert stage.machine(lb).not_after - stage.clock.now() > LIFE / 6
    for lb in lbs:
        assert await renewals(stage, lb) == ["Renew ok"] * 3, "once in two thirds of a life"
        assert await notes(stage, lb) == []
        assert len(stage.machine(lb).configured) == configured[lb], "no traffic was touched"
        (record,) = await stage.store.amphorae(lb)
        assert record.cert_expiration == stage.machine(lb).not_after
        assert not record.cert_busy


async def test_the_service_was_away_when_it_was_due(stage: Stage) -> None:
    lb = await stage.create(*stage.web(1))
    await stage.settled(lb)
    await stage.kill()
    await stage.sleep(SECONDS * 0.9)
    await stage.start()
    await pass_time(stage, 10)
    assert stage.machine(lb).not_after - stage.clock.now() > LIFE * 0.9


async def test_even_what_has_ended_comes_back(stage: Stage) -> None:
    lb = await stage.create(*stage.web(1))
    await stage.settled(lb)
    machine, configured = stage.machine(lb), len(stage.machine(lb).configured)
    await stage.kill()
    await stage.sleep(SECONDS * 2)
    await stage.start()
    await pass_time(stage, 60)
    assert stage.machine(lb) is machine
    assert machine.not_after > stage.clock.now()
    assert len(machine.configured) == configured, "no traffic was touched"
    await stage.edit(lb, stage.member(2))
    await stage.settled(lb)


async def test_an_agent_of_an_earlier_release_is_started_anew_with_it(stage: Stage) -> None:
    lb = await stage.create(*stage.web(1))
    await stage.settled(lb)
    machine = stage.machine(lb)
    machine.earlier, life, configured = True, machine.life, len(machine.configured)
    await pass_time(stage, SECONDS * 0.8)
    assert machine.life != life
    assert machine.not_after - stage.clock.now() > LIFE / 2
    assert len(machine.configured) == configured, "no traffic was touched"
    assert await renewals(stage, lb) == ["Renew ok"]
    assert await notes(stage, lb) == []


async def test_why_one_is_not_renewed_is_told_once_and_long_before_its_end(stage: Stage) -> None:
    lb = await stage.create(*stage.web(1))
    await stage.settled(lb)
    stage.world.fail("renew", *[Retryable("the disk is full")] * 1000)
    await pass_time(stage, SECONDS * 0.8)
    assert await notes(stage, lb) == []
    assert await renewals(stage, lb) == ["Renew retry"]
    (record,) = await stage.store.amphorae(lb)
    assert record.cert_busy
    await pass_time(stage, SECONDS * 0.1 + RESYNC)
    (note,) = await notes(stage, lb)
    assert f"certificate of amphora {stage.amphora(lb)} ends on" in note
    (failure,) = [e for e in await stage.events(lb) if e.step == "Renew"]
    assert failure.detail == "the disk is full"
    stage.world.heal()
    await stage.queue.put(lb)
    await stage.sleep(1)
    assert await renewals(stage, lb) == ["Renew retry", "Renew ok"]
    assert stage.machine(lb).not_after - stage.clock.now() > LIFE / 2


@pytest.mark.parametrize("error", [Retryable("not now"), Permanent("never")])
async def test_users_do_not_wait_for_a_renewal_that_fails(stage: Stage, error: Exception) -> None:
    lb = await stage.create(*stage.web(1))
    await stage.settled(lb)
    stage.world.fail("renew", *[error] * 1000)
    await pass_time(stage, SECONDS * 0.8)
    for number in (2, 3):
        await stage.edit(lb, stage.member(number))
        await stage.settled(lb, within=1)
    await stage.delete(lb)
    await stage.gone(lb)
    stage.assert_nothing_left()
    assert not stage.reconciler._unrenewed


async def test_a_load_balancer_in_error_is_renewed_all_the_same(stage: Stage) -> None:
    lb = await stage.create(*stage.web(1))
    await stage.settled(lb)
    stage.world.refused_words = {"198.51.100.2"}
    await stage.edit(lb, stage.member(2))
    await pass_time(stage, SECONDS * 0.8)
    assert await stage.provisioning(lb) == "ERROR"
    assert stage.machine(lb).not_after - stage.clock.now() > LIFE / 2


async def script(stage: Stage) -> str:
    """A load balancer whose amphora's certificate is due."""
    lb = await stage.create(*stage.web(1))
    await stage.settled(lb)
    await stage.kill()
    await stage.sleep(SECONDS * 0.7)
    return lb


async def test_whenever_the_service_dies_while_it_renews_the_next_one_carries_on(
    tmp_path: Path,
) -> None:
    moment, died = 0, True
    while died:
        directory = tmp_path / str(moment)
        directory.mkdir()
        stage = Stage(directory, life=LIFE)
        async with stage.open():
            lb = await script(stage)
            machine, configured = stage.machine(lb), len(stage.machine(lb).configured)
            stage.world.crash_after = moment
            died = await dies(stage)
            await pass_time(stage, RESYNC + 60)
            assert stage.machine(lb) is machine
            assert len(machine.configured) == configured
            assert machine.not_after - stage.clock.now() > LIFE / 2, f"died before call {moment}"
            (record,) = await stage.store.amphorae(lb)
            assert (record.cert_expiration, record.cert_busy) == (machine.not_after, False)
        moment += 1
    assert moment > 8


async def dies(stage: Stage) -> bool:
    """Whether the service dies in its next ten seconds; another one is started then."""
    try:
        await stage.start()
        await stage.sleep(10)
        died = stage.dead
    except BaseException as error:
        if type(error).__name__ != "Crashed":
            raise
        died = True
    stage.world.crash_after = None
    if died:
        await stage.kill()
        await stage.start()
    return died
