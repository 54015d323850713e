"""Members: which ones get traffic, how they come and go, and where they may be."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.api import Balancer
from tests.e2e.clients import Held, ask, eventually, names
from tests.e2e.conftest import MANY
from tests.e2e.machines import Machine
from tests.e2e.site import Site
from tests.e2e.trees import listener, member, pool

HEALTH = {"type": "HTTP", "url_path": "/health"}


@pytest.fixture(scope="module")
def lb(site: Site, farm: Machine) -> Iterator[Balancer]:
    backups = [member(farm, 8001), *(member(farm, p, backup=True) for p in (8002, 8003))]
    cookie = {"type": "HTTP_COOKIE"}
    drained = [member(farm, 8004), member(farm, 8005)]
    held = [member(farm, 8601), member(farm, 8602)]
    made = site.api.balancer(
        name="members",
        vip_subnet_id=site.subnet4["id"],
        listeners=[
            listener(80, pool("backup", backups, HEALTH)),
            listener(81, pool("drained", drained, HEALTH, session_persistence=cookie)),
            listener(82, pool("held", held, protocol="TCP"), protocol="TCP"),
            listener(83, pool("few", [member(farm, 8001)])),
        ],
    )
    yield made
    made.delete()


def test_backups_serve_only_while_nobody_else_does(lb: Balancer, farm: Machine) -> None:
    lb.online()
    assert names(6, lb.vip) == Counter({"farm:8001": 6})
    farm.tell("health", 8001, status=503)
    lb.until("backup/m8001", operating_status="ERROR")
    assert names(6, lb.vip) == Counter({"farm:8002": 3, "farm:8003": 3})
    farm.tell("health", 8001, status=200)
    lb.until("backup/m8001", operating_status="ONLINE")
    assert names(6, lb.vip) == Counter({"farm:8001": 6})
    lb.put("backup/m8003", backup=False)
    assert names(6, lb.vip) == Counter({"farm:8001": 3, "farm:8003": 3})


def test_weight_0_drains(lb: Balancer) -> None:
    first = ask(lb.vip, 81)
    mine = f"drained/m{first.name.partition(':')[2]}"
    cookie = {"Cookie": first.headers["set-cookie"].partition(";")[0]}
    lb.put(mine, weight=0)
    lb.until(mine, operating_status="DRAINING")
    assert first.name not in names(6, lb.vip, 81), "no new client comes"
    assert set(names(3, lb.vip, 81, headers=cookie)) == {first.name}, "its clients stay"
    lb.put(mine, weight=1)
    lb.until(mine, operating_status="ONLINE")
    assert len(names(6, lb.vip, 81)) == 2


def test_weight_0_leaves_connections_alone(lb: Balancer) -> None:
    with Held() as held:
        both = {(one := held.open(lb.vip, 82)): one.recv(64).decode().strip() for _ in range(2)}
        assert sorted(both.values()) == ["farm:8601", "farm:8602"]
        lb.put("held/m8601", weight=0)
        assert {held.greeted(lb.vip, 82) for _ in range(4)} == {"farm:8602"}
        for connection in both:
            connection.sendall(b"still there?")
            assert connection.recv(64) == b"still there?"
    lb.put("held/m8601", weight=1)
    with Held() as held:
        assert len({held.greeted(lb.vip, 82) for _ in range(4)}) == 2


def test_members_come_and_go(lb: Balancer, farm: Machine) -> None:
    assert set(names(3, lb.vip, 83)) == {"farm:8001"}
    lb.add_member("few", "few/second", address=farm.address, protocol_port=8002)
    lb.settled()
    assert len(names(4, lb.vip, 83)) == 2
    lb.remove("few/m8001")
    lb.settled()
    assert set(names(3, lb.vip, 83)) == {"farm:8002"}
    lb.replace_members("few", member(farm, 8003), member(farm, 8002), member(farm, 8004))
    assert set(names(6, lb.vip, 83)) == {"farm:8002", "farm:8003", "farm:8004"}
    lb.replace_members("few")
    assert ask(lb.vip, 83).status == 503, "nobody is left"
    lb.replace_members("few", member(farm, 8001))
    assert set(names(3, lb.vip, 83)) == {"farm:8001"}


def test_all_of_50_members_get_traffic(site: Site, farm: Machine) -> None:
    lb = site.api.balancer(
        name="fifty",
        vip_subnet_id=site.subnet4["id"],
        listeners=[listener(80, pool("p", [member(farm, port) for port in MANY], "TCP"))],
    )
    lb.online()
    found = names(100, lb.vip)
    assert set(found) == {f"farm:{port}" for port in MANY}
    assert set(found.values()) <= {1, 2, 3}
    lb.put(f"p/m{MANY[0]}", weight=0)
    assert set(names(49, lb.vip)) <= {f"farm:{port}" for port in MANY[1:]}
    lb.delete()


def test_a_member_on_a_network_of_its_own(site: Site) -> None:
    """Only the load balancer's card on that network reaches it; without subnet_id nothing does."""
    (subnet,) = site.network("tenant", "192.168.44.0/24")
    server = site.machine("tenant", {8001: "http"}, [subnet])
    lb = site.api.balancer(
        name="tenant",
        vip_subnet_id=site.subnet4["id"],
        listeners=[
            listener(80, pool("direct", [member(server, 8001, subnet_id=subnet["id"])], "TCP")),
        ],
    )
    lb.online()
    reply = ask(lb.vip)
    assert reply.name == "tenant:8001"
    assert reply.said["peer"].startswith("192.168.44."), "it comes from an address on the network"
    lb.remove("direct/m8001")
    lb.settled()
    lb.add_member("direct", "unreachable", address=server.address, protocol_port=8001)
    lb.settled()
    lb.until("unreachable", operating_status="ERROR")
    assert ask(lb.vip).status == 503
    lb.delete()


def test_a_member_without_a_subnet_is_routed(site: Site) -> None:
    """The gateway of the VIP's subnet is the host; the member is on a network of the host's."""
    far = site.far_machine("far", {8001: "http"})
    lb = site.api.balancer(
        name="routed",
        vip_subnet_id=site.subnet4["id"],
        listeners=[listener(80, pool("p", [member(far, 8001)], "TCP"))],
    )
    lb.online()
    reply = ask(lb.vip)
    assert reply.name == "far:8001"
    assert reply.said["peer"] == f"10.60.{far.number}.1", "the host stands in for the amphora"
    lb.delete()


@pytest.mark.parametrize(("front", "back"), [(6, 6), (4, 6), (6, 4)])
def test_ip_versions_of_vip_and_members(site: Site, farm: Machine, front: int, back: int) -> None:
    subnets = {4: site.subnet4, 6: site.subnet6}
    address = farm.addresses[{4: 0, 6: 1}[back]]
    where = {"address": address, "subnet_id": subnets[back]["id"]}
    members = [member(farm, port) | where for port in (8001, 8002)]
    lb = site.api.balancer(
        name=f"ipv{front}-ipv{back}",
        vip_subnet_id=subnets[front]["id"],
        listeners=[listener(80, pool("p", members, HEALTH))],
    )
    assert (":" in lb.vip) == (front == 6)
    lb.online()
    assert len(names(4, lb.vip)) == 2
    assert (":" in ask(lb.vip).said["peer"]) == (back == 6)
    farm.tell("health", 8001, status=503)
    lb.until("p/m8001", operating_status="ERROR")
    assert set(names(4, lb.vip)) == {"farm:8002"}
    farm.tell("health", 8001, status=200)
    lb.online()
    lb.add_member("p", "third", **where, protocol_port=8003)
    lb.settled()
    assert len(eventually(lambda: _if_size(3, names(6, lb.vip)))) == 3
    lb.delete()


def _if_size(size: int, found: Counter[str]) -> Counter[str] | None:
    return found if len(found) == size else None
