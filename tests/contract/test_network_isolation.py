"""Packets between machines on the bridges of the local network driver: who reaches whom."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from machines import ip, machines
from network_worlds import INSTANCE, Host, bridges

from fairlead.drivers.network_local.addresses import bridge_name

pytestmark = pytest.mark.root


@pytest.fixture
async def host(own_network, tmp_path):
    made = Host(tmp_path)
    yield made
    await made.dispose()


@pytest.fixture
async def driver(host):
    return await host.started(default=["172.30.0.0/24", "fd00:1::/64"])


def kernel_parameter(path: str) -> str:
    return Path("/proc/sys/net", path).read_text().strip()


@asynccontextmanager
async def listening(*addresses: str) -> AsyncIterator[int]:
    """The port of a TCP server of the host's."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), addresses, 8080)
    async with server:
        yield 8080


async def reaches(machine, address, **options) -> bool:
    return await asyncio.to_thread(machine.reaches, address, 8080, **options)


async def test_the_host_and_the_default_network_reach_each_other(driver):
    with machines() as builder:
        bridge = bridge_name(INSTANCE, driver.default_network_id)
        machine = builder.machine(bridge, "172.30.0.50/24", "fd00:1::50/64")
        async with listening("172.30.0.1", "fd00:1::1"):
            assert await reaches(machine, "172.30.0.1")
            assert await reaches(machine, "fd00:1::1")


async def test_the_management_network_reaches_only_its_gateway(driver):
    with machines() as builder:
        bridge = bridge_name(INSTANCE, driver.management_network_id)
        amphora = builder.machine(bridge, "100.127.0.50/24")
        amphora.ip("route", "add", "default", "via", "100.127.0.1")
        member = builder.machine(None, "10.20.0.2/24")
        ip("address", "add", "10.20.0.1/24", "dev", member.host_end)
        member.ip("route", "add", "default", "via", "10.20.0.1")
        async with listening("0.0.0.0"):
            assert await reaches(amphora, "100.127.0.1")
            assert not await reaches(amphora, "172.30.0.1", seconds=0.4)
            assert not await reaches(amphora, "10.20.0.1", seconds=0.4)
            assert await reaches(member, "10.20.0.1")
        assert not member.hears(amphora, "10.20.0.2")
        assert not amphora.hears(member, "100.127.0.50")
        subprocess.run(["nft", "delete", "table", "inet", f"fairlead_{INSTANCE}"], check=True)
        assert member.hears(amphora, "10.20.0.2")
        assert amphora.hears(member, "100.127.0.50")


async def test_networks_of_the_host_are_not_joined_by_routing(driver):
    made = await driver.create_network("mine", project_id="p1", shared=False)
    default, management, mine = (
        bridge_name(INSTANCE, network_id)
        for network_id in (driver.default_network_id, driver.management_network_id, made.id)
    )
    found = bridges()
    with machines() as builder:
        one = builder.machine(default, "172.30.0.50/24")
        amphora = builder.machine(management, "100.127.0.50/24")
        tenant = builder.machine(mine, "172.30.0.60/24")
        one.ip("route", "add", "default", "via", "172.30.0.1")
        amphora.ip("route", "add", "default", "via", "100.127.0.1")
        # A tenant that knows the host's MAC may hand it packets for anyone.
        tenant.ip("route", "add", "default", "via", "172.30.0.1")
        host_mac = found[mine]["address"]
        for address in ("172.30.0.1", "172.30.0.50"):
            tenant.ip("neighbor", "replace", address, "lladdr", host_mac, "dev", "eth0")
        joined = [(amphora, one, "172.30.0.50"), (one, amphora, "100.127.0.50")]
        joined += [(tenant, one, "172.30.0.50"), (tenant, amphora, "100.127.0.50")]
        heard = [ear.hears(mouth, address) for mouth, ear, address in joined]
        assert heard == [False, False, False, False]
        subprocess.run(["nft", "delete", "table", "inet", f"fairlead_{INSTANCE}"], check=True)
        heard = [ear.hears(mouth, address) for mouth, ear, address in joined]
        assert heard == [True, True, True, True]


async def test_routed_members_are_reached_through_the_default_gateway(driver):
    with machines() as builder:
        bridge = bridge_name(INSTANCE, driver.default_network_id)
        amphora = builder.machine(bridge, "172.30.0.50/24", "fd00:1::50/64")
        amphora.ip("route", "add", "default", "via", "172.30.0.1")
        amphora.ip("route", "add", "default", "via", "fd00:1::1")
        # The member has no route back to 172.30.0.0/24: it answers the host's address.
        member = builder.machine(None, "10.20.0.2/24", "fd00:20::2/64")
        ip("address", "add", "10.20.0.1/24", "dev", member.host_end)
        ip("address", "add", "fd00:20::1/64", "dev", member.host_end, "nodad")
        with member.serving(8080):
            assert await reaches(amphora, "10.20.0.2")
            assert await reaches(amphora, "fd00:20::2")


async def test_forwarding_leaves_the_hosts_own_router_advertisements(host):
    ip("link", "add", "lan", "type", "bridge")
    assert kernel_parameter("ipv6/conf/lan/accept_ra") == "1"
    driver = await host.started()
    default = bridge_name(INSTANCE, driver.default_network_id)
    assert kernel_parameter("ipv4/ip_forward") == "1"
    assert kernel_parameter("ipv6/conf/all/forwarding") == "1"
    assert kernel_parameter("ipv6/conf/lan/accept_ra") == "2"
    assert kernel_parameter(f"ipv6/conf/{default}/accept_ra") == "0"


async def test_a_users_network_has_no_way_to_the_host(driver):
    made = await driver.create_network("mine", project_id="p1", shared=False)
    with machines() as builder:
        bridge = bridge_name(INSTANCE, made.id)
        one = builder.machine(bridge, "172.30.0.50/24", "fd00:1::50/64")
        # The range overlaps the default network's, and the gateway's address is a machine here.
        two = builder.machine(bridge, "172.30.0.1/24")
        address = json.loads(two.ip("-j", "link", "show", "eth0"))[0]["address"]
        with two.serving(8080):
            assert await reaches(one, "172.30.0.1")
        async with listening("0.0.0.0", "::"):
            assert not await reaches(one, "172.30.0.1")
            assert address in one.ip("neighbor", "show", "172.30.0.1")
            host_mac = bridges()[bridge]["address"]
            one.ip("neighbor", "replace", "172.30.0.1", "lladdr", host_mac, "dev", "eth0")
            assert not await reaches(one, "172.30.0.1", seconds=0.5)
            assert not await reaches(one, "fd00:1::1", seconds=0.5)
