"""Statistics and the status tree: what the API says of the traffic there was."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.e2e.api import LBAAS, Balancer
from tests.e2e.clients import Held, ask, eventually, line
from tests.e2e.machines import Machine
from tests.e2e.site import Site
from tests.e2e.trees import listener, member, pool

REQUESTS = 20
SIZE = 10_000


@pytest.fixture(scope="module")
def lb(site: Site, farm: Machine) -> Iterator[Balancer]:
    rule = {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/side"}
    policy = {"name": "elsewhere", "action": "REDIRECT_TO_POOL", "rules": [rule]}
    made = site.api.balancer(
        name="counted",
        vip_subnet_id=site.subnet4["id"],
        pools=[pool("side", [member(farm, 8003)]), pool("unused", [member(farm, 8004)])],
        listeners=[
            listener(80, pool("main", [member(farm, 8001), member(farm, 8002)], "TCP"),
                     l7policies=[policy | {"redirect_pool": {"name": "side"}}]),
            listener(81, pool("tcp", [member(farm, 8605)], protocol="TCP"), protocol="TCP"),
        ],
    )  # fmt: skip
    made.online()
    yield made
    made.delete()


def stats(lb: Balancer, name: str = "lb") -> dict[str, int]:
    found: dict[str, int] = lb.api.get(f"{lb.at(name)}/stats")
    return found


def test_bytes_and_connections(lb: Balancer) -> None:
    for _ in range(REQUESTS):
        ask(lb.vip, 80, f"/?size={SIZE}")
    eventually(lambda: stats(lb, "l80")["total_connections"] == REQUESTS)
    counted = stats(lb, "l80")
    assert REQUESTS * SIZE < counted["bytes_out"] < REQUESTS * (SIZE + 300)
    assert REQUESTS * 20 < counted["bytes_in"] < REQUESTS * 300
    assert counted["active_connections"] == 0
    assert counted["request_errors"] == 0
    assert stats(lb, "l81")["total_connections"] == 0
    assert stats(lb) == counted, "the sum over listeners"


def test_connections_that_are_open(lb: Balancer) -> None:
    before = stats(lb)["total_connections"]
    with Held() as held:
        for _ in range(3):
            held.greeted(lb.vip, 81)
        eventually(lambda: stats(lb)["active_connections"] == 3)
        assert stats(lb, "l81")["active_connections"] == 3
    eventually(lambda: stats(lb)["active_connections"] == 0)
    assert stats(lb)["total_connections"] == before + 3


def test_requests_that_are_wrong(lb: Balancer) -> None:
    before = stats(lb)["request_errors"]
    for _ in range(3):
        with socket.create_connection((lb.vip, 80), 10.0) as connection:
            connection.sendall(b"NOT HTTP\r\n\r\n")
            assert line(connection).startswith("HTTP/1.1 400")
    eventually(lambda: stats(lb)["request_errors"] == before + 3)


def test_counters_survive_a_reload_and_go_on(lb: Balancer) -> None:
    before = stats(lb, "l80")
    lb.put("l80", timeout_client_data=43210)
    for _ in range(REQUESTS):
        ask(lb.vip, 80, f"/?size={SIZE}")
    wanted = before["total_connections"] + REQUESTS
    eventually(lambda: stats(lb, "l80")["total_connections"] == wanted)
    more = stats(lb, "l80")["bytes_out"] - before["bytes_out"]
    assert REQUESTS * SIZE < more < REQUESTS * (SIZE + 300)


def test_counters_survive_the_death_of_haproxy(site: Site, lb: Balancer) -> None:
    before = stats(lb)["total_connections"]
    for pid in site.haproxies(lb.id):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: _serves(lb))
    lb.online()
    eventually(lambda: stats(lb)["total_connections"] > before)


def _serves(lb: Balancer) -> bool:
    try:
        return ask(lb.vip, 80, patience=2.0).status == 200
    except OSError:
        return False


def test_the_status_tree(lb: Balancer) -> None:
    tree = lb.api.get(f"{LBAAS}/loadbalancers/{lb.id}/status")["loadbalancer"]
    assert lb.api.get(f"{LBAAS}/loadbalancers/{lb.id}/statuses")["loadbalancer"] == tree
    assert _own(tree) == (lb.id, "counted", "ACTIVE", "ONLINE")
    listeners = {one["name"]: one for one in tree["listeners"]}
    assert set(listeners) == {"l80", "l81"}
    pools = {one["name"]: one for one in listeners["l80"]["pools"]}
    assert set(pools) == {"main", "side"}, "the default pool and those of L7 policies"
    assert _own(pools["main"]) == (lb.id_of("main"), "main", "ACTIVE", "ONLINE")
    monitor = pools["main"]["health_monitor"]
    assert (monitor["type"], monitor["operating_status"]) == ("TCP", "ONLINE")
    assert "health_monitor" not in pools["side"]
    members = {one["name"]: one for one in pools["main"]["members"]}
    assert set(members) == {"main/m8001", "main/m8002"}
    assert members["main/m8001"]["operating_status"] == "ONLINE"
    assert members["main/m8001"]["protocol_port"] == 8001
    assert pools["side"]["members"][0]["operating_status"] == "NO_MONITOR"
    assert lb.get("unused")["operating_status"] == "OFFLINE"


def _own(shown: dict[str, Any]) -> tuple[str, ...]:
    fields = ("id", "name", "provisioning_status", "operating_status")
    return tuple(shown[field] for field in fields)
