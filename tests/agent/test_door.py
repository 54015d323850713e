"""Who reaches the agent at all: the management card only, and never so many that others starve."""

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from fairlead.agent.door import GUESTS, HANDSHAKE_SECONDS, NEWCOMERS
from fairlead.wire.amphora import AGENT_PORT
from tests.agent.test_server import context
from tests.live_amphora import ADDRESS, LiveAmphora

pytestmark = pytest.mark.root

MANAGEMENT = "10.91.0.1"
PROBE = """
import socket, sys
host, port, card = sys.argv[1:]
with socket.socket() as probe:
    probe.settimeout(2)
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, card.encode())
    probe.connect((host, int(port)))
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=10)


class Neighbour:
    """A machine with a card on the amphora's management segment and one on a tenant's."""

    def __init__(self, name: str) -> None:
        self.name = name

    def plug_management(self) -> None:
        """Give the amphora a (new) management card."""
        self._plug("mgmt0", "near")
        ip("address", "add", f"{MANAGEMENT}/24", "dev", "mgmt0")
        ip("-n", self.name, "address", "add", "10.91.0.2/24", "dev", "near")

    def plug_tenant(self) -> None:
        """A segment whose machine knows by hand where to find the management address."""
        self._plug("tenant", "far")
        ip("address", "add", "10.92.0.1/24", "dev", "tenant")
        ip("-n", self.name, "address", "add", "10.92.0.2/24", "dev", "far")
        shown = ["ip", "-br", "link", "show", "tenant"]
        said = subprocess.run(shown, check=True, capture_output=True, text=True).stdout
        target = ["to", MANAGEMENT, "lladdr", said.split()[2], "dev", "far"]
        ip("-n", self.name, "neighbour", "add", *target)
        ip("-n", self.name, "route", "add", MANAGEMENT, "dev", "far", "metric", "9")

    def reaches(self, card: str, port: int = AGENT_PORT) -> bool:
        command = ["ip", "netns", "exec", self.name, "python3", "-c", PROBE]
        done = subprocess.run(
            [*command, MANAGEMENT, str(port), card], capture_output=True, timeout=20
        )
        return done.returncode == 0

    def _plug(self, here: str, there: str) -> None:
        ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", self.name)
        ip("link", "set", here, "up")
        ip("-n", self.name, "link", "set", there, "up")


@pytest.fixture
def neighbour(own_network: None) -> Iterator[Neighbour]:
    name = f"fltest-{os.getpid()}-door"
    ip("netns", "add", name)
    try:
        made = Neighbour(name)
        made.plug_management()
        made.plug_tenant()
        yield made
    finally:
        ip("netns", "del", name)


async def becomes(condition, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < end
        await asyncio.sleep(0.1)


async def test_the_agent_answers_on_its_own_card_only(
    neighbour: Neighbour, amphora: LiveAmphora
) -> None:
    with socket.create_server((MANAGEMENT, 9000)):
        assert neighbour.reaches("far", 9000), "the way there is open"
    await amphora.write_boot(listen=MANAGEMENT)
    amphora.spawn()
    await becomes(lambda: neighbour.reaches("near"), 10)
    assert not neighbour.reaches("far")


async def test_a_card_that_was_plugged_in_again_is_listened_on(
    neighbour: Neighbour, amphora: LiveAmphora
) -> None:
    await amphora.write_boot(listen=MANAGEMENT)
    amphora.spawn()
    await becomes(lambda: neighbour.reaches("near"), 10)
    ip("link", "del", "mgmt0")
    neighbour.plug_management()
    await becomes(lambda: neighbour.reaches("near"), 5)
    assert not neighbour.reaches("far")


async def test_an_address_of_no_card_is_not_listened_on(
    neighbour: Neighbour, amphora: LiveAmphora
) -> None:
    await amphora.write_boot(listen="10.91.0.77")
    amphora.spawn()
    assert amphora.agent is not None
    assert amphora.agent.wait(timeout=10) == 1
    amphora.agent = None
    assert "10.91.0.77" in (amphora.directory / "agent.log").read_text()


@contextmanager
def silent(count: int) -> Iterator[list[socket.socket]]:
    """Connections that say nothing."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(closing(socket.create_connection((ADDRESS, AGENT_PORT), 10)))
            for _ in range(count)
        ]


def memory(pid: int) -> int:
    """Resident bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def sockets(pid: int) -> int:
    found = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found += os.readlink(entry).startswith("socket:")
        except FileNotFoundError:
            continue
    return found


async def test_silent_connections_cost_little_and_keep_nobody_out(amphora: LiveAmphora) -> None:
    await amphora.boot()
    assert amphora.agent is not None
    pid = amphora.agent.pid
    before = memory(pid)
    with silent(500):
        begin = time.monotonic()
        assert (await amphora.status()).amphora_id == amphora.amphora_id
        assert time.monotonic() - begin < 2
        assert sockets(pid) < NEWCOMERS + 15
        assert memory(pid) - before < 40 << 20
        await asyncio.sleep(HANDSHAKE_SECONDS + 1)
        assert sockets(pid) < 15, "they had their time"


async def test_guests_are_bounded_and_the_idlest_leaves(amphora: LiveAmphora) -> None:
    await amphora.boot()
    assert amphora.agent is not None
    controller = await amphora.secrets.controller()
    tls = context(controller.authority, controller, str(amphora.directory))
    request = f"GET /v1/status HTTP/1.1\r\nHost: {amphora.amphora_id}\r\n\r\n".encode()
    made: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    try:
        for _ in range(GUESTS + 4):
            reader, writer = await asyncio.open_connection(ADDRESS, AGENT_PORT, ssl=tls)
            made.append((reader, writer))
            for asking, answering in ((made[0][1], made[0][0]), (writer, reader)):
                asking.write(request)
                assert b"200" in await answering.readuntil(b"}")
                answering._buffer.clear()  # type: ignore[attr-defined]
        assert sockets(amphora.agent.pid) < GUESTS + 15
        async with asyncio.timeout(5):
            assert await made[1][0].read() == b"", "the one that asked least recently"
    finally:
        for _, writer in made:
            writer.close()


async def test_a_certificate_alone_gives_no_right_to_be_silent(amphora: LiveAmphora) -> None:
    await amphora.boot()
    controller = await amphora.secrets.controller()
    tls = context(controller.authority, controller, str(amphora.directory))
    reader, writer = await asyncio.open_connection(ADDRESS, AGENT_PORT, ssl=tls)
    try:
        async with asyncio.timeout(8):
            assert await reader.read() == b""
    finally:
        writer.close()
