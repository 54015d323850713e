"""Heartbeats: on time, at once on an edge, and in parts when there is much to say."""

import time

import pytest

from fairlead.wire.heartbeat import Report
from tests.live_amphora import Ear, LiveAmphora, members, server

pytestmark = pytest.mark.root


@pytest.fixture
def ear(amphora: LiveAmphora):
    made = Ear(amphora.secrets.heartbeat_key(amphora.amphora_id))
    yield made
    made.close()


async def test_beats_at_the_interval_with_growing_sequence(amphora: LiveAmphora, ear: Ear) -> None:
    await amphora.boot(ear.target, interval=1.0)
    first, second = await ear.next(3), await ear.next(3)
    assert second.sequence > first.sequence
    assert second.boot == first.boot
    assert 0.5 < second.sent_at - first.sent_at < 2.5
    assert not first.edge
    assert abs(second.sent_at - time.time()) < 5
    amphora.kill()
    await amphora.start()
    assert (await ear.until(lambda r: r.boot != first.boot, 3)).sequence < second.sequence + 10


async def test_edges_are_told_at_once(amphora: LiveAmphora, ear: Ear) -> None:
    await amphora.boot(ear.target, interval=60.0)
    async with members(2) as [first, _]:
        config = amphora.config(server("m1", 9001), server("m2", 9002))
        begin = time.monotonic()
        await amphora.apply(config)
        told = await ear.until(lambda r: r.revision == config.revision, 2)
        assert told.edge
        assert time.monotonic() - begin < 1.0
        assert _states(told) == {"m1": "UP", "m2": "UP"}
        await first.stop()
        begin = time.monotonic()
        told = await ear.until(lambda r: _states(r)["m1"] == "DOWN", 4)
        assert told.edge
        assert time.monotonic() - begin < 2.5  # two checks 0.2 s apart, and a look
        await first.start()
        assert (await ear.until(lambda r: _states(r)["m1"] == "UP", 4)).edge


async def test_long_reports_come_in_parts(amphora: LiveAmphora, ear: Ear) -> None:
    await amphora.boot(ear.target, interval=60.0)
    names = [f"{number:08d}-{number * 2654435761 % 2**48:012x}" for number in range(6000)]
    await amphora.apply(amphora.config(*(server(name, 9001, enabled=False) for name in names)))
    seen: set[str] = set()
    sequences = []
    while len(seen) < len(names):
        report = await ear.next(10)
        if report.members:
            sequences.append(report.sequence)
        seen |= {member.id for member in report.members}
    assert len(sequences) > 1
    assert sequences == sorted(set(sequences))


def _states(report: Report) -> dict[str, str]:
    return {member.id: member.state for member in report.members}
