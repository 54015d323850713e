"""The contract's tables, row by row: what goes with what, and what is refused how."""

import uuid
from typing import Any

import pytest

from fairlead.domain.tree import Tree
from fairlead.errors import Conflict, FairleadError, Refused, Unsupported
from tests.domain.gardening import (
    MEMBER,
    MONITOR,
    RULE,
    added,
    changed,
    grown,
    listener,
    only,
    policy,
    pool,
    removed,
)
from tests.strategies import VIP4, VIP6, planted

TREE = grown()


def refused_as(kind: type[FairleadError], body: dict[str, Any], message: str = "") -> None:
    with pytest.raises(kind, match=message):
        planted(body)


LISTENERS = {"TCP": "HTTP HTTPS TCP PROXY PROXYV2", "HTTP": "HTTP PROXY PROXYV2",
             "HTTPS": "HTTPS TCP PROXY PROXYV2"}  # fmt: skip
POOLS = ["HTTP", "HTTPS", "TCP", "PROXY", "PROXYV2"]


@pytest.mark.parametrize("spoken", POOLS)
@pytest.mark.parametrize("protocol", LISTENERS)
def test_pools_fit_listeners(protocol: str, spoken: str) -> None:
    body = {"listeners": [listener(protocol=protocol, default_pool=pool(protocol=spoken))]}
    if spoken in LISTENERS[protocol].split():
        assert planted(body).listeners[0].default_pool_id
    else:
        refused_as(Refused, body, f"pool protocol '{spoken}' is invalid.*'{protocol}'")


@pytest.mark.parametrize("spoken", POOLS)
def test_redirect_pools_fit_listeners_too(spoken: str) -> None:
    redirect = {"action": "REDIRECT_TO_POOL", "redirect_pool": pool(protocol=spoken)}
    body = {"listeners": [listener(l7policies=[redirect])]}
    if spoken in LISTENERS["HTTP"].split():
        assert planted(body).policies[0].redirect_pool_id
    else:
        refused_as(Refused, body, f"'{spoken}' is invalid")


@pytest.mark.parametrize("spoken", POOLS)
@pytest.mark.parametrize("kind", ["HTTP", "HTTPS", "PING", "TCP", "TLS-HELLO"])
def test_monitors_fit_pools(kind: str, spoken: str) -> None:
    monitor = {**MONITOR, "type": kind}
    assert planted({"pools": [pool(protocol=spoken, healthmonitor=monitor)]}).monitors


@pytest.mark.parametrize("spoken", POOLS)
@pytest.mark.parametrize("kind", ["UDP-CONNECT", "SCTP"])
def test_monitors_of_datagrams_are_for_pools_of_datagrams(kind: str, spoken: str) -> None:
    body = {"pools": [pool(protocol=spoken, healthmonitor={**MONITOR, "type": kind})]}
    refused_as(Refused, body, f"of type {kind} is invalid while")


DATAGRAMS: list[tuple[str, dict[str, Any], str | None]] = [
    *((p, {"healthmonitor": {**MONITOR, "type": t}}, None)
      for p in ("UDP", "SCTP") for t in ("UDP-CONNECT", "SCTP", "TCP", "HTTP")),
    *((p, {"healthmonitor": {**MONITOR, "type": t}}, f"of type {t} is invalid while")
      for p in ("UDP", "SCTP") for t in ("HTTPS", "PING", "TLS-HELLO")),
    ("UDP", {"healthmonitor": {**MONITOR, "type": "UDP-CONNECT", "delay": 2}}, "attribute delay"),
    *((p, {"session_persistence": {"type": "SOURCE_IP", **more}}, None)
      for p in ("UDP", "SCTP")
      for more in ({}, {"persistence_timeout": 9, "persistence_granularity": "255.0.0.0"})),
    ("UDP", {"session_persistence": {"type": "SOURCE_IP", "persistence_granularity": "x"}},
     "persistence_granularity"),
    ("UDP", {"session_persistence": {"type": "HTTP_COOKIE"}}, "session_persistence.type"),
    ("SCTP", {"session_persistence": {"type": "APP_COOKIE", "cookie_name": "a"}},
     "session_persistence.type"),
    ("UDP", {"session_persistence": {"type": "ONE_PACKET_SCHEDULING"}}, None),
    ("SCTP", {"session_persistence": {"type": "ONE_PACKET_SCHEDULING"}},
     "session_persistence.type"),
]  # fmt: skip


@pytest.mark.parametrize(("spoken", "more", "wrong"), DATAGRAMS, ids=str)
def test_third_parties_may_serve_datagrams(
    spoken: str, more: dict[str, Any], wrong: str | None
) -> None:
    """What our own amphorae cannot do is for a third party's driver to accept or to refuse."""
    served = pool(protocol=spoken, **more)
    body = {"provider": "somebody", "listeners": [listener(protocol=spoken, default_pool=served)]}
    if wrong is None:
        assert planted(body).listeners[0].default_pool_id
    else:
        refused_as(Refused, body, wrong)


@pytest.mark.parametrize("protocol", ["TCP", "HTTPS", "UDP", "SCTP"])
def test_third_parties_may_have_l7_policies_anywhere(protocol: str) -> None:
    front = listener(protocol=protocol, l7policies=[policy()])
    assert planted({"provider": "somebody", "listeners": [front]}).policies


UNSUPPORTED: list[dict[str, Any]] = [
    *({"listeners": [listener(protocol=p)]} for p in ("UDP", "SCTP")),
    *({"pools": [pool(protocol=p)]} for p in ("UDP", "SCTP")),
    {"listeners": [listener(protocol="TCP", l7policies=[policy()])]},
    {"listeners": [listener(protocol="HTTPS", l7policies=[policy()])]},
]  # fmt: skip


@pytest.mark.parametrize("spoken", POOLS)
def test_prometheus_listeners_have_neither_pools_nor_policies(spoken: str) -> None:
    assert planted({"listeners": [listener(protocol="PROMETHEUS")]}).listeners
    with_pool = {"default_pool": pool(protocol=spoken)}
    refused_as(
        Refused, {"listeners": [listener(protocol="PROMETHEUS", **with_pool)]}, "is invalid while"
    )
    with_policy = {"l7policies": [policy()]}
    refused_as(
        Refused, {"listeners": [listener(protocol="PROMETHEUS", **with_policy)]}, "L7 policies"
    )


@pytest.mark.parametrize("body", UNSUPPORTED, ids=str)
def test_what_comes_later_is_refused_as_an_option(body: dict[str, Any]) -> None:
    refused_as(Unsupported, body, "Provider 'amphora' does not support a requested option")


NOT_HERE: list[tuple[str, dict[str, Any]]] = [
    ("request_sriov", {"pools": [pool(members=[{**MEMBER, "request_sriov": True}])]}),
    *((name, {"listeners": [listener(protocol=p, **{name: value})]})
      for p in ("HTTP", "TCP", "HTTPS") for name, value in (
        ("default_tls_container_ref", "x"), ("sni_container_refs", ["x"]),
        ("client_ca_tls_container_ref", "x"), ("client_crl_container_ref", "x"),
        ("client_authentication", "OPTIONAL"), ("tls_ciphers", "x"),
        ("tls_versions", ["TLSv1.2"]), ("alpn_protocols", ["h2"]), ("hsts_max_age", 0),
        ("hsts_include_subdomains", True), ("hsts_preload", True))),
]  # fmt: skip


@pytest.mark.parametrize(("name", "body"), NOT_HERE, ids=str)
def test_what_cannot_be_here_is_refused_by_name(name: str, body: dict[str, Any]) -> None:
    refused_as(Refused, body, f"Invalid input for field/attribute {name}")


PERSISTENCE = [
    ({"type": "SOURCE_IP"}, None), ({"type": "HTTP_COOKIE"}, None),
    ({"type": "APP_COOKIE", "cookie_name": "a'b.c"}, None), ({}, "type"),
    ({"type": "APP_COOKIE"}, "cookie_name"), ({"type": "APP_COOKIE", "cookie_name": ""},
                                              "cookie_name"),
    *(({"type": "APP_COOKIE", "cookie_name": f"a{separator}b"}, "cookie_name")
      for separator in " ,;\\\"()/:<=>@[]{}?\t\n\x7fü"),
    ({"type": "SOURCE_IP", "cookie_name": "a"}, "cookie_name"),
    ({"type": "HTTP_COOKIE", "cookie_name": "a"}, "cookie_name"),
    ({"type": "SOURCE_IP", "persistence_timeout": 5}, "persistence_timeout"),
    ({"type": "SOURCE_IP", "persistence_granularity": "255.0.0.0"}, "persistence_granularity"),
    ({"type": "ONE_PACKET_SCHEDULING"}, "type"),
]  # fmt: skip


@pytest.mark.parametrize(("persistence", "wrong"), PERSISTENCE)
def test_session_persistence(persistence: dict[str, Any], wrong: str | None) -> None:
    body = {"pools": [pool(session_persistence=persistence)]}
    if wrong is None:
        assert planted(body).pools[0].session_persistence is not None
    else:
        refused_as(Refused, body, f"session_persistence.{wrong}")


def test_an_update_of_session_persistence_may_leave_out_the_type() -> None:
    sticky = {"type": "APP_COOKIE", "cookie_name": "a"}
    tree = planted({"pools": [pool(session_persistence=sticky)]})
    pool_id = tree.pools[0].id
    after = changed(tree, "pool", pool_id, session_persistence={"cookie_name": "b"})
    kept = after.pools[0].session_persistence
    assert kept is not None
    assert (kept.type, kept.cookie_name) == ("APP_COOKIE", "b")
    assert (
        changed(after, "pool", pool_id, session_persistence=None).pools[0].session_persistence
        is None
    )


HEADERS = ["X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-IP",
           "X-Client-IP", "X-Real-IP"]  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_headers_are_for_http_only(name: str) -> None:
    for value in ("true", "False"):
        assert planted({"listeners": [listener(insert_headers={name: value})]})
    wrong = listener(insert_headers={name: "x\r\nEvil: 1"})
    refused_as(Refused, {"listeners": [wrong]}, "should be 'true' or 'false'")
    for protocol in ("TCP", "HTTPS"):
        body = listener(protocol=protocol, insert_headers={name: "true"})
        refused_as(Refused, {"listeners": [body]}, "cannot insert headers")


@pytest.mark.parametrize("name", ["X-Other", "x-forwarded-for", "X-SSL-Client-CN", "a\r\nb"])
def test_other_headers_are_refused(name: str) -> None:
    body = {"listeners": [listener(insert_headers={name: "true"})]}
    refused_as(Refused, body, "insert_headers")


def vip(subnet: int, address: str | None = None, **more: Any) -> dict[str, Any]:
    return {"subnet_id": str(uuid.UUID(int=subnet)), "ip_address": address} | more


def test_allowed_cidrs_are_of_the_version_of_any_vip() -> None:
    both = ["10.0.0.0/8", "2001:db8::/32"]
    body = {"listeners": [listener(allowed_cidrs=both)]}
    assert planted(body | {"additional_vips": [vip(1, VIP6)]}).listeners[0].allowed_cidrs
    refused_as(Refused, body | {"additional_vips": [vip(1, "10.0.0.9")]}, "2001:db8::/32 of")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"additional_vips": [vip(1), vip(1)]}, "Duplicate VIP subnet.* in additional_vips"),
        ({"additional_vips": [vip(2**64)]}, "Duplicate VIP subnet"),
        ({"additional_vips": [vip(1, port_id=TREE.id)]}, "additional_vips.port_id.*vip_port_id"),
    ],
    ids=str,
)
def test_additional_vips_are_on_one_port_and_a_subnet_each(
    body: dict[str, Any], message: str
) -> None:
    refused_as(Refused, body, message)


def test_security_groups_and_allowed_cidrs_exclude_each_other() -> None:
    groups = {"vip_sg_ids": [str(uuid.UUID(int=5))]}
    open_to = {"allowed_cidrs": ["10.0.0.0/8"]}
    refused_as(Refused, groups | {"listeners": [listener(**open_to)]}, "vip_sg_ids.*allowed_cidrs")
    free, bound = (
        planted(groups | {"listeners": [listener()]}),
        planted({"listeners": [listener(**open_to)]}),
    )
    with pytest.raises(Refused, match="vip_sg_ids"):
        changed(free, "listener", free.listeners[0].id, **open_to)
    with pytest.raises(Refused, match="vip_sg_ids"):
        changed(bound, "loadbalancer", bound.id, **groups)
    assert changed(bound, "loadbalancer", bound.id, vip_sg_ids=None).root.vip_sg_ids == ()


def test_allowed_cidrs_are_of_the_vips_version() -> None:
    for vip, cidr in [(VIP4, "10.0.0.0/8"), (VIP6, "2001:db8::/32")]:
        planted({"listeners": [listener(allowed_cidrs=[cidr])]}, vip)
        with pytest.raises(Refused, match="allowed_cidrs is not of the VIP's"):
            planted({"listeners": [listener(allowed_cidrs=[cidr])]}, {VIP4: VIP6, VIP6: VIP4}[vip])


def test_ports_are_shared_by_nobody() -> None:
    for protocol in LISTENERS:
        second = listener(protocol=protocol, protocol_port=80)
        refused_as(Conflict, {"listeners": [listener(), second]}, "protocol_port 80 with TCP")
    freed = removed(TREE, "listener", only(TREE, "listener").id)
    added(freed, "listener", {**listener(), "loadbalancer_id": TREE.id})


def test_a_place_in_a_pool_is_taken_once() -> None:
    above = {"pool_id": only(TREE, "pool").id}
    with pytest.raises(Conflict, match=r"already using ip 198.51.100.1 on protocol_port 80"):
        added(TREE, "member", MEMBER, **above)
    added(TREE, "member", {**MEMBER, "protocol_port": 81}, **above)
    idle = next(p for p in TREE.pools if p.name == "idle")
    added(TREE, "member", MEMBER, pool_id=idle.id)


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "0.0.0.0", "::", "127.0.0.2", "::1", "224.0.0.1", "ff02::1"]
)
@pytest.mark.parametrize("field", ["address", "monitor_address"])
def test_reserved_addresses_are_refused(address: str, field: str) -> None:
    body = {"pools": [pool(members=[{**MEMBER, field: address}])]}
    refused_as(Refused, body, f"attribute {field}.*reserved")


def test_an_ipv4_address_cannot_hide_in_an_ipv6_one() -> None:
    body = {"pools": [pool(members=[{**MEMBER, "address": "::ffff:127.0.0.1"}])]}
    refused_as(Refused, body, "attribute address.*mapped")


def test_a_pool_has_one_monitor() -> None:
    with pytest.raises(Conflict, match="already has a health monitor"):
        added(TREE, "healthmonitor", {**MONITOR, "pool_id": only(TREE, "pool").id})
    without = removed(TREE, "healthmonitor", only(TREE, "healthmonitor").id)
    added(without, "healthmonitor", {**MONITOR, "pool_id": only(TREE, "pool").id})


@pytest.mark.parametrize("kind", ["HTTP", "HTTPS"])
def test_http_monitors_get_their_defaults_back(kind: str) -> None:
    given = {**MONITOR, "type": kind, "http_method": "POST", "url_path": "/x",
             "expected_codes": "404"}  # fmt: skip
    tree = planted({"pools": [pool(healthmonitor=given)]})
    monitor = only(tree, "healthmonitor")
    assert (monitor.http_method, monitor.url_path, monitor.expected_codes) == ("POST", "/x", "404")
    nulls = {"http_method": None, "url_path": None, "expected_codes": None}
    monitor = only(changed(tree, "healthmonitor", monitor.id, **nulls), "healthmonitor")
    assert (monitor.http_method, monitor.url_path, monitor.expected_codes) == ("GET", "/", "200")


@pytest.mark.parametrize("kind", ["PING", "TCP", "TLS-HELLO"])
@pytest.mark.parametrize(
    "extra", [{"http_method": "GET"}, {"url_path": "/"}, {"expected_codes": "200"}], ids=str
)
def test_other_monitors_have_no_http_fields(kind: str, extra: dict[str, Any]) -> None:
    body = {**MONITOR, "type": kind}
    refused_as(Refused, {"pools": [pool(healthmonitor={**body, **extra})]}, next(iter(extra)))
    tree = planted({"pools": [pool(healthmonitor=body)]})
    monitor = only(tree, "healthmonitor")
    assert (monitor.http_method, monitor.url_path, monitor.expected_codes) == (None, None, None)
    for value in (extra, dict.fromkeys(extra)):
        with pytest.raises(Refused, match=next(iter(extra))):
            changed(tree, "healthmonitor", monitor.id, **value)
    nulls = {"http_method": None, "url_path": None, "expected_codes": None}
    assert planted({"pools": [pool(healthmonitor={**body, **nulls})]}).monitors


def test_a_domain_name_needs_http_1_1() -> None:
    for version in (None, 1.0):
        body = {**MONITOR, "domain_name": "a", "http_version": version}
        refused_as(Refused, {"pools": [pool(healthmonitor=body)]}, "needs http_version 1.1")
    planted({"pools": [pool(healthmonitor={**MONITOR, "domain_name": "a", "http_version": 1.1})]})


def with_policy(**body: Any) -> Tree:
    return planted({"listeners": [listener(l7policies=[body])], "pools": [pool()]})


URL, PREFIX = {"redirect_url": "http://u/"}, {"redirect_prefix": "http://p"}
TO_POOL = {"redirect_pool": {"name": "web"}}


@pytest.mark.parametrize(
    ("given", "action", "code"),
    [
        ({"action": "REJECT"}, "REJECT", None),
        ({"action": "REDIRECT_TO_POOL", **TO_POOL}, "REDIRECT_TO_POOL", None),
        ({"action": "REDIRECT_TO_URL", **URL}, "REDIRECT_TO_URL", 302),
        ({"action": "REDIRECT_PREFIX", "redirect_http_code": 308, **PREFIX},
         "REDIRECT_PREFIX", 308),
        ({"action": "REJECT", **URL}, "REDIRECT_TO_URL", 302),
        ({"action": "REDIRECT_TO_POOL", **PREFIX}, "REDIRECT_PREFIX", 302),
    ],
)  # fmt: skip
def test_a_target_implies_its_action(given: dict[str, Any], action: str, code: int | None) -> None:
    found = with_policy(**given).policies[0]
    targets = (found.redirect_pool_id, found.redirect_url, found.redirect_prefix)
    assert sum(t is not None for t in targets) == (action != "REJECT")
    assert (found.action, found.redirect_http_code) == (action, code)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"action": "REDIRECT_TO_URL"}, "redirect_url.*needs it"),
        ({"action": "REDIRECT_PREFIX"}, "redirect_prefix.*needs it"),
        ({"action": "REDIRECT_TO_POOL"}, "redirect_pool_id.*needs it"),
        ({"action": "REDIRECT_TO_URL", **URL, **PREFIX}, "cannot be given together"),
        ({"action": "REDIRECT_TO_POOL", **TO_POOL, **URL}, "cannot be given together"),
        ({"action": "REJECT", "redirect_http_code": 301}, "does not go with action REJECT"),
        ({"action": "REDIRECT_TO_POOL", **TO_POOL, "redirect_http_code": 301}, "does not go with"),
    ],
)  # fmt: skip
def test_a_policy_needs_the_one_target_of_its_action(given: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message):
        with_policy(**given)


def test_an_update_may_switch_the_action() -> None:
    tree = with_policy(action="REDIRECT_TO_URL", redirect_http_code=301, **URL)
    policy_id = tree.policies[0].id
    moved = changed(tree, "l7policy", policy_id, redirect_pool_id=tree.pools[0].id).policies[0]
    assert (moved.action, moved.redirect_url, moved.redirect_http_code) == (
        "REDIRECT_TO_POOL", None, None,
    )  # fmt: skip
    closed = changed(tree, "l7policy", policy_id, action="REJECT").policies[0]
    assert (closed.action, closed.redirect_url, closed.redirect_http_code) == ("REJECT", None, None)
    prefixed = changed(tree, "l7policy", policy_id, **PREFIX).policies[0]
    assert (prefixed.action, prefixed.redirect_http_code) == ("REDIRECT_PREFIX", 301)
    with pytest.raises(Refused, match=r"redirect_pool_id.*needs it"):
        changed(tree, "l7policy", policy_id, action="REDIRECT_TO_POOL")


def test_a_pool_that_a_policy_uses_stays() -> None:
    tree = with_policy(action="REDIRECT_TO_POOL", **TO_POOL)
    with pytest.raises(Conflict, match=f"in use by L7 policy {tree.policies[0].id}"):
        removed(tree, "pool", tree.pools[0].id)
    without = removed(tree, "listener", tree.listeners[0].id)
    assert removed(without, "pool", tree.pools[0].id).pools == ()


def with_rule(**body: Any) -> Tree:
    return with_policy(action="REJECT", rules=[body])


ALL = ["REGEX", "STARTS_WITH", "ENDS_WITH", "CONTAINS", "EQUAL_TO"]
COMPARES = {"HOST_NAME": ALL, "PATH": ALL, "FILE_TYPE": ["EQUAL_TO", "REGEX"], "HEADER": ALL,
            "COOKIE": ALL}  # fmt: skip


@pytest.mark.parametrize("compare", ALL)
@pytest.mark.parametrize("kind", COMPARES)
def test_rules_compare_as_their_type_allows(kind: str, compare: str) -> None:
    body = {"type": kind, "compare_type": compare, "value": "x1", "key": "k"}
    if compare in COMPARES[kind]:
        assert with_rule(**body)
    else:
        with pytest.raises(Refused, match="Error parsing L7Rule: compare_type"):
            with_rule(**body)


@pytest.mark.parametrize("kind", ["HEADER", "COOKIE"])
@pytest.mark.parametrize("key", [None, "", "a b", "a:b", "a(b", "a,b", 'a"b', "a\nb", "ü", "a\\b"])
def test_headers_and_cookies_need_a_token_for_a_key(kind: str, key: str | None) -> None:
    with pytest.raises(Refused, match=f"a {kind} rule needs a key"):
        with_rule(type=kind, compare_type="EQUAL_TO", value="xy", key=key)


@pytest.mark.parametrize(
    ("kind", "value", "good"),
    [
        ("PATH", "/", True), ("PATH", "/a b", True), ("PATH", "", False), ("PATH", " /a", False),
        ("PATH", "/a ", False), ("PATH", "/ü", False), ("PATH", '"a b"', True),
        ("HEADER", "it's #1 \\ \"$HOME\"", True), ("COOKIE", "a b", False),
        ("COOKIE", "a;b", False), ("COOKIE", "a,b", False), ("COOKIE", "a'#$%", True),
    ],
)  # fmt: skip
def test_values_of_rules(kind: str, value: str, good: bool) -> None:
    body = {"type": kind, "compare_type": "CONTAINS", "value": value, "key": "k"}
    if good:
        assert with_rule(**body)
    else:
        with pytest.raises(Refused, match="Error parsing L7Rule: value"):
            with_rule(**body)


@pytest.mark.parametrize(("kind", "value"), [("PATH", "/a#b"), ("FILE_TYPE", "#png")])
def test_values_that_no_path_has(kind: str, value: str) -> None:
    with pytest.raises(Refused, match="should not contain '#'"):
        with_rule(type=kind, compare_type="EQUAL_TO", value=value)
    assert with_rule(type=kind, compare_type="REGEX", value="[#/]")


GOOD = [
    "^/api/v[0-9]+/", r"\.(jpe?g|png)$", "(?i)^www\\.", r"^[^'\"# ]{1,64}$", "[]a-z]", "a{2,}",
    r"^(?:a|b)(?!c)(?<=b)$", r"\x41\d\w\s\.", "it's #1 $HOME", "(ab){3}+", "(?>a|b)c", "}",
    "[a-f0-9]{8}(-[a-f0-9]{4}){3}-[a-f0-9]{12}", "[.]", "^/a/(?i:B)", "[-+]?", "",
]  # fmt: skip
BAD = [
    "(", ")", "[", "*a", "a**", "[z-a]", "a{2,1}", "(?P<n>a)", "(?P=n)", r"(a)\1", r"\u0041",
    r"\Qa\E", r"\h", "[[:alpha:]]", "[:alpha:]", "[.a.]", "{", "a{,3}", "a{99999}", "(?x)a",
    "(?#c)", "(a)?(?(1)b|c)", "(?<=a|bc)", "(?<=(a))b", "ü", "((a{9}){99}){99}", "a\\",
    "(?a)b", r"\N{DIGIT ONE}", "(*UTF)a",
]  # fmt: skip


@pytest.mark.parametrize("pattern", [p for p in GOOD if p])
def test_regexes_that_rules_take(pattern: str) -> None:
    assert with_rule(type="PATH", compare_type="REGEX", value=pattern)


@pytest.mark.parametrize("pattern", BAD)
def test_regexes_that_rules_refuse(pattern: str) -> None:
    with pytest.raises(Refused, match=r"Error parsing L7Rule: .*regular expression"):
        with_rule(type="PATH", compare_type="REGEX", value=pattern)


def test_the_merged_rule_is_checked_again() -> None:
    rule_id = only(TREE, "l7rule").id
    with pytest.raises(Refused, match="regular expression"):
        changed(changed(TREE, "l7rule", rule_id, value="(x"), "l7rule", rule_id,
                compare_type="REGEX")  # fmt: skip
    with pytest.raises(Refused, match="needs a key"):
        changed(TREE, "l7rule", rule_id, type="HEADER")


def test_a_policy_has_fifty_rules_at_most() -> None:
    tree = with_policy(action="REJECT", rules=[RULE] * 50)
    with pytest.raises(Conflict, match="at most 50"):
        added(tree, "l7rule", RULE, l7policy_id=tree.policies[0].id)
