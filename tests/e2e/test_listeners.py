"""Listeners: protocols, PROXY headers, limits, timeouts, inserted headers and allowed clients."""

import socket
import ssl
import time
from collections.abc import Iterator

import pytest

from tests.e2e.api import Balancer
from tests.e2e.clients import PATIENCE, Held, ask, eventually, line, names, refused
from tests.e2e.machines import Machine, run
from tests.e2e.site import Site
from tests.e2e.trees import listener, member, pool

HEADERS = (
    "X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-IP", "X-Client-IP",
    "X-Real-IP",
)  # fmt: skip
BLACK_HOLE = 8006


@pytest.fixture(scope="module")
def lb(site: Site, farm: Machine) -> Iterator[Balancer]:
    def members(*ports: int) -> list[dict[str, object]]:
        return [member(farm, port) for port in ports]

    slow = {"timeout_client_data": 700, "timeout_member_data": 700, "timeout_member_connect": 300}
    made = site.api.balancer(
        name="listeners",
        vip_subnet_id=site.subnet4["id"],
        listeners=[
            listener(80, pool("http", members(8001, 8002)), timeout_tcp_inspect=100),
            listener(443, pool("https", members(8441), protocol="HTTPS"), protocol="HTTPS"),
            listener(82, pool("tcp", members(8601, 8602), protocol="TCP"), protocol="TCP"),
            listener(83, pool("proxy", members(8501), "HTTP", protocol="PROXY")),
            listener(84, pool("proxy2", members(8502), "HTTP", protocol="PROXYV2")),
            listener(85, pool("proxy3", members(8502), protocol="PROXYV2"), protocol="TCP"),
            listener(86, pool("limited", members(8603), protocol="TCP"), protocol="TCP",
                     connection_limit=2),
            listener(87, pool("slow", members(8001)), **slow),
            listener(88, pool("dead", members(BLACK_HOLE)), **slow),
            listener(89, pool("idle", members(8604), protocol="TCP"), protocol="TCP", **slow),
            listener(90, pool("marked", members(8001)),
                     insert_headers=dict.fromkeys(HEADERS, "true")),
            listener(91, {"name": "http"}, allowed_cidrs=[f"{site.source(64)}/26"]),
            listener(92),
        ],
    )  # fmt: skip
    yield made
    made.delete()


@pytest.fixture
def black_hole(farm: Machine) -> Iterator[None]:
    """A place of the farm's that gives no sign of life at all."""
    rule = f"tcp dport {BLACK_HOLE} drop"
    table = f"table inet hole {{ chain c {{ type filter hook input priority 0; {rule}; }}; }}"
    farm.inside(lambda: run("nft", table))
    yield
    farm.inside(lambda: run("nft", "delete table inet hole"))


def test_http(lb: Balancer) -> None:
    reply = ask(lb.vip, 80, "/some/path?and=query", method="POST", headers={"X-Own": "a b"})
    assert reply.said["method"] == "POST"
    assert reply.said["path"] == "/some/path?and=query"
    assert reply.said["headers"]["x-own"] == "a b"
    assert ask(lb.vip, 80, "/?size=3000000").body == b"x" * 3_000_000


def test_https_passes_tls_through_to_the_member(site: Site, lb: Balancer) -> None:
    """The client checks the member's own certificate for the member's own name."""
    trusting = ssl.create_default_context(cafile=site.certificate)
    with (
        socket.create_connection((lb.vip, 443), PATIENCE) as plain,
        trusting.wrap_socket(plain, server_hostname="member.test") as tls,
    ):
        tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
        said = b"".join(iter(lambda: tls.recv(65536), b""))
    assert b'"farm:8441"' in said


def test_tcp_passes_everything_both_ways(lb: Balancer) -> None:
    with Held() as held:
        connection = held.open(lb.vip, 82)
        assert line(connection) in ("farm:8601", "farm:8602")
        sent = bytes(range(256)) * 1000
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: connection.recv(65536), b"")) == sent
        assert len({held.greeted(lb.vip, 82) for _ in range(2)}) == 2


@pytest.mark.parametrize(("port", "version"), [(83, 1), (84, 2), (85, 2)])
def test_proxy_pools_tell_the_clients_address(
    site: Site, lb: Balancer, port: int, version: int
) -> None:
    reply = ask(lb.vip, port, source=site.source(7))
    assert reply.said["proxy"]["version"] == version
    assert reply.said["proxy"]["source"] == site.source(7)


def test_proxy_members_are_checked_in_their_own_protocol(lb: Balancer) -> None:
    for name in ("proxy", "proxy2"):
        lb.until(name, operating_status="ONLINE")
        assert {m["operating_status"] for m in lb.api.list(f"{lb.at(name)}/members")} == {"ONLINE"}


def test_connection_limit(lb: Balancer) -> None:
    """More connections than allowed wait; they are served when others end."""
    with Held() as held:
        first, _ = (held.open(lb.vip, 86), held.greeted(lb.vip, 86))
        assert line(first) == "farm:8603"
        third = held.open(lb.vip, 86)
        third.settimeout(0.5)
        with pytest.raises(TimeoutError):
            third.recv(1)
        lb.until("l86", operating_status="DEGRADED")
        third.settimeout(PATIENCE)
        first.close()
        assert line(third) == "farm:8603"
    lb.until("l86", operating_status="ONLINE")
    lb.put("l86", connection_limit=-1)
    with Held() as held:
        assert [held.greeted(lb.vip, 86) for _ in range(5)] == ["farm:8603"] * 5


def test_timeout_member_data(lb: Balancer) -> None:
    assert ask(lb.vip, 87, "/?wait=0.2").status == 200
    started = time.monotonic()
    assert ask(lb.vip, 87, "/?wait=8").status == 504
    assert 0.6 <= time.monotonic() - started < 6.0
    lb.put("l87", timeout_member_data=20000)
    assert ask(lb.vip, 87, "/?wait=1.2").status == 200


def test_timeout_client_data(lb: Balancer) -> None:
    with Held() as held:
        connection = held.open(lb.vip, 87)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: unfinished\r\n")
        assert line(connection).startswith("HTTP/1.1 408")


def test_timeouts_of_idle_tcp_connections(lb: Balancer) -> None:
    with Held() as held:
        connection = held.open(lb.vip, 89)
        assert line(connection) == "farm:8604"
        started = time.monotonic()
        assert connection.recv(1) == b"", "cut by the balancer"
        assert time.monotonic() - started < 6.0


def test_timeout_member_connect(lb: Balancer, black_hole: None) -> None:
    """Three retries, each of 300 ms and as long a pause, instead of 5 s each by default."""
    started = time.monotonic()
    assert ask(lb.vip, 88).status == 503
    assert 0.3 <= time.monotonic() - started < 8.0


def test_a_listener_without_a_pool_answers_503(lb: Balancer) -> None:
    assert ask(lb.vip, 92).status == 503


def test_insert_headers(site: Site, lb: Balancer) -> None:
    source = site.source(21)
    told = ask(lb.vip, 90, source=source).said["headers"]
    assert told["x-forwarded-for"] == source
    assert told["x-forwarded-port"] == "90"
    assert told["x-forwarded-proto"] == "http"
    for name in ("x-forwarded-ip", "x-client-ip", "x-real-ip"):
        assert told[name] == source
    lied = {name: "lie" for name in HEADERS if name != "X-Forwarded-For"}
    assert "lie" not in ask(lb.vip, 90, headers=lied).said["headers"].values()


@pytest.mark.parametrize("name", HEADERS)
def test_insert_one_header(lb: Balancer, name: str) -> None:
    lb.put("l90", insert_headers={name: "true"})
    told = ask(lb.vip, 90).said["headers"]
    assert {one.lower() for one in HEADERS} & told.keys() == {name.lower()}
    lb.put("l90", insert_headers=None)
    assert not {one.lower() for one in HEADERS} & ask(lb.vip, 90).said["headers"].keys()


def test_allowed_cidrs(site: Site, lb: Balancer) -> None:
    inside, outside = site.source(70), site.source(20)
    assert ask(lb.vip, 91, source=inside).status == 200
    assert refused(lb.vip, 91, source=outside)
    assert ask(lb.vip, 80, source=outside).status == 200, "other listeners are open"
    lb.put("l91", allowed_cidrs=[f"{outside}/32", "192.0.2.0/24"])
    assert refused(lb.vip, 91, source=inside)
    assert ask(lb.vip, 91, source=outside).status == 200
    lb.put("l91", allowed_cidrs=[])
    assert ask(lb.vip, 91, source=inside).status == 200


def test_ipv6(site: Site, farm: Machine) -> None:
    """An IPv6 VIP with what depends on the client's address."""
    back = {"address": farm.addresses[1], "subnet_id": site.subnet6["id"]}
    sticky = pool("p", [member(farm, p) | back for p in (8001, 8002)],
                  session_persistence={"type": "SOURCE_IP"})  # fmt: skip
    proxy = pool("proxy", [member(farm, 8501) | back], protocol="PROXY")
    lb = site.api.balancer(
        name="six",
        vip_subnet_id=site.subnet6["id"],
        listeners=[
            listener(80, sticky, insert_headers={"X-Forwarded-For": "true"}),
            listener(81, {"name": "p"}, allowed_cidrs=[f"{site.source6(4)}/126"]),
            listener(82, proxy),
            listener(83, pool("hash", [member(farm, p) | back for p in (8001, 8002)],
                              lb_algorithm="SOURCE_IP")),
        ],
    )  # fmt: skip
    inside, outside = site.source6(5), site.source6(1)
    assert ask(lb.vip, 80, source=outside).said["headers"]["x-forwarded-for"] == outside
    assert len(names(4, lb.vip, 80, source=outside)) == 1
    assert ask(lb.vip, 81, source=inside).status == 200
    assert refused(lb.vip, 81, source=outside)
    assert ask(lb.vip, 82, source=inside).said["proxy"] == {
        "version": 1, "family": "TCP6", "source": inside,
    }  # fmt: skip
    for number in range(1, 9):
        assert len(names(2, lb.vip, 83, source=site.source6(number))) == 1
    lb.put("l81", allowed_cidrs=None)
    assert eventually(lambda: ask(lb.vip, 81, source=outside).status == 200)
    lb.delete()
