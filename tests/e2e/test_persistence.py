"""Session persistence: a client finds its member again, also after changes."""

import time
from collections.abc import Iterator

import pytest

from tests.e2e.api import Balancer
from tests.e2e.clients import ask, names
from tests.e2e.machines import Machine
from tests.e2e.site import Site
from tests.e2e.trees import listener, member, pool

THREE = (8001, 8002, 8003)


@pytest.fixture(scope="module")
def lb(site: Site, farm: Machine) -> Iterator[Balancer]:
    http = [member(farm, port) for port in THREE]
    kinds = {
        80: {"type": "SOURCE_IP"},
        81: {"type": "HTTP_COOKIE"},
        82: {"type": "APP_COOKIE", "cookie_name": "JSESSIONID"},
    }
    made = site.api.balancer(
        name="persistence",
        vip_subnet_id=site.subnet4["id"],
        listeners=[
            listener(port, pool(f"p{port}", http, session_persistence=kind))
            for port, kind in kinds.items()
        ],
    )
    yield made
    made.delete()


def cookie_of(header: str) -> str:
    return header.partition(";")[0]


def test_source_ip_sticks_and_still_spreads_clients(site: Site, lb: Balancer) -> None:
    spread = {n: ask(lb.vip, 80, source=site.source(n)).name for n in range(10, 22)}
    assert len(set(spread.values())) == 3
    for n, name in spread.items():
        assert set(names(3, lb.vip, 80, source=site.source(n))) == {name}


def test_http_cookie_is_the_balancers_own(lb: Balancer) -> None:
    assert len(names(9, lb.vip, 81)) == 3
    first = ask(lb.vip, 81)
    cookie = cookie_of(first.headers["set-cookie"])
    again = ask(lb.vip, 81, headers={"Cookie": cookie})
    assert again.name == first.name
    assert "set-cookie" not in again.headers
    assert "cookie" not in again.said["headers"], "the member does not see it"
    assert set(names(6, lb.vip, 81, headers={"Cookie": cookie})) == {first.name}


def test_a_forged_cookie_is_replaced(lb: Balancer) -> None:
    reply = ask(lb.vip, 81, headers={"Cookie": "SRV=nobody"})
    assert reply.status == 200
    assert cookie_of(reply.headers["set-cookie"]) != "SRV=nobody"


def test_app_cookie_follows_the_applications_session(lb: Balancer) -> None:
    for session in ("a1b2", "c3d4", "e5f6"):
        cookie = f"JSESSIONID={session}"
        login = ask(lb.vip, 82, f"/?cookie={cookie}")
        assert login.headers["set-cookie"].startswith(cookie)
        assert set(names(6, lb.vip, 82, headers={"Cookie": cookie})) == {login.name}
    assert len(names(9, lb.vip, 82)) == 3, "those without a session are spread"


def test_sessions_survive_changes_that_need_a_reload(site: Site, lb: Balancer) -> None:
    """haproxy hands tables on once it has run for 10 s undisturbed: it waits for elders first."""
    for pause in (0.0, 10.5, 12.0):
        time.sleep(pause)
        sessions = [_Session(site, lb, port, n) for port in (80, 81, 82) for n in range(30, 36)]
        for listener_name in ("l80", "l81"):
            lb.put(listener_name, timeout_client_data=int(40000 + 1000 * pause))
        if all(one.goes_on(2) for one in reversed(sessions)):
            return
    pytest.fail("sessions are lost")


class _Session:
    """A client with every mark by which it can be known: its address and its cookies."""

    def __init__(self, site: Site, lb: Balancer, port: int, number: int) -> None:
        cookie = f"JSESSIONID=keep{number}"
        self._vip, self._port, self._source = lb.vip, port, site.source(number)
        first = ask(lb.vip, port, f"/?cookie={cookie}", source=self._source)
        self._cookies = f"{cookie}; {cookie_of(first.headers['set-cookie'])}"
        self._name = first.name

    def goes_on(self, count: int) -> bool:
        headers = {"Cookie": self._cookies}
        found = names(count, self._vip, self._port, source=self._source, headers=headers)
        return set(found) == {self._name}


def test_a_client_of_a_member_that_goes_finds_another(site: Site, lb: Balancer) -> None:
    source = site.source(40)
    name = ask(lb.vip, 80, source=source).name
    gone = f"p80/m{name.partition(':')[2]}"
    lb.put(gone, admin_state_up=False)
    assert ask(lb.vip, 80, source=source).name not in ("", name)
    lb.put(gone, admin_state_up=True)


def test_persistence_ends_when_it_is_taken_away(site: Site, lb: Balancer) -> None:
    lb.put("p80", session_persistence=None)
    assert len(names(9, lb.vip, 80, source=site.source(50))) == 3
