"""From request bodies to values: types, bounds, nulls, and what a refusal says."""

from typing import Any

import pytest

from fairlead.domain.bodies import changes, creation
from fairlead.domain.model import KINDS, AdditionalVip
from fairlead.errors import Refused

ID = "0f0a9c5e-0000-4000-8000-000000000001"
LISTENER = {"loadbalancer_id": ID, "protocol": "HTTP", "protocol_port": 80}
MONITOR = {"pool_id": ID, "type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1}
POLICY = {"listener_id": ID, "action": "REJECT"}
POOL = {"loadbalancer_id": ID, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
MEMBER = {"address": "192.0.2.1", "protocol_port": 80}
RULE = {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/"}
LEAST: dict[str, dict[str, Any]] = {
    "loadbalancer": {}, "listener": LISTENER, "pool": POOL, "member": MEMBER,
    "healthmonitor": MONITOR, "l7policy": POLICY, "l7rule": RULE,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_least_body_is_enough_and_each_part_of_it_is_needed(kind: str) -> None:
    assert creation(kind, LEAST[kind]) == LEAST[kind]
    for name in LEAST[kind]:
        if (kind, name) == ("pool", "loadbalancer_id"):
            continue  # a pool may name a listener instead
        for body in ({k: v for k, v in LEAST[kind].items() if k != name},
                     {**LEAST[kind], name: None}):  # fmt: skip
            with pytest.raises(Refused, match=f"attribute {name}.*Mandatory field missing"):
                creation(kind, body)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", [None, [], "x", 5, [{"name": "x"}]])
def test_a_body_that_is_no_object_is_refused(kind: str, body: object) -> None:
    with pytest.raises(Refused, match="should be an object"):
        creation(kind, body)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["foo", "id", "created_at", "changed_gen", "provisioning_status"])
def test_unknown_and_read_only_attributes_are_refused(kind: str, name: str) -> None:
    with pytest.raises(Refused, match=f"Unknown attribute for argument .*: {name}$"):
        creation(kind, {**LEAST[kind], name: ID})
    with pytest.raises(Refused, match=f"Unknown attribute for argument .*: {name}$"):
        changes(kind, {name: ID})


def test_unknown_attributes_name_the_argument_as_octavia_does() -> None:
    with pytest.raises(Refused) as refusal:
        creation("loadbalancer", {"foo": 1})
    assert str(refusal.value) == "Unknown attribute for argument load_balancer.loadbalancer: foo"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("loadbalancer", "vip_address"), ("listener", "protocol"), ("listener", "protocol_port"),
        ("listener", "loadbalancer_id"), ("pool", "protocol"), ("member", "address"),
        ("member", "subnet_id"), ("healthmonitor", "type"), ("l7policy", "listener_id"),
    ],
)  # fmt: skip
def test_what_is_set_at_creation_only_is_unknown_to_updates(kind: str, name: str) -> None:
    with pytest.raises(Refused, match=f"Unknown attribute.*{name}"):
        changes(kind, {name: LEAST[kind].get(name, "x")})


REFUSED = [
    ("listener", "name", 5), ("listener", "name", "x" * 256), ("listener", "admin_state_up", "no?"),
    ("listener", "connection_limit", -2), ("listener", "connection_limit", True),
    ("listener", "connection_limit", 5.5), ("listener", "connection_limit", 2**31),
    ("listener", "protocol", "http"), ("listener", "protocol_port", 0),
    ("listener", "protocol_port", 65536), ("listener", "protocol_port", "80\n"),
    ("listener", "default_pool_id", "pool"), ("listener", "timeout_client_data", -1),
    ("listener", "timeout_client_data", 2073600001), ("listener", "tags", "abc"),
    ("listener", "tags", ["x" * 256]), ("listener", "tags", [1]),
    ("listener", "allowed_cidrs", ["10.0.0.0/33"]), ("listener", "allowed_cidrs", "10.0.0.0/8"),
    ("listener", "insert_headers", {"X-Real-IP": True}), ("listener", "insert_headers", ["a"]),
    ("listener", "client_authentication", "MAYBE"), ("pool", "lb_algorithm", "RANDOM"),
    ("pool", "session_persistence", {"type": "SOURCE"}),
    ("pool", "session_persistence", {"typo": "SOURCE_IP"}), ("pool", "session_persistence", "x"),
    ("member", "address", "localhost"), ("member", "address", "fe80::1%eth0"),
    ("member", "address", "192.0.2.1\n"), ("member", "weight", 257), ("member", "weight", -1),
    ("member", "monitor_port", 0), ("healthmonitor", "delay", -1),
    ("healthmonitor", "timeout", 2147484), ("healthmonitor", "max_retries", 0),
    ("healthmonitor", "max_retries", 11), ("healthmonitor", "max_retries_down", 11),
    ("healthmonitor", "http_method", "get"), ("healthmonitor", "url_path", "x"),
    ("healthmonitor", "url_path", "/a b"), ("healthmonitor", "url_path", "//host/"),
    ("healthmonitor", "url_path", "http://h/"), ("healthmonitor", "url_path", "/ü"),
    ("healthmonitor", "expected_codes", "600"), ("healthmonitor", "expected_codes", "200-"),
    ("healthmonitor", "expected_codes", "300-200"),
    ("healthmonitor", "expected_codes", "2\u0660\u0660"),
    ("healthmonitor", "expected_codes", "200\n"), ("healthmonitor", "expected_codes", "200,\n201"),
    ("healthmonitor", "http_version", 2), ("healthmonitor", "domain_name", "a b"),
    ("healthmonitor", "domain_name", "-a"), ("healthmonitor", "domain_name", "a\n"),
    ("l7policy", "action", "DROP"), ("l7policy", "redirect_http_code", 304),
    ("l7policy", "redirect_url", "ftp://h/"), ("l7policy", "redirect_url", "http://h/a b"),
    ("l7policy", "redirect_url", "http://h/\n"), ("l7policy", "redirect_url", "/path"),
    ("l7policy", "redirect_prefix", "http://"), ("l7policy", "position", 0),
    ("l7rule", "value", "a\nb"), ("l7rule", "value", "x" * 256), ("l7rule", "key", "x" * 256),
    ("l7rule", "type", "BODY"), ("l7rule", "compare_type", "LIKE"), ("l7rule", "invert", 2),
    ("loadbalancer", "vip_subnet_id", "x"), ("loadbalancer", "vip_address", "192.0.2"),
    ("loadbalancer", "vip_sg_ids", ["x"]), ("loadbalancer", "additional_vips", [{}]),
    *(("loadbalancer", "additional_vips", [{"subnet_id": ID, name: "x"}])
      for name in ("subnet_id", "ip_address", "port_id", "bogus")),
    ("loadbalancer", "project_id", "x" * 37),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "value"), REFUSED)
def test_a_refusal_names_the_field(kind: str, name: str, value: object) -> None:
    with pytest.raises(Refused, match=f"Invalid input for field/attribute {name}. Value: '"):
        creation(kind, {**LEAST[kind], name: value})


TAKEN = [
    ("listener", "protocol_port", "8080", 8080), ("listener", "connection_limit", 5.0, 5),
    ("listener", "admin_state_up", "false", False), ("listener", "admin_state_up", 1, True),
    ("listener", "allowed_cidrs", ["10.1.2.3/8", "10.0.0.0/8"], ("10.0.0.0/8",)),
    ("loadbalancer", "vip_sg_ids", [ID.upper(), ID], (ID,)),
    ("loadbalancer", "additional_vips", [{"subnet_id": ID.upper(), "ip_address": "2001:DB8::0"}],
     (AdditionalVip(subnet_id=ID, ip_address="2001:db8::"),)),
    ("listener", "default_pool_id", ID.replace("-", "").upper(), ID),
    ("listener", "tags", ["a", "a", "b"], ("a", "b")),
    ("member", "address", "2001:DB8:0::1", "2001:db8::1"),
    ("healthmonitor", "type", "UDP_CONNECT", "UDP-CONNECT"),
    ("healthmonitor", "expected_codes", "200, 201", "200,201"),
    ("healthmonitor", "http_version", "1.1", 1.1), ("healthmonitor", "http_version", 1, 1.0),
    ("l7policy", "redirect_url", "HTTPS://h?a", "HTTPS://h?a"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "value", "stored"), TAKEN)
def test_values_are_brought_to_one_form(
    kind: str, name: str, value: object, stored: object
) -> None:
    assert creation(kind, {**LEAST[kind], name: value})[name] == stored


NULLS = [
    ("listener", "connection_limit", -1), ("listener", "timeout_client_data", 50000),
    ("listener", "timeout_member_connect", 5000), ("listener", "timeout_member_data", 50000),
    ("listener", "timeout_tcp_inspect", 0), ("listener", "client_authentication", "NONE"),
    ("listener", "hsts_preload", False), ("listener", "insert_headers", {}),
    ("listener", "allowed_cidrs", ()), ("listener", "default_pool_id", None),
    ("member", "weight", 1), ("member", "backup", False), ("healthmonitor", "max_retries_down", 3),
    ("l7rule", "invert", False), ("pool", "session_persistence", None),
    *((kind, "admin_state_up", False) for kind in KINDS),
    *((kind, "tags", ()) for kind in KINDS),
    *((kind, "name", "") for kind in KINDS if kind != "l7rule"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "default"), NULLS)
def test_null_restores_the_default(kind: str, name: str, default: object) -> None:
    assert changes(kind, {name: None}) == {name: default}
    assert creation(kind, {**LEAST[kind], name: None})[name] == default


@pytest.mark.parametrize(
    ("kind", "name"),
    [("healthmonitor", "delay"), ("healthmonitor", "timeout"), ("healthmonitor", "max_retries"),
     ("pool", "lb_algorithm"), ("l7policy", "action"), ("l7rule", "type"), ("l7rule", "value"),
     ("l7rule", "compare_type")],
)  # fmt: skip
def test_null_is_refused_where_there_is_no_default(kind: str, name: str) -> None:
    with pytest.raises(Refused, match=f"attribute {name}. Value: 'None'"):
        changes(kind, {name: None})


def test_choices_are_listed_also_inside_an_object() -> None:
    with pytest.raises(Refused, match=r"should be one of: .*SOURCE_IP.*at type"):
        creation("pool", {**POOL, "session_persistence": {"type": "x"}})
    with pytest.raises(Refused, match=r"should be one of: .*ROUND_ROBIN"):
        changes("pool", {"lb_algorithm": "x"})


def test_the_older_name_of_a_project_is_understood() -> None:
    assert creation("loadbalancer", {"tenant_id": "p"}) == {"project_id": "p"}
    assert creation("listener", {**LISTENER, "tenant_id": "p", "project_id": "q"}) == LISTENER


def test_long_values_are_cut_in_messages() -> None:
    with pytest.raises(Refused) as refusal:
        creation("listener", {**LISTENER, "name": "x" * 5000})
    assert len(str(refusal.value)) < 300
