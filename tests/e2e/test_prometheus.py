"""Metrics of a load balancer, as Prometheus reads them, and of no other one."""

from collections.abc import Iterator

import pytest

from tests.e2e.api import Balancer
from tests.e2e.clients import ask, eventually, refused
from tests.e2e.machines import Machine
from tests.e2e.site import Site
from tests.e2e.trees import listener, member, pool


@pytest.fixture(scope="module")
def lb(site: Site, farm: Machine) -> Iterator[Balancer]:
    made = site.api.balancer(
        name="measured", vip_subnet_id=site.subnet4["id"],
        listeners=[
            listener(80, pool("main", [member(farm, 8001)])),
            listener(8088, protocol="PROMETHEUS", allowed_cidrs=[f"{site.source(64)}/26"]),
        ],
    )  # fmt: skip
    made.online()
    yield made
    made.delete()


def metrics(site: Site, lb: Balancer, path: str = "/metrics") -> str:
    reply = ask(lb.vip, 8088, path, source=site.source(70))
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/plain")
    return reply.body.decode()


def test_metrics_tell_of_listeners_pools_and_members(site: Site, lb: Balancer) -> None:
    for _ in range(7):
        ask(lb.vip)
    front = f'haproxy_frontend_http_requests_total{{proxy="{lb.id_of("l80")}"}} 7'
    eventually(lambda: front in metrics(site, lb))
    said = metrics(site, lb, "/anything")
    back = f'proxy="{lb.id_of("main")}:{lb.id_of("l80")}"'
    assert f'haproxy_backend_status{{{back},state="UP"}} 1' in said
    assert f'{back},server="{lb.id_of("main/m8001")}"' in said


def test_metrics_tell_of_no_other_load_balancer(site: Site, farm: Machine, lb: Balancer) -> None:
    other = site.api.balancer(
        name="other", vip_subnet_id=site.subnet4["id"],
        listeners=[listener(80, pool("theirs", [member(farm, 8002)]))],
    )  # fmt: skip
    other.online()
    ask(other.vip)
    said = metrics(site, lb)
    for foreign in (other.id_of("l80"), other.id_of("theirs"), other.id_of("theirs/m8002")):
        assert foreign not in said
    other.delete()


def test_only_those_who_may_see_them_do(site: Site, lb: Balancer) -> None:
    assert refused(lb.vip, 8088, source=site.source(9))
    lb.put("l8088", allowed_cidrs=[])
    assert ask(lb.vip, 8088, source=site.source(9)).status == 200
