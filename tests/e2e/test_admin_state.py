"""admin_state_up: what is switched off takes no part, and comes back when switched on."""

from collections.abc import Iterator

import pytest

from tests.e2e.api import Balancer
from tests.e2e.clients import ask, names, refused
from tests.e2e.machines import Machine
from tests.e2e.site import Site
from tests.e2e.trees import listener, member, pool

HEALTH = {"type": "HTTP", "url_path": "/health"}
NOT_THERE = {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/no"}
NOT_FOR_BOTS = {"type": "HEADER", "key": "X-Bot", "compare_type": "EQUAL_TO", "value": "yes"}


@pytest.fixture(scope="module")
def lb(site: Site, farm: Machine) -> Iterator[Balancer]:
    no = {"name": "no", "action": "REJECT", "rules": [NOT_THERE, NOT_FOR_BOTS]}
    two = [member(farm, 8001), member(farm, 8002)]
    made = site.api.balancer(
        name="states",
        vip_subnet_id=site.subnet4["id"],
        listeners=[
            listener(80, pool("main", two, HEALTH), l7policies=[no]),
            listener(81, pool("other", [member(farm, 8003)])),
        ],
    )
    made.online()
    yield made
    made.delete()


def test_load_balancer(lb: Balancer) -> None:
    lb.put("lb", admin_state_up=False)
    lb.until("lb", operating_status="OFFLINE")
    assert refused(lb.vip, 80)
    assert refused(lb.vip, 81)
    lb.put("lb", admin_state_up=True)
    lb.online()
    assert len(names(4, lb.vip)) == 2


def test_listener(lb: Balancer) -> None:
    lb.put("l80", admin_state_up=False)
    lb.until("l80", operating_status="OFFLINE")
    assert refused(lb.vip, 80)
    assert ask(lb.vip, 81).status == 200, "the other one goes on"
    lb.put("l80", admin_state_up=True)
    lb.until("l80", operating_status="ONLINE")
    assert ask(lb.vip, 80).status == 200


def test_pool(lb: Balancer) -> None:
    lb.put("main", admin_state_up=False)
    lb.until("main", operating_status="OFFLINE")
    assert ask(lb.vip, 80).status == 503
    lb.put("main", admin_state_up=True)
    lb.until("main", operating_status="ONLINE")
    assert len(names(4, lb.vip)) == 2


def test_member(lb: Balancer) -> None:
    lb.put("main/m8001", admin_state_up=False)
    lb.until("main/m8001", operating_status="OFFLINE")
    assert set(names(4, lb.vip)) == {"farm:8002"}
    lb.put("main/m8001", admin_state_up=True)
    lb.until("main/m8001", operating_status="ONLINE")
    lb.online()
    assert len(names(4, lb.vip)) == 2


def test_every_member(lb: Balancer) -> None:
    for name in ("main/m8001", "main/m8002"):
        lb.put(name, admin_state_up=False)
    assert ask(lb.vip, 80).status == 503
    for name in ("main/m8001", "main/m8002"):
        lb.put(name, admin_state_up=True)
    lb.online()
    assert len(names(4, lb.vip)) == 2


def test_monitor(lb: Balancer, farm: Machine) -> None:
    farm.tell("health", 8001, status=503)
    lb.until("main/m8001", operating_status="ERROR")
    lb.put("main/hm", admin_state_up=False)
    lb.until("main/hm", operating_status="OFFLINE")
    lb.until("main/m8001", operating_status="NO_MONITOR")
    assert len(names(4, lb.vip)) == 2
    lb.put("main/hm", admin_state_up=True)
    lb.until("main/hm", operating_status="ONLINE")
    lb.until("main/m8001", operating_status="ERROR")
    farm.tell("health", 8001, status=200)
    lb.online()


def test_policy(lb: Balancer) -> None:
    assert _is_rejected(lb)
    lb.put("no", admin_state_up=False)
    lb.until("no", operating_status="OFFLINE")
    assert not _is_rejected(lb)
    lb.put("no", admin_state_up=True)
    lb.until("no", operating_status="ONLINE")
    assert _is_rejected(lb)


def test_rule(lb: Balancer) -> None:
    """The rules that are left decide; without any the policy decides nothing."""
    assert ask(lb.vip, path="/no").status == 200
    lb.put("no/1", admin_state_up=False)
    lb.until("no/1", operating_status="OFFLINE")
    assert ask(lb.vip, path="/no").status == 403
    lb.put("no/0", admin_state_up=False)
    assert not _is_rejected(lb)
    for rule in ("no/0", "no/1"):
        lb.put(rule, admin_state_up=True)
    assert ask(lb.vip, path="/no").status == 200
    assert _is_rejected(lb)


def _is_rejected(lb: Balancer) -> bool:
    return ask(lb.vip, path="/no/way", headers={"X-Bot": "yes"}).status == 403
