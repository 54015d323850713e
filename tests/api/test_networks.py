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
        ("port", {"network_id": "NET", "security_groups": [UNKNOWN]}),
        ("port", {"network_id": "NET", "binding:vnic_type": "direct"}),
        ("network", {"router:external": True}),
        ("network", {"description": "x" * 256}),
        ("subnet", {"network_id": "NET", "cidr": "10.9.0.0/24", "allocation_pools": [{}]}),
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


async def test_names_descriptions_and_gateways_change(town: Town) -> None:
    net, subnet = await network(town.mary, description="first")
    assert net["description"] == "first"
    path = f"/v2.0/networks/{net['id']}"
    given = {"name": "azure", "description": "changed", "admin_state_up": True}
    changed = (await town.mary.put(path, {"network": given}))["network"]
    assert changed == net | {"subnets": [subnet["id"]], **given}
    assert (await town.mary.get(path))["network"] == changed
    path = f"/v2.0/subnets/{subnet['id']}"
    given = {"name": "s", "description": "d", "gateway_ip": "10.7.0.254", "enable_dhcp": False,
             "dns_nameservers": ["9.9.9.9"]}  # fmt: skip
    changed = (await town.mary.put(path, {"subnet": given}))["subnet"]
    assert changed == subnet | given
    assert (await town.mary.put(path, {"subnet": {"gateway_ip": None}}))["subnet"] == (
        changed | {"gateway_ip": None}
    )
    port = await town.mary.post("/v2.0/ports", {"port": {"network_id": net["id"]}})
    path = f"/v2.0/ports/{port['port']['id']}"
    given = {"name": "p", "description": "d", "security_groups": []}
    assert (await town.mary.put(path, {"port": given}))["port"] == port["port"] | given


async def test_changes_are_refused_by_name(town: Town) -> None:
    net, subnet = await network(town.mary)
    fixed = {"network_id": net["id"], "fixed_ips": [{"ip_address": "10.7.0.9"}]}
    port = (await town.mary.post("/v2.0/ports", {"port": fixed}))["port"]
    lb = await town.mary.balancer(vip_subnet_id=subnet["id"])
    (default,) = (await town.root.get("/v2.0/networks", shared="true"))["networks"]
    rows: list[tuple[str, str, dict[str, Any], int]] = [
        ("network", net["id"], {"bogus": 1}, 400),
        ("network", net["id"], {"admin_state_up": False}, 400),
        ("network", net["id"], {"router:external": True}, 400),
        ("network", net["id"], {"shared": True}, 403),
        ("subnet", subnet["id"], {"cidr": "10.8.0.0/24"}, 400),
        ("subnet", subnet["id"], {"gateway_ip": "10.8.0.1"}, 400),
        ("subnet", subnet["id"], {"gateway_ip": "x"}, 400),
        ("subnet", subnet["id"], {"gateway_ip": "10.7.0.9"}, 409),
        ("port", port["id"], {"fixed_ips": []}, 400),
        ("port", port["id"], {"security_groups": [UNKNOWN]}, 400),
        ("port", port["id"], {"port_security_enabled": True}, 400),
        ("port", lb["vip_port_id"], {"name": "mine"}, 409),
        ("network", UNKNOWN, {"name": "x"}, 404),
        ("network", default["id"], {"name": "x"}, 403),
    ]
    for kind, object_id, values, status in rows:
        path = f"/v2.0/{kind}s/{object_id}"
        fault = await town.mary.put(path, {kind: values}, status)
        named = next(iter(values)) in fault["NeutronError"]["message"]
        assert named or status in (403, 404, 409), fault
        await town.eve.put(path, {kind: {}}, 403 if object_id == default["id"] else 404)
        await town.rita.put(path, {kind: {}}, 404 if object_id == UNKNOWN else 403)
    for kind, object_id, values in (
        ("network", default["id"], {"shared": False}),
        ("subnet", default["subnets"][0], {"gateway_ip": None}),
    ):
        await town.root.put(f"/v2.0/{kind}s/{object_id}", {kind: values}, 409)
    assert (await town.mary.get(f"/v2.0/subnets/{subnet['id']}"))["subnet"] == subnet


async def test_sharing_ends_when_nobody_else_is_there(town: Town) -> None:
    net, _ = await network(town.mary)
    path = f"/v2.0/networks/{net['id']}"
    await town.root.put(path, {"network": {"shared": True}})
    port = await town.eve.post("/v2.0/ports", {"port": {"network_id": net["id"]}})
    await town.root.put(path, {"network": {"shared": False}}, 409)
    await town.eve.delete(f"/v2.0/ports/{port['port']['id']}")
    await town.root.put(path, {"network": {"shared": False}})
    await town.eve.get(path, 404)


async def test_tags(town: Town) -> None:
    net, subnet = await network(town.mary)
    port = (await town.mary.post("/v2.0/ports", {"port": {"network_id": net["id"]}}))["port"]
    for kind, one in (("network", net), ("subnet", subnet), ("port", port)):
        assert one["tags"] == []
        path = f"/v2.0/{kind}s/{one['id']}/tags"
        assert await town.mary.put(path, {"tags": ["a", "b", "a"]}) == {"tags": ["a", "b"]}
        assert await town.mary.get(path) == {"tags": ["a", "b"]}
        shown = await town.mary.get(f"/v2.0/{kind}s/{one['id']}")
        assert shown[kind]["tags"] == ["a", "b"]
        for query, found in (
            ("tags=a,b", 1), ("tags=a,c", 0), ("tags-any=b,c", 1), ("not-tags=a,b", 0),
            ("not-tags=a,c", 1), ("not-tags-any=b,c", 0), ("not-tags-any=c", 1),
        ):  # fmt: skip
            rows = (await town.mary.get(f"/v2.0/{kind}s?{query}&id={one['id']}"))[f"{kind}s"]
            assert len(rows) == found, query
        await town.mary.put(path, {"tags": ["x" * 61]}, 400)
        await town.mary.put(path, {"tags": "x"}, 400)
        await town.rita.put(path, {"tags": []}, 403)
        await town.eve.get(path, 404)
        assert await town.mary.put(f"{path}/c", None, 201) is None
        await town.mary.get(f"{path}/c", 204)
        await town.mary.delete(f"{path}/a")
        await town.mary.delete(f"{path}/a", 404)
        await town.mary.get(f"{path}/a", 404)
        assert await town.mary.get(path) == {"tags": ["b", "c"]}
        await town.mary.put(f"{path}/{'x' * 61}", None, 400)
        await town.rita.put(f"{path}/d", None, 403)
        await town.mary.delete(path)
        assert await town.mary.get(path) == {"tags": []}


async def test_ports_are_found_by_address(town: Town) -> None:
    net, subnet = await network(town.mary)
    body = {"network_id": net["id"], "cidr": "fd00:7::/64"}
    six = (await town.mary.post("/v2.0/subnets", {"subnet": body}))["subnet"]
    ports = {}
    for name, where in {
        "both": [{"subnet_id": subnet["id"], "ip_address": "10.7.0.9"}, {"subnet_id": six["id"]}],
        "four": [{"ip_address": "10.7.0.10"}],
        "six": [{"subnet_id": six["id"], "ip_address": "fd00:7::9"}],
    }.items():
        given = {"network_id": net["id"], "name": name, "fixed_ips": where}
        ports[name] = (await town.mary.post("/v2.0/ports", {"port": given}))["port"]
    assert [ip["subnet_id"] for ip in ports["both"]["fixed_ips"]] == [subnet["id"], six["id"]]

    async def found(query: str) -> set[str]:
        rows = (await town.mary.get(f"/v2.0/ports?{query}"))["ports"]
        return {row["name"] for row in rows}

    of_subnet, of_six = (f"fixed_ips=subnet_id={one['id']}" for one in (subnet, six))
    assert await found("fixed_ips=ip_address=10.7.0.9") == {"both"}
    assert await found(f"fixed_ips=ip_address=10.7.0.9&{of_subnet}") == {"both"}
    assert await found(f"fixed_ips=ip_address=10.7.0.9&{of_six}") == set()
    assert await found("fixed_ips=ip_address=10.7.0.9&fixed_ips=ip_address=fd00:7::9") == {
        "both", "six",
    }  # fmt: skip
    assert await found(of_six) == {"both", "six"}
    assert await found(f"id={ports['four']['id']}&id={ports['six']['id']}") == {"four", "six"}
    assert await found(f"network_id={net['id']}&name=four") == {"four"}
    assert await found("name=FOUR") == set()
    assert await found("device_id=") == {"both", "four", "six"}
    assert await found("project_id=p2") == set()
    for bad in ("fixed_ips=10.7.0.9", "fixed_ips=mac=x", "tags-all=x", "subnets=x", "bogus=1"):
        await town.mary.get(f"/v2.0/ports?{bad}", 400)


async def test_order_and_pages(town: Town) -> None:
    for name in ("d", "a", "c", "b"):
        await town.mary.post("/v2.0/networks", {"network": {"name": name, "description": "x"}})
    mine = "/v2.0/networks?description=x"

    async def listed(query: str) -> list[str]:
        return [row["name"] for row in (await town.mary.get(f"{mine}&{query}"))["networks"]]

    assert await listed("") == ["d", "a", "c", "b"]
    assert await listed("sort_key=name") == ["a", "b", "c", "d"]
    assert await listed("sort_key=name&sort_dir=desc") == ["d", "c", "b", "a"]
    assert await listed("sort_key=status&sort_key=name&sort_dir=asc&sort_dir=desc") == (
        ["d", "c", "b", "a"]
    )
    pages, at = [], f"{mine}&sort_key=name&limit=3"
    while at:
        answer = await town.mary.get(at)
        pages.append([row["name"] for row in answer["networks"]])
        links = {link["rel"]: link["href"] for link in answer["networks_links"]}
        at = links.get("next", "")
    assert pages == [["a", "b", "c"], ["d"]]
    back = await town.mary.get(links["previous"])
    assert [row["name"] for row in back["networks"]] == ["a", "b", "c"]
    for bad in ("limit=x", "limit=-1", "sort_key=bogus", "sort_key=name&sort_dir=up",
                "sort_dir=asc", "sort_key=subnets"):  # fmt: skip
        await town.mary.get(f"{mine}&{bad}", 400)
    await town.mary.get(f"{mine}&marker={UNKNOWN}", 404)


async def test_what_is_not_here_is_answered_truthfully(town: Town) -> None:
    found = (await town.mary.get("/v2.0/extensions"))["extensions"]
    aliases = {one["alias"] for one in found}
    assert "standard-attr-tag" in aliases
    assert not aliases & {"router", "security-group", "qos", "quotas", "external-net"}
    for alias, status in (("sorting", 200), ("qos", 404)):
        await town.mary.get(f"/v2.0/extensions/{alias}", status)
    for path, key in (
        ("floatingips", "floatingips"), ("routers", "routers"), ("qos/policies", "policies"),
        ("security-groups", "security_groups"), ("availability_zones", "availability_zones"),
    ):  # fmt: skip
        assert await town.mary.get(f"/v2.0/{path}", name="x") == {key: []}
        fault = await town.mary.get(f"/v2.0/{path}/{UNKNOWN}", 404)
        assert fault["NeutronError"]["type"].endswith("NotFound")
        await town.mary.post(f"/v2.0/{path}", {}, 405)


async def test_load_balancers_stay_where_they_are(town: Town) -> None:
    for path in ("/v2.0/lbaas/loadbalancers", "/v2.0/loadbalancers", "/v2/loadbalancers"):
        assert (await town.mary.get(path))["loadbalancers"] == []
    document = await town.mary.get("/openapi.json")
    assert set(document["paths"]["/v2.0/ports"]) == {"get", "post"}
