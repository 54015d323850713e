"""Who may talk to an agent, and what it says to requests it does not understand."""

import asyncio
import ssl
import uuid

import httpx
import msgspec
import pytest

from fairlead.drivers.secrets_local import SecretsLocal
from fairlead.ports import Credentials
from fairlead.wire.amphora import AGENT_PORT, Rejected
from tests.live_amphora import ADDRESS, LiveAmphora

pytestmark = pytest.mark.root


def context(authority: str, pair: Credentials | None, directory: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(cadata=authority)
    if pair is not None:
        path = f"{directory}/pair.pem"
        with open(path, "w") as file:
            file.write(pair.certificate + pair.private_key)
        made.load_cert_chain(path)
    return made


async def say(amphora: LiveAmphora, pair: Credentials | None, request: bytes) -> bytes:
    """All that comes back for raw bytes, b"" when the agent hangs up at once."""
    authority = (await amphora.secrets.controller()).authority
    tls = context(authority, pair, str(amphora.directory))
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(ADDRESS, AGENT_PORT, ssl=tls)
        try:
            writer.write(request)
            return await reader.read(-1)
        finally:
            writer.close()


def get(amphora: LiveAmphora, path: str = "/v1/status", method: str = "GET") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: {amphora.amphora_id}\r\nConnection: close\r\n\r\n"
    return head.encode()


async def refused_or_answered(amphora: LiveAmphora, pair: Credentials | None) -> bytes:
    """In TLS 1.3 a client learns with its first read that it was refused."""
    try:
        return await say(amphora, pair, get(amphora))
    except (ssl.SSLError, ConnectionError):
        return b""


async def test_only_a_client_certificate_of_the_authority_gets_in(amphora: LiveAmphora) -> None:
    await amphora.boot()
    controller = await amphora.secrets.controller()
    assert b"200" in await say(amphora, controller, get(amphora))
    own = await amphora.secrets.issue(amphora.amphora_id, ADDRESS)
    stranger = SecretsLocal(amphora.directory / "stranger", clock=amphora.secrets._clock)
    for pair in (None, own, await stranger.controller()):
        assert await refused_or_answered(amphora, pair) == b""
    assert (await amphora.status()).amphora_id == amphora.amphora_id


async def test_older_tls_is_refused(amphora: LiveAmphora) -> None:
    await amphora.boot()
    controller = await amphora.secrets.controller()
    tls = context(controller.authority, controller, str(amphora.directory))
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(ADDRESS, AGENT_PORT, ssl=tls)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/", b"", 404),
        ("GET", "/v1/config", b"", 405),
        ("PUT", "/v1/status", b"{}", 405),
        ("DELETE", "/v1/config", b"", 405),
        ("PUT", "/v1/config", b"no json", 400),
        ("PUT", "/v1/config", b'{"epoch": "x"}', 400),
        ("PUT", "/v1/config", b" " * (16 * 1024 * 1024 + 1), 413),
    ],
)
async def test_what_is_not_understood(
    amphora: LiveAmphora, method: str, path: str, body: bytes, status: int
) -> None:
    await amphora.boot()
    controller = await amphora.secrets.controller()
    tls = context(controller.authority, controller, str(amphora.directory))
    async with httpx.AsyncClient(verify=tls, headers={"Host": amphora.amphora_id}) as client:
        answer = await client.request(
            method, f"https://{ADDRESS}:{AGENT_PORT}{path}", content=body, timeout=10
        )
    assert answer.status_code == status
    refusal = msgspec.json.decode(answer.content, type=Rejected)
    assert refusal.kind == "request"
    assert refusal.reason


async def test_request_for_another_amphora_is_misdirected(amphora: LiveAmphora) -> None:
    await amphora.boot()
    request = get(amphora).replace(amphora.amphora_id.encode(), str(uuid.uuid4()).encode())
    assert b"421" in await say(amphora, await amphora.secrets.controller(), request)


async def test_nonsense_is_answered_and_hung_up_on(amphora: LiveAmphora) -> None:
    await amphora.boot()
    controller = await amphora.secrets.controller()
    assert b"400" in await say(amphora, controller, b"\0\1\2 nonsense\r\n\r\n")
    assert b"200" in await say(amphora, controller, get(amphora))
