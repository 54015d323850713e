"""The contract of `ports.Network` and `ports.NetworkAdmin` that every driver keeps."""

import asyncio
from ipaddress import ip_address, ip_network

import pytest
from network_worlds import DRIVERS

from fairlead.errors import Conflict
from fairlead.ports import VipRequest


@pytest.fixture(params=DRIVERS)
async def world(request, tmp_path):
    async with request.param(request, tmp_path) as made:
        yield made


async def test_a_vip_gets_an_address_and_a_port(world):
    vip = await world.network.allocate_vip(
        "lb1", "p1", VipRequest(vip_subnet_id=world.subnet_ids[0])
    )
    assert ip_address(vip.vip_address)
    assert (vip.vip_subnet_id, vip.vip_network_id) == (world.subnet_ids[0], world.network_id)
    (port,) = await world.network.ports("lb1")
    assert (port.id, port.name, port.owner) == (vip.vip_port_id, "vip:lb1", "lb1")
    assert [ip.address for ip in port.fixed_ips] == [vip.vip_address]


async def test_a_vip_is_allocated_once_whatever_is_asked_again(world):
    request = VipRequest(vip_subnet_id=world.subnet_ids[0])
    vip = await world.network.allocate_vip("lb1", "p1", request)
    other = VipRequest(vip_network_id=world.network_id, vip_subnet_id=world.subnet_ids[1])
    assert await world.network.allocate_vip("lb1", "p1", request) == vip
    assert await world.network.allocate_vip("lb1", "p1", other) == vip


async def test_two_load_balancers_have_two_vips(world):
    request = VipRequest(vip_subnet_id=world.subnet_ids[0])
    one, two = await asyncio.gather(
        world.network.allocate_vip("lb1", "p1", request),
        world.network.allocate_vip("lb2", "p1", request),
    )
    assert one.vip_address != two.vip_address
    assert one.vip_port_id != two.vip_port_id


async def test_a_port_is_found_again_by_its_name(world):
    async def ensure(*subnet_ids):
        return await world.network.ensure_port(
            "amphora:1", owner="lb1", network_id=world.network_id, subnet_ids=subnet_ids
        )

    first = await ensure(*world.subnet_ids)
    assert await ensure(*world.subnet_ids) == first
    assert [ip.subnet_id for ip in first.fixed_ips] == list(world.subnet_ids)
    assert first.segment
    assert first.mtu >= 1280


async def test_a_port_follows_the_subnets_it_is_asked_for(world):
    async def ensure(*subnet_ids):
        return await world.network.ensure_port(
            "amphora:1", owner="lb1", network_id=world.network_id, subnet_ids=subnet_ids
        )

    first, second = world.subnet_ids
    narrow = await ensure(first)
    wide = await ensure(first, second)
    assert wide.fixed_ips[0] == narrow.fixed_ips[0]
    assert [ip.subnet_id for ip in wide.fixed_ips] == [first, second]
    assert (await ensure(second)).fixed_ips == wide.fixed_ips[1:]
    (stored,) = await world.network.ports("lb1")
    assert (stored.id, stored.fixed_ips) == (narrow.id, wide.fixed_ips[1:])


async def test_ports_have_distinct_macs_and_addresses(world):
    ports = await asyncio.gather(
        *(
            world.network.ensure_port(
                f"amphora:{number}",
                owner="lb1",
                network_id=world.network_id,
                subnet_ids=world.subnet_ids,
            )
            for number in range(50)
        )
    )
    assert len({port.mac for port in ports}) == 50
    assert len({ip.address for port in ports for ip in port.fixed_ips}) == 100


async def test_fifty_callers_for_one_name_get_one_port(world):
    ports = await asyncio.gather(
        *(
            world.network.ensure_port(
                "amphora:1", owner="lb1", network_id=world.network_id, subnet_ids=world.subnet_ids
            )
            for _ in range(50)
        )
    )
    assert len(set(ports)) == 1
    assert len(await world.network.ports("lb1")) == 1


async def test_management_ports_are_on_a_network_users_do_not_see(world):
    port = await world.network.management_port("management:1", owner="lb1")
    assert await world.network.management_port("management:1", owner="lb1") == port
    assert len(port.fixed_ips) == 1
    listed = await world.network.networks()
    assert port.network_id not in {network.id for network in listed}
    assert port.id not in {other.id for other in await world.network.all_ports()}


async def test_release_gives_the_address_back(world):
    vip = await world.network.allocate_vip(
        "lb1", "p1", VipRequest(vip_subnet_id=world.subnet_ids[0])
    )
    assert await world.network.owners() == {"lb1"}
    await world.network.release(vip.vip_port_id)
    await world.network.release(vip.vip_port_id)
    assert await world.network.ports("lb1") == []
    assert await world.network.owners() == frozenset()
    again = VipRequest(vip_subnet_id=world.subnet_ids[0], vip_address=vip.vip_address)
    assert (await world.network.allocate_vip("lb2", "p1", again)).vip_address == vip.vip_address


async def test_a_port_the_user_brings_is_claimed_and_given_back(world):
    port = await world.network.create_port(
        world.network_id, name="mine", address=None, subnet_id=None, project_id="p1"
    )
    assert (port.owner, port.name, len(port.fixed_ips)) == ("", "mine", 1)
    request = VipRequest(vip_port_id=port.id)
    vip = await world.network.allocate_vip("lb1", "p1", request)
    assert (vip.vip_port_id, vip.vip_address) == (port.id, port.fixed_ips[0].address)
    assert await world.network.allocate_vip("lb1", "p1", request) == vip
    with pytest.raises(Conflict, match=port.id):
        await world.network.allocate_vip("lb2", "p1", request)
    with pytest.raises(Conflict, match=port.id):
        await world.network.delete_port(port.id)
    await world.network.release(port.id)
    assert await world.network.ports("lb1") == []
    assert port in await world.network.all_ports()
    await world.network.delete_port(port.id)
    await world.network.delete_port(port.id)
    assert port.id not in {other.id for other in await world.network.all_ports()}


async def test_an_address_in_use_is_a_conflict(world):
    request = VipRequest(vip_subnet_id=world.subnet_ids[0], vip_address="172.30.0.77")
    assert (await world.network.allocate_vip("lb1", "p1", request)).vip_address == "172.30.0.77"
    with pytest.raises(Conflict, match="vip_address"):
        await world.network.allocate_vip("lb2", "p1", request)


async def test_a_network_is_made_listed_and_deleted(world):
    made = await world.network.create_network("blue", project_id="p1", shared=False)
    subnet = await world.network.create_subnet(
        made.id, cidr="10.9.0.0/24", name="blue4", gateway=None, project_id="p1"
    )
    listed = {network.id: network for network in await world.network.networks()}
    assert (listed[made.id].name, listed[made.id].subnets) == ("blue", (subnet,))
    assert await world.network.subnet(subnet.id) == subnet
    port = await world.network.ensure_port(
        "amphora:1", owner="lb1", network_id=made.id, subnet_ids=[subnet.id]
    )
    assert ip_address(port.fixed_ips[0].address) in ip_network("10.9.0.0/24")
    with pytest.raises(Conflict, match=subnet.id):
        await world.network.delete_subnet(subnet.id)
    with pytest.raises(Conflict, match=made.id):
        await world.network.delete_network(made.id)
    await world.network.release(port.id)
    await world.network.delete_subnet(subnet.id)
    await world.network.delete_network(made.id)
    await world.network.delete_network(made.id)
    assert made.id not in {network.id for network in await world.network.networks()}


async def test_the_management_range_is_told_apart(world):
    port = await world.network.management_port("amphora:a:management", owner="lb1")
    assert world.network.is_management(port.fixed_ips[0].address)
    assert not world.network.is_management("192.0.2.1")
    assert not world.network.is_management("2001:db8::1")
