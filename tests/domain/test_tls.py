"""TLS of listeners and pools: defaults, what goes with what, and what a deployment forbids."""

from typing import Any

import pytest
from msgspec.structs import replace

from fairlead.domain import bodies, edits, planting, tls
from fairlead.domain.model import Listener, Pool
from fairlead.domain.tls import TlsPolicy
from fairlead.domain.tree import Tree
from fairlead.errors import Refused
from tests.domain.gardening import NOW, listener, pool
from tests.strategies import counting, planted

REF = "https://secrets.test/v1/containers/1"
DEFAULTS = TlsPolicy()


def terminated(**values: Any) -> dict[str, Any]:
    return listener(protocol="TERMINATED_HTTPS", default_tls_container_ref=REF) | values


def grown(*listeners: dict[str, Any], pools: Any = (), policy: TlsPolicy = DEFAULTS) -> Tree:
    root = planted({}).root
    nested = {"listeners": list(listeners), "pools": list(pools)}
    return planting.plant(root, nested, new_id=counting(), now=NOW, policy=policy)


def changed(tree: Tree, one: Listener | Pool, policy: TlsPolicy = DEFAULTS, **body: Any) -> Any:
    values = bodies.changes(one.KIND, body)
    after = edits.change(one.KIND, one.id, values, now=NOW, policy=policy)(tree)
    return after.objects[one.id]


def shape(one: Listener | Pool) -> tuple[Any, ...]:
    return one.tls_ciphers, one.tls_versions, one.alpn_protocols


def test_defaults_are_for_who_speaks_tls_alone() -> None:
    policy = TlsPolicy(
        default_listener_ciphers="L", default_listener_versions=("TLSv1.3",),
        default_listener_alpn_protocols=("h2",), default_pool_ciphers="P",
        default_pool_versions=("TLSv1.2",), default_pool_alpn_protocols=("http/1.1",),
    )  # fmt: skip
    tree = grown(
        terminated(), listener(protocol_port=81),
        pools=[pool("a", tls_enabled=True), pool("b")], policy=policy,
    )  # fmt: skip
    secure, plain = tree.listeners
    assert shape(secure) == ("L", ("TLSv1.3",), ("h2",))
    assert shape(plain) == (None, None, None)
    speaking, silent = tree.pools
    assert shape(speaking) == ("P", ("TLSv1.2",), ("http/1.1",))
    assert shape(silent) == (None, None, None)


def test_null_restores_the_default() -> None:
    tree = grown(terminated(tls_ciphers="HIGH", tls_versions=["TLSv1.3"], alpn_protocols=["h2"],
                            hsts_max_age=5, hsts_preload=True))  # fmt: skip
    (one,) = tree.listeners
    null = dict.fromkeys(
        ["tls_ciphers", "tls_versions", "alpn_protocols", "hsts_max_age", "hsts_preload",
         "client_authentication", "sni_container_refs"]
    )  # fmt: skip
    after = changed(tree, one, **null)
    assert shape(after) == tuple(DEFAULTS.defaults("listener").values())
    assert (after.hsts_max_age, after.hsts_preload) == (None, False)
    assert (after.client_authentication, after.sni_container_refs) == ("NONE", ())


def test_a_pool_gets_its_defaults_when_it_begins_to_speak_tls() -> None:
    tree = grown(pools=[pool(ca_tls_container_ref=REF)])
    (one,) = tree.pools
    assert tls.needs(one) == ()
    after = changed(tree, one, tls_enabled=True)
    assert shape(after) == tuple(DEFAULTS.defaults("pool").values())
    assert [n.field for n in tls.needs(after)] == ["ca_tls_container_ref"]


CA = {"client_ca_tls_container_ref": REF}
REFUSED: list[tuple[dict[str, Any], str]] = [
    (terminated(default_tls_container_ref=None), "SNI or default certificate container reference"),
    (terminated(client_authentication="MANDATORY"), "MANDATORY requires a client CA"),
    (terminated(client_crl_container_ref=REF), "CA reference is required"),
    (terminated(hsts_preload=True), "only make sense if hsts_max_age is set"),
    (terminated(hsts_include_subdomains=True), "only make sense if hsts_max_age is set"),
    (terminated(hsts_max_age=-1), "hsts_max_age"),
    (terminated(tls_versions=[]), "tls_versions.*at least one"),
    (terminated(tls_versions=["TLSv1.4"]), "one of: SSLv3, TLSv1, TLSv1.1, TLSv1.2, TLSv1.3"),
    (terminated(tls_versions=["TLSv1.1", "TLSv1.3"]), "No version between others may lack"),
    (terminated(tls_versions=["SSLv3"]), "newer than SSLv3"),
    (terminated(alpn_protocols=[]), "alpn_protocols.*at least one"),
    (terminated(alpn_protocols=["h3"]), "one of: h2, http/1.1, http/1.0"),
    (terminated(tls_ciphers="A B"), "tls_ciphers.*OpenSSL"),
    (terminated(tls_ciphers="A'#"), "tls_ciphers.*OpenSSL"),
    (terminated(tls_ciphers="NONE-SUCH"), "OpenSSL knows no cipher"),
    (terminated(tls_ciphers="x" * 2049), "tls_ciphers"),
    (terminated(default_tls_container_ref="x" * 256), "default_tls_container_ref"),
    (terminated(sni_container_refs=["x" * 256]), "sni_container_refs"),
    (terminated(sni_container_refs=[f"x{n}" for n in range(251)]), "at most 250"),
    (terminated(sni_container_refs=["a b"]), "URL of a secret"),
    (terminated(client_authentication="SOMETIMES"), "one of: NONE, OPTIONAL, MANDATORY"),
    (terminated(insert_headers={"X-SSL-Client-Name": "true"}), "insert_headers"),
    (listener(insert_headers={"X-SSL-Client-DN": "true"}), "insert_headers"),
    *((listener(protocol=p, hsts_max_age=1), "hsts_max_age") for p in ("HTTP", "TCP", "HTTPS")),
]  # fmt: skip


@pytest.mark.parametrize(("body", "why"), REFUSED, ids=str)
def test_listeners_that_make_no_sense_are_refused(body: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        grown(body)


@pytest.mark.parametrize("name", sorted(tls.REFERENCES["listener"]))
def test_a_listener_without_tls_refers_to_no_certificates(name: str) -> None:
    value: Any = [REF] if name == "sni_container_refs" else REF
    with pytest.raises(Refused, match=f"attribute {name}"):
        grown(listener(**{name: value}))


def test_what_rests_on_something_keeps_it() -> None:
    tree = grown(
        terminated(**CA, client_crl_container_ref=REF, hsts_max_age=1, hsts_preload=True),
        pools=[pool(tls_enabled=True, ca_tls_container_ref=REF, crl_container_ref=REF)],
    )
    (one,), (held,) = tree.listeners, tree.pools
    for removed in ("client_ca_tls_container_ref", "default_tls_container_ref", "hsts_max_age"):
        with pytest.raises(Refused):
            changed(tree, one, **{removed: None})
    with pytest.raises(Refused, match="CA reference is required"):
        changed(tree, held, ca_tls_container_ref=None)
    assert changed(tree, held, ca_tls_container_ref=None, crl_container_ref=None)


def test_sni_certificates_are_enough() -> None:
    (one,) = grown(terminated(default_tls_container_ref=None, sni_container_refs=[REF])).listeners
    assert [(n.field, n.kind) for n in tls.needs(one)] == [("sni_container_refs", "bundle")]


FORBIDDEN: list[tuple[TlsPolicy, dict[str, Any], str]] = [
    (TlsPolicy(allow_tls_terminated_listeners=False), {}, "not allowed in this deployment"),
    (TlsPolicy(minimum_version="TLSv1.2"), {"tls_versions": ["TLSv1.1", "TLSv1.2"]},
     "less than the minimum: TLSv1.1 < TLSv1.2"),
    (TlsPolicy(prohibited_ciphers=("AES128-SHA",)), {"tls_ciphers": "AES256-SHA:AES128-SHA"},
     "prohibited by an administrator: AES128-SHA"),
    (TlsPolicy(prohibited_ciphers=("AES128-SHA",)), {"tls_ciphers": "ALL"}, "AES128-SHA"),
    (TlsPolicy(prohibited_ciphers=("TLS_AES_128_GCM_SHA256",)),
     {"tls_ciphers": "TLS_AES_128_GCM_SHA256"}, "TLS_AES_128_GCM_SHA256"),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "values", "why"), FORBIDDEN, ids=str)
def test_a_deployment_forbids(policy: TlsPolicy, values: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        grown(terminated(**values), policy=policy)


def test_a_policy_that_got_stricter_breaks_nothing_that_is_there() -> None:
    tree = grown(terminated(tls_versions=["TLSv1.1", "TLSv1.2"], tls_ciphers="AES128-SHA"))
    strict = TlsPolicy(
        allow_tls_terminated_listeners=False, minimum_version="TLSv1.2",
        prohibited_ciphers=("AES128-SHA",),
    )  # fmt: skip
    (one,) = tree.listeners
    assert changed(tree, one, strict, description="still here").tls_ciphers == "AES128-SHA"
    with pytest.raises(Refused):
        changed(tree, one, strict, tls_ciphers="AES128-SHA")


@pytest.mark.parametrize(("text", "older", "newer"), [
    ("TLS_AES_128_GCM_SHA256:HIGH:!aNULL", "HIGH:!aNULL", "TLS_AES_128_GCM_SHA256"),
    ("HIGH", "HIGH", ""),
    ("TLS_AES_128_GCM_SHA256", "", "TLS_AES_128_GCM_SHA256"),
])  # fmt: skip
def test_the_suites_of_tls_1_3_are_told_apart(text: str, older: str, newer: str) -> None:
    assert tls.split_ciphers(text) == (older, newer)


def test_what_is_out_of_service_needs_nothing() -> None:
    used = pool("used", tls_enabled=True, tls_container_ref="https://secrets.test/member")
    idle = pool("idle", tls_enabled=True, tls_container_ref="https://secrets.test/idle")
    tree = grown(terminated(default_pool={"name": "used"}), pools=[used, idle])
    found = [need.reference for need in tls.needs_of(tree)]
    assert found == [REF, "https://secrets.test/member"]
    off = replace(tree.listeners[0], admin_state_up=False)
    assert tls.needs_of(tree.with_objects(off)) == ()


RULES: list[tuple[dict[str, Any], str]] = [
    ({"type": "SSL_CONN_HAS_CERT", "value": "True"}, ""),
    ({"type": "SSL_CONN_HAS_CERT", "value": "yes"}, "should be 'true'"),
    ({"type": "SSL_CONN_HAS_CERT", "value": "true", "key": "a"}, "takes no key"),
    ({"type": "SSL_CONN_HAS_CERT", "value": "true", "compare_type": "REGEX"}, "compare_type"),
    ({"type": "SSL_VERIFY_RESULT", "value": "0"}, ""),
    ({"type": "SSL_VERIFY_RESULT", "value": "-1"}, "an integer of 0 or more"),
    ({"type": "SSL_VERIFY_RESULT", "value": "x"}, "an integer of 0 or more"),
    ({"type": "SSL_DN_FIELD", "value": "a b", "key": "CN"}, ""),
    ({"type": "SSL_DN_FIELD", "value": "a", "key": "CN", "compare_type": "REGEX"}, ""),
    ({"type": "SSL_DN_FIELD", "value": "a"}, "needs a key"),
    ({"type": "SSL_DN_FIELD", "value": "a", "key": "1N"}, "begins with a letter"),
    ({"type": "SSL_DN_FIELD", "value": "a", "key": "C)"}, "begins with a letter"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "why"), RULES, ids=str)
def test_rules_about_client_certificates(rule: dict[str, Any], why: str) -> None:
    policy = {"action": "REJECT", "rules": [{"compare_type": "EQUAL_TO"} | rule]}
    body = terminated(l7policies=[policy])
    if not why:
        assert grown(body).policies
        return
    with pytest.raises(Refused, match=f"Error parsing L7Rule: .*{why}"):
        grown(body)
