"""The agent's own certificate is exchanged while it serves, and outlives the agent."""

import asyncio
import os
import ssl
import stat

import msgspec
import pytest

from fairlead.wire.amphora import AGENT_PORT, Renewal
from fairlead.wire.boot import Boot
from tests.agent.test_server import context, get
from tests.live_amphora import ADDRESS, Clients, LiveAmphora, members, server

pytestmark = pytest.mark.root


@pytest.fixture
async def running(amphora: LiveAmphora) -> LiveAmphora:
    await amphora.boot()
    return amphora


class Caller:
    """A connection of the controller that stays open."""

    @classmethod
    async def to(cls, amphora: LiveAmphora) -> "Caller":
        controller = await amphora.secrets.controller()
        tls = context(controller.authority, controller, str(amphora.directory))
        made = cls()
        made._request = get(amphora).replace(b"Connection: close\r\n", b"")
        made._reader, made._writer = await asyncio.open_connection(ADDRESS, AGENT_PORT, ssl=tls)
        return made

    @property
    def shown(self) -> bytes:
        """The certificate that the agent showed when the connection was opened."""
        seen: bytes = self._writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return seen

    async def ask(self) -> bytes:
        """The status line of an answer."""
        self._writer.write(self._request)
        async with asyncio.timeout(5):
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await self._reader.readexactly(length)
        return head.split(b"\r\n")[0]

    def hang_up(self) -> None:
        self._writer.close()


async def renewed(amphora: LiveAmphora) -> Renewal:
    renewal = await amphora.renewal()
    assert await amphora.rest.renew(amphora.amphora_id, ADDRESS, renewal)
    return renewal


def der(pem: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem)


async def test_new_connections_see_it_and_open_ones_go_on(running: LiveAmphora) -> None:
    before = await Caller.to(running)
    renewal = await renewed(running)
    after = await Caller.to(running)
    assert before.shown != after.shown == der(renewal.certificate)
    assert await before.ask() == await after.ask() == b"HTTP/1.1 200 OK"
    before.hang_up()
    after.hang_up()


async def test_it_outlives_the_agent(running: LiveAmphora) -> None:
    renewal = await renewed(running)
    running.kill()
    path = running.home / "boot.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    boot = msgspec.json.decode(path.read_bytes(), type=Boot)
    assert (boot.certificate, boot.not_after) == (renewal.certificate, renewal.not_after)
    assert boot.heartbeat_key == running.secrets.heartbeat_key(running.amphora_id)
    status = await running.start()
    assert status.not_after == renewal.not_after
    caller = await Caller.to(running)
    assert caller.shown == der(renewal.certificate)
    caller.hang_up()


async def test_whenever_the_agent_is_killed_it_has_the_old_one_or_the_new_one(
    running: LiveAmphora,
) -> None:
    for wait in range(8):
        before = (await running.status()).not_after
        renewal = await running.renewal(days=31 + wait)
        call = asyncio.create_task(running.rest.renew(running.amphora_id, ADDRESS, renewal))
        await asyncio.sleep(0.001 * wait)
        running.kill()
        await asyncio.gather(call, return_exceptions=True)
        assert (await running.start()).not_after in (before, renewal.not_after)
        assert not (running.home / "tls.pem").exists()


async def test_another_ones_key_changes_nothing(running: LiveAmphora) -> None:
    good, other = await running.renewal(), await running.renewal()
    before = (running.home / "boot.json").read_bytes()
    wrong = msgspec.structs.replace(good, private_key=other.private_key)
    with pytest.raises(Exception, match="refused its certificate: the certificate cannot be used"):
        await running.rest.renew(running.amphora_id, ADDRESS, wrong)
    assert (running.home / "boot.json").read_bytes() == before
    assert not (running.home / "tls.pem").exists()
    assert "PRIVATE KEY" not in (running.directory / "agent.log").read_text()


async def test_no_traffic_notices(running: LiveAmphora) -> None:
    async with members(2):
        await running.apply(running.config(server("m1", 9001), server("m2", 9002)))
        haproxy, worker = running.haproxy_pid(), running.worker()
        async with Clients(keep_alive=True) as clients:
            for _ in range(20):
                await renewed(running)
        assert (running.haproxy_pid(), running.worker()) == (haproxy, worker)
    assert not clients.failures
    assert clients.answers


async def test_boot_data_of_an_earlier_release_is_enough(amphora: LiveAmphora) -> None:
    await amphora.write_boot()
    path = amphora.home / "boot.json"
    known = msgspec.json.decode(path.read_bytes())
    del known["not_after"]
    path.write_bytes(msgspec.json.encode(known))
    assert (await amphora.start()).not_after is None
    renewal = await renewed(amphora)
    assert (await amphora.status()).not_after == renewal.not_after
    assert os.listdir(amphora.home).count("boot.json") == 1
