"""The `openstack` command and the SDK keep certificates in a running service."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openstack import exceptions

from tests import certificates as c
from tests.clients.conftest import Cloud
from tests.clients.driving import Openstack, connection

# What the SDK says of itself is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
HREF, CONTAINER = "-f value -c 'Secret href'", "-f value -c 'Container href'"


@pytest.fixture
def manager(cloud: Cloud) -> Iterator[Any]:
    """The SDK's key manager."""
    connected = connection(cloud.clouds, cloud.name)
    yield connected.key_manager
    connected.close()


def test_a_container_of_pem_texts(osc: Openstack) -> None:
    def stored(name: str, kind: str, text: str) -> str:
        line = f"secret store {HREF} --name {name} --secret-type {kind} -t text/plain --payload"
        return osc(line, text).strip()

    certificate = stored("cert", "certificate", c.server().pem)
    key = stored("key", "private", c.server().key_pem("open sesame"))
    word = stored("word", "passphrase", "open sesame")
    chain = stored("chain", "certificate", c.middle().pem)
    container = osc(
        f"secret container create {CONTAINER} --name tls --type certificate"
        f" --secret certificate={certificate} --secret private_key={key}"
        f" --secret private_key_passphrase={word} --secret intermediates={chain}"
    ).strip()
    columns = "-c Type -c Status -c 'Private Key'"  # all of them, with times, it cannot put in JSON
    shown = osc.json(f"secret container get {columns} {container}")
    assert shown == {"Type": "certificate", "Status": "ACTIVE", "Private Key": key}
    assert osc.json("secret container list -c Name") == [{"Name": "tls"}]
    assert osc(f"secret get -p -f value {certificate}").strip() == c.server().pem.strip()
    names = {row["Name"] for row in osc.json("secret list -c Name --limit 2")}
    assert names == {"cert", "key"}
    assert {row["Name"] for row in osc.json("secret list -c Name --name chain")} == {"chain"}
    osc(f"secret container delete {container}")
    assert "not found" in osc.refused(f"secret container get {container}")
    for secret in (certificate, key, word, chain):
        osc(f"secret delete {secret}")
        assert "not found" in osc.refused(f"secret get {secret}")
    assert osc("secret list").strip() == ""


def test_a_pkcs12(osc: Openstack, tmp_path: Path) -> None:
    bag = c.bag(c.server(), c.middle())
    (tmp_path / "bag").write_bytes(bag)
    line = f"secret store {HREF} --name bag"
    told = osc(
        f"{line} -t application/octet-stream -e base64 --payload", base64.b64encode(bag).decode()
    )
    by_file = osc(f"{line} --file {tmp_path}/bag")
    for number, secret in enumerate((told.strip(), by_file.strip())):
        out = tmp_path / f"out{number}"
        osc(f"secret get {secret} -t application/octet-stream --file {out}")
        assert out.read_bytes() == bag
        assert osc.json(f"secret get -c 'Content types' {secret}")["Content types"] == {
            "default": "application/octet-stream"
        }
        osc(f"secret delete {secret}")


def test_a_payload_that_comes_later(osc: Openstack) -> None:
    secret = osc(f"secret store {HREF} --name later").strip()
    osc(f"secret update {secret} now")
    assert osc(f"secret get -p -f value {secret}").strip() == "now"
    assert "already has data" in osc.refused(f"secret update {secret} again")
    osc(f"secret delete {secret}")


def test_what_is_wrong_is_told(osc: Openstack) -> None:
    line = "secret store --payload x -t application/octet-stream"
    assert "payload_content_encoding" in osc.refused(line)
    assert "secret_type" in osc.refused("secret store --payload x -t text/plain --secret-type odd")
    missing = "http://127.0.0.1/v1/secrets/5d8a3fb2-8c5e-4f0a-9b9c-0d5c6d1f7a01"
    refused = osc.refused(
        f"secret container create --type certificate --secret certificate={missing}"
    )
    assert "not found" in refused


def test_the_sdk(manager: Any) -> None:
    text = manager.create_secret(
        name="text", payload="hello", payload_content_type="text/plain", secret_type="passphrase"
    )
    bag = c.bag(c.server())
    octets = manager.create_secret(
        name="octets", payload=base64.b64encode(bag).decode(), payload_content_encoding="base64",
        payload_content_type="application/octet-stream",
    )  # fmt: skip
    assert manager.get_secret(text.secret_id).payload == "hello"
    assert manager.get_secret(octets.secret_id).payload == bag
    assert [one.name for one in manager.secrets(name="text")] == ["text"]
    more = [manager.create_secret(name=f"s{n:02}") for n in range(11)]
    assert len(list(manager.secrets())) == 13, "all pages"
    container = manager.create_container(
        name="box", type="generic", secret_refs=[{"name": "it", "secret_ref": text.secret_ref}]
    )
    found = manager.get_container(container.container_id)
    assert found.secret_refs == [{"name": "it", "secret_ref": text.secret_ref}]
    assert [one.name for one in manager.containers()] == ["box"]
    manager.delete_container(container.container_id, ignore_missing=False)
    for one in (text, octets, *more):
        manager.delete_secret(one.secret_id, ignore_missing=False)
    with pytest.raises(exceptions.NotFoundException):
        manager.delete_secret(text.secret_id, ignore_missing=False)
