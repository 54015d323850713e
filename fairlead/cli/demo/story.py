"""The acts of the demo, in order; each raises `Trouble` unless it truly worked.

Times are measured from the request to the effect that a client sees: an answer through the VIP,
or a status in the API. Called by `demo`.
"""

import asyncio
import time
from typing import Any

from fairlead.cli.demo.client import LBAAS, Trouble
from fairlead.cli.demo.stage import Stage
from fairlead.cli.demo.traffic import Traffic

_SECONDS = 20.0
_WATCH = 1.5  # seconds of traffic to look at after a change
_QUIET = 0.5  # seconds without an answer after which a server counts as drained
_HEAVY = 8
FIRST, SECOND, THIRD = "apple", "birch", "cedar"


async def tell(stage: Stage) -> None:
    """All acts."""
    for act in (
        serve, plug_in, create, balance, lose_a_server, get_it_back, add_a_member, weigh,
        count, delete,
    ):  # fmt: skip
        await act(stage)


async def serve(stage: Stage) -> None:
    """The service, as `make serve` starts it."""
    took = await stage.open()
    await stage.done(f"Service ready at http://{stage.service.listen} in {took:.2f} s")


async def plug_in(stage: Stage) -> None:
    """A network and two servers on it."""
    await stage.make_network()
    for name in (FIRST, SECOND):
        await stage.add_server(name)
    places = ", ".join(f"{name} {one.address}" for name, one in stage.servers.items())
    await stage.done(f"Network and web servers, each in a namespace of its own: {places}")


async def create(stage: Stage) -> None:
    """A whole load balancer by one request, until its VIP answers."""
    networks = await stage.client.get("/v2.0/networks?name=default")
    started = time.monotonic()
    made = await stage.client.post(
        f"{LBAAS}/loadbalancers", "loadbalancer",
        name="demo", vip_network_id=networks[0]["id"], listeners=[_listener(stage)],
    )  # fmt: skip
    stage.balancer_id, stage.pool_id = made["id"], made["pools"][0]["id"]
    stage.member_ids = {m["name"]: m["id"] for m in made["pools"][0]["members"]}
    stage.traffic = Traffic(made["vip_address"])
    await _first_answer(stage.traffic)
    answered = time.monotonic() - started
    await stage.client.until(stage.balancer_path, _SECONDS, provisioning_status="ACTIVE")
    active = time.monotonic() - started
    for name in stage.member_ids:
        await stage.client.until(stage.member_path(name), _SECONDS, operating_status="ONLINE")
    await stage.done(
        f"Load balancer on {made['vip_address']}: first answer {answered:.2f} s after the "
        f"request, ACTIVE after {active:.2f} s"
    )


async def balance(stage: Stage) -> None:
    """Requests spread over both servers."""
    stage.begin_traffic()
    await asyncio.sleep(_WATCH)
    traffic = stage.traffic
    _no_failures(traffic, 0, "Balancing")
    share = traffic.answers[FIRST] / max(traffic.answers.total(), 1)
    if not 0.4 < share < 0.6:
        raise Trouble(f"Two equal members should share the requests: {dict(traffic.answers)}")
    await stage.done(
        f"Traffic: {traffic.answers.total()} requests, {share:.0%} to {FIRST}, "
        f"{1 - share:.0%} to {SECOND}, none failed"
    )


async def lose_a_server(stage: Stage) -> None:
    """One server is killed: its member turns ERROR, the others go on."""
    traffic, before = stage.traffic, stage.traffic.failures
    await stage.servers[SECOND].kill()
    took = await stage.client.until(stage.member_path(SECOND), _SECONDS, operating_status="ERROR")
    lost = traffic.failures - before
    before = traffic.failures
    await asyncio.sleep(_WATCH)
    _no_failures(traffic, before, f"Traffic after {SECOND} was found dead")
    if set(traffic.rates()) != {FIRST}:
        raise Trouble(f"Only {FIRST} should answer: {dict(traffic.rates())}")
    await stage.done(
        f"{SECOND} killed: ERROR after {took:.2f} s, {lost} requests failed until then, "
        f"{FIRST} serves all"
    )


async def get_it_back(stage: Stage) -> None:
    """The server runs again: its member turns ONLINE and gets traffic."""
    before, started = stage.traffic.failures, time.monotonic()
    await stage.servers[SECOND].start()
    answered = await _answer_of(stage, SECOND, started)
    await stage.client.until(stage.member_path(SECOND), _SECONDS, operating_status="ONLINE")
    online = time.monotonic() - started
    _no_failures(stage.traffic, before, f"The return of {SECOND}")
    await stage.done(
        f"{SECOND} back: first request after {answered:.2f} s, ONLINE after {online:.2f} s"
    )


async def add_a_member(stage: Stage) -> None:
    """A third member joins under load, and no request fails."""
    await stage.add_server(THIRD)
    before, sent, started = stage.traffic.failures, stage.traffic.sent, time.monotonic()
    made = await stage.client.post(stage.member_path(), "member", **stage.member(THIRD))
    stage.member_ids[THIRD] = made["id"]
    answered = await _answer_of(stage, THIRD, started)
    await stage.client.until(stage.balancer_path, _SECONDS, provisioning_status="ACTIVE")
    await stage.client.until(stage.member_path(THIRD), _SECONDS, operating_status="ONLINE")
    await asyncio.sleep(_WATCH)
    _no_failures(stage.traffic, before, f"Adding {THIRD}")
    await stage.done(
        f"{THIRD} added under load: first request after {answered * 1000:.0f} ms; "
        f"0 of {stage.traffic.sent - sent} requests failed meanwhile"
    )


async def weigh(stage: Stage) -> None:
    """Weight 0 takes a member's traffic away, a large one brings most of it."""
    traffic, before, started = stage.traffic, stage.traffic.failures, time.monotonic()
    await stage.client.put(stage.member_path(FIRST), "member", weight=0)
    await stage.until(
        _SECONDS, f"{FIRST} without traffic",
        lambda: time.monotonic() - max(traffic.last_answer[FIRST], started) > _QUIET,
    )  # fmt: skip
    quiet = max(traffic.last_answer[FIRST] - started, 0.0)
    await stage.client.until(stage.member_path(FIRST), _SECONDS, operating_status="DRAINING")
    started = time.monotonic()
    await stage.client.put(stage.member_path(FIRST), "member", weight=_HEAVY)
    answered = await _answer_of(stage, FIRST, started)
    await asyncio.sleep(_WATCH)
    rates, expected = traffic.rates(), _HEAVY / (_HEAVY + 2)
    share = rates[FIRST] / max(rates.total(), 1)
    if abs(share - expected) > 0.1:
        raise Trouble(f"{FIRST} should get {expected:.0%} of the requests and gets {share:.0%}.")
    _no_failures(traffic, before, "Changing the weight")
    await stage.done(
        f"Weight of {FIRST} to 0: last request {quiet * 1000:.0f} ms after; to {_HEAVY}: first "
        f"request after {answered * 1000:.0f} ms, then {share:.0%} of all; 0 requests failed"
    )


async def count(stage: Stage) -> None:
    """The statistics of the API, against what the clients counted."""
    await stage.end_traffic()
    answers, stats = stage.traffic.answers.total(), {}
    for _ in range(int(_SECONDS / 0.2)):
        stats = await stage.client.get(f"{stage.balancer_path}/stats")
        if stats["total_connections"] >= answers:
            break
        await asyncio.sleep(0.2)
    else:
        raise Trouble(f"{answers} requests were answered, and the statistics say {stats}.")
    await stage.done(
        f"Statistics: {stats['total_connections']} connections, {stats['bytes_in']} bytes in, "
        f"{stats['bytes_out']} bytes out; the clients counted {answers} answers"
    )


async def delete(stage: Stage) -> None:
    """The load balancer with everything below it, then the network."""
    await stage.client.delete(f"{stage.balancer_path}?cascade=true")
    took = await stage.client.until_gone(stage.balancer_path, _SECONDS)
    for server in stage.servers.values():
        await server.remove()
    await stage.take_down()
    await stage.done(f"Load balancer deleted in {took:.2f} s; network and servers too")


def _listener(stage: Stage) -> dict[str, Any]:
    monitor = {
        "type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 2,
    }  # fmt: skip
    pool = {
        "name": "web", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
        "members": [stage.member(name) for name in stage.servers], "healthmonitor": monitor,
    }  # fmt: skip
    return {"name": "http", "protocol": "HTTP", "protocol_port": 80, "default_pool": pool}


async def _first_answer(traffic: Traffic) -> None:
    until, error = time.monotonic() + _SECONDS, ""
    while time.monotonic() < until:
        try:
            await traffic.ask(seconds=1.0)
            return
        except OSError as refused:
            error = str(refused) or type(refused).__name__
        await asyncio.sleep(0.005)
    raise Trouble(f"The VIP should answer within {_SECONDS:g} s: {error}")


async def _answer_of(stage: Stage, name: str, since: float) -> float:
    """Wait for an answer of a server through the VIP; the seconds since `since`."""
    last = stage.traffic.last_answer
    await stage.until(_SECONDS, f"An answer of {name}", lambda: last.get(name, 0.0) > since)
    return last[name] - since


def _no_failures(traffic: Traffic, before: int, what: str) -> None:
    if traffic.failures > before:
        raise Trouble(
            f"{what}: {traffic.failures - before} requests failed, the last one with: "
            f"{traffic.last_failure}"
        )
