"""How each algorithm spreads real connections."""

import socket
import struct
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.api import Balancer
from tests.e2e.clients import Held, ask, line, names
from tests.e2e.machines import Machine
from tests.e2e.site import Site
from tests.e2e.trees import listener, member, pool

THREE = (8001, 8002, 8003)


@pytest.fixture(scope="module")
def lb(site: Site, farm: Machine) -> Iterator[Balancer]:
    http = [member(farm, port) for port in THREE]
    tcp = [member(farm, port) for port in (8601, 8602, 8603)]
    weighted = [member(farm, p, weight=w) for p, w in zip(THREE, (1, 2, 5), strict=True)]
    made = site.api.balancer(
        name="algorithms",
        vip_subnet_id=site.subnet4["id"],
        listeners=[
            listener(80, pool("even", http)),
            listener(81, pool("weighted", weighted)),
            listener(82, pool("least", tcp[:2], protocol="TCP", lb_algorithm="LEAST_CONNECTIONS"),
                     protocol="TCP"),
            listener(83, pool("source", http, lb_algorithm="SOURCE_IP")),
            listener(84, pool("port", tcp, protocol="TCP", lb_algorithm="SOURCE_IP_PORT"),
                     protocol="TCP"),
        ],
    )  # fmt: skip
    yield made
    made.delete()


def test_round_robin_is_even(lb: Balancer) -> None:
    found = names(30, lb.vip, 80)
    assert set(found) == {f"farm:{port}" for port in THREE}
    assert max(found.values()) - min(found.values()) <= 2


def test_round_robin_keeps_to_weights(lb: Balancer) -> None:
    found = names(80, lb.vip, 81)
    for port, share in zip(THREE, (10, 20, 50), strict=True):
        assert abs(found[f"farm:{port}"] - share) <= 3


def test_least_connections_prefers_the_idle_member(lb: Balancer) -> None:
    with Held() as held:
        open_ones = [held.open(lb.vip, 82) for _ in range(8)]
        by_server: dict[str, list[socket.socket]] = {}
        for one in open_ones:
            by_server.setdefault(line(one), []).append(one)
        assert sorted(map(len, by_server.values())) == [4, 4]
        idle, ending = next(iter(by_server.items()))
        for one in ending:
            one.shutdown(socket.SHUT_WR)
        for one in ending:
            assert one.recv(1) == b"", "the server ends the connection"
        assert Counter(held.greeted(lb.vip, 82) for _ in range(3)) == {idle: 3}


def test_source_ip_keeps_a_client_on_its_member_and_spreads_clients(
    site: Site, lb: Balancer
) -> None:
    first = {n: ask(lb.vip, 83, source=site.source(n)).name for n in range(10, 70)}
    again = {n: ask(lb.vip, 83, source=site.source(n)).name for n in range(10, 70)}
    assert first == again
    spread = Counter(first.values())
    assert set(spread) == {f"farm:{port}" for port in THREE}
    assert min(spread.values()) >= 6


def test_source_ip_moves_only_the_clients_of_a_member_that_goes(site: Site, lb: Balancer) -> None:
    before = {n: ask(lb.vip, 83, source=site.source(n)).name for n in range(10, 50)}
    lb.put("source/m8003", admin_state_up=False)
    without = {n: ask(lb.vip, 83, source=site.source(n)).name for n in range(10, 50)}
    lb.put("source/m8003", admin_state_up=True)
    after = {n: ask(lb.vip, 83, source=site.source(n)).name for n in range(10, 50)}
    moved = {n for n in before if before[n] != without[n]}
    assert moved == {n for n in before if before[n] == "farm:8003"}
    assert after == before


def test_source_ip_port_spreads_the_connections_of_one_client(site: Site, lb: Balancer) -> None:
    with Held() as held:
        found = Counter(held.greeted(lb.vip, 84, source=site.source(9)) for _ in range(60))
    assert len(found) == 3
    assert min(found.values()) >= 6


def test_source_ip_port_sends_one_port_to_one_member(site: Site, lb: Balancer) -> None:
    for port in range(50001, 50011):
        assert len({_greeted_from(lb.vip, 84, (site.source(8), port)) for _ in range(3)}) == 1


def _greeted_from(address: str, port: int, source: tuple[str, int]) -> str:
    """Connect from an address and port that is free again at once, thanks to the reset."""
    with socket.create_connection((address, port), 10.0, source) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return line(one)
