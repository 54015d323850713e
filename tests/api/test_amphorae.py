"""Amphorae as operators see and handle them; the records are as a controller writes them."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from fairlead.api.openapi_schemas import answer_types
from fairlead.api.selection import filterable
from fairlead.domain.observed import Amphora
from fairlead.plan.planner import amphora_id
from fairlead.wire.heartbeat import Counters
from tests.api.conftest import LB, Desk, House
from tests.api.test_cost import READ, cost

PATH = "/v2/octavia/amphorae"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def record(house: House, lb: Any, incarnation: int = 0, **values: Any) -> Amphora:
    now = house.services.clock.now()
    given: dict[str, Any] = {
        "id": amphora_id(lb["id"], 0, incarnation), "loadbalancer_id": lb["id"], "slot": 0,
        "role": "STANDALONE", "status": "ALLOCATED", "created_at": now,
        "lb_network_ip": "172.30.0.9", "ha_ip": lb["vip_address"], "ha_port_id": lb["vip_port_id"],
        "vrrp_ip": "192.0.2.77", "vrrp_port_id": UNKNOWN,
        "cert_expiration": now + timedelta(days=30),
    }  # fmt: skip
    return Amphora(**{**given, "compute_id": given["id"], **values})


async def recorded(desk: Desk, lb: Any, incarnation: int = 0, **values: Any) -> Amphora:
    made = record(desk.house, lb, incarnation, **values)
    await desk.house.store.put_amphora(made)
    return made


async def incarnation(house: House, lb: Any) -> int:
    return (await house.store.tree(lb["id"])).root.slots[0].incarnation


async def settled(house: House, lb: Any) -> Any:
    await house.settled(lb["id"])
    return lb


@pytest.fixture
async def lb(house: House, desk: Desk) -> Any:
    return await settled(house, await desk.balancer())


async def test_an_amphora_is_shown_with_every_field(admin: Desk, lb: Any) -> None:
    made = await recorded(admin, lb)
    shown = (await admin.get(f"{PATH}/{made.id}"))["amphora"]
    assert shown == {
        "id": made.id, "loadbalancer_id": lb["id"], "compute_id": made.id,
        "lb_network_ip": "172.30.0.9", "vrrp_ip": "192.0.2.77", "ha_ip": lb["vip_address"],
        "vrrp_port_id": UNKNOWN, "ha_port_id": lb["vip_port_id"],
        "cert_expiration": made.cert_expiration.strftime("%Y-%m-%dT%H:%M:%S"), "cert_busy": False,
        "role": "STANDALONE", "status": "ALLOCATED", "vrrp_interface": None, "vrrp_id": None,
        "vrrp_priority": None, "cached_zone": None,
        "created_at": made.created_at.strftime("%Y-%m-%dT%H:%M:%S"), "updated_at": None,
        "image_id": None, "compute_flavor": None,
    }  # fmt: skip
    msgspec.convert(shown, answer_types()["amphora"])
    assert set(shown) == set(answer_types()["amphora"].__struct_fields__)
    assert await admin.get(f"{PATH}/{made.id}", fields="role") == {
        "amphora": {"role": "STANDALONE"}
    }
    assert await admin.get(PATH) == {"amphorae": [shown], "amphorae_links": []}
    await admin.get(f"{PATH}/{UNKNOWN}", 404)
    await admin.get(f"{PATH}/bogus", 404)


@pytest.mark.parametrize("name", filterable("amphora"))
async def test_every_field_filters(admin: Desk, lb: Any, name: str) -> None:
    mine = await recorded(admin, lb, vrrp_id=3, vrrp_interface="eth1")
    other = await admin.balancer()
    later = mine.created_at + timedelta(days=1)
    theirs = await recorded(
        admin, other, role="MASTER", status="BOOTING", lb_network_ip="172.30.0.10",
        vrrp_ip="192.0.2.78", vrrp_port_id=lb["id"], cert_busy=True, vrrp_id=4,
        vrrp_interface="eth2", vrrp_priority=9, cached_zone="z", image_id=UNKNOWN,
        compute_flavor="m1", created_at=later, updated_at=later, cert_expiration=later,
    )  # fmt: skip
    shown = (await admin.get(f"{PATH}/{theirs.id}"))["amphora"]
    found = (await admin.get(f"{PATH}?{name}={shown[name]}"))["amphorae"]
    assert [one["id"] for one in found] == [theirs.id]
    for direction, expected in (("asc", [mine.id, theirs.id]), ("desc", [theirs.id, mine.id])):
        listed = (await admin.get(PATH, sort=f"created_at:{direction}"))["amphorae"]
        assert [one["id"] for one in listed] == expected
    assert len((await admin.get(PATH, sort=f"{name}:desc"))["amphorae"]) == 2


async def test_lists_are_narrowed_to_the_owner_of_the_load_balancer(admin: Desk, lb: Any) -> None:
    mine = await recorded(admin, lb)
    await recorded(admin, await admin.balancer())
    for name in ("project_id", "tenant_id"):
        found = (await admin.get(PATH, **{name: "p1"}))["amphorae"]
        assert [one["id"] for one in found] == [mine.id]
    for wrong in ({"colour": "red"}, {"tags": "a"}, {"provisioning_status": "ACTIVE"},
                  {"sort": "slot"}, {"marker": UNKNOWN}):  # fmt: skip
        await admin.get(PATH, 400, **wrong)


async def test_pages(admin: Desk, house: House) -> None:
    made = [await recorded(admin, await admin.balancer()) for _ in range(5)]
    ids = [one.id for one in made]
    first = await admin.get(PATH, limit=2)
    assert [one["id"] for one in first["amphorae"]] == ids[:2]
    after = next(link["href"] for link in first["amphorae_links"] if link["rel"] == "next")
    second = await admin.get(after.removeprefix("http://fairlead.test"))
    assert [one["id"] for one in second["amphorae"]] == ids[2:4]
    before = next(link["href"] for link in second["amphorae_links"] if link["rel"] == "previous")
    assert (await admin.get(before.removeprefix("http://fairlead.test")))["amphorae"] == (
        first["amphorae"]
    )


async def test_the_cost_of_a_list_does_not_grow(admin: Desk, lb: Any) -> None:
    await recorded(admin, lb)
    small = await cost(admin, "GET", f"{PATH}?sort=status")
    for _ in range(20):
        await recorded(admin, await admin.balancer())
    assert await cost(admin, "GET", f"{PATH}?sort=status") == small <= READ


async def test_statistics_have_a_row_for_each_listener(admin: Desk, house: House, lb: Any) -> None:
    made = await recorded(admin, lb)
    listeners = sorted([(await admin.listener(lb["id"], port))["id"] for port in (80, 81)])
    counted = {one: Counters(bytes_in=n, total_connections=2) for n, one in enumerate(listeners)}
    assert await admin.get(f"{PATH}/{made.id}/stats") == {"amphora_stats": []}
    await house.store.count({made.id: counted})
    rows = (await admin.get(f"{PATH}/{made.id}/stats"))["amphora_stats"]
    assert rows == [
        {"id": made.id, "loadbalancer_id": lb["id"], "listener_id": one, "bytes_in": n,
         "bytes_out": 0, "active_connections": 0, "total_connections": 2, "request_errors": 0}
        for n, one in enumerate(listeners)
    ]  # fmt: skip
    await admin.get(f"{PATH}/{UNKNOWN}/stats", 404)


async def test_totals_stay_when_the_amphora_goes(admin: Desk, house: House, lb: Any) -> None:
    listener = (await admin.listener(lb["id"]))["id"]
    old = await recorded(admin, lb)
    counters = Counters(bytes_in=7, bytes_out=8, total_connections=3, active_connections=2)
    await house.store.count({old.id: {listener: counters}})
    new = await recorded(admin, lb, 1)
    await house.store.count({new.id: {listener: Counters(bytes_in=1, total_connections=1)}})
    await house.store.drop_amphora(old.id)
    for path in (f"{LB}/{lb['id']}/stats", f"/v2/lbaas/listeners/{listener}/stats"):
        assert (await admin.get(path))["stats"] == {
            "bytes_in": 8, "bytes_out": 8, "total_connections": 4, "active_connections": 0,
            "request_errors": 0,
        }  # fmt: skip


async def test_failing_over_a_load_balancer(admin: Desk, house: House, lb: Any) -> None:
    path = f"{LB}/{lb['id']}/failover"
    answer = await admin.call("PUT", path, status=None)
    assert (answer.status_code, answer.content) == (202, b"")
    assert await house.queue.claim() == lb["id"]
    shown = (await admin.get(f"{LB}/{lb['id']}"))["loadbalancer"]
    assert shown["provisioning_status"] == "PENDING_UPDATE"
    assert "slots" not in shown
    await admin.put(path, None, 202)
    assert await incarnation(house, lb) == 1, "what is under way is not begun once more"
    await admin.put(f"{LB}/{UNKNOWN}/failover", None, 404)


async def test_failing_over_what_is_pending_or_failed(admin: Desk, house: House) -> None:
    new = await admin.balancer()
    await admin.put(f"{LB}/{new['id']}/failover", None, 202)
    assert await incarnation(house, new) == 0, "the first amphora is being made"
    await house.store.give_up(new["id"], 1, 1)
    await admin.put(f"{LB}/{new['id']}/failover", None, 202)
    assert await incarnation(house, new) == 1


async def test_failing_over_an_amphora(admin: Desk, house: House, lb: Any) -> None:
    old = await recorded(admin, lb)
    for _ in range(2):
        await admin.put(f"{PATH}/{old.id}/failover", None, 202)
        await house.settled(lb["id"])
        assert await incarnation(house, lb) == 1, "the old one is being replaced already"
    new = await recorded(admin, lb, 1)
    await admin.put(f"{PATH}/{new.id}/failover", None, 202)
    assert await incarnation(house, lb) == 2
    await admin.put(f"{PATH}/{UNKNOWN}/failover", None, 404)


async def test_configuring_an_amphora_anew(admin: Desk, house: House, lb: Any) -> None:
    made = await recorded(admin, lb)
    before = await house.store.tree(lb["id"])
    answer = await admin.call("PUT", f"{PATH}/{made.id}/config", status=None)
    assert (answer.status_code, answer.content) == (202, b"")
    after = await house.store.tree(lb["id"])
    assert after.generation == before.generation + 1
    assert after.root.slots[0].pushes == 1
    await admin.put(f"{PATH}/{UNKNOWN}/config", None, 404)


async def test_an_amphora_in_use_is_not_deleted(admin: Desk, house: House, lb: Any) -> None:
    old = await recorded(admin, lb)
    path = f"{PATH}/{old.id}"
    said = await admin.call("DELETE", path, status=409)
    assert said["faultstring"].startswith(f"Amphora {old.id} is in use by Load Balancer")
    await admin.put(f"{LB}/{lb['id']}/failover", None, 202)
    new = await recorded(admin, lb, 1, status="BOOTING")
    await admin.delete(path, 409)
    await recorded(admin, lb, 1)
    await admin.delete(path)
    await admin.delete(f"{PATH}/{new.id}", 409)
    await admin.delete(f"{PATH}/{UNKNOWN}", 404)


async def test_only_operators_see_and_handle_amphorae(desk: Desk, house: House, lb: Any) -> None:
    made = await recorded(desk, lb)
    requests = [("GET", PATH), ("GET", f"{PATH}/{made.id}"), ("GET", f"{PATH}/{made.id}/stats"),
                ("PUT", f"{PATH}/{made.id}/config"), ("PUT", f"{PATH}/{made.id}/failover"),
                ("DELETE", f"{PATH}/{made.id}"), ("GET", f"{PATH}/{UNKNOWN}"),
                ("PUT", f"{LB}/{lb['id']}/failover")]  # fmt: skip
    before = await house.store.tree(lb["id"])
    for method, path in requests:
        await desk.call(method, path, status=403)
    assert await house.store.tree(lb["id"]) == before
