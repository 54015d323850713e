"""CPU time and rate of single API requests, the network left out."""

import asyncio
import time
from collections.abc import Callable, Iterator
from itertools import count, islice, repeat
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.api import LBAAS
from benchmarks.in_process import Inside, inside
from benchmarks.lab import directory
from benchmarks.report import Chapter, Table, median_and_p90

_BALANCERS = 1000
_BATCHES = 12
_PER_SUBNET = 100
_CREATES = 3  # a batch of them; a policy holds 50 rules
Row = tuple[str, str, str, str]
Request = tuple[str, str, Any]


def measure() -> Chapter:
    """Reads, a change and a create of each kind among a thousand load balancers."""
    with directory() as parent:
        rows = asyncio.run(_rows(parent / "s"))
    aims = {"show a load balancer": 1.5, "list 100 load balancers": 10.0}
    return Chapter(
        "CPU per API request",
        "CPU time of the process (all threads) for one request given straight to the application, "
        f"with authentication, in {_BATCHES} batches, one request after the other; requests/s is "
        f"the rate of the median batch. {_BALANCERS} load balancers, each with a listener, a pool "
        "and two members, in the in-memory world (`--drivers fake`). Changes include what the "
        "controller does for them meanwhile.",
        [Table(("CPU milliseconds", "median", "p90", "requests/s"), rows)],
        [(f"{name} under {most} ms", float(cpu) < most)
         for name, cpu, _, _ in rows for aim, most in aims.items() if name == aim],
    )  # fmt: skip


async def _rows(state_dir: Path) -> list[Row]:
    async with inside(state_dir, "fake") as api:
        made = [await _create(api, number) for number in range(_BALANCERS)]
        large = await _large(api)
        for one in (*made, large):
            await api.await_active(one["id"])
        return [*await _reads(api, made[0], large), *await _writes(api, made[0])]


async def _reads(api: Inside, small: Any, large: Any) -> list[Row]:
    lbs = f"{LBAAS}/loadbalancers"
    pool = f"{LBAAS}/pools/{small['pools'][0]['id']}"
    member = (await api.ask("GET", f"{pool}/members"))["members"][0]["id"]
    paths = (
        ("show a load balancer", f"{lbs}/{small['id']}", 20),
        ("show a pool", pool, 20),
        ("show a member", f"{pool}/members/{member}", 20),
        ("show the status tree, 100 members", f"{lbs}/{large['id']}/status", 10),
        ("list 100 load balancers", f"{lbs}?limit=100", 10),
        ("list 100, only id and name", f"{lbs}?limit=100&fields=id&fields=name", 10),
        ("list 1000 load balancers", f"{lbs}?limit=1000", 2),
    )
    return [await _cost(api, name, repeat([("GET", path, None)] * n)) for name, path, n in paths]


async def _writes(api: Inside, lb: Any) -> list[Row]:
    pool, listener = lb["pools"][0]["id"], lb["listeners"][0]["id"]
    members = f"{LBAAS}/pools/{pool}/members"
    member = f"{members}/{(await api.ask('GET', members))['members'][0]['id']}"
    policy = await _post(api, "l7policies", "l7policy", listener_id=listener, action="REJECT")
    weights = [("PUT", member, {"member": {"weight": 1 + n % 2}}) for n in range(10)]
    return [
        await _cost(api, "set a member's weight", repeat(weights)),
        await _creates(api, "a load balancer", "loadbalancers", lambda n: {
            "loadbalancer": {"name": f"new{n}", **_vip(n)}}),
        await _creates(api, "a listener", "listeners", lambda n: {
            "listener": {"loadbalancer_id": lb["id"], "protocol": "HTTP",
                         "protocol_port": 1000 + n}}),
        await _creates(api, "a pool", "pools", lambda n: {
            "pool": {"loadbalancer_id": lb["id"], "protocol": "HTTP",
                     "lb_algorithm": "ROUND_ROBIN", "name": f"new{n}"}}),
        await _creates(api, "a member", f"pools/{pool}/members", lambda n: {
            "member": {"address": f"198.51.100.{n % 250 + 1}", "protocol_port": 1000 + n}}),
        await _monitors(api, lb["id"]),
        await _creates(api, "an L7 policy", "l7policies", lambda n: {
            "l7policy": {"listener_id": listener, "action": "REJECT", "name": f"new{n}"}}),
        await _creates(api, "an L7 rule", f"l7policies/{policy['id']}/rules", lambda n: {
            "rule": {"type": "PATH", "compare_type": "STARTS_WITH", "value": f"/{n}"}}),
    ]  # fmt: skip


async def _creates(api: Inside, what: str, path: str, body: Callable[[int], Any]) -> Row:
    requests = (("POST", f"{LBAAS}/{path}", body(number)) for number in count(1))
    return await _cost(api, f"create {what}", _in_batches(requests))


async def _monitors(api: Inside, lb_id: str) -> Row:
    """A pool has one monitor: each gets a pool of its own first."""
    pools = [
        await _post(api, "pools", "pool", loadbalancer_id=lb_id, protocol="HTTP",
                    lb_algorithm="ROUND_ROBIN")
        for _ in range((_BATCHES + 1) * _CREATES)
    ]  # fmt: skip
    what = {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2}
    requests = (
        ("POST", f"{LBAAS}/healthmonitors", {"healthmonitor": {"pool_id": p["id"], **what}})
        for p in pools
    )
    return await _cost(api, "create a health monitor", _in_batches(requests))


def _in_batches(requests: Iterator[Request]) -> Iterator[list[Request]]:
    while batch := list(islice(requests, _CREATES)):
        yield batch


async def _create(api: Inside, number: int, members: int = 2) -> Any:
    return await _post(
        api, "loadbalancers", "loadbalancer", name=f"lb{number}",
        listeners=[_listener(80, members)],
        **_vip(10_000 + number),
    )  # fmt: skip


async def _large(api: Inside) -> Any:
    """Ten listeners with a pool each, ten members in each of those."""
    listeners = [_listener(8000 + n, 10) for n in range(10)]
    return await _post(
        api, "loadbalancers", "loadbalancer", name="large", listeners=listeners,
        **_vip(0),
    )  # fmt: skip


def _vip(number: int) -> dict[str, str]:
    """An address on one of many subnets, as each has few; amphorae take the lower ones."""
    subnet, host = divmod(number, _PER_SUBNET)
    return {"vip_subnet_id": f"{subnet + 1:08}-1111-4111-8111-111111111111",
            "vip_address": f"10.1.{subnet}.{host + 150}"}  # fmt: skip


def _listener(port: int, members: int) -> Any:
    return {"protocol": "HTTP", "protocol_port": port, "default_pool": {
        "name": f"pool{port}", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
        "members": [{"address": f"192.0.2.{n + 1}", "protocol_port": 80} for n in range(members)],
    }}  # fmt: skip


async def _post(api: Inside, path: str, wrapper: str, **fields: Any) -> Any:
    return (await api.ask("POST", f"{LBAAS}/{path}", {wrapper: fields}))[wrapper]


async def _cost(api: Inside, name: str, batches: Iterator[list[Request]]) -> Row:
    """The first batch is a warm-up and does not count."""
    cpu, wall = [], []
    for turn, batch in enumerate(islice(batches, _BATCHES + 1)):
        began, at = time.process_time(), time.perf_counter()
        for method, path, body in batch:
            await api.ask(method, path, body)
        if turn:
            cpu.append(1000 * (time.process_time() - began) / len(batch))
            wall.append((time.perf_counter() - at) / len(batch))
    return name, *median_and_p90(cpu, 2), f"{1 / median(wall):.0f}"
