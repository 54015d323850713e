"""Certificates for tests: an authority, one in the middle, a server's, and their forms."""

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID
from msgspec import Struct

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8


class Identity(Struct, frozen=True):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Any

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(PEM).decode()

    def key_pem(self, password: str | None = None) -> str:
        how: Any = serialization.NoEncryption()
        if password is not None:
            how = serialization.BestAvailableEncryption(password.encode())
        return str(self.key.private_bytes(PEM, PKCS8, how).decode())


def issued(name: str, by: Identity | None = None, *, days: int = 30) -> Identity:
    """A certificate signed by another, or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if by is None else by.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    )
    return Identity(builder.sign(key if by is None else by.key, hashes.SHA256()), key)


@cache
def root() -> Identity:
    return issued("root.example")


@cache
def middle() -> Identity:
    return issued("middle.example", root())


@cache
def server() -> Identity:
    return issued("www.example", middle())


def bag(one: Identity, *others: Identity, password: str | None = None) -> bytes:
    """A PKCS12 of a certificate, its key and others."""
    how: Any = serialization.NoEncryption()
    if password is not None:
        how = serialization.BestAvailableEncryption(password.encode())
    return pkcs12.serialize_key_and_certificates(
        b"bundle", one.key, one.certificate, [o.certificate for o in others], how
    )
