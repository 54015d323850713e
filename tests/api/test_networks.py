"""The stand-alone network API on the real local driver, in a network namespace of its own."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import create_async_engine

from fairlead.drivers.network_local import NetworkLocal
from tests.api.conftest import LB, Desk, House
from tests.api.test_resources import UNKNOWN
from tests.contract.conftest import own_network

__all__ = ["own_network"]  # a fixture of the network driver's own tests
pytestmark = pytest.mark.root


class Town:
    """The service with local networks, and its users."""

    def __init__(self, house: House, client: Any) -> None:
        self.mary = Desk(client, "mary p1 member", house)
        self.rita = Desk(client, "rita p1 reader", house)
        self.eve = Desk(client, "eve p2 member", house)
        self.root = Desk(client, "root ops admin", house)


@pytest.fixture
async def town(own_network: None, house: House, tmp_path: Path) -> AsyncIterator[Town]:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/network.sqlite")
    driver = NetworkLocal(engine, "a91e58", management_cidr="100.127.0.0/24",
                          default_cidrs=["172.30.0.0/24", "fd00:1::/64"])  # fmt: skip
    try:
        await driver.start()
        services = replace(house.services, network=driver, network_admin=driver)
        async with house.serving(services) as client:
            yield Town(house, client)
    finally:
        await engine.dispose()


async def network(desk: Desk, cidr: str = "10.7.0.0/24", **more: Any) -> tuple[Any, Any]:
    made = (await desk.post("/v2.0/networks", {"network": {"name": "blue"} | more}))["network"]
    body = {"network_id": made["id"], "cidr": cidr, "name": "blue-v4", "ip_version": 4}
    return made, (await desk.post("/v2.0/subnets", {"subnet": body}))["subnet"]


async def test_the_default_network_is_everybodys(town: Town) -> None:
    for desk in (town.mary, town.rita, town.eve, town.root):
        (default,) = (await desk.get("/v2.0/networks"))["networks"]
        assert default["shared"] is True
        subnets = (await desk.get("/v2.0/subnets"))["subnets"]
        assert [s["cidr"] for s in subnets] == ["172.30.0.0/24", "fd00:1::/64"]
        assert [s["ip_version"] for s in subnets] == [4, 6]
        assert default["subnets"] == [s["id"] for s in subnets]
    await town.mary.delete(f"/v2.0/networks/{default['id']}", 403)
    fault = await town.root.delete(f"/v2.0/networks/{default['id']}", 409)
    assert fault["NeutronError"]["type"] == "Conflict"


async def test_networks_are_of_their_project(town: Town) -> None:
    net, subnet = await network(town.mary)
    assert (net["project_id"], net["tenant_id"], net["shared"]) == ("p1", "p1", False)
    assert subnet["network_id"] == net["id"]
    for desk, sees in ((town.mary, True), (town.rita, True), (town.eve, False), (town.root, True)):
        status = 200 if sees else 404
        await desk.get(f"/v2.0/networks/{net['id']}", status)
        await desk.get(f"/v2.0/subnets/{subnet['id']}", status)
        listed = (await desk.get("/v2.0/networks", name="blue"))["networks"]
        assert len(listed) == sees
    for desk, status in ((town.eve, 404), (town.rita, 403)):
        await desk.delete(f"/v2.0/networks/{net['id']}", status)
        await desk.delete(f"/v2.0/subnets/{subnet['id']}", status)
    body = {"subnet": {"network_id": net["id"], "cidr": "10.8.0.0/24"}}
    await town.eve.post("/v2.0/subnets", body, 404)
    await town.eve.post("/v2.0/ports", {"port": {"network_id": net["id"]}}, 404)
    await town.rita.post("/v2.0/networks", {"network": {}}, 403)
    await town.rita.post("/v2.0/ports", {"port": {"network_id": net["id"]}}, 403)
    assert (await town.root.post("/v2.0/subnets", body))["subnet"]["project_id"] == "p1"
    await town.eve.post(LB, {"loadbalancer": {"vip_subnet_id": subnet["id"]}}, 400)
    made = await town.mary.balancer(vip_subnet_id=subnet["id"])
    assert made["vip_network_id"] == net["id"]


async def test_sharing_and_other_projects_need_an_admin(town: Town) -> None:
    for values in ({"shared": True}, {"project_id": "p2"}, {"tenant_id": "p2"}):
        await town.mary.post("/v2.0/networks", {"network": values}, 403)
    net, subnet = await network(town.root, project_id="p9", shared=True)
    assert (net["project_id"], net["shared"], subnet["project_id"]) == ("p9", True, "p9")
    await town.mary.get(f"/v2.0/networks/{net['id']}")
    body = {"subnet": {"network_id": net["id"], "cidr": "10.8.0.0/24"}}
    await town.mary.post("/v2.0/subnets", body, 403)
    port = (await town.mary.post("/v2.0/ports", {"port": {"network_id": net["id"]}}))["port"]
    assert port["project_id"] == "p1"
    assert (await town.eve.get("/v2.0/ports"))["ports"] == []


async def test_ports(town: Town) -> None:
    net, subnet = await network(town.mary)
    wanted = [{"subnet_id": subnet["id"], "ip_address": "10.7.0.9"}]
    body = {"network_id": net["id"], "name": "vip", "fixed_ips": wanted, "admin_state_up": True}
    port = (await town.mary.post("/v2.0/ports", {"port": body}))["port"]
    assert port["fixed_ips"] == wanted
    assert (port["device_id"], port["device_owner"]) == ("", "")
    await town.mary.post("/v2.0/ports", {"port": body}, 409)
    lb = await town.mary.balancer(vip_port_id=port["id"], vip_subnet_id=None)
    shown = (await town.mary.get(f"/v2.0/ports/{port['id']}"))["port"]
    assert (shown["device_id"], shown["device_owner"]) == (lb["id"], "Octavia")
    for path in (f"ports/{port['id']}", f"subnets/{subnet['id']}", f"networks/{net['id']}"):
        await town.mary.delete(f"/v2.0/{path}", 409)
    await town.mary.post(LB, {"loadbalancer": {"vip_port_id": port["id"]}}, 409)


async def test_everything_can_go_again(town: Town) -> None:
    net, subnet = await network(town.mary)
    port = (await town.mary.post("/v2.0/ports", {"port": {"network_id": net["id"]}}))["port"]
    for path in (f"ports/{port['id']}", f"subnets/{subnet['id']}", f"networks/{net['id']}/"):
        await town.mary.delete(f"/v2.0/{path}")
        await town.mary.delete(f"/v2.0/{path}", 404)


async def test_filters_and_fields(town: Town) -> None:
    net, subnet = await network(town.mary)
    found = await town.mary.get("/v2.0/subnets", cidr="10.7.0.0/24", network_id=net["id"])
    assert [s["id"] for s in found["subnets"]] == [subnet["id"]]
    shared = (await town.mary.get("/v2.0/networks", shared="True"))["networks"]
    assert net["id"] not in {n["id"] for n in shared}
    ids = await town.mary.call("GET", "/v2.0/networks?fields=id&name=blue&limit=5")
    assert ids == {"networks": [{"id": net["id"]}], "networks_links": []}
    fault = await town.mary.get("/v2.0/networks", 400, bogus="1")
    assert "bogus" in fault["NeutronError"]["message"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("network", {"bogus": 1}),
        ("network", {"name": 7}),
        ("network", {"name": "x" * 256}),
        ("network", {"admin_state_up": False}),
        ("network", []),
        ("subnet", {}),
        ("subnet", {"network_id": "NET", "cidr": "banana"}),
        ("subnet", {"network_id": "NET", "cidr": ""}),
        ("subnet", {"network_id": "NET", "cidr": "10.7.0.0/25"}),
        ("subnet", {"network_id": "NET", "cidr": "10.9.0.0/24", "ip_version": 6}),
        ("subnet", {"network_id": "NET", "cidr": "10.9.0.0/24", "gateway_ip": "10.10.0.1"}),
        ("subnet", {"network_id": "NET", "cidr": "10.9.0.0/24", "gateway_ip": "x"}),
        ("port", {"network_id": "NET", "fixed_ips": [{"ip_address": "10.99.0.1"}]}),
        ("port", {"network_id": "NET", "fixed_ips": [{"ip_address": "x"}]}),
        ("port", {"network_id": "NET", "fixed_ips": [{"subnet_id": UNKNOWN}]}),
        ("port", {"network_id": "NET", "fixed_ips": [{}, {}]}),
        ("port", {"network_id": "NET", "fixed_ips": "x"}),
        ("port", {"network_id": "NET", "admin_state_up": False}),
    ],
)
async def test_refusals_are_in_neutrons_shape(town: Town, kind: str, body: Any) -> None:
    net, _ = await network(town.mary)
    before = await town.root.get(f"/v2.0/{kind}s")
    given = body | {"network_id": net["id"]} if "network_id" in body else body
    fault = (await town.mary.post(f"/v2.0/{kind}s", {kind: given}, 400))["NeutronError"]
    assert set(fault) == {"type", "message", "detail"}
    assert fault["message"]
    assert await town.root.get(f"/v2.0/{kind}s") == before


async def test_unknown_objects_and_credentials(town: Town) -> None:
    for kind in ("network", "subnet", "port"):
        for object_id in (UNKNOWN, "x", "%00"):
            fault = await town.mary.get(f"/v2.0/{kind}s/{object_id}", 404)
            assert fault["NeutronError"]["type"] == f"{kind.title()}NotFound"
        await Desk(town.mary.client, "", town.mary.house).get(f"/v2.0/{kind}s", 401)
        await Desk(town.mary.client, "x p1", town.mary.house).get(f"/v2.0/{kind}s", 403)
    await town.mary.post("/v2.0/subnets", {"subnet": {"network_id": UNKNOWN, "cidr": "x"}}, 404)
    await town.mary.put(f"/v2.0/networks/{UNKNOWN}", {"network": {}}, 404)


async def test_load_balancers_stay_where_they_are(town: Town) -> None:
    for path in ("/v2.0/lbaas/loadbalancers", "/v2.0/loadbalancers", "/v2/loadbalancers"):
        assert (await town.mary.get(path))["loadbalancers"] == []
    document = await town.mary.get("/openapi.json")
    assert set(document["paths"]["/v2.0/ports"]) == {"get", "post"}
