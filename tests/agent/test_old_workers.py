"""Workers that clients keep alive after a reload: their number is bounded."""

import asyncio
import hashlib

import pytest

from fairlead.render.haproxy import Site, haproxy
from fairlead.wire.amphora import AmphoraConfig
from tests.live_amphora import ADDRESS, FRONT_PORT, LiveAmphora, stamped
from tests.strategies import planted

pytestmark = pytest.mark.root

MOST = 12  # Ten reloads are outlived; the worker that serves; one that is on its way out.
IDLE = b"GET / HTTP/1.1\r\n"


def rendered(amphora: LiveAmphora, number: int) -> AmphoraConfig:
    """A listener without a pool, as the controller renders it; another number, another file."""
    front = {"name": "l", "protocol": "HTTP", "protocol_port": FRONT_PORT}
    tree = planted({
        "vip_address": ADDRESS,
        "listeners": [front | {"timeout_client_data": 600_000 + number}],
    })  # fmt: skip
    made = haproxy(tree, Site(maxconn=200, directory=str(amphora.home), ping_command="/bin/true"))
    text = made.text
    return stamped(
        AmphoraConfig(
            epoch=1, revision="", haproxy_cfg=text, servers=(), interfaces=(),
            skeleton=hashlib.sha256(text.encode()).hexdigest(),
        )
    )  # fmt: skip


async def test_clients_that_stay_do_not_pile_up_workers(amphora: LiveAmphora) -> None:
    await amphora.boot()
    open_ones: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    try:
        for number in range(18):
            assert (await amphora.apply(rendered(amphora, number))).revision
            reader, writer = await asyncio.open_connection(ADDRESS, FRONT_PORT)
            writer.write(IDLE)
            open_ones.append((reader, writer))
            assert amphora.ask_haproxy("show proc").count("worker  ") <= MOST
        async with asyncio.timeout(5):
            await open_ones[0][0].read()
        assert not open_ones[-2][0].at_eof()
    finally:
        for _, writer in open_ones:
            writer.close()
