"""The `Heartbeats` port: what is sent arrives, many at a time, and a backlog shows."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing

import pytest

from fairlead.drivers.fake.machines import FakeHeartbeats
from fairlead.drivers.fake.world import FakeWorld
from fairlead.drivers.heartbeats_udp import UdpHeartbeats
from fairlead.ports import Heard, Heartbeats

Send = Callable[[bytes], object]
BURST = 5_000
PATIENCE = 30.0


@pytest.fixture
def udp() -> Iterator[tuple[UdpHeartbeats, Send]]:
    with (
        closing(UdpHeartbeats("127.0.0.1", 0)) as heartbeats,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent,
    ):
        yield heartbeats, lambda said: agent.sendto(said, ("127.0.0.1", heartbeats.port))


@pytest.fixture(params=["fake", "udp"])
async def line(request: pytest.FixtureRequest) -> tuple[Heartbeats, Send]:
    if request.param == "fake":
        world = FakeWorld()
        return FakeHeartbeats(world), world.datagrams.put_nowait
    found: tuple[UdpHeartbeats, Send] = request.getfixturevalue("udp")
    return found


async def heard(heartbeats: Heartbeats, count: int) -> list[Heard]:
    """What comes until so many datagrams are there."""
    found: list[Heard] = []
    stream = heartbeats.receive()
    assert isinstance(stream, AsyncIterator)
    async with asyncio.timeout(PATIENCE), aclosing(stream):  # type: ignore[type-var] # a generator
        async for one in stream:
            found.append(one)
            if sum(len(h.datagrams) for h in found) >= count:
                break
    return found


async def test_all_that_is_sent_arrives_in_order(line: tuple[Heartbeats, Send]) -> None:
    heartbeats, send = line
    said = [b"first", b"", b"x" * 60_000]
    for one in said:
        send(one)
    found = await heard(heartbeats, len(said))
    assert [d for h in found for d in h.datagrams] == said
    assert not found[-1].more


async def test_who_waits_hears_what_comes_later(line: tuple[Heartbeats, Send]) -> None:
    heartbeats, send = line
    waiting = asyncio.create_task(heard(heartbeats, 1))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    send(b"later")
    assert [h.datagrams for h in await waiting] == [(b"later",)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may have a buffer beyond the host's limit")
async def test_a_burst_waits_in_the_kernel_and_is_taken_in_parts(
    udp: tuple[UdpHeartbeats, Send],
) -> None:
    heartbeats, send = udp
    for number in range(BURST):
        send(number.to_bytes(2, "big") * 300)
    found = await heard(heartbeats, BURST)
    assert [d[:2] for h in found for d in h.datagrams] == [
        number.to_bytes(2, "big") for number in range(BURST)
    ]
    assert max(len(h.datagrams) for h in found) > 1
    assert [h.more for h in found] == [True] * (len(found) - 1) + [False]


async def test_others_have_their_turn_during_a_burst(udp: tuple[UdpHeartbeats, Send]) -> None:
    heartbeats, send = udp
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    for _ in range(500):
        send(b"beat")
    task = asyncio.create_task(other())
    batches = len(await heard(heartbeats, 500))
    task.cancel()
    assert turns >= batches - 1 > 1
