"""Certificates in the amphora: written before haproxy needs them, gone when it does not."""

import asyncio
import hashlib
import ssl
import stat
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from fairlead.errors import Permanent, Retryable
from fairlead.ports import Bundle
from fairlead.wire.amphora import AmphoraConfig, File, without_contents
from tests.authority import Authority, joined
from tests.live_amphora import ADDRESS, LiveAmphora, members, server, stamped

pytestmark = pytest.mark.root
CA = Authority()
ONE, TWO = CA.issue("one.test"), CA.issue("two.test")
PORT = 8443


def file_of(bundle: Bundle) -> File:
    text = joined(bundle)
    return File(name=f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.pem", content=text)


def serving(amphora: LiveAmphora, bundle: Bundle, *, extra: str = "") -> AmphoraConfig:
    file = file_of(bundle)
    place = f"{ADDRESS}:{PORT} ssl crt {amphora.home}/certificates/{file.name}"
    plain = amphora.config(server("m1", 9001), bind=place, extra=extra)
    return stamped(replace(plain, files=(file,), sources={"bundle ref": file.name}))


def files(amphora: LiveAmphora) -> set[str]:
    return {path.name for path in (amphora.home / "certificates").iterdir()}


@pytest.fixture(autouse=True)
def without_keys_in_the_log(amphora: LiveAmphora) -> Iterator[None]:
    """Whatever a test does, no key gets out of the directory it belongs to."""
    yield
    for path in amphora.directory.rglob("*"):
        if path.is_file() and path.parent.name != "certificates":
            for bundle in (ONE, TWO):
                assert bundle.private_key.split()[4].encode() not in path.read_bytes(), path


async def name_served(*, server_hostname: str = "one.test") -> str:
    """The common name of the certificate that a client is shown."""
    context = ssl.create_default_context(cadata=CA.pem)
    context.check_hostname = False
    _, writer = await asyncio.open_connection(
        ADDRESS, PORT, ssl=context, server_hostname=server_hostname
    )
    try:
        shown = writer.get_extra_info("peercert")
    finally:
        writer.close()
    return str(dict(pair for group in shown["subject"] for pair in group)["commonName"])


async def test_a_certificate_is_there_before_haproxy_and_for_its_owner_only(
    amphora: LiveAmphora,
) -> None:
    await amphora.boot()
    config = serving(amphora, ONE)
    assert (await amphora.apply(config)).how == "start"
    assert await name_served() == "one.test"
    (path,) = (amphora.home / "certificates").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert (await amphora.status()).held == {"bundle ref": path.name}


async def test_a_new_certificate_takes_the_place_of_the_old(amphora: LiveAmphora) -> None:
    await amphora.boot()
    await amphora.apply(serving(amphora, ONE))
    assert (await amphora.apply(serving(amphora, TWO))).how == "reload"
    assert await name_served() == "two.test"
    assert files(amphora) == {file_of(TWO).name}


async def test_what_is_held_need_not_be_sent(amphora: LiveAmphora) -> None:
    await amphora.boot()
    with pytest.raises(Retryable, match="is not here"):
        await amphora.apply(without_contents(serving(amphora, ONE)))
    await amphora.apply(serving(amphora, ONE))
    changed = serving(amphora, ONE, extra="\n    option httpclose")
    assert changed.revision != serving(amphora, ONE).revision
    assert (await amphora.apply(without_contents(changed))).revision == changed.revision
    assert await name_served() == "one.test"


async def test_a_refused_configuration_leaves_the_old_certificate_alone(
    amphora: LiveAmphora,
) -> None:
    await amphora.boot()
    await amphora.apply(serving(amphora, ONE))
    broken = replace(TWO, private_key=ONE.private_key)
    with pytest.raises(Permanent, match="inconsistencies between private key and certificate"):
        await amphora.apply(serving(amphora, broken))
    assert files(amphora) == {file_of(ONE).name}
    assert await name_served() == "one.test"


async def test_no_file_is_written_elsewhere(amphora: LiveAmphora) -> None:
    await amphora.boot()
    for name in ("../evil.pem", "/tmp/evil.pem", "boot.json", "", "a/b.pem"):
        config = amphora.config(server("m1", 9001))
        with pytest.raises(Permanent, match="no name of a file"):
            await amphora.apply(stamped(replace(config, files=(File(name=name, content="x"),))))
    assert not list(amphora.directory.rglob("evil.pem"))


async def test_an_agent_that_starts_again_knows_what_it_holds(amphora: LiveAmphora) -> None:
    await amphora.boot()
    config = serving(amphora, ONE)
    await amphora.apply(config)
    amphora.kill()
    status = await amphora.start()
    assert (status.revision, status.held) == (config.revision, config.sources)


async def test_swapped_again_and_again_no_handshake_fails(amphora: LiveAmphora) -> None:
    await amphora.boot()
    seen: list[str] = []
    async with members(1):
        await amphora.apply(serving(amphora, ONE))

        async def shake_hands() -> None:
            while len(seen) < 100000:
                seen.append(await name_served())

        clients = [asyncio.create_task(shake_hands()) for _ in range(3)]
        for bundle, name in 2 * [(TWO, "two.test"), (ONE, "one.test")]:
            before = len(seen)
            await amphora.apply(serving(amphora, bundle))
            while len(seen) < before + 30:
                await asyncio.sleep(0.01)
                assert not any(client.done() for client in clients), "a handshake failed"
            assert await name_served() == name
        for client in clients:
            client.cancel()
        ended = await asyncio.gather(*clients, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in ended)
    assert set(seen) == {"one.test", "two.test"}
