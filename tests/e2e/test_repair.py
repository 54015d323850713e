"""What dies comes back, what is deleted leaves nothing, and the service itself may go."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.api import Balancer
from tests.e2e.clients import Held, Load, ask, eventually, names
from tests.e2e.machines import Machine, run
from tests.e2e.site import Site
from tests.e2e.trees import Body, listener, member, pool

CGROUPS = Path("/sys/fs/cgroup")
REPAIR = 60.0


@pytest.fixture(scope="module")
def lb(site: Site, farm: Machine) -> Iterator[Balancer]:
    made = site.api.balancer(**_tree(site, farm))
    made.online()
    yield made
    made.delete()


def _tree(site: Site, farm: Machine) -> Body:
    tcp = [member(farm, 8601)]
    return {
        "name": "mortal",
        "vip_subnet_id": site.subnet4["id"],
        "listeners": [
            listener(80, pool("main", [member(farm, 8001), member(farm, 8002)], "TCP")),
            listener(81, pool("tcp", tcp, protocol="TCP"), protocol="TCP"),
        ],
    }


def kill(*pids: int) -> None:
    """The end of one may be the end of others."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def serves(lb: Balancer) -> bool:
    try:
        return ask(lb.vip, patience=2.0).status == 200
    except OSError:
        return False


def can_be_changed(lb: Balancer) -> None:
    """A change without and one with a reload take effect."""
    lb.put("main/m8001", weight=0)
    assert set(names(4, lb.vip)) == {"farm:8002"}
    lb.put("main/m8001", weight=1)
    lb.put("l80", insert_headers={"X-Forwarded-Port": "true"})
    assert ask(lb.vip).said["headers"]["x-forwarded-port"] == "80"
    lb.put("l80", insert_headers={})
    lb.online()
    assert len(names(4, lb.vip)) == 2


def test_haproxy_killed_is_back(site: Site, lb: Balancer) -> None:
    before = site.haproxies(lb.id)
    assert before
    kill(*before)
    eventually(lambda: site.haproxies(lb.id) and serves(lb), REPAIR)
    assert not before & site.haproxies(lb.id)
    can_be_changed(lb)


def test_agent_killed_is_back_and_adopts(site: Site, lb: Balancer) -> None:
    haproxies, agent = site.haproxies(lb.id), site.agent(lb.id)
    assert agent is not None
    with Load([(lb.vip, 80)], keep_alive=True) as load:
        kill(agent)
        eventually(lambda: site.agent(lb.id) not in (None, agent), REPAIR)
        load.more(40)
        assert site.haproxies(lb.id) == haproxies
    assert load.failures == []
    can_be_changed(lb)


def test_an_agent_that_hangs_is_started_anew(site: Site, lb: Balancer) -> None:
    haproxies, agent = site.haproxies(lb.id), site.agent(lb.id)
    assert agent is not None
    with Load([(lb.vip, 80)], keep_alive=True) as load:
        os.kill(agent, signal.SIGSTOP)
        eventually(lambda: site.agent(lb.id) not in (None, agent), REPAIR)
        load.more(40)
        assert site.haproxies(lb.id) == haproxies
    assert load.failures == []
    lb.online(REPAIR)
    can_be_changed(lb)


def test_a_haproxy_that_hangs_is_replaced(site: Site, lb: Balancer) -> None:
    before = site.haproxies(lb.id)
    workers = {pid for pid in before if _parent(pid) in before}
    assert workers
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    assert not serves(lb)
    eventually(lambda: serves(lb), REPAIR)
    assert not workers & site.haproxies(lb.id)
    lb.online(REPAIR)
    can_be_changed(lb)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_amphora_killed_is_repaired(site: Site, lb: Balancer) -> None:
    before = site.processes(lb.id)
    kill(*before)
    eventually(lambda: not before.keys() & site.processes(lb.id).keys())
    lb.until("lb", REPAIR, operating_status="ERROR")
    eventually(lambda: serves(lb), REPAIR)
    lb.online(REPAIR)
    can_be_changed(lb)
    assert "silent" in str(lb.api.get(f"/v2/octavia/loadbalancers/{lb.id}/events"))


def test_cards_pulled_out_are_plugged_in_again(site: Site, lb: Balancer) -> None:
    """The next change finds the card missing."""
    card = _cards(site, lb)[0]
    run("ip", "link", "delete", card)
    lb.put("lb", description="look after it")
    eventually(lambda: serves(lb), REPAIR)
    lb.online(REPAIR)


def _cards(site: Site, lb: Balancer) -> list[str]:
    """Outer ends of the cards that carry the load balancer's traffic."""
    ports = site.api.list(f"/v2.0/ports?device_id={lb.id}")
    macs = {port["mac_address"] for port in ports}
    inside = run("ip", "-n", site.amphora_namespace(lb.id).name, "-o", "link")
    return [
        line.split()[1].partition("@")[0]
        for line in inside.splitlines()
        if any(mac in line for mac in macs) and "mgmt0" not in line
    ]


def test_the_service_stops_and_traffic_goes_on(site: Site, lb: Balancer) -> None:
    haproxies, agent = site.haproxies(lb.id), site.agent(lb.id)
    with Load([(lb.vip, 80)], keep_alive=False) as load, Held() as held:
        connection = held.open(lb.vip, 81)
        connection.recv(64)
        load.more(40)
        assert site.stop() == 0
        load.more(200)
        site.start()
        load.more(40)
        eventually(lambda: site.api.get(lb.path)["operating_status"] == "ONLINE")
        lb.put("main/m8002", weight=3)
        load.more(40)
        connection.sendall(b"still there?")
        assert connection.recv(64) == b"still there?"
        lb.put("main/m8002", weight=1)
        assert (site.haproxies(lb.id), site.agent(lb.id)) == (haproxies, agent)
    assert load.failures == []
    can_be_changed(lb)


def test_the_service_killed_in_the_middle_of_a_change(site: Site, lb: Balancer) -> None:
    """Whatever was accepted is carried out by the next life of the service."""
    with Load([(lb.vip, 80)], keep_alive=False) as load:
        load.more(20)
        lb.add("listener", "l82", protocol="HTTP", protocol_port=82,
               default_pool_id=lb.id_of("main"))  # fmt: skip
        site.stop(signal.SIGKILL)
        load.more(40)
        site.start()
        lb.settled()
        load.more(40)
    assert load.failures == []
    assert ask(lb.vip, 82).status == 200
    lb.remove("l82")
    lb.settled()


def test_deleted_while_the_service_is_away_it_goes_on_start(site: Site, farm: Machine) -> None:
    short = site.api.balancer(**_tree(site, farm))
    site.api.delete(f"{short.path}?cascade=true")
    site.stop(signal.SIGKILL)
    site.start()
    eventually(lambda: site.api.gone(short.path), REPAIR)
    assert leftovers(site, short) == []


def test_delete_leaves_nothing(site: Site, farm: Machine) -> None:
    (subnet,) = site.network("short-lived", "192.168.88.0/24")
    made = site.api.balancer(**_tree(site, farm))
    made.add_member("main", "direct", address="192.168.88.9", protocol_port=1,
                    subnet_id=subnet["id"])  # fmt: skip
    made.settled()
    processes, cards = site.processes(made.id), _cards(site, made)
    assert len(cards) == 2
    assert len(leftovers(site, made)) > 4, "there is something to look for"
    made.delete()
    assert leftovers(site, made) == []
    assert not any(_runs(pid) for pid in processes)
    links = run("ip", "-o", "link")
    assert not any(card in links for card in cards)
    site.api.delete(f"/v2.0/networks/{subnet['network_id']}")


def _runs(pid: int) -> bool:
    """Whether it lives; what nobody has reaped yet has no command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def leftovers(site: Site, lb: Balancer) -> list[str]:
    """All of a load balancer that is on the host or in the network API."""
    amphora = site.amphora(lb.id)
    found = [f"port {port['id']}" for port in site.api.list(f"/v2.0/ports?device_id={lb.id}")]
    found += [f"process {pid}" for pid in site.processes(lb.id)]
    found += [f"namespace {path}" for path in Path("/run/netns").glob(f"*{amphora}*")]
    found += [f"file {path}" for path in site.state_dir.rglob(f"*{amphora}*")]
    found += [f"cgroup {path}" for path in CGROUPS.glob(f"*/fairlead/{site.instance}/{amphora}")]
    marker = f"{site.instance}/{amphora}".encode()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker in entry.read_bytes():
                found.append(f"sandbox {entry.parent.name}")
        except OSError:
            continue  # it has ended
    return found
