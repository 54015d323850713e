"""The contract of `ports.Network` and `ports.NetworkAdmin` that every driver keeps."""

import asyncio
from ipaddress import ip_address, ip_network

import pytest
from msgspec.structs import replace
from network_worlds import ABLE_DRIVERS, DRIVERS

from fairlead.domain.model import AdditionalVip
from fairlead.errors import Conflict, NotFound, Refused
from fairlead.ports import VipRequest, WantedIp


@pytest.fixture(params=DRIVERS)
async def world(request, tmp_path):
    async with request.param(request, tmp_path) as made:
        yield made


@pytest.fixture(params=ABLE_DRIVERS)
async def able(request, tmp_path):
    """A driver whose VIP ports can carry everything."""
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
    port = await world.network.create_port(world.network_id, name="mine", project_id="p1")
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


def extra(world, place: int, address: str | None = None) -> AdditionalVip:
    return AdditionalVip(subnet_id=world.subnet_ids[place], ip_address=address)


async def test_additional_vips_are_on_the_vips_port(world):
    request = VipRequest(
        vip_network_id=world.network_id, additional_vips=(extra(world, 1, "fd00:1::77"),)
    )
    vip = await world.network.allocate_vip("lb1", "p1", request)
    (port,) = await world.network.ports("lb1")
    assert vip.vip_subnet_id == world.subnet_ids[0]
    assert vip.additional_vips == (
        AdditionalVip(subnet_id=world.subnet_ids[1], ip_address="fd00:1::77", port_id=port.id),
    )
    assert {ip.address for ip in port.fixed_ips} == {vip.vip_address, "fd00:1::77"}
    assert await world.network.allocate_vip("lb1", "p1", request) == vip
    await world.network.release(port.id)
    assert await world.network.allocate_vip("lb2", "p1", request)


async def test_without_a_subnet_the_vip_leaves_that_of_an_additional_vip_alone(world):
    request = VipRequest(vip_network_id=world.network_id, additional_vips=(extra(world, 0),))
    vip = await world.network.allocate_vip("lb1", "p1", request)
    assert vip.vip_subnet_id == world.subnet_ids[1]
    assert ip_address(vip.additional_vips[0].ip_address) in ip_network("172.30.0.0/24")


async def test_additional_vips_that_are_missing_are_added(world):
    place = VipRequest(vip_subnet_id=world.subnet_ids[0])
    first = await world.network.allocate_vip("lb1", "p1", place)
    wide = VipRequest(
        vip_subnet_id=world.subnet_ids[0], vip_address=first.vip_address,
        additional_vips=(extra(world, 1, "fd00:1::78"),),
    )  # fmt: skip
    after = await world.network.allocate_vip("lb1", "p1", wide)
    assert (after.vip_address, after.vip_port_id) == (first.vip_address, first.vip_port_id)
    assert after.additional_vips[0].ip_address == "fd00:1::78"
    (port,) = await world.network.ports("lb1")
    assert [ip.subnet_id for ip in port.fixed_ips] == list(world.subnet_ids)


async def test_addresses_that_were_lost_are_the_same_again(world):
    request = VipRequest(vip_subnet_id=world.subnet_ids[0], additional_vips=(extra(world, 1),))
    vip = await world.network.allocate_vip("lb1", "p1", request)
    known = VipRequest(
        vip_subnet_id=vip.vip_subnet_id, vip_address=vip.vip_address,
        additional_vips=vip.additional_vips,
    )  # fmt: skip
    for kept in ([world.subnet_ids[0]], [world.subnet_ids[1]], []):
        robbed = await world.network.ensure_port(
            "vip:lb1", owner="lb1", network_id=world.network_id, subnet_ids=kept
        )
        assert [ip.subnet_id for ip in robbed.fixed_ips] == kept
        assert await world.network.allocate_vip("lb1", "p1", known) == vip


async def test_additional_vips_that_cannot_be_take_nothing(world):
    taken = VipRequest(vip_subnet_id=world.subnet_ids[0], vip_address="172.30.0.9")
    await world.network.allocate_vip("lb0", "p1", taken)
    made = await world.network.create_network("other", project_id="p1", shared=False)
    elsewhere = await world.network.create_subnet(
        made.id, cidr="10.9.0.0/24", name="", gateway=None, project_id="p1"
    )
    for vips, error in (
        ((extra(world, 1), extra(world, 0, "172.30.0.9")), Conflict),
        ((extra(world, 0, "172.30.1.9"),), Refused),
        ((AdditionalVip(subnet_id=elsewhere.id),), Refused),
    ):
        request = VipRequest(
            vip_network_id=world.network_id, vip_address="fd00:1::5", additional_vips=vips
        )
        if len(vips) > 1:
            request = VipRequest(vip_subnet_id=world.subnet_ids[1], additional_vips=vips[1:])
        with pytest.raises(error):
            await world.network.allocate_vip("lb1", "p1", request)
    same = VipRequest(vip_subnet_id=world.subnet_ids[0], additional_vips=(extra(world, 0),))
    with pytest.raises(Refused, match="additional_vips"):
        await world.network.allocate_vip("lb1", "p1", same)
    assert await world.network.ports("lb1") == []


async def test_a_port_the_user_brings_has_the_additional_vips(world):
    places = [WantedIp(subnet_id=subnet_id) for subnet_id in world.subnet_ids]
    port = await world.network.create_port(
        world.network_id, name="both", fixed_ips=places, project_id="p1"
    )
    assert [ip.subnet_id for ip in port.fixed_ips] == list(world.subnet_ids)
    request = VipRequest(vip_port_id=port.id, additional_vips=(extra(world, 1),))
    for lacking in (extra(world, 1, "fd00:1::9"), AdditionalVip(subnet_id="nowhere")):
        with pytest.raises(Refused, match="additional_vips"):
            await world.network.allocate_vip(
                "lb1", "p1", VipRequest(vip_port_id=port.id, additional_vips=(lacking,))
            )
    vip = await world.network.allocate_vip("lb1", "p1", request)
    four, six = port.fixed_ips
    assert (vip.vip_address, vip.additional_vips[0].ip_address) == (four.address, six.address)
    again = VipRequest(
        vip_subnet_id=four.subnet_id, vip_address=four.address, additional_vips=vip.additional_vips
    )
    assert await world.network.allocate_vip("lb1", "p1", again) == vip


async def test_a_users_port_has_one_address_on_a_subnet(world):
    twice = [WantedIp(subnet_id=world.subnet_ids[0])] * 2
    with pytest.raises(Refused, match="fixed_ips"):
        await world.network.create_port(world.network_id, name="", fixed_ips=twice, project_id="p1")


async def test_what_the_network_cannot_do_is_refused(world):
    network = world.network
    for what, given in (
        ("qos_policy", {"qos_policy_id": "q"}),
        ("security_group", {"sg_ids": ("s",)}),
    ):
        if what in network.capabilities:
            assert await network.knows(what, "q", "p1")
            continue
        assert not await network.knows(what, "q", "p1")
        with pytest.raises(Refused):
            await network.allocate_vip(
                "lb1", "p1", VipRequest(vip_subnet_id=world.subnet_ids[0], **given)
            )


async def test_the_vips_port_carries_the_policy_and_groups_last_asked_for(able):
    subnet_id = able.subnet_ids[0]
    for given in (
        {"qos_policy_id": "gold", "sg_ids": ("web", "ssh")},
        {"qos_policy_id": "iron", "sg_ids": ()},
        {},
    ):
        await able.network.allocate_vip("lb1", "p1", VipRequest(vip_subnet_id=subnet_id, **given))
        (port,) = await able.network.ports("lb1")
        assert port.qos_policy_id == given.get("qos_policy_id")
        assert port.sg_ids == given.get("sg_ids", ())


async def test_what_users_say_of_their_objects_is_kept_and_changed(world):
    network = world.network
    made = await network.create_network("n", project_id="p1", shared=False, note="one")
    subnet = await network.create_subnet(
        made.id, cidr="10.9.0.0/24", name="s", gateway=None, project_id="p1", note="two"
    )
    port = await network.create_port(made.id, name="p", project_id="p1", note="three")
    assert (made.note, subnet.note, port.note) == ("one", "two", "three")
    changed = [
        await network.change(replace(made, name="N", note="1", shared=True)),
        await network.change(replace(subnet, name="S", note="2", gateway="10.9.0.254")),
        await network.change(replace(port, name="P", note="3")),
    ]
    (found,) = [one for one in await network.networks() if one.id == made.id]
    assert found == replace(changed[0], subnets=(changed[1],))
    assert changed[1] == await network.subnet(subnet.id)
    (kept,) = [one for one in await network.all_ports() if one.id == port.id]
    assert (kept.name, kept.note, kept.mac) == ("P", "3", port.mac)
    await network.delete_port(port.id)
    for gone in (replace(port, name="x"), replace(made, id="nowhere"), replace(subnet, id="none")):
        with pytest.raises(NotFound):
            await network.change(gone)


async def test_changes_that_would_hurt_others_are_a_conflict(world):
    network = world.network
    made = await network.create_network("n", project_id="p1", shared=True)
    subnet = await network.create_subnet(
        made.id, cidr="10.9.0.0/24", name="s", gateway=None, project_id="p1"
    )
    taken = [WantedIp(address="10.9.0.9", subnet_id=subnet.id)]
    port = await network.create_port(made.id, name="", fixed_ips=taken, project_id="p2")
    with pytest.raises(Conflict, match=made.id):
        await network.change(replace(made, shared=False))
    with pytest.raises(Conflict, match="gateway_ip"):
        await network.change(replace(subnet, gateway="10.9.0.9"))
    with pytest.raises(Refused, match="gateway_ip"):
        await network.change(replace(subnet, gateway="10.8.0.9"))
    await network.delete_port(port.id)
    assert not (await network.change(replace(made, shared=False))).shared
