"""Quotas: how they are set, and that nothing passes them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from fairlead.domain.quota import Quota
from fairlead.store import SqlStore
from tests.api.conftest import LB, SUBNET, Desk, House, Names
from tests.api.test_resources import build

QUOTAS = "/v2/lbaas/quotas"
KINDS = ("loadbalancer", "listener", "pool", "member", "healthmonitor", "l7policy", "l7rule")
NONE = dict.fromkeys((*KINDS, "load_balancer", "health_monitor"), -1)


def met(*words: str) -> str:
    return f"Quota has been met for resources: {', '.join(words)}"


async def limit(admin: Desk, project: str = "p1", **limits: int | None) -> Any:
    return (await admin.put(f"{QUOTAS}/{project}", {"quota": limits}, 202))["quota"]


async def test_a_quota_lives_its_life(admin: Desk) -> None:
    one = f"{QUOTAS}/p1"
    assert (await admin.get(one))["quota"] == NONE
    assert (await admin.get(QUOTAS)) == {"quotas": [], "quotas_links": []}
    changed = await limit(admin, load_balancer=3, pool=0)
    assert changed == NONE | {"loadbalancer": 3, "load_balancer": 3, "pool": 0}
    changed = await limit(admin, health_monitor=1, loadbalancer=4, pool=None)
    assert changed == NONE | {
        "loadbalancer": 4, "load_balancer": 4, "healthmonitor": 1, "health_monitor": 1,
    }  # fmt: skip
    assert (await admin.get(one))["quota"] == changed
    listed = (await admin.get(QUOTAS))["quotas"]
    assert listed == [changed | {"project_id": "p1", "tenant_id": "p1"}]
    assert (await admin.get(f"{one}/default"))["quota"] == NONE
    assert await admin.delete(one, 202) is None
    assert (await admin.get(one))["quota"] == NONE
    assert await admin.delete(one, 202) is None


async def test_the_defaults_are_found_where_clients_look(house: House, admin: Desk) -> None:
    assert (await admin.get(f"{QUOTAS}/defaults"))["quota"] == NONE
    mary = house.desk("mary p1 reader")
    await mary.get(f"{QUOTAS}/defaults", 403)
    assert (await mary.get(f"{QUOTAS}/p1/default"))["quota"] == NONE
    for method, body in (("PUT", {"quota": {"pool": 1}}), ("DELETE", None)):
        await admin.call(method, f"{QUOTAS}/defaults", body, 404)
        await admin.call(method, f"{QUOTAS}/{'p' * 37}", body, 404)


async def test_projects_see_their_own_and_operators_set_them(house: House, admin: Desk) -> None:
    await limit(admin, "p1", pool=1)
    await limit(admin, "p2", pool=2)
    mary, eve = house.desk("mary p1 member"), house.desk("eve p2")
    assert (await mary.get(f"{QUOTAS}/p1"))["quota"]["pool"] == 1
    assert [q["project_id"] for q in (await mary.get(QUOTAS))["quotas"]] == ["p1"]
    assert len((await admin.get(QUOTAS))["quotas"]) == 2
    assert [q["pool"] for q in (await admin.get(QUOTAS, project_id="p2"))["quotas"]] == [2]
    for foreign in (f"{QUOTAS}/p2", f"{QUOTAS}/p2/default"):
        await mary.get(foreign, 403)
    await mary.get(QUOTAS, 403, project_id="p2")
    await eve.get(QUOTAS, 403)
    await mary.put(f"{QUOTAS}/p1", {"quota": {"pool": 9}}, 403)
    await mary.delete(f"{QUOTAS}/p1", 403)
    assert (await mary.get(f"{QUOTAS}/p1"))["quota"]["pool"] == 1


async def test_lists_page_by_project(admin: Desk) -> None:
    for project in ("c", "a", "b"):
        await limit(admin, project, pool=1)
    first = await admin.get(QUOTAS, limit=2, fields="project_id")
    assert first["quotas"] == [{"project_id": "a"}, {"project_id": "b"}]
    (onward,) = first["quotas_links"]
    rest = (await admin.get(onward["href"]))["quotas"]
    assert rest == [{"project_id": "c"}]
    for bad in ({"sort": "color"}, {"color": "red"}, {"marker": "nobody"}):
        await admin.get(QUOTAS, 400, **bad)


@pytest.mark.parametrize(
    ("quota", "words"),
    [
        ({"pools": 1}, "Unknown attribute for argument quotas.quota: pools"),
        ({"project_id": "p2"}, "Unknown attribute"),
        ({"pool": -2}, "Invalid input for field/attribute pool. Value: '-2'"),
        ({"pool": 2000000001}, "Invalid input for field/attribute pool"),
        ({"pool": "many"}, "Invalid input for field/attribute pool"),
        ({"load_balancer": 1, "loadbalancer": 2}, "should be the same"),
        ([], "Value should be an object."),
    ],
)
async def test_wrong_quotas_are_refused_by_name(admin: Desk, quota: Any, words: str) -> None:
    fault = await admin.put(f"{QUOTAS}/p1", {"quota": quota}, 400)
    assert words in fault["faultstring"]
    assert (await admin.get(f"{QUOTAS}/p1"))["quota"] == NONE


async def test_every_kind_is_bounded(desk: Desk, admin: Desk) -> None:
    fleet = await build(desk)
    ids = fleet.ids
    bodies: dict[str, tuple[str, Any]] = {
        "Load Balancer": (LB, {"loadbalancer": {"vip_subnet_id": SUBNET}}),
        "Listener": ("/v2/lbaas/listeners", {"listener": {
            "loadbalancer_id": ids["loadbalancer"], "protocol": "TCP", "protocol_port": 5}}),
        "Pool": ("/v2/lbaas/pools", {"pool": {
            "loadbalancer_id": ids["loadbalancer"], "protocol": "TCP",
            "lb_algorithm": "SOURCE_IP"}}),
        "Member": (fleet.collections["member"], {"member": {
            "address": "10.9.9.9", "protocol_port": 1}}),
        "L7Policy": ("/v2/lbaas/l7policies", {"l7policy": {
            "listener_id": ids["listener"], "action": "REJECT"}}),
        "L7Rule": (fleet.collections["l7rule"], {"rule": {
            "type": "PATH", "compare_type": "REGEX", "value": "x"}}),
    }  # fmt: skip
    await limit(admin, **dict.fromkeys(KINDS, 1))
    before = await desk.house.store.tree(ids["loadbalancer"])
    for word, (path, body) in bodies.items():
        fault = await desk.post(path, body, 403)
        assert fault == {"faultcode": "Client", "faultstring": met(word), "debuginfo": None}
    assert await desk.house.store.tree(ids["loadbalancer"]) == before
    await limit(admin, **(dict.fromkeys(KINDS, 2) | {"healthmonitor": 1}))
    for path, body in bodies.values():
        await desk.post(path, body)
    pools = (await desk.get("/v2/lbaas/pools"))["pools"]
    free = next(p["id"] for p in pools if p["healthmonitor_id"] is None)
    monitor = {"pool_id": free, "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2}
    fault = await desk.post("/v2/lbaas/healthmonitors", {"healthmonitor": monitor}, 403)
    assert fault["faultstring"] == met("Health Monitor")


async def test_changes_are_never_too_much(desk: Desk, admin: Desk) -> None:
    fleet = await build(desk)
    await limit(admin, **dict.fromkeys(KINDS, 0))
    await desk.put(fleet.path("pool"), {"pool": {"name": "new"}})
    await desk.put(fleet.collections["member"], {"members": []}, 202)
    await desk.delete(fleet.path("l7rule"))


async def test_a_batch_counts_by_what_it_adds(desk: Desk, admin: Desk) -> None:
    pool = (await desk.pool(loadbalancer_id=(await desk.balancer())["id"]))["id"]
    await limit(admin, member=2)
    path = f"/v2/lbaas/pools/{pool}/members"

    async def put(*hosts: int, status: int = 202, more: str = "") -> Any:
        members = [{"address": f"10.0.0.{n}", "protocol_port": 80} for n in hosts]
        return await desk.put(path + more, {"members": members}, status)

    assert (await put(1, 2, 3, status=403))["faultstring"] == met("Member")
    assert (await desk.get(path))["members"] == []
    await put(1, 2)
    await put(3, 4)
    await put(4, 5, status=403, more="?additive_only=true")
    await put(4, 5)
    live = [m["address"] for m in (await desk.get(path))["members"]
            if m["provisioning_status"] != "PENDING_DELETE"]  # fmt: skip
    assert live == ["10.0.0.4", "10.0.0.5"]


async def test_a_tree_in_one_request_is_counted_whole(desk: Desk, admin: Desk) -> None:
    member = {"address": "10.0.0.1", "protocol_port": 80}
    pool = {
        "name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
        "members": [member, member | {"protocol_port": 81}],
    }  # fmt: skip
    listener = {"protocol": "HTTP", "protocol_port": 80, "default_pool": {"name": "p"}}
    body = {"loadbalancer": {"vip_subnet_id": SUBNET, "pools": [pool], "listeners": [listener]}}
    await limit(admin, member=1, listener=0, pool=5)
    fault = await desk.post(LB, body, 403)
    assert fault["faultstring"] == met("Listener", "Member")
    assert (await desk.get(LB))["loadbalancers"] == []
    await limit(admin, member=2, listener=1)
    await desk.post(LB, body)


async def test_a_load_balancer_counts_until_it_is_gone(desk: Desk, admin: Desk) -> None:
    await limit(admin, loadbalancer=1)
    lb = await desk.balancer()
    body = {"loadbalancer": {"vip_subnet_id": SUBNET}}
    await desk.delete(f"{LB}/{lb['id']}")
    assert (await desk.post(LB, body, 403))["faultstring"] == met("Load Balancer")
    await desk.house.settled(lb["id"])
    await desk.post(LB, body)


async def test_what_was_asked_to_go_makes_room_at_once(desk: Desk, admin: Desk) -> None:
    lb = await desk.balancer()
    await limit(admin, pool=1)
    pool = await desk.pool(loadbalancer_id=lb["id"])
    await desk.delete(f"/v2/lbaas/pools/{pool['id']}")
    await desk.pool(loadbalancer_id=lb["id"])


async def test_operators_are_bounded_by_the_project_they_act_for(admin: Desk) -> None:
    await limit(admin, "p1", loadbalancer=0)
    body = {"loadbalancer": {"vip_subnet_id": SUBNET, "project_id": "p1"}}
    assert (await admin.post(LB, body, 403))["faultstring"] == met("Load Balancer")
    await admin.balancer()


async def test_requests_that_meet_cannot_pass_together(house: House, admin: Desk) -> None:
    """Of many projects' trees at once, and of one project's many trees."""
    await limit(admin, loadbalancer=3, pool=4)
    mary = house.desk("mary p1 member")
    body = {"loadbalancer": {"vip_subnet_id": SUBNET}}
    answers = await asyncio.gather(*(mary.call("POST", LB, body, None) for _ in range(8)))
    assert sorted(a.status_code for a in answers) == [201] * 3 + [403] * 5
    lbs = [a.json()["loadbalancer"]["id"] for a in answers if a.status_code == 201]
    asked = [
        {"pool": {"loadbalancer_id": lb, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}}
        for lb in lbs * 3
    ]
    answers = await asyncio.gather(
        *(mary.call("POST", "/v2/lbaas/pools", one, None) for one in asked)
    )
    assert sorted(a.status_code for a in answers) == [201] * 4 + [403] * 5


@pytest.fixture
async def tight(tmp_path: Path) -> AsyncIterator[SqlStore]:
    """A store whose projects may have little by default."""
    store = SqlStore(f"sqlite+aiosqlite:///{tmp_path}/tight", quota=Quota(loadbalancer=1))
    await store.start()
    yield store
    await store.close()


async def test_defaults_hold_for_projects_that_set_nothing(tight: SqlStore) -> None:
    house = House(tight)
    mary, admin = house.desk("mary p1 member"), house.desk("root ops admin")
    assert (await mary.get(f"{QUOTAS}/p1"))["quota"]["loadbalancer"] == 1
    assert (await admin.get(f"{QUOTAS}/defaults"))["quota"]["load_balancer"] == 1
    await mary.balancer()
    body = {"loadbalancer": {"vip_subnet_id": SUBNET}}
    await mary.post(LB, body, 403)
    await limit(admin, loadbalancer=-1)
    await mary.post(LB, body)
    await limit(admin, loadbalancer=None)
    await mary.post(LB, body, 403)
    await house.client.aclose()


async def test_nobody_is_bounded_where_nobody_is_known(tmp_path: Path) -> None:
    """As with auth_strategy noauth."""
    store = SqlStore(
        f"sqlite+aiosqlite:///{tmp_path}/open", quota=Quota(loadbalancer=0), keeps_quotas=False
    )
    await store.start()
    house = House(store)
    await house.desk("mary p1 member").balancer()
    await house.client.aclose()
    await store.close()


async def test_a_project_is_its_id_where_no_keystone_knows_it(
    house: House, desk: Desk, admin: Desk
) -> None:
    shown = (await desk.get("/projects/p1"))["project"]
    assert (shown["id"], shown["name"], shown["enabled"]) == ("p1", "p1", True)
    await desk.get("/projects/p2", 403)
    assert (await admin.get("/projects/new"))["project"]["id"] == "new"
    await admin.get(f"/projects/{'x' * 37}", 404)


async def test_with_keystone_projects_are_its_own(house: House) -> None:
    class Tokens(Names):
        own_projects = False

    client = house.serving(replace(house.services, authenticator=Tokens()))
    async with client:
        answer = await client.get("/projects/p1", headers={"x-test-user": "root ops admin"})
    assert answer.status_code == 404
