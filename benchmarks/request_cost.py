"""CPU time of single API requests, the network left out."""

import asyncio
import time
from pathlib import Path
from typing import Any

from benchmarks.api import LBAAS
from benchmarks.in_process import Inside, inside
from benchmarks.lab import directory
from benchmarks.report import Chapter, Table, median_and_p90

_BALANCERS = 100
_BATCHES = 12
_PER_BATCH = 20


def measure() -> Chapter:
    """Shows, lists and a change on a hundred load balancers of the in-memory world."""
    with directory() as parent:
        rows = asyncio.run(_rows(parent / "s"))
    return Chapter(
        "CPU per API request",
        "CPU time of the process (all threads) for one request given straight to the application, "
        f"with authentication, in {_BATCHES} batches of {_PER_BATCH}. {_BALANCERS} load balancers, "
        "each with a listener, a pool and two members, in the in-memory world (`--drivers fake`). "
        "The change includes what the controller does for it meanwhile.",
        [Table(("CPU milliseconds", "median", "p90"), rows)],
    )


async def _rows(state_dir: Path) -> list[tuple[str, str, str]]:
    async with inside(state_dir, "fake") as api:
        made = [await _create(api, number) for number in range(_BALANCERS)]
        for one in made:
            await api.await_active(one["id"])
        pool = made[0]["pools"][0]["id"]
        member = f"{LBAAS}/pools/{pool}/members"
        member += f"/{(await api.ask('GET', member))['members'][0]['id']}"
        weights = [{"member": {"weight": 1 + number % 2}} for number in range(_PER_BATCH)]
        plain = [None] * _PER_BATCH
        return [
            ("show a load balancer",
             *await _cost(api, "GET", f"{LBAAS}/loadbalancers/{made[0]['id']}", plain)),
            ("show a member", *await _cost(api, "GET", member, plain)),
            (f"list {_BALANCERS} load balancers",
             *await _cost(api, "GET", f"{LBAAS}/loadbalancers?limit={_BALANCERS}", plain)),
            ("set a member's weight", *await _cost(api, "PUT", member, weights)),
        ]  # fmt: skip


async def _create(api: Inside, number: int) -> Any:
    pool = {
        "name": "pool", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
        "members": [{"address": f"192.0.2.{n}", "protocol_port": 80} for n in (1, 2)],
    }  # fmt: skip
    listener = {"protocol": "HTTP", "protocol_port": 80, "default_pool": pool}
    body = {"name": f"lb{number}", "vip_subnet_id": "11111111-1111-4111-8111-111111111111",
            "listeners": [listener]}  # fmt: skip
    answer = await api.ask("POST", f"{LBAAS}/loadbalancers", {"loadbalancer": body})
    return answer["loadbalancer"]


async def _cost(api: Inside, method: str, path: str, bodies: list[Any]) -> tuple[str, str]:
    await api.ask(method, path, bodies[0])
    taken = []
    for _ in range(_BATCHES):
        began = time.process_time()
        for body in bodies:
            await api.ask(method, path, body)
        taken.append(1000 * (time.process_time() - began) / len(bodies))
    return median_and_p90(taken, 2)
