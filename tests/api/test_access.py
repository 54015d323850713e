"""Who sees and changes what."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from fairlead.api.policy import Policy
from fairlead.domain.model import KINDS
from tests.api.conftest import LB, SUBNET, Desk, House
from tests.api.test_resources import UNKNOWN, Fleet, build

POLICY = "Policy does not allow this request to be performed."


def reads(fleet: Fleet) -> Iterator[tuple[str, str, Any]]:
    for kind in KINDS:
        yield "GET", fleet.path(kind), None
    for below in ("status", "statuses", "stats"):
        yield "GET", f"{fleet.path('loadbalancer')}/{below}", None
    yield "GET", f"{fleet.path('listener')}/stats", None
    for kind in ("member", "l7rule"):
        yield "GET", fleet.collections[kind], None


def writes(fleet: Fleet) -> Iterator[tuple[str, str, Any]]:
    ids = fleet.ids
    bodies: dict[str, Any] = {
        "listener": {"loadbalancer_id": ids["loadbalancer"], "protocol": "TCP",
                     "protocol_port": 5},
        "pool": {"loadbalancer_id": ids["loadbalancer"], "protocol": "TCP",
                 "lb_algorithm": "SOURCE_IP"},
        "member": {"address": "10.0.0.77", "protocol_port": 1, "subnet_id": SUBNET},
        "l7policy": {"listener_id": ids["listener"], "action": "REJECT"},
        "l7rule": {"type": "PATH", "compare_type": "REGEX", "value": "x"},
    }  # fmt: skip
    for kind, body in bodies.items():
        yield "POST", fleet.collections[kind], {KINDS[kind].wrapper: body}
    yield "PUT", fleet.collections["member"], {"members": [bodies["member"]]}
    yield "PUT", fleet.collections["member"], {"members": []}
    for kind in KINDS:
        yield "PUT", fleet.path(kind), {KINDS[kind].wrapper: {"admin_state_up": False}}
        yield "DELETE", fleet.path(kind), None


@pytest.mark.parametrize("user", ["eve p2 member", "eve p1", "eve p2 reader", "eve p1 stranger"])
async def test_strangers_are_refused_everything(house: House, desk: Desk, user: str) -> None:
    fleet = await build(desk)
    eve = house.desk(user)
    before = await house.store.tree(fleet.ids["loadbalancer"])
    for method, path, body in [*reads(fleet), *writes(fleet)]:
        answer = await eve.call(method, path, body, 403)
        assert answer == {"faultcode": "Client", "faultstring": POLICY, "debuginfo": None}
    assert await house.store.tree(fleet.ids["loadbalancer"]) == before


async def test_readers_read_and_do_not_write(house: House, desk: Desk) -> None:
    fleet = await build(desk)
    reader = house.desk("rita p1 reader")
    for method, path, body in reads(fleet):
        await reader.call(method, path, body)
    for method, path, body in writes(fleet):
        await reader.call(method, path, body, 403)
    await reader.post(LB, {"loadbalancer": {"vip_subnet_id": SUBNET}}, 403)
    assert len((await reader.get(LB))["loadbalancers"]) == 1


async def test_admins_do_everything(desk: Desk, admin: Desk) -> None:
    fleet = await build(desk)
    for method, path, body in reads(fleet):
        await admin.call(method, path, body)
    for kind in KINDS:
        await admin.put(fleet.path(kind), {KINDS[kind].wrapper: {"admin_state_up": False}})


async def test_services_list_members_and_nothing_else(house: House, desk: Desk) -> None:
    fleet = await build(desk)
    nova = house.desk("nova services service")
    members = fleet.collections["member"]
    assert [m["id"] for m in (await nova.get(members))["members"]] == [fleet.ids["member"]]
    for method, path, body in [*reads(fleet), *writes(fleet)]:
        if (method, path) != ("GET", members):
            await nova.call(method, path, body, 403)


async def test_unknown_comes_before_foreign(house: House, desk: Desk) -> None:
    fleet = await build(desk)
    eve = house.desk("eve p2 member")
    for kind in KINDS:
        path = f"{fleet.collections[kind]}/{UNKNOWN}"
        for method, body in (("GET", None), ("PUT", {KINDS[kind].wrapper: {}}), ("DELETE", None)):
            # Below a pool or policy of others, it is that which is foreign.
            nested = kind in ("member", "l7rule") and method != "GET"
            await eve.call(method, path, body, 403 if nested else 404)


async def test_lists_show_the_own_project(house: House, desk: Desk, admin: Desk) -> None:
    mine = await desk.balancer()
    theirs = await house.desk("eve p2 member").balancer()

    async def ids(who: Desk, **query: str) -> set[str]:
        return {lb["id"] for lb in (await who.get(LB, **query))["loadbalancers"]}

    assert await ids(desk) == {mine["id"]}
    assert await ids(desk, project_id="p1") == {mine["id"]}
    assert await ids(admin) == {mine["id"], theirs["id"]}
    assert await ids(admin, tenant_id="p2") == {theirs["id"]}
    await desk.get(LB, 403, project_id="p2")
    await desk.get(LB, 403, tenant_id="p2")
    await house.desk("nobody p1").get(LB, 403)


async def test_only_admins_create_for_another_project(desk: Desk, admin: Desk) -> None:
    body = {"loadbalancer": {"vip_subnet_id": SUBNET, "project_id": "p2"}}
    await desk.post(LB, body, 403)
    assert desk.house.world.ports == {}
    assert (await admin.post(LB, body))["loadbalancer"]["project_id"] == "p2"
    body["loadbalancer"]["project_id"] = "p1"
    assert (await desk.post(LB, body))["loadbalancer"]["project_id"] == "p1"


async def test_without_credentials(house: House) -> None:
    nobody = house.desk("")
    answer = await nobody.call("GET", LB, None, None)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert answer.json()["error"]["code"] == 401
    for path in ("/", "/v2", "/v2.0/lbaas/", "/openapi.json"):
        await nobody.get(path)


@pytest.mark.parametrize("scope", ["system", "domain"])
async def test_without_a_project(house: House, desk: Desk, scope: str) -> None:
    fleet = await build(desk)
    strict, outside = house.desk(f"root {scope} admin"), [*reads(fleet), *writes(fleet)]
    for method, path, body in outside:
        await strict.call(method, path, body, 403)
    services = msgspec.structs.replace(house.services, policy=Policy(scoped=False))
    async with house.serving(services) as client:
        member, admin = (Desk(client, f"x {scope} {role}", house) for role in ("member", "admin"))
        for method, path, body in outside:
            await member.call(method, path, body, 403)
        await member.get(LB, 403)
        assert len((await admin.get(LB))["loadbalancers"]) == 1
        body = {"loadbalancer": {"vip_subnet_id": SUBNET}}
        said = await admin.post(LB, body, 400)
        assert "Missing project ID" in said["faultstring"]
        body["loadbalancer"]["project_id"] = "p1"
        await admin.post(LB, body)
