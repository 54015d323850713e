"""From POST of a load balancer to the first answer through its VIP."""

import statistics
import time
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from benchmarks.lab import Trouble
from benchmarks.probes import answer
from benchmarks.report import Chapter, Table, median_and_p90
from benchmarks.service import Service, service
from benchmarks.stage import create, default_subnet, tree, web_servers

_TIMES = 10
_PATIENCE = 20.0


def measure() -> Chapter:
    """Ten load balancers one after the other; each is removed before the next."""
    answered: list[float] = []
    replied: list[float] = []
    steps: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with service() as running, web_servers(running) as address:
        for number in range(_TIMES):
            _one(running, address, number, replied, answered, steps)
    rows = [
        ("POST to its reply", *median_and_p90(replied)),
        ("POST to first 200", *median_and_p90(answered)),
    ]
    return Chapter(
        "Creating a load balancer",
        "One POST with a listener, a pool, two members and an HTTP monitor; then a request "
        f"through the VIP every few milliseconds until the first 200. {_TIMES} times, each with a "
        "new amphora. The steps are those of the controller's events, as medians: when a step "
        "began after the POST was sent, and how long it took.",
        [Table(("milliseconds", "median", "p90"), rows),
         Table(("step", "began at ms", "took ms"), _step_rows(steps))],
        [("first 200 in under 1 s", statistics.median(answered) < 1000)],
    )  # fmt: skip


def _one(
    running: Service,
    address: str,
    number: int,
    replied: list[float],
    answered: list[float],
    steps: dict[str, list[tuple[float, float]]],
) -> None:
    body = tree(default_subnet(running.api).id, address, f"lb{number}")
    at, began = datetime.now(UTC), time.perf_counter()
    balancer = create(running.api, body)
    replied.append(1000 * (time.perf_counter() - began))
    while (answer(balancer.vip, seconds=0.05) or (0,))[0] != 200:
        if time.perf_counter() - began > _PATIENCE:
            raise Trouble("no answer through the VIP")
        time.sleep(0.003)
    answered.append(1000 * (time.perf_counter() - began))
    running.api.await_active(balancer.id)
    for event in running.api.events(balancer.id):
        steps[event["step"]].append((_since(at, event), event["took_ms"]))
    running.api.delete(f"/v2/lbaas/loadbalancers/{balancer.id}?cascade=true")


def _since(at: datetime, event: dict[str, Any]) -> float:
    begun = datetime.fromisoformat(event["at"])
    if begun.tzinfo is None:
        begun = begun.replace(tzinfo=UTC)
    return 1000 * (begun - at).total_seconds()


def _step_rows(steps: dict[str, list[tuple[float, float]]]) -> list[tuple[str, str, str]]:
    middles = [
        (name, *(statistics.median(column) for column in zip(*seen, strict=True)))
        for name, seen in steps.items()
    ]
    return [(n, f"{at:.0f}", f"{took:.0f}") for n, at, took in sorted(middles, key=lambda m: m[1])]
