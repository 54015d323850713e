"""From a change's request to its effect on traffic, and whether haproxy had to reload."""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.api import LBAAS, Api
from benchmarks.lab import until
from benchmarks.probes import answer, haproxy
from benchmarks.report import Chapter, Table, median_and_p90
from benchmarks.service import Service, service
from benchmarks.stage import FIRST_PORT, Balancer, create, default_subnet, home, tree, web_servers

_TIMES = 20
_PATIENCE = 10.0
Holds = Callable[[], bool]


@dataclass
class Scene:
    """One load balancer with two members, and what changes refer to."""

    running: Service
    balancer: Balancer
    address: str

    @property
    def api(self) -> Api:
        return self.running.api

    @property
    def members(self) -> str:
        return f"{LBAAS}/pools/{self.balancer.pool_id}/members"

    def say(self, command: str) -> str:
        return haproxy(home(self.running, self.balancer), command)


@dataclass(frozen=True)
class Change:
    """A request, and what holds once it has taken effect."""

    what: str
    send: Callable[[], Any]
    holds: Holds


def measure() -> Chapter:
    """Each kind of change in turn; the next one waits until the last one is settled."""
    effects: dict[str, list[float]] = {}
    settled: dict[str, list[float]] = {}
    hows: dict[str, Counter[str]] = {}
    with service() as running, web_servers(running) as address:
        body = tree(default_subnet(running.api).id, address, "changes")
        scene = Scene(running, create(running.api, body), address)
        _await_first(scene)
        for change in _changes(scene):
            effect, whole, how = _timed(scene, change)
            effects.setdefault(change.what, []).append(effect)
            settled.setdefault(change.what, []).append(whole)
            hows.setdefault(change.what, Counter())[how] += 1
    rows = [
        (what, *median_and_p90(effects[what]), *median_and_p90(settled[what]), _told(hows[what]))
        for what in effects
    ]
    return Chapter(
        "Changing a load balancer", _METHOD, [Table(_HEADING, rows)], _aims(effects, hows)
    )


_METHOD = (
    f"Each change {_TIMES} times on a load balancer with two members and an HTTP monitor, without "
    "other load. Effect is counted from the request being sent: a new weight and a removed member "
    "show in haproxy's runtime API; a new member answers a request through the VIP; a new listener "
    "answers on its port; a new L7 policy redirects (two requests, for it matches nothing without "
    "a rule; counted from the first). Settled is when the API shows ACTIVE. How is what the agent "
    "said it did, from the Configure events."
)
_HEADING = ("milliseconds", "effect median", "p90", "settled median", "p90", "how")


def _aims(effects: dict[str, list[float]], hows: dict[str, Counter[str]]) -> list[tuple[str, bool]]:
    kinds = [what for what in effects if "member" in what]
    return [
        (f"{what} in under 100 ms", statistics.median(effects[what]) < 100) for what in kinds
    ] + [("no reload for a member's change", all(set(hows[k]) == {"runtime"} for k in kinds))]


def _await_first(scene: Scene) -> None:
    until("first answer", 20, lambda: (answer(scene.balancer.vip) or (0,))[0] == 200)
    scene.api.await_active(scene.balancer.id)


def _timed(scene: Scene, change: Change) -> tuple[float, float, str]:
    """Milliseconds to the effect and to ACTIVE, and how the agent did it."""
    before = scene.api.events(scene.balancer.id)[-1]["at"]
    began = time.perf_counter()
    change.send()
    until(change.what, _PATIENCE, change.holds, pause=0.001)
    effect = time.perf_counter() - began
    scene.api.await_active(scene.balancer.id)
    whole = time.perf_counter() - began
    events = scene.api.events(scene.balancer.id, after=before)
    hows = [event["detail"] for event in events if event["step"] == "Configure"]
    return 1000 * effect, 1000 * whole, " then ".join(hows)


def _told(hows: Counter[str]) -> str:
    return ", ".join(f"{how} ({count})" for how, count in hows.most_common())


def _changes(scene: Scene) -> Iterator[Change]:
    first = scene.api.get(scene.members)["members"][0]["id"]
    for number in range(_TIMES):
        yield _weight(scene, first, 2 + number)
    for number in range(_TIMES):
        yield from _come_and_go(scene, FIRST_PORT + 2 + number)
    for number in range(_TIMES):
        yield _listener(scene, 9001 + number)
    for number in range(_TIMES):
        yield _policy(scene, number)


def _weight(scene: Scene, member_id: str, weight: int) -> Change:
    server = f"{scene.balancer.pool_id}:{scene.balancer.listener_id}/{member_id}"
    return Change(
        "member weight",
        lambda: scene.api.put(f"{scene.members}/{member_id}", "member", weight=weight),
        lambda: scene.say(f"get weight {server}").startswith(f"{weight} "),
    )


def _come_and_go(scene: Scene, port: int) -> Iterator[Change]:
    """A member that comes, and once it is there goes."""
    made: dict[str, Any] = {}

    def add() -> None:
        fields = {"address": scene.address, "protocol_port": port, "weight": 100}
        made.update(scene.api.post(scene.members, "member", **fields))

    vip = scene.balancer.vip
    yield Change("member add", add, lambda: answer(vip) == (200, str(port)))
    yield Change(
        "member remove",
        lambda: scene.api.delete(f"{scene.members}/{made['id']}"),
        lambda: made["id"] not in scene.say("show servers state"),
    )


def _listener(scene: Scene, port: int) -> Change:
    fields = {
        "loadbalancer_id": scene.balancer.id, "protocol": "HTTP", "protocol_port": port,
        "default_pool_id": scene.balancer.pool_id,
    }  # fmt: skip
    return Change(
        "listener add",
        lambda: scene.api.post(f"{LBAAS}/listeners", "listener", **fields),
        lambda: (answer(scene.balancer.vip, port) or (0,))[0] == 200,
    )


def _policy(scene: Scene, number: int) -> Change:
    def add() -> None:
        policy = scene.api.post(
            f"{LBAAS}/l7policies", "l7policy", listener_id=scene.balancer.listener_id,
            action="REDIRECT_TO_URL", redirect_url="http://www.example.com/",
        )  # fmt: skip
        path = f"{LBAAS}/l7policies/{policy['id']}/rules"
        scene.api.post(
            path, "rule", type="PATH", compare_type="EQUAL_TO", value=f"/moved{number}"
        )  # fmt: skip

    vip = scene.balancer.vip
    return Change(
        "L7 policy add", add, lambda: (answer(vip, 80, f"/moved{number}") or (0,))[0] == 302
    )
