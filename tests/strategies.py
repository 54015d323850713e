"""Hypothesis strategies for valid trees, made the way users make them: from one request body.

`bodies` draws what POST /v2/lbaas/loadbalancers accepts, `trees` what it becomes. `planted`
turns a body into a tree with ids that count from 1, so equal bodies give equal trees. With
`hostile` texts every field a user may write freely is filled with what could hurt a
configuration file; `disarmed` gives the same tree with harmless texts of the same kind.
"""

import itertools
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
from hypothesis import strategies as st

from fairlead.domain import protocols, regexes
from fairlead.domain.bodies import creation
from fairlead.domain.model import (
    HealthMonitor,
    HttpMethod,
    L7Policy,
    L7Rule,
    LoadBalancer,
    Pool,
    SessionPersistence,
)
from fairlead.domain.planting import plant, split
from fairlead.domain.tree import Tree

NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
VIP4, VIP6 = "192.0.2.10", "2001:db8::10"
ANOTHER_VIP = {"subnet_id": str(uuid.UUID(int=2**67)), "ip_address": "2001:db8::11"}
replace = msgspec.structs.replace

TOKEN = "!#$%&'*+-.^_`|~09azAZ"
PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
VISIBLE = PRINTABLE[1:]
# What haproxy, its log format, its sample expressions or a regex could take for its own.
BARBS = (
    "'", '"', "\\", "\\\\", "\\'", "#", "$", "${HOME}", "%", "%%", "%[src]", "%{+Q}o", "(", ")",
    "),lower", ",", "{", "}", "]", "[", "--", "-f", "-m", "if", "unless", "!", "||", "/", "*",
    "''", '"" ""', "server", "\\x0a", "\\n", ";",
)  # fmt: skip


def counting() -> Callable[[], str]:
    """Ids that count from 1."""
    numbers = itertools.count(1)
    return lambda: str(uuid.UUID(int=next(numbers)))


def planted(body: Mapping[str, Any], vip: str = VIP4) -> Tree:
    """The tree of generation 1 that a single-call create with `body` makes."""
    own, nested = split(body)
    values = creation("loadbalancer", {"vip_address": vip, **own})
    root = LoadBalancer(
        id=str(uuid.UUID(int=0)),
        created_at=NOW,
        **{
            "project_id": "a-project",
            "vip_subnet_id": str(uuid.UUID(int=2**64)),
            "vip_network_id": str(uuid.UUID(int=2**65)),
            "vip_port_id": str(uuid.UUID(int=2**66)),
            **values,
        },
    )
    return plant(root, nested, new_id=counting(), now=NOW)


def _barbed(alphabet: str, *, least: int = 0, most: int = 60) -> st.SearchStrategy[str]:
    """Text of an alphabet, with barbs where the alphabet allows them."""
    barbs = [barb for barb in BARBS if set(barb) <= set(alphabet)]
    parts = st.one_of(st.text(alphabet, max_size=8), st.sampled_from([*barbs, alphabet[0]]))
    return (
        st.lists(parts, max_size=8).map("".join).map(lambda s: s[:most])
    ).filter(lambda s: len(s) >= least)  # fmt: skip


def names() -> st.SearchStrategy[str]:
    """Anything at all, line feeds among it."""
    wild = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    return st.one_of(st.just(""), wild, st.sampled_from(["x\n  server evil 1.2.3.4:1", "a'b\n#"]))


def tokens() -> st.SearchStrategy[str]:
    """Names of headers and cookies."""
    return _barbed(TOKEN, least=1)


def urls() -> st.SearchStrategy[str]:
    wide = st.text(st.characters(min_codepoint=0xA1, max_codepoint=0x24F), max_size=4)
    path = st.tuples(_barbed(VISIBLE, most=180), wide).map(
        lambda t: "".join("".join(t).split())[:200]
    )
    return st.tuples(st.sampled_from(["http://h", "HTTPS://h.example:8443"]), path).map("/".join)


def url_paths() -> st.SearchStrategy[str]:
    return _barbed(VISIBLE).map(lambda s: "/" + s.lstrip("/"))


def rule_values(rule_type: str) -> st.SearchStrategy[str]:
    """Values of all compare types but REGEX."""
    if rule_type in ("SSL_CONN_HAS_CERT", "SSL_VERIFY_RESULT"):
        return st.sampled_from(["true", "TRUE"] if rule_type == "SSL_CONN_HAS_CERT" else ["0", "7"])
    if rule_type == "COOKIE":
        allowed = "".join(c for c in VISIBLE if c not in '",;\\')
        return _barbed(allowed, least=1)
    texts = _barbed(PRINTABLE)
    if rule_type in ("PATH", "FILE_TYPE"):
        texts = texts.map(lambda s: s.replace("#", ""))
    return texts.map(str.strip).filter(lambda s: len(s) > 1)


def patterns() -> st.SearchStrategy[str]:
    """Regular expressions that rules accept."""
    atoms = st.sampled_from(
        ["a", "Z", " ", "'", '"', "#", "%", "$", "^", ".", "\\.", "\\'", "\\\\", "\\d", "\\W",
         "\\x41", "[a-z]", "[^'\"# ]", "[]x]", "[$%{]", "\\{", "\\b", "--", ",", "|", "}", "\\#"]
    )  # fmt: skip

    def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        opened = st.sampled_from(["(", "(?:", "(?i:", "(?=", "(?!", "(?>"])
        count = st.sampled_from(["", "*", "+?", "?", "{2}", "{1,3}", "{4,}+"])
        groups = st.tuples(opened, inner, st.just(")"), count).map("".join)
        return st.lists(st.one_of(groups, inner), min_size=1, max_size=4).map("".join)

    grown_up = st.recursive(atoms, grown, max_leaves=8)
    return st.tuples(st.sampled_from(["", "(?i)"]), grown_up).map("".join).filter(_accepted)


def _accepted(pattern: str) -> bool:
    try:
        regexes.check(pattern)
    except ValueError:
        return False
    return len(pattern) <= 255


def rules() -> st.SearchStrategy[dict[str, Any]]:
    """Bodies of L7 rules of every type and compare type this provider has."""

    @st.composite
    def drawn(draw: st.DrawFn) -> dict[str, Any]:
        kind = draw(st.sampled_from(sorted(protocols.COMPARES_OF_RULE)))
        compare = draw(st.sampled_from(sorted(protocols.COMPARES_OF_RULE[kind])))
        values = patterns() if compare == "REGEX" else rule_values(kind)
        body = {
            "type": kind, "compare_type": compare, "value": draw(values),
            "invert": draw(st.booleans()), "admin_state_up": draw(_mostly_up()),
        }  # fmt: skip
        if kind == "SSL_DN_FIELD":
            body["key"] = draw(st.sampled_from(["CN", "o", "X-1"]))
        elif protocols.KEY_OF_RULE.get(kind) == "required":
            body["key"] = draw(tokens())
        return body

    return drawn()


def _mostly_up() -> st.SearchStrategy[bool]:
    return st.sampled_from([True, True, True, False])


def monitors() -> st.SearchStrategy[dict[str, Any]]:
    """Bodies of health monitors of every type."""

    @st.composite
    def drawn(draw: st.DrawFn) -> dict[str, Any]:
        body: dict[str, Any] = {
            "type": draw(st.sampled_from(["HTTP", "HTTPS", "PING", "TCP", "TLS-HELLO"])),
            "delay": draw(st.sampled_from([0, 1, 5, 2147483])),
            "timeout": draw(st.sampled_from([0, 1, 5, 2147483])),
            "max_retries": draw(st.integers(1, 10)),
            "max_retries_down": draw(st.integers(1, 10)),
            "name": draw(names()),
            "admin_state_up": draw(_mostly_up()),
        }
        if body["type"] in protocols.HTTP_MONITORS:
            body["http_method"] = draw(st.sampled_from(get_args(HttpMethod)))
            body["url_path"] = draw(url_paths())
            body["expected_codes"] = draw(st.sampled_from(["200", "200, 301,404", "200-599"]))
            body["http_version"] = draw(st.sampled_from([None, 1.0, 1.1]))
            if body["http_version"] == 1.1:
                body["domain_name"] = draw(st.sampled_from([None, "a", "a-1.example.", "A." * 99]))
        return body

    return drawn()


def members(address: st.SearchStrategy[str]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Bodies of members with addresses and ports of their own."""
    one = st.fixed_dictionaries(
        {
            "address": address,
            "protocol_port": st.integers(1, 65535),
            "weight": st.sampled_from([0, 1, 1, 16, 17, 256]),
            "backup": st.booleans(),
            "name": names(),
            "admin_state_up": _mostly_up(),
        },
        optional={"monitor_address": address, "monitor_port": st.integers(1, 65535)},
    )
    return st.lists(one, max_size=4, unique_by=lambda m: (m["address"], m["protocol_port"]))


ADDRESSES = st.one_of(
    st.integers(1, 250).map(lambda n: f"198.51.100.{n}"),
    st.integers(1, 2**64).map(lambda n: f"2001:db8::{n % 65535 + 1:x}"),
)


@st.composite
def pools(draw: st.DrawFn, name: str, protocol: st.SearchStrategy[str]) -> dict[str, Any]:
    """The body of a pool with its members and, perhaps, its monitor."""
    persistence = draw(st.sampled_from([None, "SOURCE_IP", "HTTP_COOKIE", "APP_COOKIE"]))
    body: dict[str, Any] = {
        "name": name,
        "description": draw(names()),
        "protocol": draw(protocol),
        "lb_algorithm": draw(
            st.sampled_from(["ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT"])
        ),
        "admin_state_up": draw(_mostly_up()),
        "members": draw(members(ADDRESSES)),
        "tags": draw(st.lists(names(), max_size=2)),
    }
    if persistence:
        body["session_persistence"] = {"type": persistence}
        if persistence == "APP_COOKIE":
            body["session_persistence"]["cookie_name"] = draw(tokens())
    if draw(st.booleans()):
        body["healthmonitor"] = draw(monitors())
    if draw(st.integers(0, 3)) == 0:
        body |= draw(shapes()) | {"tls_enabled": True}
        body["tls_container_ref"] = draw(st.one_of(st.none(), REFERENCES))
        body["ca_tls_container_ref"] = draw(st.one_of(st.none(), REFERENCES))
        if body["ca_tls_container_ref"]:
            body["crl_container_ref"] = draw(st.one_of(st.none(), REFERENCES))
    return body


@st.composite
def policies(draw: st.DrawFn, pool_names: list[str]) -> dict[str, Any]:
    """The body of an L7 policy with rules."""
    targets = ["REJECT", "redirect_url", "redirect_prefix", *(["redirect_pool"] * bool(pool_names))]
    target = draw(st.sampled_from(targets))
    body: dict[str, Any] = {
        "name": draw(names()),
        "action": protocols.ACTION_OF_TARGET.get(f"{target}_id", "REJECT"),
        "admin_state_up": draw(_mostly_up()),
        "rules": draw(st.lists(rules(), max_size=3)),
    }
    if target in ("redirect_url", "redirect_prefix"):
        body |= {"action": protocols.ACTION_OF_TARGET[target], target: draw(urls())}
        body["redirect_http_code"] = draw(st.sampled_from([None, 301, 302, 303, 307, 308]))
    elif target == "redirect_pool":
        body["redirect_pool"] = {"name": draw(st.sampled_from(pool_names))}
    return body


REFERENCES = st.sampled_from([f"https://secrets.test/{letter}'\"#" for letter in "abcd"])
CIPHERS = st.sampled_from([
    None, "TLS_AES_128_GCM_SHA256", "ALL:@SECLEVEL=0", "ECDHE+AESGCM:!aNULL:TLS_AES_256_GCM_SHA384",
])  # fmt: skip


def shapes() -> st.SearchStrategy[dict[str, Any]]:
    """Ciphers, versions and ALPN of whoever speaks TLS."""
    known = ["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]
    versions = st.tuples(st.integers(0, 4), st.integers(1, 4)).map(
        lambda ends: known[min(ends) : max(ends) + 1]
    )
    protocols_ = st.lists(st.sampled_from(["h2", "http/1.1", "http/1.0"]), min_size=1, unique=True)
    return st.fixed_dictionaries({
        "tls_ciphers": CIPHERS, "tls_versions": versions, "alpn_protocols": protocols_,
    })  # fmt: skip


@st.composite
def terminations(draw: st.DrawFn) -> dict[str, Any]:
    """What a listener that terminates TLS has more than others."""
    wanted = st.sampled_from(sorted(protocols.TLS_HEADERS))
    body: dict[str, Any] = draw(shapes()) | {
        "default_tls_container_ref": draw(REFERENCES),
        "sni_container_refs": draw(st.lists(REFERENCES, max_size=3)),
        "insert_headers": draw(st.dictionaries(wanted, st.just("true"), max_size=3)),
        "hsts_max_age": draw(st.sampled_from([None, 0, 2147483647])),
    }
    if draw(st.booleans()):
        body["client_ca_tls_container_ref"] = draw(REFERENCES)
        body["client_authentication"] = draw(st.sampled_from(["NONE", "OPTIONAL", "MANDATORY"]))
        body["client_crl_container_ref"] = draw(st.one_of(st.none(), REFERENCES))
    return body


@st.composite
def listeners(draw: st.DrawFn, port: int, pool_protocols: Mapping[str, str]) -> dict[str, Any]:
    """The body of a listener that may use the pools of the request, by name."""
    kinds = ["HTTP", "HTTP", "TERMINATED_HTTPS", "TCP", "HTTPS", "PROMETHEUS"]
    protocol = draw(st.sampled_from(kinds))
    fit = [
        name for name, spoken in pool_protocols.items()
        if spoken in protocols.POOLS_OF_LISTENER[protocol]
    ]  # fmt: skip
    body: dict[str, Any] = {
        "name": draw(names()),
        "description": draw(names()),
        "protocol": protocol,
        "protocol_port": port,
        "connection_limit": draw(st.sampled_from([-1, 0, 7, 2147483647])),
        "admin_state_up": draw(_mostly_up()),
    }
    for name in ("client_data", "member_connect", "member_data", "tcp_inspect"):
        body[f"timeout_{name}"] = draw(st.sampled_from([None, 0, 1, 2073600000]))
    if fit and draw(_mostly_up()):
        body["default_pool"] = {"name": draw(st.sampled_from(fit))}
    if protocol == "TERMINATED_HTTPS":
        body |= draw(terminations())
    if protocol in protocols.L7_LISTENERS:
        wanted = st.sampled_from(sorted(protocols.INSERT_HEADERS))
        body["insert_headers"] = body.get("insert_headers", {}) | draw(
            st.dictionaries(wanted, st.sampled_from(["true", "True", "false"]), max_size=3)
        )
        body["l7policies"] = draw(st.lists(policies(fit), max_size=4))
    return body


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """What one POST of a load balancer may hold; its VIP is IPv4, an additional one IPv6."""
    names_of_pools = [f"pool-{n}" for n in range(draw(st.integers(0, 3)))]
    spoken = {
        name: draw(st.sampled_from(["HTTP", "HTTP", "TCP", "HTTPS", "PROXY", "PROXYV2"]))
        for name in names_of_pools
    }
    least = draw(st.sampled_from([0, 1, 1, 1]))
    ports = draw(st.lists(st.integers(1, 65535), min_size=least, max_size=3, unique=True))
    return {
        "name": draw(names()),
        "description": draw(names()),
        "admin_state_up": draw(st.integers(0, 9)) > 0,
        "additional_vips": draw(st.sampled_from([[], [], [ANOTHER_VIP]])),
        "listeners": [draw(listeners(port, spoken)) for port in ports],
        "pools": [draw(pools(name, st.just(spoken[name]))) for name in names_of_pools],
    }


def trees() -> st.SearchStrategy[Tree]:
    """Trees with everything in them, texts as hostile as the API lets them be."""
    return bodies().map(planted)


def disarmed(tree: Tree) -> Tree:
    """The tree with every text of the user's replaced by a harmless one of the same kind."""
    return tree.with_objects(*(_harmless(resource) for resource in tree.everything()))


def _harmless(resource: Any) -> Any:
    plain = {name: "x" for name in ("name", "description") if hasattr(resource, name)}
    match resource:
        case L7Rule():
            typed = resource.type in ("SSL_CONN_HAS_CERT", "SSL_VERIFY_RESULT")
            return replace(
                resource, value=resource.value if typed else "x", key=resource.key and "x"
            )
        case L7Policy():
            swap = {t: "http://x/" for t in ("redirect_url", "redirect_prefix")
                    if getattr(resource, t)}  # fmt: skip
            return replace(resource, **plain, **swap)
        case HealthMonitor():
            swap = {n: v for n, v in (("url_path", "/x"), ("domain_name", "x"))
                    if getattr(resource, n)}  # fmt: skip
            return replace(resource, **plain, **swap)
        case Pool(session_persistence=SessionPersistence(type="APP_COOKIE") as persistence):
            return replace(
                resource, **plain, session_persistence=replace(persistence, cookie_name="x")
            )
    return replace(resource, **plain, tags=("x",))
