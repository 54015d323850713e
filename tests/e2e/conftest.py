"""The site that all end-to-end tests share, and its farm of member servers.

Every test here needs root. The tests' thread is in the site's namespace from the first test of
this directory to the last.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.api import Api
from tests.e2e.machines import Machine
from tests.e2e.site import Site

HERE = Path(__file__).parent
HTTP = range(8001, 8007)
TLS = range(8441, 8445)
PROXY = range(8501, 8503)
TCP = range(8601, 8606)
MANY = range(9001, 9051)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.root)


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if os.geteuid() != 0:
        pytest.skip("needs root to make network namespaces")
    made = Site(tmp_path_factory.mktemp("site"))
    try:
        write_certificate(made.certificate)
        made.open()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="package")
def api(site: Site) -> Api:
    return site.api


@pytest.fixture(scope="package")
def farm(site: Site) -> Machine:
    """A machine on the default network, both families, with many places."""
    kinds = {"http": [*HTTP, *MANY], "tls": TLS, "proxy": PROXY, "tcp": TCP}
    return site.machine("farm", {port: kind for kind, ports in kinds.items() for port in ports})


def write_certificate(path: Path) -> None:
    """A self-signed certificate with its key, for members."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "member.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("member.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    key_form = serialization.PrivateFormat.PKCS8
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(pem, key_form, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
