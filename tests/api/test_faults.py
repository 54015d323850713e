"""Faults: the right status, the right shape, nothing stored, nothing given away."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairlead import errors
from fairlead.api.faults import INTERNAL, STATUS_OF, status_of
from fairlead.domain.bodies import settable
from fairlead.domain.model import KINDS
from tests.api.conftest import LB, SUBNET, Desk, House
from tests.api.test_resources import SENT, UNKNOWN, Fleet, build

RAW: list[tuple[bytes, str]] = [
    (b"", "JSON"),
    (b"{", "JSON"),
    (b"\xff\xfe", "JSON"),
    (b'{"loadbalancer": NaN}', "JSON"),
    (b'{"loadbalancer": 1e999}', "JSON"),
    (b'{"loadbalancer": "\\ud800"}', "JSON"),
    (b"[" * 100_000, "JSON"),
    (b'{"loadbalancer": ' + b"[" * 200 + b"]" * 200 + b"}", "nested"),
    (b"[]", "object"),
    (b"7", "object"),
    (b"null", "object"),
    (b"{}", 'Missing argument: "loadbalancer"'),
    (b'{"loadbalancer": {}, "more": 1}', 'Unknown argument: "more"'),
    (b'{"loadbalancer": null}', "object"),
    (b'{"loadbalancer": []}', "object"),
    (b'{"loadbalancer": "x"}', "object"),
    (b'{"loadbalancer": {}}', "VIP must contain one of: vip_port_id, vip_network_id"),
    (b'{"loadbalancer": {"name": "a\\u0000b"}}', "NUL"),
    (b'{"loadbalancer": {"a\\u0000b": 1}}', "NUL"),
]


@pytest.mark.parametrize(("body", "said"), RAW, ids=range(len(RAW)))
async def test_bodies_that_are_none(house: House, body: bytes, said: str) -> None:
    answer = await house.client.post(LB, content=body, headers={"x-test-user": "m p1 member"})
    assert answer.status_code == 400
    assert answer.json()["faultcode"] == "Client"
    assert answer.json()["debuginfo"] is None
    assert said in answer.json()["faultstring"]
    assert house.world.ports == {}


async def test_a_body_that_is_too_large(house: House) -> None:
    headers = {"x-test-user": "m p1 member"}
    body = b'{"loadbalancer": {"name": "' + b"x" * 10_000_000 + b'"}}'
    answer = await house.client.post(LB, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, 413)

    async def chunks() -> Any:
        for _ in range(100):
            yield b" " * 100_000

    answer = await house.client.post(LB, content=chunks(), headers=headers)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"accept": "text/html"}, 406),
        ({"accept": "application/xml, text/*;q=0.5"}, 406),
        ({"accept": ""}, 200),
        ({"accept": "*/*"}, 200),
        ({"accept": "text/html, application/json;q=0.1"}, 200),
        ({"accept": "application/*"}, 200),
    ],
)
async def test_accept(house: House, headers: dict[str, str], status: int) -> None:
    for path in (LB, "/", "/v2"):
        answer = await house.client.get(path, headers=headers | {"x-test-user": "m p1 member"})
        assert answer.status_code == status
        if status == 406:
            assert answer.json()["title"] == "Not Acceptable"


async def test_bodies_of_other_types(house: House) -> None:
    """What a foreign web page could make a browser send is not taken."""
    for mime in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        headers = {"content-type": mime, "x-test-user": "m p1 member"}
        body = b'{"loadbalancer": {"vip_subnet_id": "%s"}}' % SUBNET.encode()
        answer = await house.client.post(LB, content=body, headers=headers)
        assert answer.status_code == 415
    headers["content-type"] = "application/json; charset=utf-8"
    assert (await house.client.post(LB, content=body, headers=headers)).status_code == 201


async def test_unknown_paths_and_methods(desk: Desk) -> None:
    made = await desk.balancer()
    for path in ("/v3", "/v2/lbaas/bogus", f"{LB}/{made['id']}/bogus", f"{LB}/{UNKNOWN}/bogus",
                 "/v2/lbaas/lbaas/loadbalancers", "/v2/octavia/loadbalancers"):  # fmt: skip
        answer = await desk.get(path, 404)
        assert (answer["code"], answer["title"]) == (404, "Not Found")
    one = f"{LB}/{made['id']}"
    for method, path in (("PATCH", LB), ("PUT", LB), ("DELETE", LB), ("POST", "/"),
                         ("PATCH", one), ("POST", f"{one}/status")):  # fmt: skip
        answer = await desk.call(method, path, {}, 405)
        assert (answer["code"], answer["title"]) == (405, "Method Not Allowed")


async def test_unknown_objects(desk: Desk) -> None:
    fleet = await build(desk)
    for kind, what in KINDS.items():
        for object_id in (UNKNOWN, "x", "%00", "a" * 300, "%F0%9F%9A%A2"):
            path = f"{fleet.collections[kind]}/{object_id}"
            for method, body in (("GET", None), ("DELETE", None), ("PUT", {what.wrapper: {}})):
                answer = await desk.call(method, path, body, 404)
                assert answer["faultstring"].startswith(f"{what.word} ")
                assert answer["faultstring"].endswith(" not found.")


async def test_unknown_attributes_and_missing_ones(desk: Desk) -> None:
    fleet = await build(desk)
    for kind, what in KINDS.items():
        parents = {k: UNKNOWN for k in ("loadbalancer_id", "listener_id", "pool_id")
                   if k == what.parent_field and kind not in ("member", "l7rule")}  # fmt: skip
        body = SENT[kind] | parents | {"foo": 1}
        fault = await desk.post(fleet.collections[kind], {what.wrapper: body}, 400)
        expected = f"Unknown attribute for argument {what.argument}.{what.wrapper}: foo"
        assert fault["faultstring"] == expected
        for name, field in settable(kind, at_creation=True).items():
            if not field.trait.required:
                continue
            short = {k: v for k, v in (SENT[kind] | parents).items() if k != name}
            for body in (short, short | {name: None}):
                fault = await desk.post(fleet.collections[kind], {what.wrapper: body}, 400)
                assert name in fault["faultstring"]
                assert "Mandatory field missing" in fault["faultstring"]
        for name in ("id", "created_at", "provisioning_status", "project_id", "protocol_port"):
            body = {what.wrapper: {name: "x"}}
            fault = await desk.put(fleet.path(kind), body, 400)
            assert fault["faultstring"].startswith("Unknown attribute")


async def test_unknown_parents_in_bodies(desk: Desk) -> None:
    for kind, field in (("listener", "loadbalancer_id"), ("healthmonitor", "pool_id"),
                        ("l7policy", "listener_id")):  # fmt: skip
        what = KINDS[kind]
        body = {what.wrapper: SENT[kind] | {field: UNKNOWN}}
        fault = await desk.post(f"/v2/lbaas/{what.plural}", body, 404)
        assert UNKNOWN in fault["faultstring"]
        assert fault["faultcode"] == "Client"
    fleet = await build(desk)
    listener = {"loadbalancer_id": fleet.ids["loadbalancer"], "protocol": "HTTP",
                "protocol_port": 81, "default_pool_id": UNKNOWN}  # fmt: skip
    await desk.post("/v2/lbaas/listeners", {"listener": listener}, 404)
    await desk.put(fleet.path("l7policy"), {"l7policy": {"redirect_pool_id": UNKNOWN}}, 404)


async def test_conflicts(desk: Desk) -> None:
    fleet = await build(desk)
    ids = fleet.ids
    listener = {"loadbalancer_id": ids["loadbalancer"], "protocol": "TCP", "protocol_port": 80}
    await desk.post("/v2/lbaas/listeners", {"listener": listener}, 409)
    member = {"address": SENT["member"]["address"], "protocol_port": 8080}
    await desk.post(fleet.collections["member"], {"member": member}, 409)
    monitor = SENT["healthmonitor"] | {"pool_id": ids["pool"]}
    await desk.post("/v2/lbaas/healthmonitors", {"healthmonitor": monitor}, 409)
    await desk.put(fleet.path("l7policy"), {"l7policy": {"redirect_pool_id": ids["pool"]}})
    fault = await desk.delete(fleet.path("pool"), 409)
    assert fault["faultstring"] == f"Pool {ids['pool']} is in use by L7 policy {ids['l7policy']}"
    for n in range(49):
        await desk.rule(ids["l7policy"], value=f"/{n}")
    rule = {"rule": {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/51"}}
    await desk.post(fleet.collections["l7rule"], rule, 409)


async def test_what_the_provider_cannot_do_is_refused_with_nothing_stored(desk: Desk) -> None:
    lb = await desk.balancer()
    for values in (
        {"protocol": "UDP"},
        {"protocol": "SCTP"},
    ):
        given = {"loadbalancer_id": lb["id"], "protocol": "HTTP", "protocol_port": 80} | values
        fault = await desk.post("/v2/lbaas/listeners", {"listener": given}, 501)
        assert "does not support a requested option" in fault["faultstring"]
        assert fault["faultcode"] == "Server"
    refusals: list[tuple[dict[str, Any], int]] = [
        ({"flavor_id": UNKNOWN}, 400), ({"availability_zone": "z"}, 400),
        ({"vip_qos_policy_id": UNKNOWN}, 400), ({"provider": "acme"}, 400),
        ({"vip_sg_ids": [UNKNOWN]}, 400), ({"additional_vips": [{"subnet_id": SUBNET}]}, 400),
    ]  # fmt: skip
    for values, status in refusals:
        await desk.post(LB, {"loadbalancer": {"vip_subnet_id": SUBNET} | values}, status)
    assert len((await desk.get(LB))["loadbalancers"]) == 1
    assert (await desk.get("/v2/lbaas/listeners"))["listeners"] == []
    assert len(desk.house.world.ports) == 1


async def test_what_nobody_foresaw_says_nothing_of_the_inside(house: House, desk: Desk) -> None:
    house.world.fail("allocate_vip", RuntimeError("secret at 0x7f, SELECT * FROM trees"))
    answer = await desk.call("POST", LB, {"loadbalancer": {"vip_subnet_id": SUBNET}}, None)
    assert answer.status_code == 500
    assert answer.json() == {"faultcode": "Server", "faultstring": INTERNAL, "debuginfo": None}
    house.world.fail("allocate_vip", errors.Permanent("The network driver is misconfigured."))
    fault = await desk.post(LB, {"loadbalancer": {"vip_subnet_id": SUBNET}}, 500)
    assert fault["faultstring"] == "The network driver is misconfigured."


def test_the_table_of_statuses() -> None:
    assert {e.__name__: s for e, s in STATUS_OF.items()} == {
        "Refused": 400, "Unauthorized": 401, "Forbidden": 403, "NotFound": 404, "Conflict": 409,
        "QuotaMet": 403, "Unsupported": 501, "Retryable": 503,
    }  # fmt: skip
    assert status_of(errors.Stale("x")) == status_of(errors.Fenced("x")) == 500


ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**30, 1.5, -0.0, 1e300, "", " ", "x",
    "true", "null", "0", "\x01\r\n\t\x7f", "‮🚢é", "' OR 1=1 --", "%s{}$", "../../etc", "x" * 256,
    "x" * 500_000, "::1", "10.0.0.1", "fe80::1%eth0", "::ffff:1.2.3.4", UNKNOWN, [], {}, [None],
    [[]], [{}], {"a": {"b": [1]}}, ["x"] * 1000, [1, "a", None], {"type": "SOURCE_IP"},
    {"type": []}, {"": ""}, ["10.0.0.0/33"], ["0.0.0.0/0"], {"X-Forwarded-For": "true"},
    {"X-Forwarded-For": "true\r\nevil: 1"}, ["a\n"], "(" * 300, "a{99999999}", "\\",
]  # fmt: skip


async def generation(desk: Desk, fleet: Fleet) -> int:
    return (await desk.house.store.tree(fleet.ids["loadbalancer"])).generation


@pytest.mark.parametrize("kind", KINDS)
async def test_odd_values_in_every_field_never_break_the_service(desk: Desk, kind: str) -> None:
    """Every settable field with every odd value: never 500, and a refusal changes nothing."""
    fleet = await build(desk)
    wrapper = KINDS[kind].wrapper
    for create in (False, True):
        method, path = "PUT", fleet.path(kind)
        if create:
            method, path = "POST", fleet.collections[kind]
        for name in settable(kind, at_creation=create):
            before, accepted = await generation(desk, fleet), 0
            for odd in ODD:
                body = {wrapper: (SENT[kind] if create else {}) | {name: odd}}
                answer = await desk.call(method, path, body, None)
                allowed = {200, 201, 400, 403, 404, 409, 501}
                assert answer.status_code in allowed, (name, odd, answer.text)
                accepted += answer.status_code < 300
            if (create, kind) != (True, "loadbalancer"):
                assert await generation(desk, fleet) == before + accepted, name
    await desk.get(fleet.path(kind))
    for path in {fleet.collections[kind], LB}:
        await desk.get(path)


GARBAGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["name", "listeners", "pools", "members", "x", "rules",
                                       "default_pool", "l7policies", "healthmonitor", "protocol",
                                       "redirect_pool", "lb_algorithm", "protocol_port"]),
                      inner, max_size=6),
    max_leaves=20,
)  # fmt: skip


@settings(
    max_examples=150, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(garbage=st.dictionaries(st.sampled_from(["listeners", "pools"]), GARBAGE))
async def test_nested_garbage_is_refused(desk: Desk, garbage: Any) -> None:
    body = {"loadbalancer": {"vip_subnet_id": SUBNET} | garbage}
    answer = await desk.call("POST", LB, body, None)
    assert answer.status_code in (201, 400), (garbage, answer.text)


async def test_odd_queries_never_break_the_service(desk: Desk) -> None:
    await build(desk)
    names = ["id", "name", "admin_state_up", "vip_address", "created_at", "limit", "marker",
             "tags", "sort", "sort_key", "fields", "page_reverse", "project_id", "not-tags",
             "\x00", ""]  # fmt: skip
    for name in names:
        for odd in ODD:
            if isinstance(odd, str) and len(odd) < 1000:
                answer = await desk.client.get(
                    LB, params={name: odd}, headers={"x-test-user": desk.user}
                )
                assert answer.status_code in (200, 400, 403), (name, odd, answer.text)
    for raw in ("%ff=%fe", "&&&", "=&=", "a" * 5000, "limit=%31", "name=%00", "name=+"):
        answer = await desk.client.get(f"{LB}?{raw}", headers={"x-test-user": desk.user})
        assert answer.status_code in (200, 400)
