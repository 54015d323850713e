"""kill -9 of every other process, while the service runs and while it does not.

Traffic returns, the change that follows is carried out, and then the same processes run as before.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from msgspec import Struct

from tests.crash.place import Place, alive, eventually, fetch
from tests.live_amphora import network_of_its_own

SERVER_PORTS = range(8001, 8004)
SECONDS = 20.0

pytestmark = pytest.mark.root


class Balancer(Struct):
    """The one load balancer, with what a test needs of it."""

    place: Place
    client: httpx.Client
    id: str
    address: str
    pool_id: str
    server: str

    def members(self, ports: set[int]) -> None:
        """Have the pool consist of these servers."""
        bodies = [{"address": self.server, "protocol_port": port} for port in sorted(ports)]
        path = f"/v2/lbaas/pools/{self.pool_id}/members"
        assert self.client.put(path, json={"members": bodies}).status_code == 202

    def statuses(self) -> list[str]:
        """What is not as it should be, in the API's words."""
        shown = self.client.get(f"/v2/lbaas/loadbalancers/{self.id}").json()["loadbalancer"]
        found = f"{shown['provisioning_status']} {shown['operating_status']}"
        return [] if found == "ACTIVE ONLINE" else [found]

    def answers(self, ports: set[int]) -> list[str]:
        """What is wrong with the traffic; all of the servers should answer, and no other."""
        try:
            found = {fetch(self.address, 80) for _ in range(12)}
        except OSError as error:
            return [str(error)]
        return [] if found == {(200, str(port)) for port in ports} else [str(found)]

    def census(self) -> Counter[str]:
        """How many processes of each sort run in the amphora.

        Without the outer bwrap, which only waits: nothing is started anew when it is gone.
        """
        found = Counter(map(sort, self.place.processes(self.id).values()))
        del found["bwrap"]
        return found

    def victim(self, part: str) -> int:
        """The process id of a part, once it is the only one of its sort."""
        eventually(lambda: [] if len(self.named(part)) == 1 else [f"{part}: {self.named(part)}"], 5)
        return self.named(part)[0]

    def named(self, part: str) -> list[int]:
        found = self.place.processes(self.id)
        return [pid for pid, words in found.items() if PARTS[part](pid, words)]


def kill(pid: int) -> None:
    """kill -9; returns when the process, and what dies with it, is dead."""
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: [f"process {pid}"] if alive(pid) else [], 5)
    time.sleep(0.05)


def sort(words: list[str]) -> str:
    """The agent's python, haproxy, bwrap or sh."""
    return os.path.basename(words[0])


def parent(pid: int) -> str:
    """The program of a process's parent."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sort(Path(f"/proc/{fields[1]}/cmdline").read_text().split("\0"))


PARTS = {
    "agent": lambda pid, words: "fairlead.agent" in words and sort(words).startswith("python"),
    "haproxy master": lambda pid, words: sort(words) == "haproxy" and parent(pid) != "haproxy",
    "haproxy worker": lambda pid, words: sort(words) == "haproxy" and parent(pid) == "haproxy",
    # Process 1 of the sandbox: everything in there dies with it.
    "supervisor": lambda pid, words: sort(words) == "sh",
    "bwrap": lambda pid, words: sort(words) == "bwrap",
}


@pytest.fixture(scope="module")
def balancer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balancer]:
    if os.geteuid() != 0:
        pytest.skip("needs root to make network namespaces")
    with network_of_its_own():
        place = Place(tmp_path_factory.mktemp("crash") / "state")
        try:
            place.serve(SERVER_PORTS)
            place.service.start()
            with place.service.client() as client:
                yield made(place, client)
        finally:
            place.close()


def made(place: Place, client: httpx.Client) -> Balancer:
    """A load balancer with a monitored pool of the first two servers."""
    subnet = place.subnet(client)
    members = [
        {"address": subnet["gateway_ip"], "protocol_port": port} for port in SERVER_PORTS[:2]
    ]
    monitor = {"type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1}
    pool = {
        "name": "pool", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": members,
        "healthmonitor": monitor,
    }  # fmt: skip
    listener = {"protocol": "HTTP", "protocol_port": 80, "default_pool": pool}
    body = {"name": "lb", "vip_subnet_id": subnet["id"], "listeners": [listener]}
    answer = client.post("/v2/lbaas/loadbalancers", json={"loadbalancer": body})
    assert answer.status_code == 201, answer.text
    shown = answer.json()["loadbalancer"]
    balancer = Balancer(
        place, client, shown["id"], shown["vip_address"],
        shown["pools"][0]["id"], subnet["gateway_ip"],
    )  # fmt: skip
    eventually(balancer.statuses, SECONDS)
    return balancer


def recovers(balancer: Balancer, before: Counter[str]) -> float:
    """Traffic returns, the next change is carried out, and all is as before; after how long."""
    back = eventually(lambda: balancer.answers({8001, 8002}), SECONDS)
    balancer.members({8002, 8003})
    eventually(lambda: balancer.answers({8002, 8003}), SECONDS)
    balancer.members({8001, 8002})
    eventually(lambda: balancer.answers({8001, 8002}), SECONDS)
    eventually(balancer.statuses, SECONDS)
    eventually(
        lambda: [] if balancer.census() == before else [f"{balancer.census()} not {before}"], 5
    )
    assert balancer.place.unfinished([balancer.id]) == {}
    return back


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_killed(balancer: Balancer, part: str) -> None:
    before = balancer.census()
    kill(balancer.victim(part))
    print(f"{part}: traffic is back after {recovers(balancer, before):.2f} s")


def test_the_agents_death_costs_no_request(balancer: Balancer) -> None:
    for _ in range(3):
        kill(balancer.victim("agent"))
        for _ in range(20):
            assert fetch(balancer.address, 80)[0] == 200
            time.sleep(0.02)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_killed_while_the_service_is_down(balancer: Balancer, part: str) -> None:
    before = balancer.census()
    balancer.place.service.kill()
    kill(balancer.victim(part))
    balancer.place.service.start()
    print(f"{part}: traffic is back {recovers(balancer, before):.2f} s after the start")


def test_the_service_is_stopped_and_traffic_flows_on(balancer: Balancer) -> None:
    before = balancer.place.processes(balancer.id)
    assert balancer.place.service.stop() == 0
    for _ in range(20):
        assert fetch(balancer.address, 80)[0] == 200
    balancer.place.service.start()
    eventually(balancer.statuses, SECONDS)
    assert balancer.place.processes(balancer.id).keys() == before.keys()


def test_in_the_end_nothing_is_left(balancer: Balancer) -> None:
    path = f"/v2/lbaas/loadbalancers/{balancer.id}?cascade=true"
    assert balancer.client.delete(path).status_code == 204
    balancer.place.without_remains()
