"""Every kind through every verb, as a client sees it."""

import uuid
from typing import Any

import msgspec
import pytest

from fairlead.api.openapi_schemas import answer_types
from fairlead.domain.model import KINDS
from tests.api.conftest import LB, NO_SUBNET, SUBNET, Desk, House

UNKNOWN = "11111111-2222-4333-8444-555555555555"
SENT: dict[str, dict[str, Any]] = {
    "loadbalancer": {"vip_subnet_id": SUBNET, "name": "web", "tags": ["a"]},
    "listener": {"protocol": "HTTP", "protocol_port": 80, "insert_headers": {}},
    "pool": {"protocol": "HTTP", "lb_algorithm": "LEAST_CONNECTIONS"},
    "member": {"address": "10.0.0.9", "protocol_port": 8080, "subnet_id": SUBNET, "weight": 7},
    "healthmonitor": {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2},
    "l7policy": {"action": "REDIRECT_TO_URL", "redirect_url": "https://example.org/"},
    "l7rule": {"type": "HEADER", "key": "X-Fleet", "compare_type": "EQUAL_TO", "value": "blue"},
}
CHANGED: dict[str, dict[str, Any]] = {
    "loadbalancer": {"name": "web2", "tags": ["b", "c"]},
    "listener": {"connection_limit": 20, "allowed_cidrs": ["10.1.2.3/8"]},
    "pool": {"lb_algorithm": "SOURCE_IP"},
    "member": {"weight": 0, "backup": True},
    "healthmonitor": {"url_path": "/alive", "http_version": 1.1, "domain_name": "a.example"},
    "l7policy": {"redirect_http_code": 301},
    "l7rule": {"invert": True},
}
SEEN = {"allowed_cidrs": ["10.0.0.0/8"]}


class Fleet:
    """A load balancer with one object of each kind; `paths` are where they are."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}
        self.collections: dict[str, str] = {}

    def path(self, kind: str) -> str:
        return f"{self.collections[kind]}/{self.ids[kind]}"


async def build(desk: Desk, base: str = "/v2/lbaas") -> Fleet:
    """Create one object of each kind, each below the ones before."""
    fleet = Fleet()
    for kind in KINDS:
        await add(desk, fleet, kind, base)
    return fleet


async def add(desk: Desk, fleet: Fleet, kind: str, base: str = "/v2/lbaas") -> Any:
    ids = fleet.ids
    below = {
        "member": f"pools/{ids.get('pool')}/members",
        "l7rule": f"l7policies/{ids.get('l7policy')}/rules",
    }
    fleet.collections[kind] = f"{base}/{below.get(kind, KINDS[kind].plural)}"
    parents = {
        "listener": {"loadbalancer_id": ids.get("loadbalancer")},
        "pool": {"listener_id": ids.get("listener")},
        "healthmonitor": {"pool_id": ids.get("pool")},
        "l7policy": {"listener_id": ids.get("listener")},
    }
    wrapper = KINDS[kind].wrapper
    body = {wrapper: SENT[kind] | parents.get(kind, {})}
    answer = (await desk.post(fleet.collections[kind], body))[wrapper]
    ids[kind] = answer["id"]
    return answer


@pytest.mark.parametrize("base", ["/v2/lbaas", "/v2.0/lbaas", "/v2", "/v2.0"])
async def test_each_kind_lives_its_life_below_each_base(desk: Desk, base: str) -> None:
    fleet = Fleet()
    for kind in KINDS:
        made = await add(desk, fleet, kind, base)
        for name, value in SENT[kind].items():
            assert made[name] == value
        assert made["provisioning_status"] == "PENDING_CREATE"
        assert made["updated_at"] is None
    for kind, what in KINDS.items():
        shown = (await desk.get(fleet.path(kind)))[what.wrapper]
        listed = (await desk.get(fleet.collections[kind] + "/"))[what.plural]
        assert listed == [shown]
        changed = await desk.put(fleet.path(kind), {what.wrapper: CHANGED[kind]})
        for name, value in CHANGED[kind].items():
            assert changed[what.wrapper][name] == SEEN.get(name, value)
        assert changed[what.wrapper]["updated_at"] is not None
        assert (await desk.get(fleet.path(kind)))[what.wrapper] == changed[what.wrapper]
    await desk.house.settled(fleet.ids["loadbalancer"])
    for kind in reversed(KINDS):
        await desk.delete(fleet.path(kind) + "/")
        gone = await desk.get(fleet.path(kind))
        assert gone[KINDS[kind].wrapper]["provisioning_status"] == "PENDING_DELETE"
    await desk.house.settled(fleet.ids["loadbalancer"])
    for kind in KINDS:
        await desk.get(fleet.path(kind), 404)
    await desk.get(f"{base}/loadbalancers", 200)


async def test_answers_have_exactly_the_documented_fields(desk: Desk) -> None:
    fleet = await build(desk)
    for kind, type_ in answer_types().items():
        if kind not in KINDS:
            continue  # see test_catalog.py
        shown = (await desk.get(fleet.path(kind)))[KINDS[kind].wrapper]
        assert set(shown) == set(type_.__struct_fields__)
        msgspec.convert(shown, type_)


async def test_links_between_objects(desk: Desk) -> None:
    fleet = await build(desk)
    ids = fleet.ids
    shown = {k: (await desk.get(fleet.path(k)))[KINDS[k].wrapper] for k in KINDS}
    assert shown["loadbalancer"]["listeners"] == [{"id": ids["listener"]}]
    assert shown["loadbalancer"]["pools"] == [{"id": ids["pool"]}]
    assert shown["listener"]["loadbalancers"] == [{"id": ids["loadbalancer"]}]
    assert shown["listener"]["l7policies"] == [{"id": ids["l7policy"]}]
    assert shown["listener"]["default_pool_id"] == ids["pool"]
    assert shown["pool"]["loadbalancers"] == [{"id": ids["loadbalancer"]}]
    assert shown["pool"]["listeners"] == [{"id": ids["listener"]}]
    assert shown["pool"]["members"] == [{"id": ids["member"]}]
    assert shown["pool"]["healthmonitor_id"] == ids["healthmonitor"]
    assert shown["healthmonitor"]["pools"] == [{"id": ids["pool"]}]
    assert shown["l7policy"]["listener_id"] == ids["listener"]
    assert shown["l7policy"]["rules"] == [{"id": ids["l7rule"]}]
    assert {s["tenant_id"] for s in shown.values()} == {"p1"}


async def test_the_vip_is_in_the_answer_at_once(desk: Desk) -> None:
    made = await desk.balancer()
    assert made["vip_subnet_id"] == SUBNET
    assert made["vip_address"].startswith("10.")
    assert made["vip_port_id"]
    assert made["vip_network_id"]
    assert made["vip_vnic_type"] == "normal"


async def test_null_restores_defaults(desk: Desk) -> None:
    fleet = await build(desk)
    listener = fleet.path("listener")
    given = {"name": "n", "connection_limit": 5, "allowed_cidrs": ["10.0.0.0/8"],
             "insert_headers": {"X-Forwarded-For": "true"}, "timeout_client_data": 1}  # fmt: skip
    await desk.put(listener, {"listener": given})
    plain = await desk.put(listener, {"listener": dict.fromkeys(given)})
    assert plain["listener"]["name"] == ""
    assert plain["listener"]["connection_limit"] == -1
    assert plain["listener"]["allowed_cidrs"] is None
    assert plain["listener"]["insert_headers"] == {}
    assert plain["listener"]["timeout_client_data"] == 50000
    monitor = await desk.put(
        fleet.path("healthmonitor"), {"healthmonitor": {"url_path": None, "http_method": None}}
    )
    assert monitor["healthmonitor"]["url_path"] == "/"
    assert monitor["healthmonitor"]["http_method"] == "GET"
    fault = await desk.put(fleet.path("healthmonitor"), {"healthmonitor": {"delay": None}}, 400)
    assert "delay" in fault["faultstring"]


async def test_ids_in_paths_may_be_in_any_form(desk: Desk) -> None:
    made = await desk.balancer()
    bare = made["id"].replace("-", "").upper()
    assert (await desk.get(f"{LB}/{bare}"))["loadbalancer"]["id"] == made["id"]


async def test_tenant_id_is_project_id(admin: Desk) -> None:
    made = await admin.balancer(tenant_id="p7")
    assert (made["project_id"], made["tenant_id"]) == ("p7", "p7")


async def test_children_belong_to_their_load_balancers_project(admin: Desk) -> None:
    made = await admin.balancer(project_id="p7")
    listener = await admin.listener(made["id"], project_id="ignored", tenant_id="ignored")
    assert listener["project_id"] == "p7"


async def test_a_pool_below_a_load_balancer_or_a_listener(desk: Desk) -> None:
    lb = await desk.balancer()
    alone = await desk.pool(loadbalancer_id=lb["id"], listener_id=None)
    assert alone["listeners"] == []
    listener = await desk.listener(lb["id"])
    default = await desk.pool(listener_id=listener["id"], loadbalancer_id=None)
    assert default["listeners"] == [{"id": listener["id"]}]
    body = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    fault = await desk.post("/v2/lbaas/pools", {"pool": body}, 400)
    assert "loadbalancer_id, listener_id" in fault["faultstring"]
    again = body | {"listener_id": listener["id"]}
    await desk.post("/v2/lbaas/pools", {"pool": again}, 409)
    for parent in ("loadbalancer_id", "listener_id"):
        await desk.post("/v2/lbaas/pools", {"pool": body | {parent: UNKNOWN}}, 404)
        for wrong in (7, "x", [], {}):
            await desk.post("/v2/lbaas/pools", {"pool": body | {parent: wrong}}, 400)


async def test_members_need_a_subnet_that_exists(desk: Desk) -> None:
    lb = await desk.balancer()
    pool = await desk.pool(loadbalancer_id=lb["id"])
    path = f"/v2/lbaas/pools/{pool['id']}/members"
    member = {"address": "10.0.0.1", "protocol_port": 80, "subnet_id": NO_SUBNET}
    fault = await desk.post(path, {"member": member}, 400)
    assert fault["faultstring"] == f"Subnet {NO_SUBNET} not found."
    await desk.put(path, {"members": [member]}, 400)
    nested = {"vip_subnet_id": SUBNET, "pools": [
        {"name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": [member]}
    ]}  # fmt: skip
    ports = dict(desk.house.world.ports)
    await desk.post(LB, {"loadbalancer": nested}, 400)
    assert desk.house.world.ports == ports
    assert (await desk.get(path))["members"] == []


async def test_no_member_leads_into_the_management_network(desk: Desk) -> None:
    lb = await desk.balancer()
    pool = await desk.pool(loadbalancer_id=lb["id"])
    path = f"/v2/lbaas/pools/{pool['id']}/members"
    port = await desk.house.services.network.management_port("amphora:x", owner="x")
    inside = port.fixed_ips[0].address
    member = {"address": "10.0.0.1", "protocol_port": 80}
    for field in ("address", "monitor_address"):
        fault = await desk.post(path, {"member": {**member, field: inside}}, 400)
        assert field in fault["faultstring"]
        await desk.put(path, {"members": [{**member, field: inside}]}, 400)
    known = (await desk.post(path, {"member": member}, 201))["member"]
    await desk.put(f"{path}/{known['id']}", {"member": {"monitor_address": inside}}, 400)
    nested = {"vip_subnet_id": SUBNET, "pools": [
        {"name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
         "members": [{**member, "address": inside}]}
    ]}  # fmt: skip
    await desk.post(LB, {"loadbalancer": nested}, 400)


async def test_deleting_a_pool_or_listener_takes_what_hangs_below(desk: Desk) -> None:
    fleet = await build(desk)
    await desk.house.settled(fleet.ids["loadbalancer"])
    await desk.delete(fleet.path("listener"))
    await desk.house.settled(fleet.ids["loadbalancer"])
    await desk.get(fleet.path("l7policy"), 404)
    await desk.get(fleet.path("pool"))
    await desk.delete(fleet.path("pool"))
    await desk.house.settled(fleet.ids["loadbalancer"])
    for kind in ("member", "healthmonitor"):
        await desk.get(fleet.path(kind), 404)


async def test_cascade(desk: Desk) -> None:
    fleet = await build(desk)
    path = fleet.path("loadbalancer")
    fault = await desk.delete(path, 400)
    assert "has children" in fault["faultstring"]
    await desk.delete(path + "?cascade=banana", 400)
    await desk.delete(path + "?cascade=true")
    shown = (await desk.get(path))["loadbalancer"]
    assert shown["provisioning_status"] == "PENDING_DELETE"
    assert await desk.house.queue.claim() == fleet.ids["loadbalancer"]
    await desk.house.settled(fleet.ids["loadbalancer"])
    await desk.get(path, 404)
    assert (await desk.get("/v2/lbaas/listeners"))["listeners"] == []


async def test_a_member_of_another_pool_is_unknown(desk: Desk) -> None:
    lb = await desk.balancer()
    one, two = [await desk.pool(loadbalancer_id=lb["id"]) for _ in range(2)]
    member = await desk.member(one["id"])
    wrong = f"/v2/lbaas/pools/{two['id']}/members/{member['id']}"
    assert (await desk.get(wrong, 404))["faultcode"] == "Client"
    await desk.put(wrong, {"member": {"weight": 2}}, 404)
    await desk.delete(wrong, 404)
    nowhere = f"/v2/lbaas/pools/{UNKNOWN}/members"
    for answer in (
        await desk.get(nowhere, 404),
        await desk.get(f"{nowhere}/{member['id']}", 404),
        await desk.put(f"{nowhere}/{member['id']}", {"member": {}}, 404),
        await desk.delete(f"{nowhere}/{member['id']}", 404),
        await desk.post(nowhere, {"member": {"address": "10.0.0.1", "protocol_port": 1}}, 404),
        await desk.put(nowhere, {"members": []}, 404),
    ):
        assert answer == {
            "code": 404, "title": "Not Found", "description": f"Pool {UNKNOWN} not found."
        }  # fmt: skip


async def test_every_write_wakes_the_controller(house: House, desk: Desk) -> None:
    lb = await desk.balancer()
    for write in (
        lambda: desk.listener(lb["id"]),
        lambda: desk.put(f"{LB}/{lb['id']}", {"loadbalancer": {"name": "x"}}),
        lambda: desk.delete(f"{LB}/{lb['id']}?cascade=true"),
    ):
        assert await house.queue.claim() == lb["id"]
        await house.queue.done(lb["id"])
        await write()
    assert await house.queue.claim() == lb["id"]


async def test_ids_are_ids(desk: Desk) -> None:
    assert uuid.UUID((await desk.balancer())["id"]).version == 4


async def test_an_unknown_provider_is_not_enabled(desk: Desk) -> None:
    body = {"loadbalancer": {"vip_subnet_id": SUBNET, "provider": "ovn"}}
    answer = await desk.post(LB, body, 400)
    assert answer["faultstring"] == "Provider 'ovn' is not enabled."
    assert (await desk.balancer(provider="octavia"))["provider"] == "octavia"
    assert (await desk.balancer(provider=None))["provider"] == "amphora"
