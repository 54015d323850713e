"""What every vault promises of references: the local store's, Barbican's, and the fake."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pytest

from fairlead.domain.secrets import Container, Secret
from fairlead.drivers.cabinet_local import LocalCabinet
from fairlead.drivers.cabinet_local.keyring import Keyring
from fairlead.drivers.clock import SystemClock
from fairlead.drivers.fake import FakeVault
from fairlead.drivers.vault_references import ReferencedVault
from fairlead.errors import Refused
from fairlead.ports import Bundle, Vault
from fairlead.store import SqlStore
from tests import certificates as c
from tests.contract.balancers import new_id
from tests.contract.barbican_world import barbican_rig

# What the SDK says of itself is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
MINE, THEIRS = "p1", "p2"
NOW = datetime(2026, 5, 1, tzinfo=UTC)


def der(tag: int, *parts: bytes) -> bytes:
    """One value in ASN.1's DER."""
    content = b"".join(parts)
    size = len(content)
    return bytes([tag, size] if size < 128 else [tag, 0x81, size]) + content


def slow_key() -> str:
    """An encrypted key (PKCS8) of 2,000,000,000 rounds of PBKDF2; what it holds is noise."""
    pbes2, pbkdf2 = (bytes.fromhex(f"06092a864886f70d01050{n}") for n in "dc")
    sha256, aes256 = (
        bytes.fromhex("06082a864886f70d0209 0500"),
        bytes.fromhex("060960864801650304012a"),
    )
    rounds = der(2, (2_000_000_000).to_bytes(4, "big"))
    derived = der(0x30, pbkdf2, der(0x30, der(4, os.urandom(8)), rounds, der(0x30, sha256)))
    cipher = der(0x30, aes256, der(4, os.urandom(16)))
    key = der(0x30, der(0x30, pbes2, der(0x30, derived, cipher)), der(4, os.urandom(128)))
    label = "ENCRYPTED PRIVATE KEY"
    return f"-----BEGIN {label}-----\n{base64.encodebytes(key).decode()}-----END {label}-----\n"


class Rig(Protocol):
    """A vault, and a way to put things where it looks."""

    vault: Vault

    async def secret(self, payload: bytes, project_id: str = MINE) -> str: ...

    async def container(self, parts: Mapping[str, bytes], project_id: str = MINE) -> str: ...


class FakeRig:
    def __init__(self) -> None:
        self.vault = FakeVault()

    async def secret(self, payload: bytes, project_id: str = MINE) -> str:
        reference = self._new("secrets", project_id)
        if payload.startswith(b"-----BEGIN"):
            self.vault.texts[reference] = payload.decode()
        else:
            self.vault.bundles[reference] = expected(c.middle(), c.root())
        return reference

    async def container(self, parts: Mapping[str, bytes], project_id: str = MINE) -> str:
        reference = self._new("containers", project_id)
        self.vault.bundles[reference] = expected(c.middle(), c.root())
        return reference

    def _new(self, place: str, project_id: str) -> str:
        reference = f"http://keys.test/v1/{place}/{new_id()}"
        self.vault.owners[reference] = project_id
        return reference


class LocalRig:
    def __init__(self, store: SqlStore) -> None:
        self.cabinet = LocalCabinet(store.secrets, Keyring((bytes(32),)), SystemClock())
        self.vault = ReferencedVault(self.cabinet)

    async def secret(self, payload: bytes, project_id: str = MINE) -> str:
        return f"http://keys.test/v1/secrets/{await self._keep(payload, project_id)}"

    async def container(self, parts: Mapping[str, bytes], project_id: str = MINE) -> str:
        ids = {name: await self._keep(part, project_id) for name, part in parts.items()}
        one = Container(
            id=new_id(), project_id=project_id, type="certificate", secrets=ids,
            created_at=NOW, updated_at=NOW,
        )  # fmt: skip
        await self.cabinet.create_container(one)
        return f"http://keys.test/v1/containers/{one.id}"

    async def _keep(self, payload: bytes, project_id: str) -> str:
        one = Secret(
            id=new_id(), project_id=project_id, secret_type="opaque",
            content_type="application/octet-stream", created_at=NOW, updated_at=NOW,
        )  # fmt: skip
        await self.cabinet.create(one, payload)
        return one.id


@asynccontextmanager
async def fake_rig(directory: Path) -> AsyncIterator[Rig]:
    yield FakeRig()


@asynccontextmanager
async def local_rig(directory: Path) -> AsyncIterator[Rig]:
    store = SqlStore(f"sqlite+aiosqlite:///{directory}/fairlead.sqlite")
    await store.start()
    try:
        yield LocalRig(store)
    finally:
        await store.close()


REAL = {"local": local_rig, "barbican": barbican_rig}
ALL = {"fake": fake_rig, **REAL}


@pytest.fixture(params=ALL.values(), ids=ALL.keys())
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    async with request.param(tmp_path) as made:
        yield made


@pytest.fixture(params=REAL.values(), ids=REAL.keys())
async def real(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    """A vault that has to make sense of what users stored."""
    async with request.param(tmp_path) as made:
        yield made


def expected(*others: c.Identity) -> Bundle:
    return Bundle(
        certificate=c.server().pem,
        private_key=c.server().key_pem(),
        intermediates=tuple(one.pem for one in others),
    )


def parts(**more: Any) -> dict[str, bytes]:
    given: dict[str, Any] = {
        "certificate": c.server().pem,
        "private_key": c.server().key_pem(),
        "intermediates": c.middle().pem + c.root().pem,
    } | more
    return {name: text.encode() for name, text in given.items() if text is not None}


async def test_a_container_is_read(rig: Rig) -> None:
    reference = await rig.container(parts())
    assert await rig.vault.bundle(reference, MINE) == expected(c.middle(), c.root())


async def test_a_pkcs12_is_read(rig: Rig) -> None:
    reference = await rig.secret(c.bag(c.server(), c.root(), c.middle()))
    assert await rig.vault.bundle(reference, MINE) == expected(c.middle(), c.root())


async def test_a_text_is_read(rig: Rig) -> None:
    reference = await rig.secret(c.root().pem.encode())
    assert await rig.vault.text(reference, MINE) == c.root().pem


@pytest.mark.parametrize("place", ["secrets", "containers"])
async def test_what_is_not_there_and_what_is_anothers_are_told_in_the_same_words(
    rig: Rig, place: str
) -> None:
    theirs = await (
        rig.secret(c.bag(c.server()), THEIRS)
        if place == "secrets"
        else rig.container(parts(), THEIRS)
    )
    missing = f"{theirs.rpartition('/')[0]}/{new_id()}"
    for reference, project_id in ((theirs, MINE), (theirs, None), (missing, MINE)):
        for read in (rig.vault.bundle, rig.vault.text):
            with pytest.raises(Refused) as refused:
                await read(reference, project_id)
            assert str(refused.value) == f"Could not retrieve certificate: ['{reference}']"
    assert (await rig.vault.bundle(theirs, THEIRS)).certificate == c.server().pem


@pytest.mark.parametrize(
    "reference",
    ["", "x", "http://keys.test/", "http://keys.test/v1/secrets/", "http://keys.test/v1/secrets/x",
     "file:///etc/passwd", "http://169.254.169.254/latest/meta-data", "../../secrets/..",
     "http://keys.test/v1/orders/5d8a3fb2-8c5e-4f0a-9b9c-0d5c6d1f7a01"],
)  # fmt: skip
async def test_what_is_no_reference_leads_nowhere(rig: Rig, reference: str) -> None:
    for read in (rig.vault.bundle, rig.vault.text):
        with pytest.raises(Refused, match="Could not retrieve certificate"):
            await read(reference, MINE)


async def test_a_text_is_no_container(rig: Rig) -> None:
    reference = await rig.container(parts())
    with pytest.raises(Refused, match="Could not retrieve certificate"):
        await rig.vault.text(reference, MINE)


async def test_the_host_of_a_reference_does_not_matter(real: Rig) -> None:
    """Nothing is asked there, so that a user cannot send the service anywhere."""
    reference = await real.container(parts())
    place = reference[reference.index("/v1/") :]
    for host in ("https://nowhere.invalid", "http://192.0.2.1:9", "http://[::1]:1/keys", ""):
        assert await real.vault.bundle(host + place, MINE) == expected(c.middle(), c.root())
        assert await real.vault.bundle(f"{host}{place}/", MINE)


async def test_the_forms_of_a_container(real: Rig) -> None:
    alone = expected()
    locked = c.server().key_pem("open sesame")
    for given, bundle in (
        (parts(intermediates=None), alone),
        (parts(intermediates=c.root().pem + c.middle().pem), expected(c.middle(), c.root())),
        (parts(certificate=c.middle().pem + c.server().pem, intermediates=None),
         expected(c.middle())),
        (parts(private_key=locked, private_key_passphrase="open sesame\n"),
         expected(c.middle(), c.root())),
        (parts(private_key_passphrase="not needed", intermediates=None), alone),
        (parts(intermediates=c.server().pem + c.middle().pem), expected(c.middle())),
    ):  # fmt: skip
        assert await real.vault.bundle(await real.container(given), MINE) == bundle
    der = parts(intermediates=None) | {
        "certificate": base64.b64decode("".join(c.server().pem.splitlines()[1:-1])),
        "private_key": base64.b64decode("".join(c.server().key_pem().splitlines()[1:-1])),
    }
    assert await real.vault.bundle(await real.container(der), MINE) == alone


async def test_pem_in_one_piece(real: Rig) -> None:
    together = c.server().key_pem() + c.server().pem + c.middle().pem
    reference = await real.secret(together.encode())
    assert await real.vault.bundle(reference, MINE) == expected(c.middle())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"private_key": None}, "The private key could not be read"),
        ({"private_key": "no key"}, "The private key could not be read"),
        ({"private_key": c.server().key_pem("secret")}, "Passphrase needed to decrypt key"),
        ({"private_key": c.server().key_pem("secret"), "private_key_passphrase": "wrong"},
         "The private key could not be read"),
        ({"private_key": c.middle().key_pem(), "intermediates": None}, "do not match"),
        ({"certificate": "no certificate"}, "Could not read X509 from PEM"),
        ({"certificate": None}, "Could not retrieve certificate"),
        ({"certificate": None, "private_key": None, "intermediates": None},
         "Could not retrieve certificate"),
        ({"intermediates": "-----BEGIN CERTIFICATE-----"}, "Could not read X509 from PEM"),
    ],
)  # fmt: skip
async def test_a_broken_container_is_refused_without_its_secrets(
    real: Rig, more: dict[str, Any], said: str
) -> None:
    reference = await real.container(parts(**more))
    with pytest.raises(Refused, match=said) as refused:
        await real.vault.bundle(reference, MINE)
    assert reference in str(refused.value)
    assert_quiet(refused.value)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"\x00\x01", "PKCS12 bundle is unreadable"),
        (c.bag(c.server(), password="secret"), "PKCS12 bundle is unreadable"),
        (c.bag(c.server())[:-9], "PKCS12 bundle is unreadable"),
        (c.server().pem.encode(), "The private key could not be read"),
        (c.server().key_pem().encode(), "Could not read X509 from PEM"),
    ],
    ids=["noise", "locked", "cut", "keyless", "no certificate"],
)
async def test_a_broken_bundle_is_refused_without_its_secrets(
    real: Rig, payload: bytes, said: str
) -> None:
    reference = await real.secret(payload)
    with pytest.raises(Refused, match=said) as refused:
        await real.vault.bundle(reference, MINE)
    assert_quiet(refused.value)


async def test_a_key_that_is_slow_to_open_holds_nobody_up(real: Rig) -> None:
    """It is locked with so many rounds that opening it would take minutes."""
    reference = await real.container(parts(private_key=slow_key(), private_key_passphrase="x"))
    opening = asyncio.create_task(real.vault.bundle(reference, MINE))
    turns = 0
    while not opening.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert turns > 20, "others had their turns meanwhile"
    with pytest.raises(Refused, match="takes too much to be opened"):
        await opening


async def test_text_that_is_none_is_refused(real: Rig) -> None:
    with pytest.raises(Refused, match="should be PEM text"):
        await real.vault.text(await real.secret(b"\xff\xfe"), MINE)


def assert_quiet(error: BaseException) -> None:
    """Neither the message nor what it came from has a piece of key."""
    key = c.server().key_pem().splitlines()[1][:20]
    seen: BaseException | None = error
    while seen is not None:
        assert key not in repr(seen)
        assert "secret'" not in str(seen)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def test_a_bundle_is_not_printed() -> None:
    assert "PRIVATE" not in f"{expected()!r} {expected()}"
