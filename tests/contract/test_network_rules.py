"""The contract of `ports.Network` for drivers that know which networks exist: what they refuse."""

import asyncio
from ipaddress import ip_address, ip_network

import pytest
from network_worlds import REAL_DRIVERS

from fairlead.errors import Conflict, Forbidden, NotFound, Refused
from fairlead.ports import VipRequest, WantedIp


@pytest.fixture(params=REAL_DRIVERS)
async def real(request, tmp_path):
    async with request.param(request, tmp_path) as made:
        yield made


@pytest.mark.parametrize("field", ["vip_port_id", "vip_network_id", "vip_subnet_id"])
async def test_what_does_not_exist_is_refused_by_name(real, field):
    unknown = "6b2bd1c4-5ac3-4b5e-9f0a-2f5ad3aeb5a4"
    word = field.removeprefix("vip_").removesuffix("_id").capitalize()
    with pytest.raises(Refused, match=f"{word} {unknown} not found."):
        await real.network.allocate_vip("lb1", "p1", VipRequest(**{field: unknown}))


async def test_ports_and_subnets_that_do_not_exist_are_not_found(real):
    with pytest.raises(NotFound, match="Network nowhere not found"):
        await real.network.ensure_port("a", owner="lb1", network_id="nowhere", subnet_ids=[])
    with pytest.raises(NotFound, match="Subnet nothing not found"):
        await real.network.ensure_port(
            "a", owner="lb1", network_id=real.network_id, subnet_ids=["nothing"]
        )
    with pytest.raises(NotFound, match="Subnet nothing not found"):
        await real.network.subnet("nothing")
    assert await real.network.ports("lb1") == []


async def test_a_vip_needs_a_place(real):
    with pytest.raises(Refused, match="VIP must contain one of"):
        await real.network.allocate_vip("lb1", "p1", VipRequest(vip_address="172.30.0.5"))


async def test_a_network_without_subnet_prefers_ipv4(real):
    request = VipRequest(vip_network_id=real.network_id)
    assert ip_address((await real.network.allocate_vip("1", "p", request)).vip_address).version == 4


async def test_a_network_with_an_address_finds_the_subnet_around_it(real):
    request = VipRequest(vip_network_id=real.network_id, vip_address="FD00:1:0::00AA")
    vip = await real.network.allocate_vip("lb1", "p1", request)
    assert (vip.vip_address, vip.vip_subnet_id) == ("fd00:1::aa", real.subnet_ids[1])
    request = VipRequest(vip_network_id=real.network_id, vip_address="192.0.2.1")
    with pytest.raises(Refused, match="vip_address"):
        await real.network.allocate_vip("lb2", "p1", request)


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("172.30.0.0", "network address"),
        ("172.30.0.1", "gateway"),
        ("172.30.0.255", "broadcast"),
        ("172.30.1.9", "outside"),
        ("fd00:1::9", "outside"),
    ],
)
async def test_addresses_no_vip_may_have_are_refused_by_rule(real, address, rule):
    request = VipRequest(vip_subnet_id=real.subnet_ids[0], vip_address=address)
    with pytest.raises(Refused, match=f"vip_address.*{rule}"):
        await real.network.allocate_vip("lb1", "p1", request)


async def test_a_subnet_of_another_network_is_refused(real):
    mine = await real.network.create_network("mine", project_id="p1", shared=False)
    request = VipRequest(vip_network_id=mine.id, vip_subnet_id=real.subnet_ids[0])
    with pytest.raises(Refused, match=f"Subnet {real.subnet_ids[0]}"):
        await real.network.allocate_vip("lb1", "p1", request)


async def test_another_address_than_the_port_has_is_refused(real):
    port = await real.network.create_port(
        real.network_id, name="x", fixed_ips=[WantedIp(address="172.30.0.9")], project_id="p1"
    )
    wrong_address = VipRequest(vip_port_id=port.id, vip_address="172.30.0.10")
    wrong_subnet = VipRequest(vip_port_id=port.id, vip_subnet_id=real.subnet_ids[1])
    for request in (wrong_address, wrong_subnet):
        with pytest.raises(Refused, match="specified VIP port"):
            await real.network.allocate_vip("lb1", "p1", request)
    right = VipRequest(vip_port_id=port.id, vip_address="172.30.0.9")
    assert (await real.network.allocate_vip("lb1", "p1", right)).vip_port_id == port.id


async def test_a_network_needs_two_free_addresses_for_a_vip(real):
    made = await real.network.create_network("tiny", project_id="p1", shared=False)
    for cidr in ("10.1.0.0/30", "10.2.0.0/29", "fd00:9::/64"):
        await real.network.create_subnet(
            made.id, cidr=cidr, name=cidr, gateway=None, project_id="p1"
        )
    request = VipRequest(vip_network_id=made.id)
    vips = [await real.network.allocate_vip(f"lb{n}", "p1", request) for n in range(7)]
    ranges = [ip_network(cidr) for cidr in ("10.1.0.0/30", "10.2.0.0/29", "fd00:9::/64")]
    found = [next(str(one) for one in ranges if ip_address(vip.vip_address) in one) for vip in vips]
    assert found == ["10.1.0.0/30"] + ["10.2.0.0/29"] * 5 + ["fd00:9::/64"]


@pytest.mark.parametrize(
    ("cidr", "gateway", "room"),
    [
        ("10.3.0.0/30", "10.3.0.1", 1),
        ("10.3.0.0/31", None, 2),
        ("10.3.0.0/32", None, 1),
        ("fd00:3::/126", "fd00:3::1", 2),
        ("fd00:3::/127", None, 2),
    ],
)
async def test_a_full_subnet_says_so(real, cidr, gateway, room):
    made = await real.network.create_network("tiny", project_id="p1", shared=False)
    subnet = await real.network.create_subnet(
        made.id, cidr=cidr, name="tiny", gateway=gateway, project_id="p1"
    )
    results = await asyncio.gather(
        *(
            real.network.ensure_port(
                f"a{number}", owner="lb1", network_id=made.id, subnet_ids=[subnet.id]
            )
            for number in range(5)
        ),
        return_exceptions=True,
    )
    refused = [result for result in results if isinstance(result, BaseException)]
    assert len(results) - len(refused) == room
    assert all(type(result) is Refused for result in refused), refused
    assert f"{cidr}) has no free address" in str(refused[0])


async def test_a_project_adds_to_its_own_networks_alone(real):
    made = await real.network.create_network("private", project_id="p1", shared=False)
    with pytest.raises(NotFound):
        await real.network.create_port(made.id, name="y", project_id="p2")
    with pytest.raises(Forbidden):
        await real.network.create_subnet(
            real.network_id, cidr="10.5.0.0/24", name="", gateway=None, project_id="p2"
        )


async def test_the_management_network_does_not_exist_for_users(real):
    port = await real.network.management_port("management:1", owner="lb1")
    requests = (
        VipRequest(vip_network_id=port.network_id),
        VipRequest(vip_subnet_id=port.fixed_ips[0].subnet_id),
        VipRequest(vip_port_id=port.id),
    )
    for request in requests:
        with pytest.raises(Refused, match="not found"):
            await real.network.allocate_vip("lb2", "p1", request)
    with pytest.raises(NotFound):
        await real.network.create_port(port.network_id, name="", project_id="p1")
    with pytest.raises(Conflict):
        await real.network.delete_network(port.network_id)
    with pytest.raises(Conflict):
        await real.network.delete_network(real.network_id)
    with pytest.raises(Conflict):
        await real.network.delete_subnet(real.subnet_ids[0])


async def test_a_users_port_name_cannot_pass_for_a_drivers(real):
    await real.network.create_port(real.network_id, name="vip:lb1", project_id="p2")
    request = VipRequest(vip_subnet_id=real.subnet_ids[0])
    await real.network.allocate_vip("lb1", "p1", request)
    (port,) = await real.network.ports("lb1")
    assert port.project_id == "p1"


async def test_ranges_overlap_between_networks_but_not_within_one(real):
    ports = []
    for project in ("p1", "p2"):
        made = await real.network.create_network("same", project_id=project, shared=False)
        subnet = await real.network.create_subnet(
            made.id, cidr="10.6.0.0/24", name="", gateway="10.6.0.1", project_id=project
        )
        with pytest.raises(Refused, match=r"cidr.*overlaps 10\.6\.0\.0/24"):
            await real.network.create_subnet(
                made.id, cidr="10.6.0.128/25", name="", gateway=None, project_id=project
            )
        ports.append(
            await real.network.create_port(
                made.id,
                name="",
                fixed_ips=[WantedIp(address="10.6.0.7", subnet_id=subnet.id)],
                project_id=project,
            )
        )
    assert ports[0].segment != ports[1].segment
    assert {port.fixed_ips[0].address for port in ports} == {"10.6.0.7"}


@pytest.mark.parametrize(
    ("cidr", "gateway", "field"),
    [
        ("100.127.0.0/16", None, "cidr"),
        ("bogus", None, "cidr"),
        ("10.7.0.0/24", "10.8.0.1", "gateway"),
        ("10.7.0.0/24", "10.7.0.255", "gateway"),
    ],
)
async def test_bad_subnets_are_refused_by_field(real, cidr, gateway, field):
    made = await real.network.create_network("bad", project_id="p1", shared=False)
    with pytest.raises(Refused, match=field):
        await real.network.create_subnet(
            made.id, cidr=cidr, name="", gateway=gateway, project_id="p1"
        )


async def test_one_of_two_overlapping_subnets_made_at_once_wins(real):
    made = await real.network.create_network("race", project_id="p1", shared=False)
    results = await asyncio.gather(
        *(
            real.network.create_subnet(
                made.id, cidr=f"10.7.0.0/{length}", name="", gateway=None, project_id="p1"
            )
            for length in range(16, 26)
        ),
        return_exceptions=True,
    )
    refused = [result for result in results if isinstance(result, Refused)]
    assert len(refused) == len(results) - 1
