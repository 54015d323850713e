"""Where a load balancer answers: by subnet, network, port or address, and what its port carries."""

import uuid
from typing import Any

import pytest
from msgspec.structs import replace

from fairlead.api.vip_rules import VipRules
from tests.api.conftest import LB, SUBNET, Desk, House

NETWORK, PORT, SECOND = (str(uuid.UUID(int=n)) for n in (11, 12, 13))
QOS, GROUP, OTHER_GROUP = (str(uuid.UUID(int=n)) for n in (21, 22, 23))


def asked(**values: Any) -> dict[str, Any]:
    return {"loadbalancer": values}


async def test_a_vip_by_subnet_network_port_or_address(desk: Desk) -> None:
    for number, where in enumerate((
        {"vip_subnet_id": SUBNET}, {"vip_network_id": NETWORK}, {"vip_port_id": PORT},
        {"vip_subnet_id": SUBNET, "vip_address": "10.0.0.99"},
        {"vip_network_id": NETWORK, "vip_subnet_id": None},
    )):  # fmt: skip
        lb = (await desk.post(LB, asked(name=str(number), **where)))["loadbalancer"]
        assert {k: lb[k] for k, v in where.items() if v} == {k: v for k, v in where.items() if v}
        assert lb["vip_address"]
        for name in ("vip_subnet_id", "vip_network_id", "vip_port_id"):
            assert uuid.UUID(lb[name])
        assert (await desk.get(LB, vip_port_id=lb["vip_port_id"]))["loadbalancers"][0] == lb
        assert lb["vip_vnic_type"] == "normal"
        assert (lb["additional_vips"], lb["vip_sg_ids"], lb["vip_qos_policy_id"]) == ([], [], None)
    fault = await desk.post(LB, asked(vip_address="10.0.0.7"), 400)
    assert (
        "VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id."
        in (fault["faultstring"])
    )
    fault = await desk.post(LB, asked(vip_port_id=PORT), 409)
    assert PORT in fault["faultstring"]
    await desk.post(LB, asked(vip_subnet_id=SUBNET, vip_address="10.0.0.99"), 409)


async def test_additional_vips_are_answered_at_once(desk: Desk) -> None:
    wanted = [{"subnet_id": SECOND, "ip_address": "2001:DB8::9"}]
    lb = await desk.balancer(additional_vips=wanted)
    shown = [{"subnet_id": SECOND, "ip_address": "2001:db8::9", "port_id": lb["vip_port_id"]}]
    assert lb["additional_vips"] == shown
    assert (await desk.get(f"{LB}/{lb['id']}"))["loadbalancer"]["additional_vips"] == shown
    (port,) = desk.house.world.ports.values()
    assert {ip.address for ip in port.fixed_ips} == {lb["vip_address"], "2001:db8::9"}
    await desk.listener(lb["id"], allowed_cidrs=["10.0.0.0/8", "2001:db8::/32"])
    fault = await desk.put(f"{LB}/{lb['id']}", asked(additional_vips=[]), 400)
    assert "Unknown attribute" in fault["faultstring"]


@pytest.mark.parametrize(
    ("vips", "message"),
    [
        ([{"subnet_id": SUBNET}], "Duplicate VIP subnet"),
        ([{"subnet_id": SECOND}] * 2, "Duplicate VIP subnet"),
        ([{"ip_address": "10.0.0.1"}], "subnet_id"),
        ([{"subnet_id": SECOND, "port_id": PORT}], "additional_vips.port_id"),
        ([{"subnet_id": SECOND, "bogus": 1}], "bogus"),
        ("10.0.0.1", "additional_vips"),
    ],
)
async def test_additional_vips_that_cannot_be_take_nothing(
    desk: Desk, vips: Any, message: str
) -> None:
    fault = await desk.post(LB, asked(vip_subnet_id=SUBNET, additional_vips=vips), 400)
    assert message in fault["faultstring"]
    assert desk.house.world.ports == {}


async def test_a_rule_that_breaks_with_the_vip_gives_all_of_it_back(desk: Desk) -> None:
    listeners = [{"protocol": "TCP", "protocol_port": 1, "allowed_cidrs": ["fd00::/8"]}]
    more = [{"subnet_id": SECOND, "ip_address": "10.77.0.9"}]
    body = asked(vip_subnet_id=SUBNET, additional_vips=more, listeners=listeners)
    assert "10.77.0.9" in (await desk.post(LB, body, 400))["faultstring"]
    assert desk.house.world.ports == {}


@pytest.mark.parametrize(("field", "value"), [("vip_qos_policy_id", QOS), ("vip_sg_ids", [GROUP])])
async def test_what_the_network_cannot_do_is_refused_by_name(
    desk: Desk, field: str, value: Any
) -> None:
    fault = await desk.post(LB, asked(vip_subnet_id=SUBNET, **{field: value}), 400)
    assert field in fault["faultstring"]
    assert "is not allowed in this deployment" in fault["faultstring"] or field == "vip_sg_ids"
    lb = await desk.balancer(**{field: None})
    path = f"{LB}/{lb['id']}"
    assert field in (await desk.put(path, asked(**{field: value}), 400))["faultstring"]
    assert (await desk.get(path))["loadbalancer"] == lb
    await desk.put(path, asked(**{field: None}))


async def test_policy_and_groups_are_stored_and_changed(desk: Desk) -> None:
    world = desk.house.world
    world.capabilities |= {"qos_policy", "security_group"}
    lb = await desk.balancer(vip_qos_policy_id=QOS, vip_sg_ids=[GROUP, GROUP.upper()])
    assert (lb["vip_qos_policy_id"], lb["vip_sg_ids"]) == (QOS, [GROUP])
    port = world.ports[lb["vip_port_id"]]
    assert (port.qos_policy_id, port.sg_ids) == (QOS, (GROUP,))
    path = f"{LB}/{lb['id']}"
    assert (await desk.get(LB, vip_qos_policy_id=QOS))["loadbalancers"] == [lb]
    changed = await desk.put(path, asked(vip_sg_ids=[OTHER_GROUP], vip_qos_policy_id=None))
    assert changed["loadbalancer"]["vip_sg_ids"] == [OTHER_GROUP]
    assert changed["loadbalancer"]["vip_qos_policy_id"] is None
    fault = await desk.post("/v2/lbaas/listeners", {"listener": {
        "loadbalancer_id": lb["id"], "protocol": "TCP", "protocol_port": 1,
        "allowed_cidrs": ["10.0.0.0/8"],
    }}, 400)  # fmt: skip
    assert "vip_sg_ids" in fault["faultstring"]
    assert (await desk.put(path, asked(vip_sg_ids=None)))["loadbalancer"]["vip_sg_ids"] == []


async def test_a_policy_or_group_that_is_not_there_is_refused(desk: Desk) -> None:
    world = desk.house.world
    world.capabilities |= {"qos_policy", "security_group"}
    world.unknown_ids |= {QOS, GROUP}
    lb = await desk.balancer()
    for values in ({"vip_qos_policy_id": QOS}, {"vip_sg_ids": [OTHER_GROUP, GROUP]}):
        for fault in (
            await desk.post(LB, asked(vip_subnet_id=SUBNET, **values), 400),
            await desk.put(f"{LB}/{lb['id']}", asked(**values), 400),
        ):
            assert "not found" in fault["faultstring"]
    assert len(world.ports) == 1


async def test_security_groups_have_rules_of_their_own(house: House) -> None:
    house.world.capabilities.add("security_group")

    class NoGroups:
        """A policy that gives groups to administrators alone."""

        def allows(self, caller: Any, rule: str, project_id: str | None) -> bool:
            grouped = rule.endswith(":vip_sg_ids") and "admin" not in caller.roles
            return not grouped and house.services.policy.allows(caller, rule, project_id)

    services: Any = replace(house.services, policy=NoGroups())  # type: ignore[arg-type] # by shape
    async with house.serving(services) as client:
        mary, root = (Desk(client, user, house) for user in ("mary p1 member", "root p1 admin"))
        await mary.post(LB, asked(vip_subnet_id=SUBNET, vip_sg_ids=[GROUP]), 403)
        assert house.world.ports == {}
        lb = await mary.balancer(vip_sg_ids=None)
        await mary.put(f"{LB}/{lb['id']}", asked(vip_sg_ids=[GROUP]), 403)
        await mary.put(f"{LB}/{lb['id']}", asked(vip_sg_ids=None, name="x"), 403)
        await mary.put(f"{LB}/{lb['id']}", asked(name="x"))
        await root.put(f"{LB}/{lb['id']}", asked(vip_sg_ids=[GROUP]))
        await root.balancer(vip_sg_ids=[GROUP])


async def test_a_deployment_says_where_vips_may_be(house: House) -> None:
    for rules, refusals, allowed in (
        (VipRules(allowed_fields=("vip_subnet_id",)),
         {"vip_network_id": "use of vip_network_id is disallowed by this deployment",
          "vip_port_id": "use of vip_port_id is disallowed by this deployment",
          "name": "VIP must contain one of: vip_subnet_id."}, {"vip_subnet_id": SUBNET}),
        (VipRules(valid_networks=frozenset({NETWORK})),
         {"vip_subnet_id": "Supplied VIP network_id"}, {"vip_network_id": NETWORK}),
        (VipRules(denied_networks=frozenset({NETWORK})),
         {"vip_network_id": "Supplied VIP network_id"}, {"vip_subnet_id": SUBNET}),
    ):  # fmt: skip
        values = {"vip_network_id": NETWORK, "vip_subnet_id": SUBNET, "vip_port_id": PORT,
                  "name": "x"}  # fmt: skip
        ports = len(house.world.ports)
        async with house.serving(replace(house.services, vips=rules)) as client:
            desk = Desk(client, "mary p1 member", house)
            for field, message in refusals.items():
                fault = await desk.post(LB, asked(**{field: values[field]}), 400)
                assert message in fault["faultstring"]
            assert len(house.world.ports) == ports
            await desk.post(LB, asked(**allowed))
