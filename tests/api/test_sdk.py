"""The unmodified OpenStack SDK against the service on a real socket, logged in by clouds.yaml."""

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openstack
import pytest
import uvicorn
from msgspec.structs import replace
from openstack import exceptions
from sqlalchemy.ext.asyncio import create_async_engine

from fairlead.api.app import create_app
from fairlead.api.first_user import CLOUDS, HTPASSWD, USERS, ensure_admin
from fairlead.api.http_basic import HttpBasic
from fairlead.api.services import Services
from fairlead.drivers.network_local import NetworkLocal
from tests.api.conftest import SUBNET, House
from tests.contract.conftest import own_network

__all__ = ["own_network"]  # a fixture of the network driver's own tests
# What the SDK says of itself is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


@asynccontextmanager
async def served(services: Services, directory: Path) -> AsyncIterator[Any]:
    """A connection to these services, served on a loopback port."""
    listening = socket.create_server(("127.0.0.1", 0))
    ensure_admin(directory, url=f"http://127.0.0.1:{listening.getsockname()[1]}")
    door = HttpBasic(directory / HTPASSWD, directory / USERS)
    app = create_app(replace(services, authenticator=door))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        connection = await asyncio.to_thread(_connect, directory / CLOUDS)
        yield connection
        await asyncio.to_thread(connection.close)
    finally:
        server.should_exit = True
        await running


def _connect(clouds: Path) -> Any:
    loader = openstack.config.OpenStackConfig(
        config_files=[str(clouds)], load_envvars=False, app_name="fairlead-tests"
    )
    return openstack.connection.Connection(config=loader.get_one("fairlead"))


async def test_the_life_of_a_load_balancer(house: House, tmp_path: Path) -> None:
    async with served(house.services, tmp_path) as cloud:
        await asyncio.to_thread(create_everything, cloud)
        lb_id = (await house.store.all_ids())[0]
        await house.settled(lb_id)
        await asyncio.to_thread(wait_change_and_find, cloud, lb_id)
        await house.settled(lb_id)
        await asyncio.to_thread(remove_everything, cloud, lb_id)
        await house.settled(lb_id)
        assert await asyncio.to_thread(lambda: list(cloud.load_balancer.load_balancers())) == []


def create_everything(cloud: Any) -> None:
    octavia = cloud.load_balancer
    lb = octavia.create_load_balancer(name="web", vip_subnet_id=SUBNET, tags=["t"])
    assert (lb.provisioning_status, lb.provider) == ("PENDING_CREATE", "amphora")
    listener = octavia.create_listener(
        name="l", load_balancer_id=lb.id, protocol="HTTP", protocol_port=80
    )
    assert [x["id"] for x in listener.load_balancers] == [lb.id]
    pool = octavia.create_pool(
        name="p", listener_id=listener.id, protocol="HTTP", lb_algorithm="ROUND_ROBIN",
        session_persistence={"type": "APP_COOKIE", "cookie_name": "sid"},
    )  # fmt: skip
    assert pool.session_persistence["cookie_name"] == "sid"
    for host in range(1, 6):
        octavia.create_member(pool, address=f"10.0.0.{host}", protocol_port=80, name=f"m{host}")
    monitor = octavia.create_health_monitor(
        pool_id=pool.id, type="HTTP", delay=5, timeout=3, max_retries=2
    )
    assert (monitor.http_method, monitor.url_path) == ("GET", "/")
    policy = octavia.create_l7_policy(
        listener_id=listener.id, action="REDIRECT_TO_POOL", redirect_pool_id=pool.id
    )
    rule = octavia.create_l7_rule(policy, type="PATH", compare_type="STARTS_WITH", value="/a")
    assert rule.rule_value == "/a"
    assert [r.id for r in octavia.l7_rules(policy)] == [rule.id]


def wait_change_and_find(cloud: Any, lb_id: str) -> None:
    octavia = cloud.load_balancer
    lb = octavia.wait_for_load_balancer(lb_id, wait=5, interval=0.05)
    assert lb.provisioning_status == "ACTIVE"
    assert octavia.find_load_balancer("web").id == lb_id
    assert octavia.find_load_balancer("nowhere") is None
    assert octavia.update_load_balancer(lb_id, name="shop").name == "shop"
    pool = octavia.find_pool("p")
    assert octavia.find_pool("p").health_monitor_id
    members = list(octavia.members(pool, limit=2))  # the SDK follows the links of three pages
    assert sorted(m.name for m in members) == ["m1", "m2", "m3", "m4", "m5"]
    assert octavia.update_member(members[0], pool, weight=9).weight == 9
    assert octavia.find_member("m3", pool).address == "10.0.0.3"
    assert octavia.get_load_balancer_statistics(lb_id).total_connections == 0
    assert octavia.get_listener_statistics(octavia.find_listener("l").id).bytes_in == 0
    assert [p.name for p in octavia.pools(loadbalancer_id=lb_id, sort="name")] == ["p"]
    assert list(octavia.listeners(is_admin_state_up=False)) == []
    with pytest.raises(exceptions.BadRequestException, match="Unknown attribute"):
        octavia.update_pool(pool, protocol="TCP")


def remove_everything(cloud: Any, lb_id: str) -> None:
    octavia = cloud.load_balancer
    policy = next(iter(octavia.l7_policies()))
    octavia.delete_l7_policy(policy)
    octavia.delete_health_monitor(octavia.find_pool("p").health_monitor_id)
    with pytest.raises(exceptions.BadRequestException, match="has children"):
        octavia.delete_load_balancer(lb_id)
    octavia.delete_load_balancer(lb_id, cascade=True)
    with pytest.raises(exceptions.NotFoundException):
        octavia.get_load_balancer(str(uuid.uuid4()))


@pytest.mark.root
async def test_networks(own_network: None, house: House, tmp_path: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/network.sqlite")
    driver = NetworkLocal(engine, "a91e57", management_cidr="100.127.0.0/24",
                          default_cidrs=["172.30.0.0/24"])  # fmt: skip
    await driver.start()
    services = replace(house.services, network=driver, network_admin=driver)
    try:
        async with served(services, tmp_path) as cloud:
            await asyncio.to_thread(use_networks, cloud)
    finally:
        await engine.dispose()


def use_networks(cloud: Any) -> None:
    default = next(iter(cloud.network.subnets()))
    assert default.cidr == "172.30.0.0/24"
    network = cloud.network.create_network(name="blue")
    subnet = cloud.network.create_subnet(
        network_id=network.id, cidr="10.7.0.0/24", ip_version=4, name="blue-v4"
    )
    assert cloud.network.find_subnet("blue-v4").id == subnet.id
    assert [n.name for n in cloud.network.networks(name="blue")] == ["blue"]
    port = cloud.network.create_port(
        network_id=network.id, fixed_ips=[{"subnet_id": subnet.id, "ip_address": "10.7.0.9"}]
    )
    cloud.network.update_network(network, name="azure", description="changed")
    cloud.network.set_tags(network, ["a", "b"])
    assert cloud.network.find_network("azure").tags == ["a", "b"]
    assert [n.id for n in cloud.network.networks(tags=["a"])] == [network.id]
    cloud.network.update_subnet(subnet, gateway_ip="10.7.0.254")
    assert cloud.network.get_subnet(subnet.id).gateway_ip == "10.7.0.254"
    for query in ({"fixed_ips": "ip_address=10.7.0.9"}, {"network_id": network.id}, {"limit": 1}):
        assert [p.id for p in cloud.network.ports(**query)] == [port.id]
    for none in ("routers", "ips", "security_groups", "qos_policies", "availability_zones"):
        assert list(getattr(cloud.network, none)()) == []
    lb = cloud.load_balancer.create_load_balancer(name="web", vip_port_id=port.id)
    assert (lb.vip_address, lb.vip_network_id) == ("10.7.0.9", network.id)
    second = cloud.load_balancer.create_load_balancer(name="two", vip_subnet_id=default.id)
    assert second.vip_address.startswith("172.30.0.")
    owned = next(p for p in cloud.network.ports() if p.id == second.vip_port_id)
    assert owned.device_id == second.id
    with pytest.raises(exceptions.ConflictException):
        cloud.network.delete_port(second.vip_port_id)
    with pytest.raises(exceptions.ConflictException):
        cloud.network.delete_network(network)
    with pytest.raises(exceptions.BadRequestException):
        cloud.load_balancer.create_load_balancer(vip_subnet_id=str(uuid.uuid4()))
