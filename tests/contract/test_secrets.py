"""The contract of `ports.Secrets`, and the local certificate authority on real TLS and real files.

A driver joins by one line in `DRIVERS`.
"""

import os
import signal
import ssl
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from fairlead.drivers.fake import FakeSecrets
from fairlead.drivers.secrets_local import SecretsLocal
from fairlead.errors import Permanent, Refused
from fairlead.wire.heartbeat import derive_key

ONE = "1f0e5c1e-7f0f-4f6c-9d5f-6c1b0c5b8a01"
TWO = "2a9d3b44-92f2-4f6e-8f55-3c7e2b9b7c02"


class TestClock:
    __test__ = False

    def __init__(self) -> None:
        self.time = datetime.now(UTC).replace(microsecond=0)

    def now(self) -> datetime:
        return self.time


LIFE, AUTHORITY_LIFE = timedelta(days=30), timedelta(days=3000)


def local(directory: Path, clock: TestClock) -> SecretsLocal:
    return SecretsLocal(
        directory / "secrets", clock=clock, life=LIFE, authority_life=AUTHORITY_LIFE
    )


def fake(directory: Path, clock: TestClock) -> FakeSecrets:
    return FakeSecrets(clock.now, LIFE, AUTHORITY_LIFE)


DRIVERS = [pytest.param(local, id="local"), pytest.param(fake, id="fake")]


@pytest.fixture
def clock():
    return TestClock()


@pytest.fixture(params=DRIVERS)
def secrets(request, tmp_path, clock):
    return request.param(tmp_path, clock)


async def test_every_certificate_is_a_new_one_of_the_same_authority(secrets):
    first = await secrets.issue(ONE, "100.127.0.5")
    second = await secrets.issue(ONE, "100.127.0.5")
    controller = await secrets.controller()
    assert first.certificate != second.certificate
    assert first.private_key != second.private_key
    assert first.authority == second.authority == controller.authority
    assert first.not_after.tzinfo is not None


async def test_the_controller_keeps_its_certificate(secrets):
    assert await secrets.controller() == await secrets.controller()


async def test_certificates_are_good_for_as_long_as_is_said(secrets, clock):
    assert secrets.life == LIFE
    for made in (await secrets.issue(ONE, "100.127.0.5"), await secrets.controller()):
        assert made.not_after == clock.now() + LIFE


async def test_the_controller_is_renewed_at_two_thirds_of_its_life(secrets, clock):
    first = await secrets.controller()
    clock.time += LIFE * 2 / 3 - timedelta(seconds=1)
    assert await secrets.controller() == first
    clock.time += timedelta(seconds=1)
    second = await secrets.controller()
    assert second.not_after == clock.now() + LIFE
    assert second.private_key != first.private_key
    assert second.authority == first.authority
    assert await secrets.controller() == second
    assert secrets.late() == ()


async def test_an_authority_that_nears_its_end_is_told_of(secrets, clock):
    clock.time += AUTHORITY_LIFE * 4 / 5
    await secrets.controller()
    assert secrets.late() == ()
    clock.time += AUTHORITY_LIFE / 30 + timedelta(days=1)
    await secrets.controller()
    (told,) = secrets.late()
    assert "authority" in told


def test_each_amphora_has_a_heartbeat_key_of_its_own(secrets):
    assert len(secrets.heartbeat_key(ONE)) == 32
    assert secrets.heartbeat_key(ONE) == secrets.heartbeat_key(ONE)
    assert secrets.heartbeat_key(ONE) != secrets.heartbeat_key(TWO)


# From here on: the local authority.


@pytest.fixture
def place(tmp_path):
    return tmp_path / "deep" / "secrets"


@pytest.fixture
def authority(place, clock):
    return SecretsLocal(place, clock=clock)


def loaded(certificate: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certificate.encode())


def context(protocol: int, credentials, directory: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(protocol)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.load_verify_locations(cadata=credentials.authority)
    file = directory / "pair.pem"
    file.write_text(credentials.certificate + credentials.private_key)
    made.load_cert_chain(file)
    return made


def shake_hands(client_side, server_side, directory: Path, server_name: str) -> None:
    """A TLS handshake in memory, both sides verifying; raises ssl.SSLError as they do."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context(ssl.PROTOCOL_TLS_CLIENT, client_side, directory).wrap_bio(
        to_client, to_server, server_hostname=server_name
    )
    server = context(ssl.PROTOCOL_TLS_SERVER, server_side, directory).wrap_bio(
        to_server, to_client, server_side=True
    )
    finished = set()
    for _ in range(10):
        for side in (client, server):
            try:
                side.do_handshake()
                finished.add(side)
            except ssl.SSLWantReadError:
                continue
    assert finished == {client, server}


@pytest.mark.parametrize("address", ["100.127.0.5", "fd00::5"])
async def test_controller_and_amphora_accept_each_other(authority, tmp_path, address):
    amphora = await authority.issue(ONE, address)
    shake_hands(await authority.controller(), amphora, tmp_path, address)
    shake_hands(await authority.controller(), amphora, tmp_path, ONE)


async def test_an_amphora_cannot_command_another(authority, tmp_path):
    one = await authority.issue(ONE, "100.127.0.5")
    two = await authority.issue(TWO, "100.127.0.6")
    with pytest.raises(ssl.SSLError, match=r"(?i)unsuitable|unsupported|purpose"):
        shake_hands(one, two, tmp_path, "100.127.0.6")


async def test_an_amphora_cannot_pass_for_another(authority, tmp_path):
    two = await authority.issue(TWO, "100.127.0.6")
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        shake_hands(await authority.controller(), two, tmp_path, "100.127.0.5")


async def test_a_client_certificate_serves_nobody(authority, tmp_path):
    controller = await authority.controller()
    with pytest.raises(ssl.SSLError, match=r"(?i)unsuitable|unsupported|purpose"):
        shake_hands(controller, controller, tmp_path, "controller")


async def test_another_authority_is_not_believed(authority, tmp_path, clock):
    foreign = SecretsLocal(tmp_path / "foreign", clock=clock)
    amphora = await authority.issue(ONE, "100.127.0.5")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(await foreign.controller(), amphora, tmp_path, "100.127.0.5")


async def test_certificates_name_their_amphora_and_end_in_a_year(authority, clock):
    issued = await authority.issue(ONE, "100.127.0.5")
    certificate = loaded(issued.certificate)
    (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert name.value == ONE
    assert issued.not_after == certificate.not_valid_after_utc == clock.now() + timedelta(days=365)
    assert certificate.not_valid_before_utc == clock.now() - timedelta(minutes=5)
    with pytest.raises(Refused, match="address"):
        await authority.issue(ONE, "not-an-address")


async def test_the_authority_lasts_ten_years_and_signs_no_other(authority, clock):
    certificate = loaded((await authority.controller()).authority)
    assert certificate.not_valid_after_utc > clock.now() + timedelta(days=3650)
    limits = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert limits.critical
    assert (limits.value.ca, limits.value.path_length) == (True, 0)


async def test_a_controller_that_cannot_be_renewed_keeps_what_it_has(place, clock):
    authority = SecretsLocal(place, clock=clock, life=LIFE)
    first = await authority.controller()
    clock.time += LIFE * 3 / 4
    (place / ".controller.sealed.new").mkdir()
    assert await authority.controller() == first
    assert authority.late() == ()
    clock.time += LIFE / 10
    assert await authority.controller() == first
    (told,) = authority.late()
    assert "controller's certificate ends on" in told
    assert "Is a directory" in told
    (place / ".controller.sealed.new").rmdir()
    second = await authority.controller()
    assert second.not_after > first.not_after
    assert authority.late() == ()


async def test_a_longer_life_counts_at_once(place, clock):
    short = await SecretsLocal(place, clock=clock, life=LIFE).controller()
    longer = await SecretsLocal(place, clock=clock).controller()
    assert longer.not_after > short.not_after


async def test_a_restart_keeps_everything(authority, place, clock):
    again = SecretsLocal(place, clock=clock)
    assert await again.controller() == await authority.controller()
    assert again.heartbeat_key(ONE) == authority.heartbeat_key(ONE)


def test_heartbeat_keys_are_those_of_the_wire(authority):
    assert authority.heartbeat_key(ONE) == derive_key(authority._master_key, ONE)


async def test_nothing_secret_lies_open(authority, place):
    controller = await authority.controller()
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    files = {path.name: path for path in place.iterdir()}
    assert {"authority.sealed", "controller.sealed", "heartbeat.sealed"} <= set(files)
    for path in files.values():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert b"PRIVATE KEY" not in path.read_bytes()
        assert authority._master_key not in path.read_bytes()
    assert files["authority.pem"].read_text() == controller.authority


def test_a_directory_left_open_is_closed(place, clock):
    place.mkdir(parents=True, mode=0o755)
    place.chmod(0o755)
    SecretsLocal(place, clock=clock)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_sealed_files_without_their_key_are_not_overwritten(authority, place, clock):
    sealed = (place / "authority.sealed").read_bytes()
    key = (place / "sealing.key").read_bytes()
    (place / "sealing.key").unlink()
    with pytest.raises(Permanent, match=r"sealing\.key is missing"):
        SecretsLocal(place, clock=clock)
    (place / "sealing.key").write_bytes(b"nonsense")
    with pytest.raises(Permanent, match="damaged"):
        SecretsLocal(place, clock=clock)
    (place / "sealing.key").write_bytes(key[::-1].lstrip(b"=") + b"=")
    with pytest.raises(Permanent, match="cannot be opened") as failure:
        SecretsLocal(place, clock=clock)
    assert key.decode() not in str(failure.value)
    assert (place / "authority.sealed").read_bytes() == sealed


@pytest.mark.parametrize("lost", ["authority.sealed", "heartbeat.sealed", "authority.pem"])
async def test_what_a_crash_kept_from_being_written_is_made_at_the_next_start(
    authority, place, clock, lost, tmp_path
):
    await authority.controller()
    (place / lost).unlink()
    (place / f".{lost}.new").write_bytes(b"half")
    again = SecretsLocal(place, clock=clock)
    assert not list(place.glob(".*.new"))
    amphora = await again.issue(ONE, "100.127.0.5")
    shake_hands(await again.controller(), amphora, tmp_path, "100.127.0.5")
    assert (place / "authority.pem").read_text() == amphora.authority


STARTER = """
import datetime, pathlib, sys
from fairlead.drivers.secrets_local import SecretsLocal
class Clock:
    def now(self): return datetime.datetime.now(datetime.UTC)
print("ready", flush=True)
sys.stdin.readline()
made = SecretsLocal(pathlib.Path(sys.argv[1]), clock=Clock())
print(made.heartbeat_key(sys.argv[2]).hex(), flush=True)
"""


def start(place: Path) -> "subprocess.Popen[str]":
    """A service about to open the directory: it waits for a line."""
    child = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(place), ONE],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout.readline() == "ready\n"
    return child


def test_services_started_at_once_agree(place):
    children = [start(place) for _ in range(4)]
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    keys = set()
    for child in children:
        with child:
            keys.add(child.communicate(timeout=30)[0])
    assert len(keys) == 1
    assert len(keys.pop()) == 65


async def test_kill_9_at_the_first_start_is_repaired(tmp_path, clock):
    for delay_ms in range(0, 12, 2):
        place = tmp_path / f"crash{delay_ms}"
        with start(place) as child:
            child.stdin.write("\n")
            child.stdin.flush()
            time.sleep(delay_ms / 1000)
            os.kill(child.pid, signal.SIGKILL)
        made = SecretsLocal(place, clock=clock)
        amphora = await made.issue(ONE, "100.127.0.5")
        shake_hands(await made.controller(), amphora, tmp_path, "100.127.0.5")
        assert not list(place.glob(".*.new"))
