"""Listeners that terminate TLS, with real handshakes."""

import ssl
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.authority import Authority
from tests.e2e.api import Balancer
from tests.e2e.clients import eventually
from tests.e2e.machines import Machine
from tests.e2e.secure import ask_over, client, connected, keep, keep_text, name_shown, no_handshake
from tests.e2e.site import Site
from tests.e2e.trees import listener, member, pool

ROOT = Authority("Root")
CA = Authority("Between", signer=ROOT)
CLIENTS = Authority("Clients")
STRANGERS = Authority("Strangers")
GOOD, REVOKED = CLIENTS.issue("good-client"), CLIENTS.issue("revoked-client")
STRANGE = STRANGERS.issue("strange-client")
NAME = "default.test"
SSL_HEADERS = [
    "X-Forwarded-Proto", "X-SSL-Client-Verify", "X-SSL-Client-Has-Cert", "X-SSL-Client-DN",
    "X-SSL-Client-CN", "X-SSL-Issuer", "X-SSL-Client-SHA1", "X-SSL-Client-Not-Before",
    "X-SSL-Client-Not-After",
]  # fmt: skip
PLAIN, CHOICE, NEED, MAY, OLD, MODERN, RULES = range(443, 450)


@pytest.fixture(scope="module")
def lb(site: Site, farm: Machine) -> Iterator[Balancer]:
    api = site.api
    own = {"protocol": "TERMINATED_HTTPS", "default_tls_container_ref": keep(api, CA.issue(NAME))}
    choice = [keep(api, CA.issue(*names)) for names in (("a.test",), ("b.test", "*.b.test"))]
    clients = {
        "client_ca_tls_container_ref": keep_text(api, CLIENTS.pem),
        "client_crl_container_ref": keep_text(api, CLIENTS.revoke(REVOKED)),
        "insert_headers": dict.fromkeys(SSL_HEADERS, "true"),
    }
    web = {"name": "web"}
    policies = [
        policy("has", {"type": "SSL_CONN_HAS_CERT", "value": "true"}, path="/has"),
        policy("verified", {"type": "SSL_VERIFY_RESULT", "value": "0", "invert": True},
               path="/unverified"),
        policy("name", {"type": "SSL_DN_FIELD", "key": "CN", "value": "good-client"}, path="/name"),
    ]  # fmt: skip
    listeners = [
        listener(PLAIN, web, **own, hsts_max_age=7, hsts_include_subdomains=True,
                 hsts_preload=True),
        listener(CHOICE, web, **own, sni_container_refs=choice),
        listener(NEED, web, **own, **clients, client_authentication="MANDATORY"),
        listener(MAY, web, **own, **clients, client_authentication="OPTIONAL"),
        listener(OLD, web, **own, tls_versions=["TLSv1.2"], alpn_protocols=["http/1.1"],
                 tls_ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"),
        listener(MODERN, web, **own, tls_versions=["TLSv1.3"]),
        listener(RULES, web, **own, **clients, client_authentication="OPTIONAL",
                 l7policies=policies),
    ]  # fmt: skip
    made = api.balancer(
        name="tls", vip_subnet_id=site.subnet4["id"], listeners=listeners,
        pools=[pool("web", [member(farm, 8001)])],
    )  # fmt: skip
    yield made
    made.delete()


def policy(name: str, rule: dict[str, Any], *, path: str) -> dict[str, Any]:
    """Rejects what the rule matches, on one path."""
    rules = [{"type": "PATH", "compare_type": "EQUAL_TO", "value": path},
             {"compare_type": "EQUAL_TO", **rule}]  # fmt: skip
    return {"name": name, "action": "REJECT", "rules": rules}


def test_a_request_is_answered_by_a_member_without_tls(lb: Balancer) -> None:
    reply = ask_over(lb.vip, PLAIN, client(ROOT), NAME)
    assert (reply.status, reply.name) == (200, "farm:8001")


def test_the_certificate_is_chosen_by_name(lb: Balancer) -> None:
    """Who asks for no name that is known gets the default one."""
    shown = {
        name: name_shown(lb.vip, CHOICE, client(ROOT), name)
        for name in ("a.test", "b.test", "x.b.test", "c.test", NAME)
    }
    assert shown == {
        "a.test": "a.test", "b.test": "b.test", "x.b.test": "b.test", "c.test": NAME, NAME: NAME,
    }  # fmt: skip


def test_clients_with_a_certificate_are_let_in_and_told_of(lb: Balancer) -> None:
    reply = ask_over(lb.vip, NEED, client(ROOT, GOOD), NAME)
    told = {name: reply.said["headers"][name.lower()] for name in SSL_HEADERS}
    assert told["X-Forwarded-Proto"] == "https"
    assert told["X-SSL-Client-Verify"] == "0"
    assert told["X-SSL-Client-Has-Cert"] == "1"
    assert told["X-SSL-Client-DN"] == "/O=Tests/CN=good-client"
    assert told["X-SSL-Client-CN"] == "good-client"
    assert told["X-SSL-Issuer"] == "/O=Tests/CN=Clients"
    assert len(told["X-SSL-Client-SHA1"]) == 40
    assert all(told[f"X-SSL-Client-Not-{end}"].endswith("Z") for end in ("Before", "After"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("port", [NEED, MAY])
@pytest.mark.parametrize(("own", "alert"), [
    (REVOKED, "REVOKED"), (STRANGE, "UNKNOWN_CA"), (CA.issue("server's"), "UNKNOWN_CA"),
], ids=["revoked", "strange", "another CA"])  # fmt: skip
def test_clients_with_a_bad_certificate_are_refused(
    lb: Balancer, port: int, own: Any, alert: str, version: ssl.TLSVersion
) -> None:
    context = client(ROOT, own, version=version)
    assert alert in no_handshake(lambda: ask_over(lb.vip, port, context, NAME))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_clients_without_a_certificate(lb: Balancer, version: ssl.TLSVersion) -> None:
    context = client(ROOT, version=version)
    assert no_handshake(lambda: ask_over(lb.vip, NEED, context, NAME))
    reply = ask_over(lb.vip, MAY, context, NAME, headers={"X-SSL-Client-CN": "forged"})
    assert reply.status == 200
    assert reply.said["headers"]["x-ssl-client-has-cert"] == "0"
    assert reply.said["headers"].get("x-ssl-client-cn", "") == ""


def test_versions_that_were_not_asked_for_are_refused(lb: Balancer) -> None:
    old = client(ROOT, version=ssl.TLSVersion.TLSv1_2)
    modern = client(ROOT, version=ssl.TLSVersion.TLSv1_3)
    assert ask_over(lb.vip, OLD, old, NAME).status == 200
    assert "VERSION" in no_handshake(lambda: ask_over(lb.vip, OLD, modern, NAME))
    assert ask_over(lb.vip, MODERN, modern, NAME).status == 200
    assert "VERSION" in no_handshake(lambda: ask_over(lb.vip, MODERN, old, NAME))


def test_ciphers_that_were_not_asked_for_are_refused(lb: Balancer) -> None:
    other = client(ROOT, version=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-ECDSA-AES256-GCM-SHA384")
    assert "HANDSHAKE_FAILURE" in no_handshake(lambda: ask_over(lb.vip, OLD, other, NAME))
    with connected(lb.vip, OLD, client(ROOT), NAME) as secure:
        assert secure.cipher()[0] == "ECDHE-ECDSA-AES128-GCM-SHA256"


@pytest.mark.parametrize(("port", "offered", "chosen"), [
    (PLAIN, ("h2", "http/1.1"), "h2"), (PLAIN, ("http/1.1",), "http/1.1"),
    (OLD, ("h2", "http/1.1"), "http/1.1"), (PLAIN, (), None),
])  # fmt: skip
def test_alpn(lb: Balancer, port: int, offered: tuple[str, ...], chosen: str | None) -> None:
    with connected(lb.vip, port, client(ROOT, alpn=offered), NAME) as secure:
        assert secure.selected_alpn_protocol() == chosen


def test_http_2_with_a_client_that_speaks_it(lb: Balancer) -> None:
    context = client(ROOT)
    context.check_hostname = False
    with httpx.Client(http2=True, verify=context, trust_env=False) as http:
        for path in ("/one", "/two"):
            answer = http.get(f"https://{lb.vip}:{PLAIN}{path}", headers={"Host": "two.test"})
            assert answer.http_version == "HTTP/2"
            said = answer.json()
            assert (said["path"], said["headers"]["host"]) == (path, "two.test")


def test_strict_transport_security(lb: Balancer) -> None:
    header = "strict-transport-security"
    told = ask_over(lb.vip, PLAIN, client(ROOT), NAME).headers
    assert told[header] == "max-age=7; includeSubDomains; preload"
    assert header not in ask_over(lb.vip, CHOICE, client(ROOT), NAME).headers


@pytest.mark.parametrize(("own", "rejected"), [
    (GOOD, {"/has", "/name"}), (CLIENTS.issue("another"), {"/has"}), (None, set()),
], ids=["good", "another", "none"])  # fmt: skip
def test_rules_about_client_certificates(lb: Balancer, own: Any, rejected: set[str]) -> None:
    context = client(ROOT, own)
    paths = ("/has", "/name", "/unverified", "/")
    found = {path for path in paths if ask_over(lb.vip, RULES, context, NAME, path).status == 403}
    assert found == rejected


def test_changes_of_tls_take_effect(lb: Balancer) -> None:
    lb.put(f"l{PLAIN}", hsts_max_age=None, hsts_include_subdomains=None, hsts_preload=None,
           tls_versions=["TLSv1.3"], alpn_protocols=["http/1.1"])  # fmt: skip
    old = client(ROOT, version=ssl.TLSVersion.TLSv1_2)
    assert "VERSION" in no_handshake(lambda: ask_over(lb.vip, PLAIN, old, NAME))
    assert "strict-transport-security" not in ask_over(lb.vip, PLAIN, client(ROOT), NAME).headers
    lb.put(f"l{PLAIN}", tls_versions=None, alpn_protocols=None)
    assert ask_over(lb.vip, PLAIN, old, NAME).status == 200


def test_a_client_that_is_revoked_later_is_refused_from_then_on(lb: Balancer, site: Site) -> None:
    late = CLIENTS.issue("late")
    context = client(ROOT, late)
    assert ask_over(lb.vip, NEED, context, NAME).status == 200
    lb.put(f"l{NEED}",
           client_crl_container_ref=keep_text(site.api, CLIENTS.revoke(REVOKED, late)))  # fmt: skip
    assert "REVOKED" in no_handshake(lambda: ask_over(lb.vip, NEED, client(ROOT, late), NAME))


def test_old_tls_where_it_is_asked_for(lb: Balancer) -> None:
    lb.put(f"l{OLD}", tls_versions=["TLSv1.1", "TLSv1.2"], tls_ciphers="ECDHE-ECDSA-AES128-SHA")
    old = client(ROOT, ciphers="ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with connected(lb.vip, OLD, old, NAME) as secure:
        assert secure.version() == "TLSv1.1"


def test_what_is_served_needs_no_secret_store(lb: Balancer, site: Site) -> None:
    """Secrets are deleted, the service starts again, members change: all goes on."""
    shown = lb.get(f"l{CHOICE}")
    for ref in [shown["default_tls_container_ref"], *shown["sni_container_refs"]]:
        site.api.delete(ref[ref.index("/v1/") :])
    lb.put("web/m8001", weight=3)
    lb.put(f"l{CHOICE}", connection_limit=77)
    assert name_shown(lb.vip, CHOICE, client(ROOT), "a.test") == "a.test"
    eventually(lambda: "It is served as the amphora has it" in lb.story())
