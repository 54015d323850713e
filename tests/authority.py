"""Certificates for tests, made anew in each run: an authority, what it signs, what it revokes."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from fairlead.ports import Bundle

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
DAY = timedelta(days=1)


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def key_text(key: Key, password: bytes | None = None) -> str:
    kept = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, kept).decode()


class Authority:
    """Signs with a key of its own; `signer` None makes it a root."""

    def __init__(
        self, name: str = "Test CA", signer: "Authority | None" = None, days: int = 30
    ) -> None:
        self.key = new_key()
        self._signer = signer
        self.certificate = self._build(name, self.key, signer or self, ca=True, days=days)
        self._name = name

    @property
    def pem(self) -> str:
        return _pem(self.certificate)

    def issue(self, *names: str, key: Key | None = None, **how: Any) -> Bundle:
        """A certificate for host names (the first is its common name), with its key."""
        key = key or new_key()
        made = self._build(names[0], key, self, ca=False, names=names, **how)
        chain = (self.pem,) if self._signer else ()
        return Bundle(certificate=_pem(made), private_key=key_text(key), intermediates=chain)

    def revoke(self, *bundles: Bundle, days: int = 10) -> str:
        """A revocation list of those certificates; `days` below 0 makes an outdated one."""
        now = datetime.now(UTC)
        list_ = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now - 20 * DAY)
            .next_update(now + days * DAY)
        )
        for bundle in bundles:
            number = x509.load_pem_x509_certificate(bundle.certificate.encode()).serial_number
            revoked = x509.RevokedCertificateBuilder().serial_number(number)
            list_ = list_.add_revoked_certificate(revoked.revocation_date(now - DAY).build())
        signed = list_.sign(self.key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM).decode()

    def _build(
        self,
        name: str,
        key: Key,
        signer: "Authority",
        *,
        ca: bool,
        names: Iterable[str] = (),
        days: int = 10,
        since: int = -1,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        subject = x509.Name([
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tests"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ])  # fmt: skip
        issuer = subject if signer is self and ca else signer.certificate.subject
        hosts = [x509.DNSName(host) for host in names]
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + min(since, days - 1) * DAY)
            .not_valid_after(now + days * DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if hosts:
            made = made.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        return made.sign(signer.key, hashes.SHA256())


def joined(bundle: Bundle) -> str:
    """All of a bundle in one text."""
    return "".join([bundle.certificate, *bundle.intermediates, bundle.private_key])


@cache
def some() -> dict[str, str]:
    """A text of each kind that haproxy may be given."""
    authority = Authority()
    pair = authority.issue("some.test")
    return {"bundle": joined(pair), "authority": authority.pem, "revoked": authority.revoke()}


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
