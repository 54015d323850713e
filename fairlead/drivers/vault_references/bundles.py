"""From what a secret store holds to a `Bundle`: PKCS12, PEM in parts, or PEM in one piece.

Nothing is taken on trust: what does not parse, a key that is missing, encrypted without its
passphrase or of another certificate is `Refused`, in Octavia's words where it has some. No message
has a piece of the material. Called by opening.py, in the process that it starts.
"""

from collections.abc import Callable, Mapping, Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12

from fairlead.errors import Refused
from fairlead.ports import Bundle

PARTS = frozenset({"certificate", "private_key", "private_key_passphrase", "intermediates"})
_KEYS = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | (
    ed448.Ed448PrivateKey
)  # fmt: skip
# What the library may say of material that is not what it should be.
_BROKEN = (ValueError, TypeError, UnsupportedAlgorithm)
_PEM = b"-----BEGIN "


def bundle(reference: str, found: bytes | Mapping[str, bytes]) -> Bundle:
    """From the payload of one secret, or the payloads of a container's secrets by name."""
    if isinstance(found, Mapping):
        return _of_parts(reference, found)
    if _PEM in found:
        return _of_parts(reference, {"certificate": found, "private_key": found})
    return _of_pkcs12(reference, found)


def _of_pkcs12(reference: str, payload: bytes) -> Bundle:
    try:
        key, leaf, others = pkcs12.load_key_and_certificates(payload, None)
    except _BROKEN:
        raise Refused(
            "The PKCS12 bundle is unreadable. Please check the PKCS12 bundle validity. In "
            "addition, make sure it does not require a pass phrase. "
            f"Bundle: ['{reference}']"
        ) from None
    return _joined(reference, key, [*([leaf] if leaf else []), *others])


def _of_parts(reference: str, parts: Mapping[str, bytes]) -> Bundle:
    if "certificate" not in parts:
        raise Refused(f"Could not retrieve certificate: ['{reference}']")
    own = _certificates(reference, parts["certificate"])
    more = parts.get("intermediates")
    others = [] if more is None else _certificates(reference, more)
    if "private_key" not in parts:
        raise _keyless(reference)
    key = _key(reference, parts["private_key"], parts.get("private_key_passphrase"))
    return _joined(reference, key, [*own, *others])


def _certificates(reference: str, payload: bytes) -> list[x509.Certificate]:
    """Those of a PEM text, of a PKCS7, or a single DER one."""
    readers: tuple[Callable[[bytes], list[x509.Certificate]], ...] = (
        (pkcs7.load_pem_pkcs7_certificates, x509.load_pem_x509_certificates)
        if _PEM in payload
        else (pkcs7.load_der_pkcs7_certificates, lambda der: [x509.load_der_x509_certificate(der)])
    )
    for read in readers:
        try:
            return read(payload)
        except _BROKEN:
            continue
    raise _unreadable(reference)


def _key(reference: str, payload: bytes, passphrase: bytes | None) -> object:
    pem = _PEM in payload
    load = serialization.load_pem_private_key if pem else serialization.load_der_private_key
    secret = None if passphrase is None else passphrase.rstrip(b"\r\n")
    try:
        return load(payload, secret)
    except TypeError:
        if secret is None:
            raise Refused(
                "Passphrase needed to decrypt key but client did not provide one. "
                f"Key of: ['{reference}']"
            ) from None
    except _BROKEN:
        raise _keyless(reference) from None
    return _key(reference, payload, None)  # a passphrase that the key does not need


def _joined(reference: str, key: object, found: Sequence[x509.Certificate]) -> Bundle:
    if not isinstance(key, _KEYS):
        raise _keyless(reference)
    try:
        public = _public(key.public_key())
        leaf = next((c for c in found if _public(c.public_key()) == public), None)
        if leaf is None:
            raise Refused(f"Key and x509 certificate do not match: ['{reference}']")
        chain = _chain(leaf, [c for c in found if c != leaf])
        return Bundle(
            certificate=_pem(leaf),
            private_key=key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode(),
            intermediates=tuple(map(_pem, chain)),
        )
    except _BROKEN:
        raise _unreadable(reference) from None


def _chain(leaf: x509.Certificate, others: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The others, each after the one it signed; what fits nowhere keeps its order at the end."""
    left = list(dict.fromkeys(others))
    ordered, last = [], leaf
    while (issuer := next((c for c in left if c.subject == last.issuer), None)) is not None:
        left.remove(issuer)
        ordered.append(issuer)
        last = issuer
    return [*ordered, *left]


def _public(key: object) -> bytes:
    """A public key in the one form that can be compared; empty for kinds that have none."""
    if not hasattr(key, "public_bytes"):
        return b""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    found: bytes = key.public_bytes(serialization.Encoding.DER, form)
    return found


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _unreadable(reference: str) -> Refused:
    return Refused(f"Could not read X509 from PEM: ['{reference}']")


def _keyless(reference: str) -> Refused:
    return Refused(f"The private key could not be read: ['{reference}']")
