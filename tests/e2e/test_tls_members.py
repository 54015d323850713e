"""Pools that speak TLS: members are verified, and told who comes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.authority import Authority, joined
from tests.e2e.api import Balancer
from tests.e2e.clients import ask, eventually
from tests.e2e.machines import Machine
from tests.e2e.secure import ask_over, client, keep, keep_text
from tests.e2e.site import Site
from tests.e2e.trees import listener, member, pool

CA, OTHER = Authority("Members"), Authority("Others")
CLIENTS = Authority("Balancers")
GOOD, REVOKED, FOREIGN = CA.issue("good.test"), CA.issue("revoked.test"), OTHER.issue("other.test")
OWN = CLIENTS.issue("balancer")
PLACES = {8443: "tls", 8444: "mtls", 8445: "tls", 8446: "http"}
PORTS = {
    name: 80 + n for n, name in enumerate([
        "any", "ca", "bad", "revoked", "unrevoked", "own", "anonymous", "shape", "checked", "hello",
        "growing",
    ])
}  # fmt: skip
MEMBERS = {"good": GOOD, "revoked": REVOKED, "foreign": FOREIGN}


@pytest.fixture(scope="module")
def servers(site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Machine]:
    """A machine per certificate; where clients need one, it is the balancers' authority's."""
    found = {}
    for name, bundle in MEMBERS.items():
        path: Path = tmp_path_factory.mktemp("members") / "pair.pem"
        path.touch(mode=0o600)
        path.write_text(joined(bundle) + CLIENTS.pem)
        found[name] = site.machine(name)
        found[name].serve(PLACES, path)
    return found


@pytest.fixture(scope="module")
def lb(site: Site, servers: dict[str, Machine]) -> Iterator[Balancer]:
    api = site.api
    ca = {"tls_enabled": True, "ca_tls_container_ref": keep_text(api, CA.pem)}
    crl = ca | {"crl_container_ref": keep_text(api, CA.revoke(REVOKED))}
    own = ca | {"tls_container_ref": keep(api, OWN)}

    def of(name: str, port: int, *who: str, **fields: Any) -> dict[str, Any]:
        members = [member(servers[w], port, w) for w in who]
        return pool(name, members, **fields)

    pools = [
        of("any", 8443, "foreign", tls_enabled=True),
        of("ca", 8443, "good", **ca),
        of("bad", 8443, "foreign", **ca),
        of("revoked", 8443, "revoked", **crl),
        of("unrevoked", 8443, "good", **crl),
        of("own", 8444, "good", **own),
        of("anonymous", 8444, "good", **ca),
        of("shape", 8443, "good", **ca, tls_versions=["TLSv1.2"],
           tls_ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"),
        of("checked", 8443, "good", "foreign", **ca, monitor="HTTP"),
        of("hello", 8443, "good", "foreign", **ca, monitor="TLS-HELLO"),
        of("growing", 8443, "good", **ca, monitor="HTTP"),
    ]  # fmt: skip
    listeners = [listener(PORTS[p["name"]], {"name": p["name"]}) for p in pools]
    terminated = listener(443, {"name": "ca"}, protocol="TERMINATED_HTTPS",
                          default_tls_container_ref=keep(api, GOOD))  # fmt: skip
    made = api.balancer(
        name="members", vip_subnet_id=site.subnet4["id"], listeners=[*listeners, terminated],
        pools=pools,
    )  # fmt: skip
    yield made
    made.delete()


def reached(lb: Balancer, name: str) -> Any:
    """What the pool's member says of a request; its status when none answers."""
    reply = ask(lb.vip, PORTS[name])
    return reply.said if reply.status == 200 else reply.status


@pytest.mark.parametrize("name", ["any", "ca", "unrevoked"])
def test_good_members_are_reached_over_tls(lb: Balancer, name: str) -> None:
    assert reached(lb, name)["tls"]["version"] == "TLSv1.3"


@pytest.mark.parametrize("name", ["bad", "revoked", "anonymous"])
def test_bad_members_are_not(lb: Balancer, name: str) -> None:
    """Of another authority, revoked, or one that demands the certificate that is not shown."""
    assert reached(lb, name) in (502, 503)


def test_members_see_the_certificate_of_the_load_balancer(lb: Balancer) -> None:
    assert reached(lb, "own")["tls"]["client"] == "balancer"


def test_version_and_cipher_are_those_of_the_pool(lb: Balancer) -> None:
    assert reached(lb, "shape")["tls"] == {
        "version": "TLSv1.2", "cipher": "ECDHE-ECDSA-AES128-GCM-SHA256", "client": None,
    }  # fmt: skip


def test_from_tls_to_tls(lb: Balancer) -> None:
    """The name that the client asked for is not the member's, and need not be."""
    context = client(CA)
    context.check_hostname = False
    reply = ask_over(lb.vip, 443, context, "whoever.test")
    assert (reply.name, reply.said["tls"]["version"]) == ("good:8443", "TLSv1.3")


@pytest.mark.parametrize("name", ["checked", "hello"])
def test_health_checks_verify_as_traffic_does(lb: Balancer, name: str) -> None:
    lb.until(f"{name}/good", operating_status="ONLINE")
    lb.until(f"{name}/foreign", operating_status="ERROR")
    assert {reached(lb, name)["name"] for _ in range(6)} == {"good:8443"}


def test_members_come_and_go(lb: Balancer, servers: dict[str, Machine]) -> None:
    lb.add_member("growing", "growing/m2", address=servers["good"].address, protocol_port=8445)
    lb.add_member("growing", "growing/m3", address=servers["foreign"].address, protocol_port=8445)
    lb.settled()
    lb.until("growing/m2", operating_status="ONLINE")
    lb.until("growing/m3", operating_status="ERROR")
    seen = {reached(lb, "growing")["name"] for _ in range(10)}
    assert seen == {"good:8443", "good:8445"}
    lb.remove("growing/m2")
    lb.settled()
    assert {reached(lb, "growing")["name"] for _ in range(6)} == {"good:8443"}


def test_a_member_that_is_revoked_later_is_left(lb: Balancer, site: Site) -> None:
    lb.put("ca", crl_container_ref=keep_text(site.api, CA.revoke(REVOKED, GOOD)))
    assert reached(lb, "ca") in (502, 503)
    lb.put("ca", crl_container_ref=None)
    eventually(lambda: reached(lb, "ca") not in (502, 503))


def test_a_pool_may_stop_to_speak_tls(lb: Balancer, servers: dict[str, Machine]) -> None:
    lb.add_member("any", "any/plain", address=servers["good"].address, protocol_port=8446)
    lb.put("any/foreign", admin_state_up=False)
    lb.put("any", tls_enabled=False)
    assert reached(lb, "any")["tls"] is None


def test_streams_are_encrypted_too(site: Site, servers: dict[str, Machine]) -> None:
    members = [member(servers["good"], 8443)]
    stream = pool("stream", members, protocol="TCP", tls_enabled=True,
                  ca_tls_container_ref=keep_text(site.api, CA.pem))  # fmt: skip
    lb = site.api.balancer(
        name="streams", vip_subnet_id=site.subnet4["id"],
        listeners=[listener(80, stream, protocol="TCP")],
    )  # fmt: skip
    try:
        assert ask(lb.vip, 80).said["tls"]["version"] == "TLSv1.3"
    finally:
        lb.delete()
