"""Members name subnets that reach them: an address on it, and no other network like it."""

import uuid
from typing import Any

import pytest

from fairlead.domain.observed import Subnet
from tests.api.conftest import LB, SUBNET, Desk, House

BACK, TWIN, WITHIN, SIX = (str(uuid.UUID(int=n)) for n in range(31, 35))
PLACES = {
    BACK: ("192.0.2.0/24", "back"), TWIN: ("192.0.2.0/25", "twin"),
    WITHIN: ("10.3.0.0/16", "within"), SIX: ("2001:db8::/64", "six"),
}  # fmt: skip


@pytest.fixture
def desk(house: House) -> Desk:
    for subnet_id, (cidr, network) in PLACES.items():
        house.world.subnets[subnet_id] = Subnet(
            id=subnet_id, network_id=str(uuid.uuid5(uuid.NAMESPACE_DNS, network)), name="",
            cidr=cidr, gateway=None,
        )  # fmt: skip
    return house.desk("mary p1 member")


def member(address: str, subnet_id: str | None = None) -> dict[str, Any]:
    return {"address": address, "protocol_port": 80, "subnet_id": subnet_id}


async def every_way(desk: Desk, members: list[dict[str, Any]], message: str) -> None:
    """Refused in a tree of one request, one by one, and in a batch; nothing is left."""
    lb = await desk.balancer()
    pool = await desk.pool(loadbalancer_id=lb["id"])
    path = f"/v2/lbaas/pools/{pool['id']}/members"
    *first, last = members
    for one in first:
        await desk.post(path, {"member": one})
    before = await desk.get(path)
    nested = {"vip_subnet_id": SUBNET, "pools": [
        {"name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": members},
    ]}  # fmt: skip
    for fault in (
        await desk.post(path, {"member": last}, 400),
        await desk.put(path, {"members": members}, 400),
        await desk.post(LB, {"loadbalancer": nested}, 400),
    ):
        assert message in fault["faultstring"]
    assert await desk.get(path) == before
    assert len((await desk.get(LB))["loadbalancers"]) == 1
    assert len(desk.house.world.ports) == 1


@pytest.mark.parametrize("address", ["192.0.3.1", "2001:db8::1"])
async def test_an_address_is_on_the_subnet_it_is_said_to_be_on(desk: Desk, address: str) -> None:
    where = f"outside the range 192.0.2.0/24 of subnet {BACK}"
    await every_way(desk, [member(address, BACK)], where)


async def test_networks_of_one_load_balancer_have_ranges_of_their_own(desk: Desk) -> None:
    twins = [member("192.0.2.9", BACK), member("192.0.2.10", TWIN)]
    await every_way(desk, twins, f"attribute subnet_id. Value: '{TWIN}'. Its range 192.0.2.0/25")


async def test_a_members_network_is_not_like_the_vips(desk: Desk) -> None:
    await every_way(desk, [member("10.3.0.9", WITHIN)], f"overlaps 10.0.0.0/8 of subnet {SUBNET}")


async def test_two_load_balancers_may_have_networks_alike(desk: Desk) -> None:
    for subnet_id in (BACK, TWIN):
        lb = await desk.balancer(vip_subnet_id=subnet_id)
        pool = await desk.pool(loadbalancer_id=lb["id"])
        await desk.member(pool["id"], "192.0.2.9", subnet_id=subnet_id)
        await desk.member(pool["id"], "2001:db8::9", subnet_id=SIX)
        await desk.member(pool["id"], "10.3.0.9", subnet_id=WITHIN)
        await desk.member(pool["id"], "192.0.2.77")
