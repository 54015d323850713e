"""kill -9 of the service at twenty random moments of a scripted run.

After each restart every accepted request is there, and the one that got no answer is there wholly
or not at all. In the end everything is in force, and once all is deleted nothing is left over.
FAIRLEAD_CRASH_SEED repeats a run, as far as the moments of the kills allow.
"""

import contextlib
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.crash.place import Place, eventually, fetch, refuses
from tests.crash.remains import Remains, balancers, ports
from tests.crash.script import FRONT_PORTS, SERVER_PORTS, Script

KILLS = 20
MOMENTS = (0.01, 0.6)

pytestmark = pytest.mark.root


def run_until_killed(place: Place, scripts: list[Script], moment: float) -> None:
    """Have every script make its requests, kill the service after `moment`, and let them end."""
    killed = threading.Event()

    def kill() -> None:
        killed.set()
        place.service.kill()

    def play(script: Script) -> None:
        with place.service.client() as client:
            while True:
                try:
                    script.ask(client)
                except httpx.TransportError:
                    assert killed.is_set(), "the service died by itself"
                    return

    killer = threading.Timer(moment, kill)
    killer.start()
    with ThreadPoolExecutor(max_workers=len(scripts)) as pool:
        playing = [pool.submit(play, script) for script in scripts]
    killer.join()
    for one in playing:
        one.result()


def check_traffic(script: Script, address: str) -> None:
    """Every listener answers from every server it should, and denies what it should."""
    open_ports = set()
    for port, servers, denied in script.listeners():
        open_ports.add(port)
        eventually(lambda port=port, servers=servers: wrong(address, port, servers), 15.0)
        for path in denied:
            assert fetch(address, port, path)[0] == 403
    for port in set(FRONT_PORTS) - open_ports:
        assert refuses(address, port), f"port {port} has no listener, yet answers"


def wrong(address: str, port: int, servers: set[int]) -> list[str]:
    """What is wrong with a listener."""
    try:
        answers = [fetch(address, port) for _ in range(40)]
    except OSError as error:
        return [f"{address}:{port}: {error}"]
    wanted = {(200, str(server)) for server in servers}
    if not wanted and {status for status, _ in answers} == {503}:
        return []
    return [] if set(answers) == wanted else [f"{address}:{port}: {set(answers)} not {wanted}"]


def check_in_force(place: Place, scripts: list[Script], client: httpx.Client) -> None:
    """The API, the host and the traffic are as the scripts say."""
    living = {script.ids["lb"] for script in scripts if script.tree is not None}
    assert {one["id"] for one in client.get("/v2/lbaas/loadbalancers").json()["loadbalancers"]} == (
        living
    )
    assert place.unfinished(sorted(living)) == {}
    found = Remains(place.state_dir, place.instance)
    assert sorted(found.namespaces) == sorted(place.namespace(one) for one in living)
    assert len(found.homes) == len(living)
    far = {script.ids["lb"]: reaches_far(script) for script in scripts if script.tree is not None}
    assert len(found.cards) == 2 * len(living) + sum(far.values()), "for management, VIP, members"
    owned = ports(place.state_dir)
    assert set(owned) == living
    for lb_id, names in owned.items():
        assert len(names) == 3 + far[lb_id], "VIP, its network, management, members"
    for script in scripts:
        script.look(client)
        if script.tree is not None:
            shown = client.get(f"/v2/lbaas/loadbalancers/{script.ids['lb']}").json()
            check_traffic(script, shown["loadbalancer"]["vip_address"])


def reaches_far(script: Script) -> bool:
    """Whether a member is in the other network."""
    members = [key for key in script.tree or {} if key.startswith("member ")]
    return any(int(key.split()[2]) % 2 == 0 for key in members)


def script_count(scripts: list[Script]) -> int:
    """How many requests were accepted."""
    return sum(script.accepted for script in scripts)


def check_gone(scripts: list[Script], client: httpx.Client) -> None:
    for script in scripts:
        for lb_id in script.gone:
            assert client.get(f"/v2/lbaas/loadbalancers/{lb_id}").status_code == 404


def test_what_was_accepted_is_carried_out_and_nothing_is_left_over(place: Place) -> None:
    seed = int(os.environ.get("FAIRLEAD_CRASH_SEED") or random.randrange(1 << 32))
    print(f"FAIRLEAD_CRASH_SEED={seed}")
    chance = random.Random(seed)
    place.serve(SERVER_PORTS)
    place.service.start()
    with place.service.client() as client:
        subnet, far = place.subnet(client), place.other_subnet(client)
    scripts = [
        Script(name, seed, subnet["id"], subnet["gateway_ip"], far) for name in ("first", "second")
    ]
    for number in range(KILLS):
        run_until_killed(place, scripts, chance.uniform(*MOMENTS))
        ready = place.service.start()
        print(f"kill {number + 1}: {script_count(scripts)} requests so far, up in {ready:.2f} s")
        with place.service.client() as client:
            for script in scripts:
                script.look(client)
            if number % 4 == 3:  # now and then from a state of rest
                print(f"settled in {place.settled(client):.2f} s")
    assert script_count(scripts) > 5 * KILLS, "too few requests for the kills to fall among them"
    with place.service.client() as client:
        for script in scripts:
            if script.tree is None:
                script.ask(client)
        place.settled(client)
        check_in_force(place, scripts, client)
        for script in scripts:
            script.remove(client)
        place.without_remains()
        check_gone(scripts, client)
    assert place.service.stop() == 0
    assert "Traceback" not in Path(place.service.log).read_text()
    assert list(Remains(place.state_dir, place.instance)) == []


def nobodys_ports(place: Place) -> set[str]:
    """Owners of ports that no stored load balancer stands for."""
    return set(ports(place.state_dir)) - balancers(place.state_dir)


def kill_between_address_and_tree(place: Place, subnet_id: str) -> None:
    """Ask for a load balancer, and kill the service as soon as an address was taken for it."""

    def ask() -> None:
        with place.service.client() as client, contextlib.suppress(httpx.TransportError):
            body = {"loadbalancer": {"vip_subnet_id": subnet_id}}
            client.post("/v2/lbaas/loadbalancers", json=body)

    asking = threading.Thread(target=ask)
    asking.start()
    while not nobodys_ports(place) and asking.is_alive():
        pass
    place.service.kill()
    asking.join()


def test_an_address_taken_for_a_request_that_was_cut_short_is_given_back(place: Place) -> None:
    place.service.start()
    with place.service.client() as client:
        subnet = place.subnet(client)
    for _ in range(20):
        kill_between_address_and_tree(place, subnet["id"])
        orphans = nobodys_ports(place)
        place.service.start()
        assert nobodys_ports(place) == set()
        if orphans:
            return
    pytest.fail("twenty kills all came too late")
