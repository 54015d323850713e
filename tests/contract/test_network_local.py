"""The local network driver on a real host: bridges, restarts, crashes, SQL."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from ipaddress import ip_network

import pytest
from machines import ip
from network_worlds import INSTANCE, Host, bridges
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine
from structlog.testing import capture_logs

from fairlead.drivers.network_local import NetworkLocal
from fairlead.drivers.network_local.addresses import bridge_name
from fairlead.errors import Refused, Retryable
from fairlead.ports import VipRequest

pytestmark = pytest.mark.root
PORT_WORKER = """
import asyncio, sys
from sqlalchemy.ext.asyncio import create_async_engine
from fairlead.drivers.network_local import NetworkLocal
async def run():
    engine = create_async_engine(sys.argv[1])
    driver = NetworkLocal(engine, "c0ffee")
    await driver.start()
    for number in range(100000):
        name = f"{sys.argv[2]}:{number}"
        port = await driver.ensure_port(
            name, owner=sys.argv[2], network_id=driver.default_network_id,
            subnet_ids=driver.default_subnet_ids)
        print("port", name, *(ip.address for ip in port.fixed_ips), flush=True)
        if number % 3 == 2:
            await driver.release(port.id)
asyncio.run(run())
"""


@pytest.fixture
async def host(own_network, tmp_path):
    made = Host(tmp_path)
    yield made
    await made.dispose()


@pytest.fixture
async def driver(host):
    return await host.started(default=["172.30.0.0/24", "fd00:1::/64"])


def addresses_on(link: dict) -> set[str]:
    return {f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"]}


async def test_bridges_are_ready_at_once(driver):
    made = await driver.create_network("mine", project_id="p1", shared=False)
    found = bridges()
    management = bridge_name(INSTANCE, driver.management_network_id)
    default = bridge_name(INSTANCE, driver.default_network_id)
    mine = bridge_name(INSTANCE, made.id)
    assert set(found) == {management, default, mine}
    assert addresses_on(found[management]) == {"100.127.0.1/24"}
    assert {"172.30.0.1/24", "fd00:1::1/64"} <= addresses_on(found[default])
    assert addresses_on(found[mine]) == set()
    for link in found.values():
        data = link["linkinfo"]["info_data"]
        assert "UP" in link["flags"]
        assert link["mtu"] == 1500
        assert (data["mcast_snooping"], data["stp_state"], data["forward_delay"]) == (0, 0, 0)
    flags = [one for one in found[default]["addr_info"] if one["local"] == "fd00:1::1"]
    assert not flags[0].get("tentative")


async def test_a_restart_changes_nothing(host, driver):
    made = await driver.create_network("mine", project_id="p1", shared=False)
    port = await driver.management_port("management:1", owner="lb1")
    before = bridges()
    again = await host.started(management="10.200.0.0/24", default=["10.201.0.0/24"])
    assert {name: link["ifindex"] for name, link in before.items()} == {
        name: link["ifindex"] for name, link in bridges().items()
    }
    assert again.management_gateway == driver.management_gateway == "100.127.0.1"
    assert again.default_subnet_ids == driver.default_subnet_ids
    assert await again.management_port("management:1", owner="lb1") == port
    assert made.id in {network.id for network in await again.networks()}


async def test_bridges_lost_by_a_reboot_come_back(host, driver):
    await driver.create_network("mine", project_id="p1", shared=False)
    before = {name: (link["address"], addresses_on(link)) for name, link in bridges().items()}
    for name in before:
        ip("link", "delete", name)
    ip("link", "add", f"fl{INSTANCE}stray00", "type", "bridge")
    await host.started()
    after = {name: (link["address"], addresses_on(link)) for name, link in bridges().items()}
    assert {name: mac for name, (mac, _) in after.items()} == {
        name: mac for name, (mac, _) in before.items()
    }
    default = bridge_name(INSTANCE, driver.default_network_id)
    assert {"172.30.0.1/24", "fd00:1::1/64"} <= after[default][1]


async def test_a_bridge_lost_in_service_comes_back_with_the_next_port(driver):
    name = bridge_name(INSTANCE, driver.management_network_id)
    ip("link", "delete", name)
    await driver.management_port("management:1", owner="lb1")
    assert addresses_on(bridges()[name]) == {"100.127.0.1/24"}


async def test_a_foreign_address_on_a_bridge_is_taken_off(host, driver):
    name = bridge_name(INSTANCE, driver.management_network_id)
    ip("address", "add", "10.11.0.1/24", "dev", name)
    await host.started()
    assert addresses_on(bridges()[name]) == {"100.127.0.1/24"}


async def test_ranges_are_chosen_clear_of_the_hosts_own(host):
    ip("link", "add", "lan", "type", "bridge")
    ip("link", "set", "lan", "up")
    ip("address", "add", "172.30.0.9/23", "dev", "lan")
    ip("address", "add", "100.127.4.4/16", "dev", "lan")
    ip("route", "add", "172.30.2.0/24", "via", "172.30.1.1")
    driver = await host.started(management=None)
    (default,) = await driver.networks()
    ranges = [subnet.cidr for subnet in default.subnets]
    assert ranges[0] == "172.30.3.0/24"
    assert ip_network(ranges[1]).is_private
    assert driver.management_gateway == "100.126.0.1"
    assert (await host.started(management=None)).management_gateway == "100.126.0.1"


async def test_overlapping_ranges_of_its_own_are_refused(host):
    with pytest.raises(Refused, match="overlap"):
        await host.started(management="172.30.0.0/16", default=["172.30.1.0/24"])
    assert bridges() == {}


@pytest.mark.parametrize(
    ("setting", "ranges"),
    [
        ("management_cidr", {"management": "198.51.100.0/24"}),
        ("default_cidrs", {"default": ["198.51.0.0/16"]}),
        ("default_cidrs", {"default": ["203.0.113.0/26"]}),
    ],
)
async def test_ranges_the_host_uses_itself_are_refused(host, setting, ranges):
    ip("link", "add", "lan", "type", "bridge")
    ip("link", "set", "lan", "up")
    ip("address", "add", "198.51.100.7/24", "dev", "lan")
    ip("route", "add", "203.0.113.0/24", "via", "198.51.100.1")
    with pytest.raises(Refused, match=rf"\[network\] {setting}: .* which this host"):
        await host.started(**ranges)
    assert set(bridges()) <= {"lan"}


async def test_a_range_changed_after_the_first_start_is_warned_about(host):
    await host.started(default=["172.30.0.0/24"])
    with capture_logs() as logged:
        await host.started(default=["172.30.0.0/24"])
    assert "networks.setting_ignored" not in [one["event"] for one in logged]
    with capture_logs() as logged:
        await host.started(management="100.126.0.0/24", default=["172.31.0.0/24"])
    warned = [one["setting"] for one in logged if one["event"] == "networks.setting_ignored"]
    assert warned == ["[network] management_cidr", "[network] default_cidrs"]


async def test_an_instance_must_be_a_name_bridges_can_bear(host):
    with pytest.raises(Refused, match="instance"):
        NetworkLocal(create_async_engine(host.url), "too-long")


async def test_everything_can_be_removed_and_made_again(host, driver):
    made = await driver.create_network("mine", project_id="p1", shared=False)
    ip("link", "add", "lan", "type", "bridge")
    await driver.remove_everything()
    await driver.remove_everything()
    assert set(bridges()) == {"lan"}
    assert "fairlead" not in subprocess.check_output(["nft", "list", "tables"], text=True)
    again = await host.started()
    assert made.id not in {network.id for network in await again.networks()}


async def test_a_deleted_network_takes_its_bridge_along(driver):
    made = await driver.create_network("mine", project_id="p1", shared=False)
    name = bridge_name(INSTANCE, made.id)
    assert name in bridges()
    await driver.delete_network(made.id)
    assert name not in bridges()


async def test_few_statements_a_call(host, driver):
    statements: list[str] = []

    def note(_connection, _cursor, statement, *_rest):
        statements.append(statement)

    async def cost(call) -> int:
        statements.clear()
        await call
        return len(statements)

    event.listen(host.engine.sync_engine, "before_cursor_execute", note)
    network_id, subnet_ids = driver.default_network_id, driver.default_subnet_ids
    request = VipRequest(vip_network_id=network_id)

    def ensure(name, *wanted):
        return driver.ensure_port(name, owner="lb1", network_id=network_id, subnet_ids=wanted)

    assert await cost(driver.allocate_vip("lb1", "p1", request)) == 4
    assert await cost(driver.allocate_vip("lb1", "p1", request)) == 1
    assert await cost(ensure("a", subnet_ids[0])) == 4
    assert await cost(ensure("a", subnet_ids[0])) == 1
    assert await cost(ensure("a", *subnet_ids)) == 3
    assert await cost(ensure("a", subnet_ids[1])) == 2
    assert await cost(driver.management_port("m", owner="lb1")) == 4
    for number in range(50):
        await ensure(f"b{number}", *subnet_ids)
    assert await cost(ensure("c", *subnet_ids)) == 4
    assert await cost(driver.ports("lb1")) == 1
    assert await cost(driver.networks()) == 1


async def test_an_unusable_database_is_worth_another_try(host, driver):
    with sqlite3.connect(host.file) as database:
        database.execute("DROP TABLE net_addresses")
    database.close()
    with pytest.raises(Retryable, match="does not answer"):
        await driver.ports("lb1")


async def test_two_services_on_one_database_never_share_an_address(host, driver):
    other = await host.started()
    ports = await asyncio.gather(
        *(
            driver_of.ensure_port(
                f"{place}:{number}",
                owner="lb1",
                network_id=driver.default_network_id,
                subnet_ids=driver.default_subnet_ids[:1],
            )
            for number in range(60)
            for place, driver_of in enumerate((driver, other))
        )
    )
    assert len({port.fixed_ips[0].address for port in ports}) == 120


async def test_kill_9_leaves_whole_ports(host, driver):
    announced: dict[str, list[str]] = {}
    for life in range(4):
        command = [sys.executable, "-c", PORT_WORKER, host.url, f"life{life}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            for count, line in enumerate(child.stdout):
                if count == 10 + 7 * life:
                    os.kill(child.pid, signal.SIGKILL)
                if line.startswith("port ") and line.endswith("\n"):
                    _, name, *found = line.split()
                    announced[name] = found
    with sqlite3.connect(host.file) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    database.close()
    stored = {port.name: port for port in await driver.all_ports()}
    assert all(len(port.fixed_ips) == 2 for port in stored.values())
    # The last port of a life that is due for release may or may not have gone.
    lasting = {name for name in announced if int(name.split(":")[1]) % 3 != 2}
    assert lasting <= set(stored)
    for name, port in stored.items():
        found = [one.address for one in port.fixed_ips]
        assert announced.get(name, found) == found
    await host.started()


async def test_the_management_range_is_known_as_such(driver):
    assert driver.is_management(driver.management_gateway)
    assert not driver.is_management("192.0.2.1")
    assert not driver.is_management("fd00::1")


async def test_a_database_of_an_earlier_version_gets_the_columns_it_lacks(host):
    first = await host.started(default=["172.30.0.0/24"])
    before = await first.networks()
    await host.dispose()
    with sqlite3.connect(host.file) as database:
        for table in ("net_networks", "net_subnets", "net_ports"):
            database.execute(f"ALTER TABLE {table} DROP COLUMN note")
    database.close()
    again = await host.started(default=["172.30.0.0/24"])
    assert await again.networks() == before
    made = await again.create_network("n", project_id="p1", shared=False, note="said")
    assert (await again.networks())[-1].note == made.note == "said"
