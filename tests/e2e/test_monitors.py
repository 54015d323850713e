"""Health monitors: a member that fails is seen, avoided, and comes back."""

import ssl
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from msgspec import Struct

from tests.e2e.api import Balancer
from tests.e2e.clients import Held, ask, eventually, names
from tests.e2e.machines import Machine
from tests.e2e.site import Site
from tests.e2e.trees import Body, listener, member, pool


class Check(Struct, frozen=True, kw_only=True):
    """A pool of two members, how its first one breaks, and what its clients see."""

    port: int
    break_it: Callable[[], object]
    mend_it: Callable[[], object]
    bad: str
    good: str
    ask: Callable[[str], str]


@pytest.fixture(scope="module")
def pinged(site: Site) -> Iterator[Machine]:
    """A machine whose answers to ping can be switched off."""
    made = site.machine("pinged", {8001: "http", 8002: "http"})
    yield made
    made.tell("ping", answer=True)


@pytest.fixture(scope="module")
def lb(site: Site, farm: Machine, pinged: Machine) -> Iterator[Balancer]:
    http = {"type": "HTTP", "url_path": "/health"}
    https = {"type": "HTTPS", "url_path": "/health"}
    made = site.api.balancer(
        name="monitors",
        vip_subnet_id=site.subnet4["id"],
        listeners=[
            listener(80, pool("http", [member(farm, 8001), member(farm, 8002)], http)),
            _stream(81, "https", "HTTPS", [member(farm, 8441), member(farm, 8442)], https),
            _stream(82, "tcp", "TCP", [member(farm, 8601), member(farm, 8602)], "TCP"),
            listener(83, pool("ping", [member(pinged, 8001), member(farm, 8003)], "PING")),
            _stream(84, "hello", "HTTPS", [member(farm, 8443), member(farm, 8444)], "TLS-HELLO"),
        ],
    )  # fmt: skip
    yield made
    made.delete()


@pytest.fixture(params=["http", "https", "tcp", "ping", "hello"])
def check(request: pytest.FixtureRequest, farm: Machine, pinged: Machine) -> Iterator[Check]:
    def tell(*words: object, **more: object) -> Callable[[], object]:
        return lambda: farm.tell(*words, **more)

    found = {
        "http": Check(
            port=80, bad="http/m8001", good="farm:8002", ask=lambda vip: ask(vip, 80).name,
            break_it=tell("health", 8001, status=503), mend_it=tell("health", 8001, status=200),
        ),
        "https": Check(
            port=81, bad="https/m8441", good="farm:8442", ask=lambda vip: _over_tls(vip, 81),
            break_it=tell("health", 8441, status=503), mend_it=tell("health", 8441, status=200),
        ),
        "tcp": Check(
            port=82, bad="tcp/m8601", good="farm:8602", ask=lambda vip: _greeting(vip, 82),
            break_it=tell("close", 8601), mend_it=tell("open", 8601),
        ),
        "ping": Check(
            port=83, bad="ping/m8001", good="farm:8003", ask=lambda vip: ask(vip, 83).name,
            break_it=lambda: pinged.tell("ping", answer=False),
            mend_it=lambda: pinged.tell("ping", answer=True),
        ),
        "hello": Check(
            port=84, bad="hello/m8443", good="farm:8444", ask=lambda vip: _over_tls(vip, 84),
            break_it=tell("reopen", 8443, kind="tcp"), mend_it=tell("reopen", 8443, kind="tls"),
        ),
    }[request.param]  # fmt: skip
    yield found
    found.mend_it()


def _stream(port: int, name: str, protocol: str, members: list[Body], monitor: str | Body) -> Body:
    return listener(port, pool(name, members, monitor, protocol=protocol), protocol=protocol)


def _over_tls(vip: str, port: int) -> str:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return ask(vip, port, tls=context).name


def _greeting(vip: str, port: int) -> str:
    with Held() as held:
        return held.greeted(vip, port)


def test_a_failing_member_is_avoided_and_comes_back(lb: Balancer, check: Check) -> None:
    group = check.bad.partition("/")[0]
    listener_name = f"l{check.port}"
    lb.online()
    assert len({check.ask(lb.vip) for _ in range(4)}) == 2

    check.break_it()
    lb.until(check.bad, operating_status="ERROR")
    lb.until(group, operating_status="DEGRADED")
    lb.until("lb", operating_status="DEGRADED")
    assert lb.get(listener_name)["operating_status"] == "ONLINE"
    assert {check.ask(lb.vip) for _ in range(6)} == {check.good}

    check.mend_it()
    lb.until(check.bad, operating_status="ONLINE")
    lb.until(group, operating_status="ONLINE")
    lb.online()
    assert len({check.ask(lb.vip) for _ in range(4)}) == 2


def test_all_members_down_is_an_error(lb: Balancer, farm: Machine) -> None:
    for port in (8001, 8002):
        farm.tell("health", port, status=500)
    lb.until("http", operating_status="ERROR")
    lb.until("lb", operating_status="ERROR")
    assert ask(lb.vip, 80).status == 503
    tree = lb.api.get(f"{lb.path}/status")["loadbalancer"]
    http = next(one for one in tree["listeners"] if one["name"] == "l80")["pools"][0]
    assert {m["operating_status"] for m in http["members"]} == {"ERROR"}
    for port in (8001, 8002):
        farm.tell("health", port, status=200)
    lb.online()
    assert ask(lb.vip, 80).status == 200


def test_a_monitor_that_comes_and_goes(lb: Balancer, farm: Machine) -> None:
    farm.tell("health", 8001, status=503)
    lb.until("http/m8001", operating_status="ERROR")
    lb.put("http/hm", admin_state_up=False)
    lb.until("http/m8001", operating_status="NO_MONITOR")
    assert len(names(6, lb.vip)) == 2, "nobody looks at the member's health"
    lb.put("http/hm", admin_state_up=True)
    lb.until("http/m8001", operating_status="ERROR")
    lb.remove("http/hm")
    lb.settled()
    lb.until("http/m8001", operating_status="NO_MONITOR")
    assert len(names(6, lb.vip)) == 2
    monitor = {"type": "HTTP", "delay": 0, "timeout": 1, "max_retries": 1, "url_path": "/health"}
    lb.add("healthmonitor", "http/hm", pool_id=lb.id_of("http"), **monitor)
    lb.until("http/m8001", operating_status="ERROR")
    lb.put("http/hm", url_path="/")
    lb.until("http/m8001", operating_status="ONLINE")
    lb.put("http/hm", url_path="/health")
    farm.tell("health", 8001, status=200)
    lb.online()


@pytest.mark.parametrize(("group", "port"), [("http", 8001), ("https", 8441)])
def test_http_checks_ask_as_told(lb: Balancer, farm: Machine, group: str, port: int) -> None:
    lb.put(
        f"{group}/hm", http_method="POST", url_path="/health/deep?a='b'#c",
        expected_codes="201-203", http_version=1.1, domain_name="check.example",
    )  # fmt: skip
    lb.until(group, operating_status="ERROR")
    farm.tell("health", port, status=202)
    lb.until(f"{group}/m{port}", operating_status="ONLINE")
    last = farm.tell("seen", port)[-1]
    assert (last["method"], last["path"]) == ("POST", "/health/deep?a='b'#c")
    assert last["version"] == "1.1"
    assert last["headers"]["host"] == "check.example"
    lb.put(
        f"{group}/hm", http_method="HEAD", url_path="/health", expected_codes="200,202",
        http_version=1.0, domain_name=None,
    )  # fmt: skip
    lb.until(group, operating_status="ONLINE")
    eventually(lambda: farm.tell("seen", port)[-1]["method"] == "HEAD")
    assert "host" not in farm.tell("seen", port)[-1]["headers"]
    farm.tell("health", port, status=200)
    lb.put(f"{group}/hm", http_method="GET", expected_codes="200", http_version=None)
    lb.online()


def test_a_member_is_checked_elsewhere_when_it_says_so(
    site: Site, farm: Machine, pinged: Machine
) -> None:
    members = [
        member(farm, 8004, monitor_port=8005),
        member(pinged, 8002, monitor_address=farm.address, monitor_port=8006),
    ]
    lb = site.api.balancer(
        name="elsewhere",
        vip_subnet_id=site.subnet4["id"],
        listeners=[listener(80, pool("p", members, {"type": "HTTP", "url_path": "/health"}))],
    )
    lb.online()
    farm.tell("health", 8004, status=503)
    assert names(6, lb.vip) == Counter({"farm:8004": 3, "pinged:8002": 3})
    farm.tell("health", 8005, status=503)
    lb.until("p/m8004", operating_status="ERROR")
    assert set(names(4, lb.vip)) == {"pinged:8002"}
    farm.tell("health", 8005, status=200)
    farm.tell("health", 8006, status=503)
    lb.until("p/m8002", operating_status="ERROR")
    lb.until("p/m8004", operating_status="ONLINE")
    assert set(names(4, lb.vip)) == {"farm:8004"}
    lb.put("p/m8002", monitor_address=None, monitor_port=None)
    lb.until("p/m8002", operating_status="ONLINE")
    for port in (8004, 8006):
        farm.tell("health", port, status=200)
    lb.delete()
