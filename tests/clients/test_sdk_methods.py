"""Every method of the SDK's load balancer proxy, on one service, in the order of a long day.

The last test compares what was called with the methods that the proxy has.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openstack import exceptions
from openstack.load_balancer.v2._proxy import Proxy

from tests.clients.conftest import Cloud
from tests.clients.driving import Recorder, connection

# What the SDK says of itself is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
SOON: dict[str, Any] = {"interval": 0.05, "wait": 20}


@pytest.fixture(scope="module")
def sdk(cloud: Cloud) -> Iterator[Any]:
    """The SDK's connection."""
    made = connection(cloud.clouds, cloud.name)
    yield made
    made.close()


@pytest.fixture(scope="module")
def octavia(sdk: Any) -> Recorder:
    """The proxy, noting what is called."""
    return Recorder(sdk.load_balancer)


def test_load_balancers(sdk: Any, octavia: Recorder) -> None:
    network = sdk.network.create_network(name="back")
    subnet = sdk.network.create_subnet(
        network_id=network.id, name="back-v4", cidr="198.51.100.0/24", ip_version=4
    )
    made = octavia.create_load_balancer(name="shop", vip_subnet_id=subnet.id, tags=["a"])
    assert made.vip_address.startswith("198.51.100.")
    assert octavia.wait_for_load_balancer(made.id, **SOON).provisioning_status == "ACTIVE"
    assert octavia.get_load_balancer(made.id).tags == ["a"]
    assert octavia.find_load_balancer("shop").id == made.id
    assert [one.id for one in octavia.load_balancers(name="shop")] == [made.id]
    assert octavia.update_load_balancer(made, description="d").description == "d"
    assert octavia.get_load_balancer_statistics(made.id).total_connections == 0
    octavia.failover_load_balancer(made.id)
    again = octavia.wait_for_status(
        octavia.get_load_balancer(made.id), "ACTIVE", attribute="provisioning_status", **SOON
    )
    assert again.id == made.id


def test_listeners_and_pools(octavia: Recorder) -> None:
    lb = octavia.find_load_balancer("shop")
    front = octavia.create_listener(
        name="front", load_balancer_id=lb.id, protocol="HTTP", protocol_port=80
    )
    assert octavia.get_listener(front).load_balancers == [{"id": lb.id}]
    assert octavia.find_listener("front").id == front.id
    assert octavia.update_listener(front, connection_limit=7).connection_limit == 7
    assert octavia.get_listener_statistics(front.id).bytes_in == 0
    assert [one.id for one in octavia.listeners(load_balancer_id=lb.id)] == [front.id]

    pool = octavia.create_pool(
        name="pool", listener_id=front.id, protocol="HTTP", lb_algorithm="ROUND_ROBIN"
    )
    assert octavia.get_pool(pool).listeners == [{"id": front.id}]
    assert octavia.update_pool(pool, lb_algorithm="SOURCE_IP").lb_algorithm == "SOURCE_IP"
    assert octavia.find_pool("pool").id == pool.id
    assert [one.id for one in octavia.pools(loadbalancer_id=lb.id)] == [pool.id]


def test_members_and_monitors(octavia: Recorder) -> None:
    pool = octavia.find_pool("pool")
    member = octavia.create_member(pool, name="m", address="198.51.100.9", protocol_port=80)
    assert octavia.get_member(member, pool).address == "198.51.100.9"
    assert octavia.update_member(member, pool, weight=9).weight == 9
    assert octavia.find_member("m", pool).id == member.id
    assert [one.id for one in octavia.members(pool)] == [member.id]
    octavia.delete_member(member, pool)

    monitor = octavia.create_health_monitor(
        name="hm", pool_id=pool.id, type="TCP", delay=5, timeout=3, max_retries=2
    )
    assert octavia.get_health_monitor(monitor).delay == 5
    assert octavia.update_health_monitor(monitor, delay=6).delay == 6
    assert octavia.find_health_monitor("hm").id == monitor.id
    assert [one.id for one in octavia.health_monitors()] == [monitor.id]
    octavia.delete_health_monitor(monitor)


def test_policies_and_rules(octavia: Recorder) -> None:
    front = octavia.find_listener("front")
    policy = octavia.create_l7_policy(name="no", listener_id=front.id, action="REJECT")
    assert octavia.get_l7_policy(policy).position == 1
    assert octavia.update_l7_policy(policy, description="d").description == "d"
    assert octavia.find_l7_policy("no").id == policy.id
    assert [one.id for one in octavia.l7_policies()] == [policy.id]
    rule = octavia.create_l7_rule(policy, type="PATH", compare_type="EQUAL_TO", value="/x")
    assert octavia.get_l7_rule(rule, policy).rule_value == "/x"
    assert octavia.update_l7_rule(rule, policy, rule_value="/y").rule_value == "/y"
    assert octavia.find_l7_rule(rule.id, policy).id == rule.id
    assert [one.id for one in octavia.l7_rules(policy, rule_value="/y")] == [rule.id]
    assert list(octavia.l7_rules(policy, rule_value="/x")) == []
    octavia.delete_l7_rule(rule, policy)
    octavia.delete_l7_policy(policy)
    octavia.wait_for_delete(policy, **SOON)
    with pytest.raises(exceptions.NotFoundException):
        octavia.get_l7_policy(policy.id)


def test_providers_flavors_and_zones(octavia: Recorder) -> None:
    assert "amphora" in {one.name for one in octavia.providers()}
    told = octavia.provider_flavor_capabilities("amphora")
    assert "loadbalancer_topology" in {one.name for one in told}
    profile = octavia.create_flavor_profile(
        name="p", provider_name="amphora",
        flavor_data=json.dumps({"loadbalancer_topology": "SINGLE"}),
    )  # fmt: skip
    assert octavia.get_flavor_profile(profile).provider_name == "amphora"
    assert octavia.update_flavor_profile(profile, name="q").name == "q"
    assert octavia.find_flavor_profile("q").id == profile.id
    assert [one.id for one in octavia.flavor_profiles()] == [profile.id]
    flavor = octavia.create_flavor(name="f", flavor_profile_id=profile.id, is_enabled=True)
    assert octavia.get_flavor(flavor).flavor_profile_id == profile.id
    assert octavia.update_flavor(flavor, description="d").description == "d"
    assert octavia.find_flavor("f").id == flavor.id
    assert [one.id for one in octavia.flavors()] == [flavor.id]
    with pytest.raises(exceptions.ConflictException):
        octavia.delete_flavor_profile(profile)
    octavia.delete_flavor(flavor)
    octavia.delete_flavor_profile(profile)

    racks = octavia.create_availability_zone_profile(
        name="racks", provider_name="amphora",
        availability_zone_data=json.dumps({"compute_zone": "rack-1"}),
    )  # fmt: skip
    assert octavia.get_availability_zone_profile(racks).name == "racks"
    assert octavia.update_availability_zone_profile(racks, name="rack").name == "rack"
    assert octavia.find_availability_zone_profile("rack").id == racks.id
    assert [one.id for one in octavia.availability_zone_profiles()] == [racks.id]
    zone = octavia.create_availability_zone(
        name="az1", availability_zone_profile_id=racks.id, is_enabled=True
    )
    assert octavia.get_availability_zone("az1").name == "az1"
    assert octavia.update_availability_zone("az1", description="d").description == "d"
    assert octavia.find_availability_zone("az1").name == zone.name
    assert [one.name for one in octavia.availability_zones()] == ["az1"]
    octavia.delete_availability_zone("az1")
    octavia.delete_availability_zone_profile(racks)


def test_quotas(octavia: Recorder, cloud: Cloud) -> None:
    assert octavia.get_quota_default().load_balancers == -1
    assert octavia.update_quota(cloud.project, load_balancers=1).load_balancers == 1
    assert octavia.get_quota(cloud.project).load_balancers == 1
    assert len(list(octavia.quotas())) == 1
    network = octavia.find_load_balancer("shop").vip_network_id
    with pytest.raises(exceptions.ForbiddenException, match="Quota has been met"):
        octavia.create_load_balancer(name="more", vip_network_id=network)
    octavia.delete_quota(cloud.project)
    assert octavia.get_quota(cloud.project).load_balancers == -1


def test_amphorae(octavia: Recorder) -> None:
    lb = octavia.wait_for_load_balancer("shop", **SOON)
    amphora = next(iter(octavia.amphorae(loadbalancer_id=lb.id)))
    assert octavia.get_amphora(amphora).status == "ALLOCATED"
    assert octavia.find_amphora(amphora.id).id == amphora.id
    octavia.configure_amphora(amphora)
    octavia.failover_amphora(amphora)


def test_the_end_of_the_day(sdk: Any, octavia: Recorder) -> None:
    octavia.delete_pool(octavia.find_pool("pool"))
    octavia.delete_listener(octavia.find_listener("front"))
    lb = octavia.find_load_balancer("shop")
    octavia.delete_load_balancer(lb, cascade=True)
    octavia.wait_for_delete(lb, **SOON)
    assert list(octavia.load_balancers()) == []
    sdk.network.delete_subnet(sdk.network.find_subnet("back-v4"))
    sdk.network.delete_network(sdk.network.find_network("back"))


def test_every_method_was_called(octavia: Recorder) -> None:
    own = {name for name, what in vars(Proxy).items() if name[0] != "_" and callable(what)}
    assert len(own) > 80
    assert own - octavia.called == set()
