"""Changes while traffic flows: not one request fails, whatever is changed.

Every change is in force before the next one begins, and requests are answered in between. The
clients are strict, see `clients.Load`.
"""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.e2e.api import LBAAS, Balancer
from tests.e2e.clients import Load, ask, names
from tests.e2e.machines import Machine
from tests.e2e.site import Site, threaded
from tests.e2e.trees import listener, member, pool

CHECK = {"type": "HTTP", "delay": 0, "timeout": 2, "max_retries": 1, "url_path": "/health"}
BETWEEN = 40


@pytest.fixture
def lb(site: Site, farm: Machine) -> Iterator[Balancer]:
    members = [member(farm, port) for port in (8001, 8002, 8003)]
    made = site.api.balancer(
        name="changes",
        vip_subnet_id=site.subnet4["id"],
        listeners=[listener(80, pool("main", members))],
    )
    yield made
    made.delete()


def changes(lb: Balancer, farm: Machine) -> list[Callable[[], object]]:
    """Of every kind, those that need a reload and those that do not."""
    where = {"address": farm.address}
    path = {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/none"}
    bot = {"type": "HEADER", "key": "X-Bot", "compare_type": "EQUAL_TO", "value": "yes"}
    return [
        lambda: lb.change("main/m8001", weight=5),
        lambda: lb.add_member("main", "m4", **where, protocol_port=8004),
        lambda: lb.remove("main/m8002"),
        lambda: lb.change("main/m8003", admin_state_up=False),
        lambda: lb.change("main/m8003", admin_state_up=True),
        lambda: lb.add("listener", "l81", protocol="HTTP", protocol_port=81,
                       default_pool_id=lb.id_of("main")),
        lambda: lb.add("pool", "second", protocol="HTTP", lb_algorithm="ROUND_ROBIN"),
        lambda: lb.add_member("second", "s1", **where, protocol_port=8005),
        lambda: lb.add("l7policy", "policy", listener_id=lb.id_of("l80"),
                       action="REDIRECT_TO_POOL", redirect_pool_id=lb.id_of("second")),
        lambda: lb.add_rule("policy", **path),
        lambda: lb.add_rule("policy", **bot),
        lambda: lb.add("healthmonitor", "hm", pool_id=lb.id_of("main"), **CHECK),
        lambda: lb.change("hm", timeout=1, max_retries_down=4, url_path="/health/x"),
        lambda: lb.change("l80", timeout_client_data=20000, timeout_member_data=20000),
        lambda: lb.change("l80", insert_headers={"X-Forwarded-For": "true"}),
        lambda: lb.change("l80", connection_limit=500),
        lambda: lb.change("main", session_persistence={"type": "HTTP_COOKIE"}),
        lambda: lb.add_member("main", "m6", **where, protocol_port=8006),
        lambda: lb.change("main", lb_algorithm="LEAST_CONNECTIONS", session_persistence=None),
        lambda: lb.change("l80", allowed_cidrs=["172.16.0.0/12", "10.0.0.0/8"]),
        lambda: lb.replace_members("main", member(farm, 8001), member(farm, 8002)),
        lambda: lb.change("policy", action="REJECT"),
        lambda: lb.remove("hm"),
        lambda: lb.remove("policy"),
        lambda: lb.remove("l81"),
        lambda: lb.change("lb", description="changed", tags=["new"]),
    ]  # fmt: skip


@pytest.mark.parametrize("keep_alive", [False, True], ids=["close", "keep-alive"])
def test_no_request_fails(lb: Balancer, farm: Machine, keep_alive: bool) -> None:
    with Load([(lb.vip, 80)], keep_alive=keep_alive) as load:
        load.more(BETWEEN)
        wanted = changes(lb, farm)
        assert len(wanted) >= 20
        for change in wanted:
            change()
            lb.settled()
            load.more(BETWEEN)
            assert load.failures == [], f"after change {wanted.index(change)}"
    assert load.failures == []
    assert load.answers.total() > 500
    assert set(names(6, lb.vip)) == {"farm:8001", "farm:8002"}


def test_changes_that_do_not_wait_for_each_other(lb: Balancer, farm: Machine) -> None:
    """All at once, while the load balancer is PENDING_UPDATE; the newest is what counts."""
    with Load([(lb.vip, 80)], keep_alive=False) as load:
        load.more(BETWEEN)
        for number in range(10):
            lb.add("listener", f"more{number}", protocol="HTTP", protocol_port=9000 + number,
                   default_pool_id=lb.id_of("main"))  # fmt: skip
            lb.change("main/m8001", weight=number + 1)
            lb.change("l80", timeout_client_data=30000 + number)
        lb.settled()
        load.more(BETWEEN)
    assert load.failures == []
    assert [ask(lb.vip, 9000 + number).status for number in range(10)] == [200] * 10
    assert names(24, lb.vip)["farm:8001"] in range(19, 22), "weight 10 of 12"


def test_ten_listeners_posted_at_once_to_a_new_load_balancer(site: Site, farm: Machine) -> None:
    """Each is accepted at the first try, while the load balancer is being made."""
    path = f"{LBAAS}/loadbalancers"
    pools = [pool("main", [member(farm, 8001)])]
    body = {"vip_subnet_id": site.subnet4["id"], "pools": pools, "listeners": []}
    made = Balancer(site.api, site.api.post(path, "loadbalancer", **body))

    def post(number: int) -> object:
        return made.add("listener", f"at-once{number}", protocol="HTTP", protocol_port=number,
                        default_pool_id=made.id_of("main"))  # fmt: skip

    threaded(*(partial(post, number) for number in range(80, 90)))
    made.settled()
    assert [ask(made.vip, number).name for number in range(80, 90)] == ["farm:8001"] * 10
    made.delete()
