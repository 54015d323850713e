"""What a user's certificates must be like, so that they can be put to use.

PURE. The checks raise `ValueError` with a text for users that never holds any of the material.
What is refused here would keep haproxy from starting, or clients from ever being let in. Called
by the API when a request names a certificate, and by the controller for the dates.
"""

import re
from collections.abc import Iterable
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

_LEAST_RSA_BITS = 2048
_BROKEN_HASHES = frozenset({"md5", "sha1"})
_REVOCATIONS = re.compile(r"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


def check_bundle(
    certificate: str, private_key: str, intermediates: Iterable[str], now: datetime
) -> None:
    """A certificate in its time of validity, with the key that belongs to it."""
    leaf = _certificate(certificate)
    key = _key(private_key)
    if _spki(key.public_key()) != _spki(leaf.public_key()):
        raise ValueError("Key and x509 certificate do not match")
    _check_strength(leaf)
    _check_dates(leaf, now, "certificate")
    for one in intermediates:
        _check_strength(_certificate(one))


def check_authorities(text: str, now: datetime) -> None:
    """One or more certificates of authorities, each in its time of validity."""
    for one in _authorities(text):
        _check_dates(one, now, "CA certificate")


def check_revocations(text: str, authorities: str, now: datetime) -> None:
    """One or more revocation lists, each signed by one of the authorities and not outdated."""
    known = _authorities(authorities)
    found = _REVOCATIONS.findall(text)
    if not found:
        raise ValueError("The CRL specified is invalid: there is no X509 CRL in PEM format")
    for one in found:
        try:
            revoked = x509.load_pem_x509_crl(one.encode())
            signed = any(_signed(revoked, authority) for authority in known)
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError("The CRL specified is invalid: it cannot be read") from None
        if not signed:
            raise ValueError("The CRL specified is not valid for the CA reference supplied")
        until = revoked.next_update_utc
        if until is not None and until <= now:
            raise ValueError(f"The CRL specified was to be renewed by {_moment(until)}")


def expires(certificate: str) -> datetime:
    """When a certificate that was read before ends."""
    return _certificate(certificate).not_valid_after_utc


def _certificate(text: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("Could not read X509 from PEM") from None


def _key(text: str) -> PrivateKeyTypes:
    if not text.strip():
        raise ValueError("There is no private key with the certificate")
    try:
        # Whether its numbers fit each other was found out when it was opened, elsewhere: of a long
        # RSA key that takes seconds, for which nothing else would run.
        return serialization.load_pem_private_key(
            text.encode(), None, unsafe_skip_rsa_key_validation=True
        )
    except TypeError:
        raise ValueError(
            "Passphrase needed to decrypt key but client did not provide one"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("Could not read the private key from PEM") from None


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _check_strength(one: x509.Certificate) -> None:
    """What OpenSSL at its usual security level would not load."""
    key = one.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _LEAST_RSA_BITS:
        raise ValueError(f"An RSA key of {key.key_size} bits is too small: at least 2048")
    if isinstance(key, dsa.DSAPublicKey):
        raise ValueError("DSA keys are not used in TLS any more")
    algorithm = one.signature_hash_algorithm
    if algorithm and algorithm.name in _BROKEN_HASHES and one.issuer != one.subject:
        raise ValueError(f"A certificate signed with {algorithm.name.upper()} is not accepted")


def _check_dates(one: x509.Certificate, now: datetime, what: str) -> None:
    if one.not_valid_before_utc > now:
        raise ValueError(f"The {what} is not valid before {_moment(one.not_valid_before_utc)}")
    if one.not_valid_after_utc <= now:
        raise ValueError(f"The {what} expired on {_moment(one.not_valid_after_utc)}")


def _authorities(text: str) -> list[x509.Certificate]:
    invalid = "The CA certificate is invalid. It must be a valid x509 PEM format certificate"
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(invalid) from None
    if not all(map(_may_sign, found)):
        raise ValueError("The certificate is not that of a CA")
    return found


def _may_sign(one: x509.Certificate) -> bool:
    try:
        return one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _signed(revoked: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    if revoked.issuer != authority.subject:
        return False
    try:
        # Other keys than these sign nothing that TLS knows; the library refuses them.
        return revoked.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except (TypeError, InvalidSignature):
        return False


def _moment(value: datetime) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ")
