"""Two projects with the same addresses: each load balancer sees its own servers only."""

import json
import socket
from collections.abc import Iterator

import pytest

from fairlead.wire.amphora import AGENT_PORT
from tests.e2e.api import Balancer
from tests.e2e.clients import ask, names, refused
from tests.e2e.machines import Machine, inside, run
from tests.e2e.site import Site
from tests.e2e.trees import Body, listener, member, pool

CIDR = "192.168.77.0/24"
SERVER = "192.168.77.10"
VIP = "192.168.77.100"
PROJECTS = ("11111111111111111111111111111111", "22222222222222222222222222222222")


class Tenant:
    """A project with a network, a server on it, and a load balancer on each side."""

    def __init__(self, site: Site, label: str, project_id: str) -> None:
        (self.subnet,) = site.network(label, CIDR, project_id=project_id)
        self.server = site.machine(
            label, {8001: "http", 8002: "http"}, [self.subnet], ip_address=SERVER
        )
        self.outside = self._balancer(site, project_id, vip_subnet_id=site.subnet4["id"])
        self.inside = self._balancer(
            site, project_id, vip_subnet_id=self.subnet["id"], vip_address=VIP
        )

    def _balancer(self, site: Site, project_id: str, **vip: str) -> Balancer:
        members: list[Body] = [
            member(SERVER, port, subnet_id=self.subnet["id"]) for port in (8001, 8002)
        ]
        return site.api.balancer(
            name="same",
            project_id=project_id,
            listeners=[listener(80, pool("p", members, {"type": "HTTP", "url_path": "/health"}))],
            **vip,
        )


@pytest.fixture(scope="module")
def tenants(site: Site) -> Iterator[list[Tenant]]:
    made = [Tenant(site, f"tenant{n}", project) for n, project in enumerate(PROJECTS)]
    yield made
    for tenant in made:
        for lb in (tenant.outside, tenant.inside):
            lb.delete()


def test_each_vip_leads_to_its_own_projects_servers(tenants: list[Tenant]) -> None:
    assert tenants[0].outside.vip != tenants[1].outside.vip
    for number, tenant in enumerate(tenants):
        tenant.outside.online()
        found = names(8, tenant.outside.vip)
        assert set(found) == {f"tenant{number}:8001", f"tenant{number}:8002"}


def test_the_same_vip_on_two_networks(tenants: list[Tenant]) -> None:
    for number, tenant in enumerate(tenants):
        tenant.inside.online()
        assert tenant.inside.vip == VIP
        found = tenant.server.inside(lambda: names(8, VIP))
        assert set(found) == {f"tenant{number}:8001", f"tenant{number}:8002"}


def test_a_failure_of_one_projects_server_is_its_own(tenants: list[Tenant]) -> None:
    ours, theirs = tenants
    ours.server.tell("health", 8001, status=503)
    for lb in (ours.outside, ours.inside):
        lb.until("p/m8001", operating_status="ERROR")
    for lb in (theirs.outside, theirs.inside):
        assert lb.get("p/m8001")["operating_status"] == "ONLINE"
    assert len(names(4, theirs.outside.vip)) == 2
    ours.server.tell("health", 8001, status=200)
    ours.outside.online()


def test_the_host_and_other_networks_do_not_reach_a_projects_network(
    site: Site, tenants: list[Tenant], farm: Machine
) -> None:
    assert refused(SERVER, 8001)
    assert refused(VIP, 80)
    assert farm.inside(lambda: refused(VIP, 80))
    gateway = site.subnet4["gateway_ip"]
    assert tenants[0].server.inside(lambda: refused(gateway, 9876)), "nor the other way round"


def test_a_neighbour_of_the_vip_does_not_reach_the_agent(site: Site, tenants: list[Tenant]) -> None:
    """Linux answers for an address on every card; a route by hand leads there."""
    ours = tenants[0]
    shown = site.amphora_namespace(ours.inside.id).name
    (management,) = json.loads(run("ip", "-n", shown, "-j", "-4", "address", "show", "mgmt0"))
    agent = management["addr_info"][0]["local"]
    ours.server.ip("route", "add", agent, "via", VIP)

    def reached(port: int) -> bool:
        try:
            socket.create_connection((agent, port), 3.0).close()
        except OSError:
            return False
        return True

    listening = inside(
        site.amphora_namespace(ours.inside.id), lambda: socket.create_server((agent, 9000))
    )
    with listening:
        assert ours.server.inside(lambda: reached(9000)), "the way there is open"
    assert not ours.server.inside(lambda: reached(AGENT_PORT))
    ours.server.ip("route", "del", agent)


def test_the_neighbours_go_on_when_one_is_deleted(site: Site, tenants: list[Tenant]) -> None:
    ours, theirs = tenants
    ours.inside.delete()
    ours.inside = ours._balancer(site, PROJECTS[0], vip_subnet_id=ours.subnet["id"])
    assert set(theirs.server.inside(lambda: names(4, VIP))) == {"tenant1:8001", "tenant1:8002"}
    mine = ours.server.inside(lambda: ask(ours.inside.vip))
    assert mine.name.startswith("tenant0:")
