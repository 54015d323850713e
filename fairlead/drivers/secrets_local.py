"""The local certificate authority and the heartbeat master key, as files of one directory.

Invariants: the directory is 0700 and every file 0600; what is secret is sealed with a key kept in
`sealing.key`, so that a copy of the other files gives nothing away. A key and its certificate are
one file, written beside its place, synced and renamed: a crash leaves the old one or the new one.
`authority.pem` is a public copy of the authority's certificate for people. Two processes starting
at once agree on one authority: the directory is locked while it is read and completed.
Only a certificate for clients commands an amphora, only one for servers is taken for an amphora.
Made by wiring; called by the controller.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fairlead.domain import lifetimes
from fairlead.errors import Permanent, Refused
from fairlead.ports import Credentials, WallClock
from fairlead.wire.heartbeat import derive_key

log = structlog.get_logger()
_AUTHORITY_LIFE = timedelta(days=3653)
_LIFE = timedelta(days=365)
_CONTROLLER = "controller.sealed"
_BACKDATE = timedelta(minutes=5)
_MASTER_KEY_BYTES = 32


class SecretsLocal:
    """`ports.Secrets` on files; the first one made for a directory makes its authority.

    `life` is how long certificates are good, `authority_life` how long the authority made here is.
    """

    def __init__(
        self,
        directory: Path,
        *,
        clock: WallClock,
        life: timedelta = _LIFE,
        authority_life: timedelta = _AUTHORITY_LIFE,
    ) -> None:
        self.life = life
        self._authority_life = authority_life
        self._controller_ends: datetime | None = None
        self._trouble = ""
        self._clock = clock
        self._vault = _Vault(directory)
        with self._vault.locked():
            self._vault.open()
            authority = self._vault.find_or_make("authority.sealed", self._new_authority)
            self._master_key = self._vault.find_or_make("heartbeat.sealed", _new_master_key)
            self._key, self._certificate = _unpack(authority)
            self._vault.publish("authority.pem", _pem(self._certificate))
        self._authority = _pem(self._certificate).decode()

    async def issue(self, amphora_id: str, address: str) -> Credentials:
        """A certificate for one amphora's agent; `Refused` on a bad address."""
        try:
            names = [x509.IPAddress(ip_address(address)), x509.DNSName(amphora_id)]
        except ValueError as error:
            raise Refused(f"address is '{address}'; it must be an IP address.") from error
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(key, amphora_id, names, ExtendedKeyUsageOID.SERVER_AUTH)
        return self._credentials(key, certificate)

    async def controller(self) -> Credentials:
        """The client certificate of controllers, renewed in the last third of its life."""
        with self._vault.locked():
            packed = self._vault.find_or_make(_CONTROLLER, self._new_controller)
            certificate = _unpack(packed)[1]
            if certificate.issuer != self._certificate.subject:
                packed = self._replace_controller()
            elif lifetimes.is_due(certificate.not_valid_after_utc, self.life, self._clock.now()):
                packed = self._renew_controller() or packed
        key, certificate = _unpack(packed)
        self._controller_ends = certificate.not_valid_after_utc
        return self._credentials(key, certificate)

    def late(self) -> tuple[str, ...]:
        """As the port."""
        now, ca, ends = self._clock.now(), self._certificate, self._controller_ends
        told = []
        authority_life = ca.not_valid_after_utc - ca.not_valid_before_utc
        if lifetimes.is_late(ca.not_valid_after_utc, authority_life, now):
            told.append(
                "The authority that signs the certificates of amphorae and controller ends on "
                f"{ca.not_valid_after_utc:%Y-%m-%d}: replace it before, see the operator guide"
            )
        if ends is not None and lifetimes.is_late(ends, self.life, now):
            told.append(
                f"The controller's certificate ends on {ends:%Y-%m-%d at %H:%M:%S} and could not "
                f"be renewed: {self._trouble}"
            )
        return tuple(told)

    def heartbeat_key(self, amphora_id: str) -> bytes:
        """The key of one amphora, derived from the master key."""
        return derive_key(self._master_key, amphora_id)

    def _replace_controller(self) -> bytes:
        packed = self._new_controller()
        self._vault.replace(_CONTROLLER, packed)
        return packed

    def _renew_controller(self) -> bytes | None:
        """A new one; None when it cannot be stored, for the old one is good for a while."""
        try:
            packed = self._replace_controller()
        except OSError as error:
            if str(error) != self._trouble:
                log.warning("the controller's certificate is not renewed", reason=str(error))
            self._trouble = str(error)
            return None
        self._trouble = ""
        log.info("the controller's certificate is renewed")
        return packed

    def _new_controller(self) -> bytes:
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName("controller")]
        certificate = self._sign(key, "controller", names, ExtendedKeyUsageOID.CLIENT_AUTH)
        return _pack(key, certificate)

    def _new_authority(self) -> bytes:
        key = ec.generate_private_key(ec.SECP256R1())
        serial = x509.random_serial_number()
        name = _common_name(f"Fairlead authority {serial:040x}"[:64])
        now = self._clock.now()
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(serial)
            .not_valid_before(now - _BACKDATE)
            .not_valid_after(now + self._authority_life)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
        )
        return _pack(key, builder.sign(key, hashes.SHA256()))

    def _sign(
        self,
        key: ec.EllipticCurvePrivateKey,
        common_name: str,
        names: Sequence[x509.GeneralName],
        purpose: x509.ObjectIdentifier,
    ) -> x509.Certificate:
        now = self._clock.now()
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        subject = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(_common_name(common_name))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATE)
            .not_valid_after(now + self.life)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(issuer, critical=False)
            .add_extension(subject, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _credentials(
        self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
    ) -> Credentials:
        return Credentials(
            certificate=_pem(certificate).decode(),
            private_key=_key_pem(key).decode(),
            authority=self._authority,
            not_after=certificate.not_valid_after_utc,
        )


class _Vault:
    """Files of a private directory, sealed with the key that lies beside them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out; the kernel lets go of the lock if this one dies."""
        handle = os.open(self._directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def open(self) -> None:
        """Find or make the sealing key, and clear away what a crash left half written."""
        for leftover in self._directory.glob(".*.new"):
            leftover.unlink()
        path = self._directory / "sealing.key"
        if not path.exists():
            if any(self._directory.glob("*.sealed")):
                raise Permanent(f"{path} is missing: without it the sealed files cannot be read.")
            self._write(path, Fernet.generate_key())
        try:
            self._fernet = Fernet(path.read_bytes())
        except ValueError as error:
            raise Permanent(f"{path} is damaged: restore it from a copy.") from error

    def find_or_make(self, name: str, make: Callable[[], bytes]) -> bytes:
        """The plain content of a sealed file, made first where it is missing."""
        path = self._directory / name
        if not path.exists():
            self.replace(name, make())
        try:
            return self._fernet.decrypt(path.read_bytes())
        except InvalidToken as error:
            raise Permanent(f"{path} cannot be opened with sealing.key.") from error

    def replace(self, name: str, content: bytes) -> None:
        """Seal and store."""
        self._write(self._directory / name, self._fernet.encrypt(content))

    def publish(self, name: str, content: bytes) -> None:
        """Store what is not secret, unless it is there."""
        path = self._directory / name
        if not path.exists() or path.read_bytes() != content:
            self._write(path, content)

    def _write(self, path: Path, content: bytes) -> None:
        beside = path.with_name(f".{path.name}.new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with os.fdopen(os.open(beside, flags, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
        place = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(place)
        finally:
            os.close(place)


def _new_master_key() -> bytes:
    return os.urandom(_MASTER_KEY_BYTES)


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _pack(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> bytes:
    """A key and its certificate as one text, to be sealed before it is stored."""
    return _key_pem(key) + _pem(certificate)


def _unpack(packed: bytes) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = serialization.load_pem_private_key(packed, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Permanent("A sealed key is not of the kind that this program makes.")
    return key, x509.load_pem_x509_certificate(packed)
