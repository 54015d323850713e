"""What is wrong with a certificate is said without showing any of it."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from fairlead.domain import certificates
from fairlead.ports import Bundle
from tests.authority import Authority, key_text, new_key

NOW = datetime.now(UTC)
CA = Authority()
BETWEEN = Authority("Between", signer=CA)
GOOD = CA.issue("good.test")


def checked(bundle: Bundle) -> None:
    certificates.check_bundle(bundle.certificate, bundle.private_key, bundle.intermediates, NOW)


def changed(**parts: str) -> Bundle:
    plain = {"certificate": GOOD.certificate, "private_key": GOOD.private_key}
    return Bundle(**{**plain, **parts})


def test_good_ones_pass() -> None:
    checked(GOOD)
    checked(BETWEEN.issue("deep.test"))
    checked(CA.issue("rsa.test", key=rsa.generate_private_key(65537, 2048)))
    certificates.check_authorities(CA.pem + BETWEEN.pem, NOW)
    certificates.check_revocations(CA.revoke(GOOD) + BETWEEN.revoke(), CA.pem + BETWEEN.pem, NOW)
    assert certificates.expires(GOOD.certificate) > NOW


BROKEN: list[tuple[str, Callable[[], Bundle], str]] = [
    ("no certificate", lambda: changed(certificate="nothing"), "Could not read X509 from PEM"),
    ("garbage", lambda: changed(certificate=GOOD.certificate[:200]), "Could not read X509"),
    ("no key", lambda: changed(private_key=""), "no private key"),
    ("broken key", lambda: changed(private_key=GOOD.private_key[:60]), "private key from PEM"),
    ("encrypted key", lambda: changed(private_key=key_text(new_key(), b"x")), "Passphrase needed"),
    ("another key", lambda: changed(private_key=key_text(new_key())), "do not match"),
    ("expired", lambda: CA.issue("old.test", days=-1), "certificate expired on 20"),
    ("too early", lambda: CA.issue("new.test", since=2), "is not valid before 20"),
    ("small key", lambda: CA.issue("s.test", key=rsa.generate_private_key(65537, 1024)),
     "1024 bits is too small"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "made", "why"), BROKEN, ids=[b[0] for b in BROKEN])
def test_bad_bundles_are_told(what: str, made: Callable[[], Bundle], why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        checked(made())
    assert "BEGIN" not in str(caught.value)


@pytest.mark.parametrize(("made", "why"), [
    (lambda: "", "The CA certificate is invalid"),
    (lambda: "-----BEGIN CERTIFICATE-----", "The CA certificate is invalid"),
    (lambda: GOOD.certificate, "not that of a CA"),
    (lambda: CA.pem + GOOD.certificate, "not that of a CA"),
    (lambda: Authority("old", days=-1).pem, "CA certificate expired"),
])  # fmt: skip
def test_bad_authorities_are_told(made: Callable[[], str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        certificates.check_authorities(made(), NOW)


@pytest.mark.parametrize(("made", "why"), [
    (lambda: "", "no X509 CRL in PEM format"),
    (lambda: CA.pem, "no X509 CRL in PEM format"),
    (lambda: CA.revoke()[:80] + "\n-----END X509 CRL-----", "cannot be read"),
    (lambda: Authority("Other").revoke(), "not valid for the CA reference supplied"),
    (lambda: Authority().revoke(), "not valid for the CA reference supplied"),
    (lambda: CA.revoke() + Authority().revoke(), "not valid for the CA reference supplied"),
    (lambda: CA.revoke(days=-1), "was to be renewed by"),
])  # fmt: skip
def test_bad_revocation_lists_are_told(made: Callable[[], str], why: str) -> None:
    """A namesake of the authority has another key."""
    with pytest.raises(ValueError, match=why):
        certificates.check_revocations(made(), CA.pem, NOW)
