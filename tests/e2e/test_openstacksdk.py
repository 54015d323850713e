"""The OpenStack SDK against the running service: make everything, wait, use, change, remove."""

from collections.abc import Iterator
from typing import Any

import openstack
import pytest

from tests.e2e.clients import ask, eventually, names
from tests.e2e.machines import Machine
from tests.e2e.site import Site

# What the SDK says of itself is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
WAIT = {"interval": 0.1, "wait": 30}


@pytest.fixture
def cloud(site: Site) -> Iterator[Any]:
    """A connection made from the clouds.yaml that the service wrote."""
    loader = openstack.config.OpenStackConfig(
        config_files=[str(site.state_dir / "clouds.yaml")], load_envvars=False, app_name="e2e"
    )
    connection = openstack.connection.Connection(config=loader.get_one("fairlead"))
    yield connection
    connection.close()


def test_create_wait_use_and_delete(site: Site, cloud: Any, farm: Machine) -> None:
    octavia = cloud.load_balancer
    subnet = cloud.network.find_subnet(site.subnet4["name"])
    lb = octavia.create_load_balancer(name="by-sdk", vip_subnet_id=subnet.id)
    # No waiting: everything is accepted while the load balancer is being made.
    front = octavia.create_listener(
        name="front", load_balancer_id=lb.id, protocol="HTTP", protocol_port=80
    )
    pool = octavia.create_pool(
        name="pool", listener_id=front.id, protocol="HTTP", lb_algorithm="ROUND_ROBIN"
    )
    octavia.create_health_monitor(
        pool_id=pool.id, type="HTTP", delay=1, timeout=1, max_retries=1, url_path="/health"
    )
    members = [
        octavia.create_member(pool, address=farm.address, protocol_port=port, subnet_id=subnet.id)
        for port in (8001, 8002)
    ]
    lb = octavia.wait_for_load_balancer(lb.id, status="ACTIVE", failures=["ERROR"], **WAIT)
    assert set(names(4, lb.vip_address)) == {"farm:8001", "farm:8002"}
    eventually(lambda: octavia.get_load_balancer(lb.id).operating_status == "ONLINE")

    octavia.update_member(members[0].id, pool, weight=0)
    octavia.wait_for_load_balancer(lb.id, status="ACTIVE", failures=["ERROR"], **WAIT)
    assert set(names(4, lb.vip_address)) == {"farm:8002"}
    policy = octavia.create_l7_policy(listener_id=front.id, action="REJECT", name="no")
    octavia.create_l7_rule(policy, type="PATH", compare_type="EQUAL_TO", value="/no")
    octavia.wait_for_load_balancer(lb.id, status="ACTIVE", failures=["ERROR"], **WAIT)
    assert ask(lb.vip_address, path="/no").status == 403
    assert octavia.find_load_balancer("by-sdk").id == lb.id
    assert [m.weight for m in octavia.members(pool)] == [0, 1]
    eventually(lambda: octavia.get_load_balancer_statistics(lb.id).total_connections >= 9)

    octavia.delete_load_balancer(lb.id, cascade=True)
    gone = octavia.find_load_balancer
    eventually(lambda: gone(lb.id, ignore_missing=True) is None)
