"""What every `Compute` driver does. A driver joins by a rig: add its fixture's name to `rig`.

A rig has `compute`, `restarted()` (a new driver object over the same world), `spec()`,
`port(segment)`, `segments` (two names to plug into), `stop(amphora_id)` (the machine dies), and
`leftovers(amphora_id)` (all that exists of it, found without asking the driver).
"""

import uuid
from typing import Any

import pytest
from fake_rig import FakeRig

from fairlead.domain.observed import Instance
from fairlead.errors import Retryable

NOBODY = str(uuid.UUID(int=7))


RIGS = [
    pytest.param("host_rig", id="host", marks=pytest.mark.root),
    pytest.param("fake_rig", id="fake"),
]


@pytest.fixture
def fake_rig() -> FakeRig:
    return FakeRig()


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def instance(amphora_id: str, *macs: str, running: bool = True) -> Instance:
    return Instance(amphora_id=amphora_id, running=running, macs=frozenset(macs))


async def test_nobody_is_observed_as_none_and_can_be_deleted(rig: Any) -> None:
    assert await rig.compute.observe(NOBODY) is None
    await rig.compute.detach(NOBODY, "fa:16:3e:00:00:01")
    await rig.compute.delete(NOBODY)
    assert await rig.compute.all_ids() == frozenset()


async def test_created_runs_without_cards(rig: Any) -> None:
    spec = rig.spec()
    await rig.compute.create(spec)
    amphora_id = spec.boot.amphora_id
    assert await rig.compute.observe(amphora_id) == instance(amphora_id)
    assert await rig.compute.all_ids() == {amphora_id}


async def test_creating_again_changes_nothing(rig: Any) -> None:
    spec = rig.spec()
    await rig.compute.create(spec)
    before = sorted(rig.leftovers(spec.boot.amphora_id))
    await rig.compute.create(spec)
    assert sorted(rig.leftovers(spec.boot.amphora_id)) == before


async def test_a_stopped_machine_is_observed_and_starts_again(rig: Any) -> None:
    spec = rig.spec()
    amphora_id = spec.boot.amphora_id
    await rig.compute.create(spec)
    rig.stop(amphora_id)
    assert await rig.compute.observe(amphora_id) == instance(amphora_id, running=False)
    await rig.compute.create(spec)
    assert await rig.compute.observe(amphora_id) == instance(amphora_id)


async def test_restarting_the_agent_leaves_the_machine_as_it_is(rig: Any) -> None:
    spec = rig.spec()
    amphora_id = spec.boot.amphora_id
    await rig.compute.create(spec)
    port = rig.port(rig.segments[0])
    await rig.compute.attach(amphora_id, port)
    for _ in range(2):
        await rig.compute.restart_agent(amphora_id)
        assert await rig.compute.observe(amphora_id) == instance(amphora_id, port.mac)


async def test_no_agent_is_restarted_where_no_machine_runs(rig: Any) -> None:
    await rig.compute.restart_agent(NOBODY)
    assert await rig.compute.observe(NOBODY) is None
    spec = rig.spec()
    await rig.compute.create(spec)
    rig.stop(spec.boot.amphora_id)
    await rig.compute.restart_agent(spec.boot.amphora_id)
    seen = await rig.compute.observe(spec.boot.amphora_id)
    assert seen == instance(spec.boot.amphora_id, running=False)


async def test_machines_outlive_the_controller(rig: Any) -> None:
    spec = rig.spec()
    amphora_id = spec.boot.amphora_id
    await rig.compute.create(spec)
    port = rig.port(rig.segments[0])
    await rig.compute.attach(amphora_id, port)
    before = sorted(rig.leftovers(amphora_id))
    successor = rig.restarted()
    assert await successor.observe(amphora_id) == instance(amphora_id, port.mac)
    await successor.create(spec)
    assert sorted(rig.leftovers(amphora_id)) == before
    await successor.delete(amphora_id)
    assert rig.leftovers(amphora_id) == []


async def test_cards_are_plugged_and_unplugged_once(rig: Any) -> None:
    spec = rig.spec()
    amphora_id = spec.boot.amphora_id
    await rig.compute.create(spec)
    one, two = (rig.port(segment) for segment in rig.segments)
    for port in (one, two, one):
        await rig.compute.attach(amphora_id, port)
    assert await rig.compute.observe(amphora_id) == instance(amphora_id, one.mac, two.mac)
    for _ in range(2):
        await rig.compute.detach(amphora_id, one.mac)
        assert await rig.compute.observe(amphora_id) == instance(amphora_id, two.mac)


async def test_cards_stay_when_the_machine_stops(rig: Any) -> None:
    spec = rig.spec()
    amphora_id = spec.boot.amphora_id
    await rig.compute.create(spec)
    port = rig.port(rig.segments[0])
    await rig.compute.attach(amphora_id, port)
    rig.stop(amphora_id)
    await rig.compute.create(spec)
    assert await rig.compute.observe(amphora_id) == instance(amphora_id, port.mac)


async def test_an_agent_is_restarted_with_nothing_else_touched(rig: Any) -> None:
    spec = rig.spec()
    amphora_id = spec.boot.amphora_id
    await rig.compute.create(spec)
    port = rig.port(rig.segments[0])
    await rig.compute.attach(amphora_id, port)
    await rig.compute.restart_agent(amphora_id)
    assert await rig.compute.observe(amphora_id) == instance(amphora_id, port.mac)


async def test_an_agent_of_no_machine_or_a_stopped_one_is_not_restarted(rig: Any) -> None:
    await rig.compute.restart_agent(NOBODY)
    spec = rig.spec()
    amphora_id = spec.boot.amphora_id
    await rig.compute.create(spec)
    rig.stop(amphora_id)
    await rig.compute.restart_agent(amphora_id)
    assert await rig.compute.observe(amphora_id) == instance(amphora_id, running=False)
    assert await rig.compute.all_ids() == {amphora_id}


async def test_nothing_can_be_plugged_into_nobody(rig: Any) -> None:
    with pytest.raises(Retryable):
        await rig.compute.attach(NOBODY, rig.port(rig.segments[0]))


async def test_deleted_leaves_nothing_and_disturbs_nobody(rig: Any) -> None:
    doomed, other = rig.spec(), rig.spec()
    for spec in (doomed, other):
        await rig.compute.create(spec)
        await rig.compute.attach(spec.boot.amphora_id, rig.port(rig.segments[0]))
    before = sorted(rig.leftovers(other.boot.amphora_id))
    for _ in range(2):
        await rig.compute.delete(doomed.boot.amphora_id)
        assert rig.leftovers(doomed.boot.amphora_id) == []
        assert await rig.compute.observe(doomed.boot.amphora_id) is None
        assert await rig.compute.all_ids() == {other.boot.amphora_id}
    assert sorted(rig.leftovers(other.boot.amphora_id)) == before


async def test_a_stopped_machine_is_deleted(rig: Any) -> None:
    spec = rig.spec()
    await rig.compute.create(spec)
    rig.stop(spec.boot.amphora_id)
    await rig.compute.delete(spec.boot.amphora_id)
    assert rig.leftovers(spec.boot.amphora_id) == []
