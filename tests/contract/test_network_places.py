"""The contract of `ports.Network`: which address of a user's port is the VIP, and for whom."""

import pytest
from network_worlds import DRIVERS

from fairlead.errors import NotFound, Refused
from fairlead.ports import VipRequest, WantedIp

ELSEWHERE = "6b2bd1c4-5ac3-4b5e-9f0a-2f5ad3aeb5a4"


@pytest.fixture(params=DRIVERS)
async def world(request, tmp_path):
    async with request.param(request, tmp_path) as made:
        yield made


async def test_of_a_users_port_one_address_is_the_vip(world):
    four, six = world.subnet_ids
    places = [
        WantedIp(subnet_id=four, address="172.30.0.9"),
        WantedIp(subnet_id=six, address="fd00:1::9"),
    ]
    port = await world.network.create_port(
        world.network_id, name="both", fixed_ips=places, project_id="p1"
    )
    for wrong in ({}, {"vip_address": "172.30.0.250"}, {"vip_subnet_id": ELSEWHERE}):
        with pytest.raises(Refused, match=r"specified VIP port|could not be determined"):
            await world.network.allocate_vip("lb1", "p1", VipRequest(vip_port_id=port.id, **wrong))
    for right in ({"vip_address": "fd00:1::9"}, {"vip_subnet_id": six}):
        vip = await world.network.allocate_vip(
            "lb1", "p1", VipRequest(vip_port_id=port.id, **right)
        )
        assert (vip.vip_address, vip.vip_subnet_id) == ("fd00:1::9", six)


async def test_what_is_another_projects_is_not_found(world):
    made = await world.network.create_network("private", project_id="p1", shared=False)
    subnet = await world.network.create_subnet(
        made.id, cidr="10.4.0.0/24", name="", gateway=None, project_id="p1"
    )
    port = await world.network.create_port(made.id, name="x", project_id="p1")
    open_port = await world.network.create_port(world.network_id, name="y", project_id="p1")
    used = await world.network.allocate_vip("lb1", "p1", VipRequest(vip_network_id=made.id))
    assert await world.network.subnet(subnet.id, "p1") == subnet
    with pytest.raises(NotFound):
        await world.network.subnet(subnet.id, "p2")
    for place in (
        {"vip_network_id": made.id}, {"vip_subnet_id": subnet.id}, {"vip_port_id": port.id},
        {"vip_port_id": open_port.id}, {"vip_port_id": used.vip_port_id},
    ):  # fmt: skip
        with pytest.raises(Refused, match="not found"):
            await world.network.allocate_vip("lb2", "p2", VipRequest(**place))
    assert await world.network.ports("lb2") == []
