"""Whole trees: the single-call create, the member batch, status trees, statistics, events."""

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from fairlead.domain.events import Event
from fairlead.domain.observed import Amphora
from fairlead.errors import Conflict, Retryable
from fairlead.wire.heartbeat import Counters
from tests.api.conftest import LB, SUBNET, Desk, House

TREE: dict[str, Any] = {
    "name": "shop",
    "vip_subnet_id": SUBNET,
    "listeners": [
        {
            "name": "front", "protocol": "HTTP", "protocol_port": 80,
            "allowed_cidrs": ["10.0.0.0/8"],
            "default_pool": {"name": "web"},
            "l7policies": [
                {
                    "action": "REDIRECT_TO_POOL",
                    "redirect_pool": {
                        "name": "api", "protocol": "HTTP", "lb_algorithm": "SOURCE_IP",
                    },
                    "rules": [{"type": "PATH", "compare_type": "STARTS_WITH", "value": "/api"}],
                },
            ],
        },
        {"name": "raw", "protocol": "TCP", "protocol_port": 9000},
    ],
    "pools": [
        {
            "name": "web", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
            "members": [
                {"address": "10.0.0.1", "protocol_port": 80},
                {"address": "10.0.0.2", "protocol_port": 80, "subnet_id": SUBNET},
            ],
            "healthmonitor": {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2},
        },
    ],
}  # fmt: skip


async def test_a_whole_tree_in_one_call(desk: Desk) -> None:
    made = (await desk.post(LB, {"loadbalancer": TREE}))["loadbalancer"]
    front, raw = made["listeners"]
    pools = {pool["name"]: pool for pool in made["pools"]}
    assert (front["name"], raw["protocol"]) == ("front", "TCP")
    assert front["default_pool_id"] == pools["web"]["id"]
    policy = front["l7policies"][0]
    assert policy["redirect_pool_id"] == pools["api"]["id"]
    assert policy["rules"][0]["value"] == "/api"
    assert [m["address"] for m in pools["web"]["members"]] == ["10.0.0.1", "10.0.0.2"]
    assert pools["web"]["healthmonitor"]["type"] == "TCP"
    assert pools["api"]["healthmonitor"] is None
    everything = [made, front, raw, policy, *policy["rules"], *pools.values()]
    assert {one["provisioning_status"] for one in everything} == {"PENDING_CREATE"}
    shown = (await desk.get(f"{LB}/{made['id']}"))["loadbalancer"]
    assert {one["id"] for one in shown["pools"]} == {p["id"] for p in pools.values()}


@pytest.mark.parametrize(
    "broken",
    [
        {"listeners": [TREE["listeners"][0]], "pools": []},
        {"pools": [{"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}]},
        {"pools": [{"name": "only-a-name"}]},
        {"pools": TREE["pools"] * 2},
        {"pools": "web"},
        {"pools": [1]},
        {"listeners": {"protocol": "HTTP"}},
        {"listeners": [{"protocol": "HTTP", "protocol_port": 80, "bogus": 1}]},
        {"listeners": [{"protocol": "HTTP", "protocol_port": 80, "default_pool": "web"}]},
        {"listeners": [{"protocol": "HTTP", "protocol_port": 80, "default_pool": {"name": []}}]},
        {"listeners": [{"protocol": "HTTP", "protocol_port": 80, "l7policies": {}}]},
        {"listeners": [{"protocol": "HTTP", "protocol_port": 80, "l7policies": "REJECT"}]},
        {"pools": [TREE["pools"][0] | {"healthmonitor": []}]},
        {"pools": [TREE["pools"][0] | {"healthmonitor": [1]}]},
        {"pools": [TREE["pools"][0] | {"healthmonitor": "TCP"}]},
        {"pools": [TREE["pools"][0] | {"name": []}]},
        {"pools": [TREE["pools"][0] | {"name": {"a": 1}}]},
        {"pools": [TREE["pools"][0] | {"members": {"address": "10.0.0.1"}}]},
        {"listeners": [{"protocol": "HTTP", "protocol_port": 80, "allowed_cidrs": ["::/0"]}]},
    ],
)
async def test_one_broken_part_refuses_all_and_keeps_no_port(desk: Desk, broken: Any) -> None:
    body = {"vip_subnet_id": SUBNET} | broken
    await desk.post(LB, {"loadbalancer": body}, 400)
    assert desk.house.world.ports == {}
    assert (await desk.get(LB))["loadbalancers"] == []


async def test_the_vip_is_given_back_when_storing_fails(house: House, desk: Desk) -> None:
    taken = (await desk.listener((await desk.balancer())["id"]))["id"]
    ports = dict(house.world.ports)
    ids = iter([str(uuid.uuid4()), taken])  # root, listener
    house.services = replace(house.services, new_id=lambda: next(ids))
    async with house.serving(house.services) as client:
        body = {"vip_subnet_id": SUBNET, "listeners": [{"protocol": "TCP", "protocol_port": 1}]}
        await Desk(client, desk.user, house).post(LB, {"loadbalancer": body}, 409)
    assert house.world.ports == ports
    assert len((await desk.get(LB))["loadbalancers"]) == 1


async def test_a_network_that_fails_is_said_and_stores_nothing(house: House, desk: Desk) -> None:
    body = {"loadbalancer": {"vip_subnet_id": SUBNET}}
    house.world.fail("allocate_vip", Conflict("IP address 10.0.0.5 is taken."))
    assert (await desk.post(LB, body, 409))["faultstring"] == "IP address 10.0.0.5 is taken."
    house.world.fail("allocate_vip", Retryable("The network does not answer.", after=2.2))
    answer = await desk.call("POST", LB, body, None)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert answer.json()["faultcode"] == "Server"
    assert (await desk.get(LB))["loadbalancers"] == []


async def test_a_load_balancer_of_too_many_objects_takes_no_address(desk: Desk) -> None:
    members = [{"address": f"10.{n >> 8}.{n & 255}.1", "protocol_port": 1} for n in range(5000)]
    pool = {"name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": members}
    fault = await desk.post(LB, {"loadbalancer": {"vip_subnet_id": SUBNET, "pools": [pool]}}, 400)
    assert "at most 5000 objects" in fault["faultstring"]
    assert desk.house.world.ports == {}
    made = await desk.pool(loadbalancer_id=(await desk.balancer())["id"])
    path = f"/v2/lbaas/pools/{made['id']}/members"
    for wanted in (members, [*members, {}]):
        fault = await desk.put(path, {"members": wanted}, 400)
        assert "at most 5000 objects" in fault["faultstring"]
    assert (await desk.get(path))["members"] == []


async def test_the_batch_replaces_by_address_and_port(desk: Desk) -> None:
    lb = await desk.balancer()
    pool = await desk.pool(loadbalancer_id=lb["id"])
    path = f"/v2/lbaas/pools/{pool['id']}/members"
    kept = await desk.member(pool["id"], "10.0.0.1")
    await desk.member(pool["id"], "10.0.0.2")
    await desk.house.settled(lb["id"])
    wanted = [
        {"address": "10.0.0.1", "protocol_port": 80, "weight": 9},
        {"address": "10.0.0.3", "protocol_port": 80},
    ]
    assert await desk.put(path, {"members": wanted}, 202) is None
    before = {m["address"]: m for m in (await desk.get(path))["members"]}
    assert before["10.0.0.2"]["provisioning_status"] == "PENDING_DELETE"
    await desk.house.settled(lb["id"])
    now = {m["address"]: m for m in (await desk.get(path))["members"]}
    assert set(now) == {"10.0.0.1", "10.0.0.3"}
    assert (now["10.0.0.1"]["id"], now["10.0.0.1"]["weight"]) == (kept["id"], 9)
    more = [{"address": "10.0.0.4", "protocol_port": 80}]
    await desk.put(path + "?additive_only=true", {"members": more}, 202)
    await desk.house.settled(lb["id"])
    assert len((await desk.get(path))["members"]) == 3
    await desk.put(path, {"members": []}, 202)
    await desk.house.settled(lb["id"])
    assert (await desk.get(path))["members"] == []


async def test_a_batch_with_nothing_to_do_changes_no_status(desk: Desk) -> None:
    lb = await desk.balancer()
    pool = await desk.pool(loadbalancer_id=lb["id"])
    await desk.member(pool["id"], "10.0.0.1")
    await desk.house.settled(lb["id"])
    path = f"/v2/lbaas/pools/{pool['id']}/members"
    same = [{"address": "10.0.0.1", "protocol_port": 80}]
    await desk.put(path, {"members": same}, 202)
    assert (await desk.get(f"{LB}/{lb['id']}"))["loadbalancer"]["provisioning_status"] == "ACTIVE"


@pytest.mark.parametrize(
    "members",
    [
        None, {}, "x", 7, [None], [[]], ["x"], [{}], [{"address": "10.0.0.1"}],
        [{"address": "10.0.0.1", "protocol_port": 80}] * 2,
        [{"address": "10.0.0.1", "protocol_port": 80, "pool_id": "x"}],
    ],
)  # fmt: skip
async def test_a_broken_batch_changes_nothing(desk: Desk, members: Any) -> None:
    lb = await desk.balancer()
    pool = await desk.pool(loadbalancer_id=lb["id"])
    path = f"/v2/lbaas/pools/{pool['id']}/members"
    await desk.member(pool["id"], "10.0.0.7")
    await desk.put(path, {"members": members}, 400)
    assert [m["address"] for m in (await desk.get(path))["members"]] == ["10.0.0.7"]


async def test_nothing_is_ever_immutable(desk: Desk) -> None:
    """Ten listeners at once to a load balancer that is still being made: all succeed."""
    lb = await desk.balancer()
    made = await asyncio.gather(*(desk.listener(lb["id"], 8000 + n) for n in range(10)))
    assert len({one["id"] for one in made}) == 10
    pool = await desk.pool(loadbalancer_id=lb["id"])
    changes: list[Any] = [desk.member(pool["id"], f"10.0.1.{n}") for n in range(10)]
    changes += [
        desk.put(f"/v2/lbaas/listeners/{one['id']}", {"listener": {"name": "n"}}) for one in made
    ]
    changes += [desk.put(f"{LB}/{lb['id']}", {"loadbalancer": {"name": "n"}})]
    await asyncio.gather(*changes)
    await asyncio.gather(*(desk.delete(f"/v2/lbaas/listeners/{one['id']}") for one in made))
    tree = await desk.house.store.tree(lb["id"])
    assert (len(tree.listeners), len(tree.members(pool["id"]))) == (0, 10)


async def test_changes_are_accepted_in_error(desk: Desk) -> None:
    lb = await desk.balancer()
    await desk.house.store.give_up(lb["id"], 1, epoch=1)
    path = f"{LB}/{lb['id']}"
    assert (await desk.get(path))["loadbalancer"]["provisioning_status"] == "ERROR"
    await desk.listener(lb["id"])
    status = (await desk.get(path))["loadbalancer"]["provisioning_status"]
    assert status == "PENDING_CREATE"
    await desk.delete(f"{path}?cascade=true")


async def test_the_status_tree(desk: Desk) -> None:
    made = (await desk.post(LB, {"loadbalancer": TREE}))["loadbalancer"]
    await desk.house.settled(made["id"])
    trees = [await desk.get(f"{LB}/{made['id']}/{name}") for name in ("status", "statuses/")]
    assert trees[0] == trees[1]
    root = trees[0]["statuses"]["loadbalancer"]
    assert (root["id"], root["name"]) == (made["id"], "shop")
    front = root["listeners"][0]
    pools = {pool["name"]: pool for pool in front["pools"]}
    assert set(pools) == {"web", "api"}
    assert pools["web"]["health_monitor"]["type"] == "TCP"
    assert "health_monitor" not in pools["api"]
    assert pools["web"]["members"][0]["protocol_port"] == 80
    assert root["listeners"][1]["pools"] == []


async def test_statistics_add_up(house: House, desk: Desk) -> None:
    lb = await desk.balancer()
    one, two = [await desk.listener(lb["id"], port) for port in (80, 81)]
    amphora = Amphora(id=lb["id"], loadbalancer_id=lb["id"], slot=0, role="STANDALONE",
                      status="ALLOCATED", created_at=datetime.now(UTC))  # fmt: skip
    await house.store.put_amphora(amphora)
    await house.store.count({amphora.id: {
        one["id"]: Counters(bytes_in=1, bytes_out=10, total_connections=3),
        two["id"]: Counters(bytes_in=2, active_connections=1, request_errors=4),
    }})  # fmt: skip
    assert (await desk.get(f"/v2/lbaas/listeners/{one['id']}/stats"))["stats"] == {
        "bytes_in": 1, "bytes_out": 10, "active_connections": 0, "total_connections": 3,
        "request_errors": 0,
    }  # fmt: skip
    assert (await desk.get(f"{LB}/{lb['id']}/stats"))["stats"] == {
        "bytes_in": 3, "bytes_out": 10, "active_connections": 1, "total_connections": 3,
        "request_errors": 4,
    }  # fmt: skip


async def test_events_are_for_operators_newest_first(house: House, desk: Desk, admin: Desk) -> None:
    lb = await desk.balancer()
    start = datetime(2026, 3, 4, 5, 6, 7, 890000, tzinfo=UTC)
    await house.store.record([
        Event(loadbalancer_id=lb["id"], generation=n, at=start, step=f"step {n}", outcome="ok",
              took_ms=1.5)
        for n in range(5)
    ])  # fmt: skip
    path = f"/v2/octavia/loadbalancers/{lb['id']}/events"
    await desk.get(path, 403)
    events = (await admin.get(path))["events"]
    assert [e["step"] for e in events] == [f"step {n}" for n in (4, 3, 2, 1, 0)]
    assert events[0]["at"] == "2026-03-04T05:06:07.890+00:00"
    newest = (await admin.get(path.replace("/v2/", "/v2.0/"), limit=2))["events"]
    assert newest == events[:2]
    await admin.get("/v2/octavia/loadbalancers/7/events", 404)
    await admin.get(path, 400, limit="many")
