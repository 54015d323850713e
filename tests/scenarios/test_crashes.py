"""The process dies at every single moment of its work, and the next one carries on.

A script of creations, updates and deletions runs once undisturbed to count the calls the
controller makes: to drivers, looks included, and writes to the store. Then it runs again for each
of these moments, with the process dying just before that call. The user goes on regardless; a new
service on the same database and world must bring everything to where it would have been.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fairlead.domain import edits
from fairlead.domain.edits import Edit
from fairlead.drivers.fake import Crashed
from tests.scenarios.stage import Stage

PATIENCE = 40.0


async def run_script(stage: Stage, pause: Callable[[], Awaitable[None]]) -> tuple[str, str]:
    """What the user does, pausing after each request; ids of what stays and what goes."""
    stays = await created(stage, *stage.web(1))
    await pause()
    await stage.edit(stays, stage.member(2, subnet_id="far"))
    await pause()
    goes = await created(stage)
    await stage.change(stays, "member", "m1", weight=5)
    await pause()
    await stage.edit(stays, edits.remove("member", "m2"))
    await stage.fail_over(stays)
    await stage.edit(
        goes, stage.adding("pool", "other", loadbalancer_id=goes, protocol="TCP",
                           lb_algorithm="ROUND_ROBIN")
    )  # fmt: skip
    await pause()
    await stage.delete(goes)
    await pause()
    return stays, goes


async def created(stage: Stage, *edit: Edit) -> str:
    """A request that dies with the service is never answered: the user repeats it."""
    try:
        return await stage.create(*edit)
    except Crashed:
        await restart(stage)
        return await stage.create(*edit)


async def restart(stage: Stage) -> None:
    stage.world.crash_after = None
    await stage.kill()
    await stage.start()


async def carry_on(stage: Stage) -> None:
    """Let the service work until it has nothing to do or is dead; then start another."""
    for _ in range(40):
        await stage.sleep(0.05)
        if stage.dead:
            await restart(stage)


async def assert_carried_out(stage: Stage, stays: str, goes: str) -> None:
    await stage.gone(goes, within=PATIENCE)
    tree = await stage.settled(stays, within=PATIENCE)
    assert [m.weight for m in tree.members("pool")] == [5]
    machine = stage.machine(stays)
    assert machine.config.revision == await stage.wanted(stays)
    assert len(machine.macs) == 1
    assert set(stage.world.machines) == {stage.amphora(stays)}
    assert sorted(p.name.split(":")[0] for p in stage.world.ports.values()) == [
        "amphora", "amphora", "vip",
    ]  # fmt: skip
    rows = stage.rows()
    rows.pop("events")
    rows.pop("observations")
    rows.pop("past_statistics", None)
    assert rows == {"trees": 1, "resources": 5, "amphorae": 1, "statistics": 1}
    assert await stage.operating(stays) == "ONLINE"
    told = await stage.told(stays)
    await stage.queue.put(stays)
    await stage.sleep(1)
    assert await stage.told(stays) == told, "nothing is left to do"
    await stage.delete(stays)
    await stage.gone(stays, within=PATIENCE)
    stage.assert_nothing_left()


async def steps_of_the_script(directory: Path) -> int:
    directory.mkdir()
    async with Stage(directory).open() as stage:

        async def pause() -> None:
            await stage.sleep(2)

        before = stage.world.steps
        stays, goes = await run_script(stage, pause)
        taken = stage.world.steps - before
        await assert_carried_out(stage, stays, goes)
        return taken


@pytest.mark.parametrize("share", range(4))
async def test_whenever_it_dies_the_next_one_carries_on(tmp_path: Path, share: int) -> None:
    moments = await steps_of_the_script(tmp_path / "counting")
    assert moments > 60
    for moment in range(share, moments, 4):
        (tmp_path / str(moment)).mkdir()
        async with Stage(tmp_path / str(moment)).open() as stage:
            stage.world.crash_after = moment
            try:
                stays, goes = await run_script(stage, lambda: carry_on(stage))
                stage.world.crash_after = None
                await carry_on(stage)
                await assert_carried_out(stage, stays, goes)
            except BaseException as error:
                error.add_note(f"it died before call {moment}")
                raise
