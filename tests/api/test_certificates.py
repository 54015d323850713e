"""Certificates are looked at when a request names them; a bad one is refused, nothing is stored."""

from typing import Any

import pytest
from msgspec.structs import replace

from fairlead.domain.tls import TlsPolicy
from fairlead.drivers.fake import FakeVault
from fairlead.ports import Bundle
from tests.api.conftest import LB, SUBNET, Desk, House
from tests.authority import Authority, key_text, new_key

LISTENERS, POOLS = "/v2/lbaas/listeners", "/v2/lbaas/pools"
CA = Authority()
GOOD = CA.issue("good.test")


class Shelf(FakeVault):
    """A secret store whose references are single words; it knows who asked for what."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str | None]] = []
        self.bundles = {
            "good": GOOD,
            "other": CA.issue("other.test"),
            "expired": CA.issue("old.test", days=-1),
            "early": CA.issue("new.test", since=2),
            "keyless": Bundle(certificate=GOOD.certificate, private_key=""),
            "mismatched": Bundle(certificate=GOOD.certificate, private_key=key_text(new_key())),
            "encrypted": Bundle(
                certificate=GOOD.certificate, private_key=key_text(new_key(), b"p")
            ),
            "broken": Bundle(certificate="?", private_key=GOOD.private_key),
        }
        self.texts = {
            "ca": CA.pem, "no-ca": GOOD.certificate, "no-pem": "?",
            "crl": CA.revoke(), "foreign-crl": Authority("Other").revoke(),
        }  # fmt: skip

    async def bundle(self, reference: str, project_id: str | None) -> Bundle:
        self.asked.append((reference, project_id))
        return await super().bundle(reference, project_id)


@pytest.fixture
def shelf(house: House, desk: Desk) -> Shelf:
    """The service with that secret store; the desk works with it."""
    made = Shelf()
    house.services = replace(house.services, vault=made)
    desk.client = house.serving(house.services)
    return made


TERMINATED = {"protocol": "TERMINATED_HTTPS", "protocol_port": 443}
DEFAULT, SNI = "default_tls_container_ref", "sni_container_refs"
CLIENT_CA, CLIENT_CRL = "client_ca_tls_container_ref", "client_crl_container_ref"
BAD = [
    ({DEFAULT: "gone"}, "Could not retrieve certificate: ['gone']"),
    ({DEFAULT: "good", SNI: ["other", "gone"]}, "Could not retrieve certificate: ['gone']"),
    ({DEFAULT: "expired"}, "The certificate expired on"),
    ({DEFAULT: "early"}, "is not valid before"),
    ({DEFAULT: "keyless"}, "no private key"),
    ({DEFAULT: "mismatched"}, "Key and x509 certificate do not match"),
    ({DEFAULT: "encrypted"}, "Passphrase needed to decrypt key"),
    ({DEFAULT: "broken"}, "Could not read X509 from PEM"),
    ({DEFAULT: "good", SNI: ["expired"]}, f"attribute {SNI}. Value: 'expired'"),
    ({DEFAULT: "good", CLIENT_CA: "gone"}, "Could not retrieve certificate: ['gone']"),
    ({DEFAULT: "good", CLIENT_CA: "no-pem"}, "The CA certificate is invalid"),
    ({DEFAULT: "good", CLIENT_CA: "no-ca"}, "not that of a CA"),
    ({DEFAULT: "good", CLIENT_CA: "ca", CLIENT_CRL: "foreign-crl"}, "not valid for the CA"),
    ({DEFAULT: "good", CLIENT_CA: "ca", CLIENT_CRL: "no-pem"}, "no X509 CRL"),
]  # fmt: skip
GOOD_FIELDS = {
    DEFAULT: "good", SNI: ["other", "good"], CLIENT_CA: "ca", CLIENT_CRL: "crl",
    "client_authentication": "MANDATORY",
}  # fmt: skip


@pytest.mark.parametrize(("fields", "why"), BAD, ids=str)
async def test_a_listener_with_a_bad_certificate_is_refused(
    shelf: Shelf, desk: Desk, fields: dict[str, Any], why: str
) -> None:
    lb = await desk.balancer()
    body = {"loadbalancer_id": lb["id"], **TERMINATED, **fields}
    fault = await desk.post(LISTENERS, {"listener": body}, 400)
    assert why in fault["faultstring"]
    assert "BEGIN" not in fault["faultstring"]
    tree = {"vip_subnet_id": SUBNET, "listeners": [TERMINATED | fields]}
    assert why in (await desk.post(LB, {"loadbalancer": tree}, 400))["faultstring"]
    assert len((await desk.get(LB))["loadbalancers"]) == 1
    assert (await desk.get(LISTENERS))["listeners"] == []
    assert len(desk.house.world.ports) == 1, "no address was taken"


@pytest.mark.parametrize(("fields", "why"), BAD, ids=str)
async def test_an_update_to_a_bad_certificate_changes_nothing(
    shelf: Shelf, desk: Desk, fields: dict[str, Any], why: str
) -> None:
    lb = await desk.balancer()
    before = await desk.listener(lb["id"], **(TERMINATED | GOOD_FIELDS))
    path = f"{LISTENERS}/{before['id']}"
    assert why in (await desk.put(path, {"listener": fields}, 400))["faultstring"]
    assert (await desk.get(path))["listener"] == before


async def test_good_certificates_are_shown_as_they_were_given(shelf: Shelf, desk: Desk) -> None:
    lb = await desk.balancer()
    made = await desk.listener(lb["id"], **(TERMINATED | GOOD_FIELDS))
    assert {name: made[name] for name in GOOD_FIELDS} == GOOD_FIELDS
    assert made["tls_versions"] == ["TLSv1.2", "TLSv1.3"]
    assert made["alpn_protocols"] == ["h2", "http/1.1", "http/1.0"]
    plain = await desk.listener(lb["id"], 80)
    shown = {n: plain[n] for n in (DEFAULT, SNI, "tls_ciphers", "tls_versions", "alpn_protocols")}
    assert shown == {
        DEFAULT: None, SNI: [], "tls_ciphers": None, "tls_versions": None, "alpn_protocols": None,
    }  # fmt: skip


POOL_BAD = [
    ({"tls_container_ref": "gone"}, "Could not retrieve certificate: ['gone']"),
    ({"tls_container_ref": "mismatched"}, "Key and x509 certificate do not match"),
    ({"ca_tls_container_ref": "no-ca"}, "not that of a CA"),
    ({"ca_tls_container_ref": "ca", "crl_container_ref": "foreign-crl"}, "not valid for the CA"),
]


@pytest.mark.parametrize(("fields", "why"), POOL_BAD, ids=str)
async def test_a_pool_with_a_bad_certificate_is_refused(
    shelf: Shelf, desk: Desk, fields: dict[str, Any], why: str
) -> None:
    """When it speaks TLS, that is: what lies idle is looked at when it begins to."""
    lb = await desk.balancer()
    body = {"loadbalancer_id": lb["id"], "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    fault = await desk.post(POOLS, {"pool": body | fields | {"tls_enabled": True}}, 400)
    assert why in fault["faultstring"]
    idle = await desk.pool(loadbalancer_id=lb["id"], **fields)
    path = f"{POOLS}/{idle['id']}"
    assert why in (await desk.put(path, {"pool": {"tls_enabled": True}}, 400))["faultstring"]
    assert (await desk.get(path))["pool"] == idle


async def test_certificates_are_read_for_the_load_balancers_project(
    shelf: Shelf, desk: Desk, admin: Desk
) -> None:
    lb = await desk.balancer()
    admin.client = desk.client
    await admin.listener(lb["id"], **(TERMINATED | GOOD_FIELDS))
    assert {project for _, project in shelf.asked} == {lb["project_id"]}


async def test_who_may_not_change_it_has_nothing_read(shelf: Shelf, desk: Desk) -> None:
    lb = await desk.balancer()
    desk.user = "eve p2 member"
    body = {"loadbalancer_id": lb["id"], **TERMINATED, DEFAULT: "good"}
    await desk.post(LISTENERS, {"listener": body}, 403)
    assert shelf.asked == []


async def test_only_what_is_named_is_read(shelf: Shelf, desk: Desk) -> None:
    """Naming the same reference again reads it again: the secret may have changed."""
    lb = await desk.balancer()
    made = await desk.listener(lb["id"], **TERMINATED, **{DEFAULT: "good"})
    path = f"{LISTENERS}/{made['id']}"
    shelf.asked.clear()
    await desk.put(path, {"listener": {"connection_limit": 5}})
    pool = await desk.pool(listener_id=made["id"])
    await desk.member(pool["id"])
    assert shelf.asked == []
    await desk.put(path, {"listener": {DEFAULT: "good"}})
    assert [reference for reference, _ in shelf.asked] == ["good"]
    shelf.bundles["good"] = shelf.bundles["expired"]
    await desk.put(path, {"listener": {DEFAULT: "good"}}, 400)


async def test_a_secret_store_that_is_away_is_no_fault_of_the_user(
    shelf: Shelf, desk: Desk
) -> None:
    lb = await desk.balancer()
    shelf.away = True
    body = {"loadbalancer_id": lb["id"], **TERMINATED, DEFAULT: "good"}
    fault = await desk.post(LISTENERS, {"listener": body}, 503)
    assert "does not answer for good" in fault["faultstring"]
    await desk.balancer(name="needs no certificate")


async def test_a_deployments_policy_holds(house: House, shelf: Shelf, desk: Desk) -> None:
    policy = TlsPolicy(minimum_version="TLSv1.3", default_listener_versions=("TLSv1.3",))
    desk.client = house.serving(replace(house.services, tls=policy))
    lb = await desk.balancer()
    made = await desk.listener(lb["id"], **TERMINATED, **{DEFAULT: "good"})
    assert made["tls_versions"] == ["TLSv1.3"]
    body = {"loadbalancer_id": lb["id"], **TERMINATED, "protocol_port": 444, DEFAULT: "good"}
    fault = await desk.post(LISTENERS, {"listener": body | {"tls_versions": ["TLSv1.2"]}}, 400)
    assert "less than the minimum: TLSv1.2 < TLSv1.3" in fault["faultstring"]
