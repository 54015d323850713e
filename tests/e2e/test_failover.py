"""Amphorae that are replaced under traffic, and what operators see of amphorae."""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.api import Balancer
from tests.e2e.clients import ask, eventually, names
from tests.e2e.machines import Machine
from tests.e2e.site import Site
from tests.e2e.trees import listener, member, pool

AMPHORAE = "/v2/octavia/amphorae"
EVERY, PATIENCE = 0.004, 0.25


@pytest.fixture(params=["ipv4", "ipv6"])
def lb(request: pytest.FixtureRequest, site: Site, farm: Machine) -> Iterator[Balancer]:
    four = request.param == "ipv4"
    subnet, where = (site.subnet4, farm.address) if four else (site.subnet6, farm.addresses[1])
    made = site.api.balancer(
        name="replaced", vip_subnet_id=subnet["id"],
        listeners=[listener(80, pool("main", [member(where, 8001), member(where, 8002)], "TCP"))],
    )  # fmt: skip
    made.online()
    yield made
    made.delete()


def amphorae(lb: Balancer) -> list[dict[str, Any]]:
    return lb.api.list(f"{AMPHORAE}?loadbalancer_id={lb.id}")


def asked(lb: Balancer, path: str) -> None:
    assert lb.api.call("PUT", path, status=202) is None


class Drip:
    """A request every few milliseconds, each on a connection of its own; none is sent twice."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.answered: list[float] = []
        self.failed: list[float] = []

    def __enter__(self) -> "Drip":
        self._thread.start()
        eventually(lambda: self.answered)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def gap(self) -> float:
        """The longest time between two answers, in seconds."""
        times = sorted(self.answered)
        return max(after - before for before, after in itertools.pairwise(times))

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while not self._stop.is_set():
                group.create_task(self._request())
                await asyncio.sleep(EVERY)

    async def _request(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection(self._address, 80)
                try:
                    writer.write(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
                    said = await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            self.failed.append(time.monotonic())
            return
        where = self.answered if said.startswith(b"HTTP/1.1 200") else self.failed
        where.append(time.monotonic())


def test_traffic_through_a_failover(lb: Balancer, record_property: Any) -> None:
    (before,) = amphorae(lb)
    assert (before["status"], before["role"]) == ("ALLOCATED", "STANDALONE")
    assert before["ha_ip"] == lb.vip
    ports = {p["id"] for p in lb.api.list(f"/v2.0/ports?device_id={lb.id}")}
    assert {before["vrrp_port_id"], before["ha_port_id"]} <= ports
    with Drip(lb.vip) as drip:
        asked(lb, f"{lb.path}/failover")
        lb.settled()
        settled = time.monotonic()
        eventually(lambda: max(drip.answered) > settled + 2.0)
    (after,) = amphorae(lb)
    assert after["id"] != before["id"]
    assert after["ha_port_id"] == before["ha_port_id"]
    assert [t for t in drip.failed if t > settled + PATIENCE] == []
    assert len(names(4, lb.vip)) == 2
    lb.online()
    print(f"longest gap {drip.gap * 1000:.0f} ms, {len(drip.failed)} requests failed "
          f"of {len(drip.failed) + len(drip.answered)}")  # fmt: skip
    record_property("longest gap in ms", round(drip.gap * 1000))


def test_an_amphora_is_failed_over_and_totals_go_on(site: Site, lb: Balancer) -> None:
    for _ in range(10):
        ask(lb.vip)
    eventually(lambda: total(lb) == 10)
    (before,) = amphorae(lb)
    rows = lb.api.get(f"{AMPHORAE}/{before['id']}/stats")
    assert [(r["id"], r["listener_id"], r["total_connections"]) for r in rows] == [
        (before["id"], lb.id_of("l80"), 10)
    ]
    asked(lb, f"{AMPHORAE}/{before['id']}/failover")
    lb.settled()
    (after,) = amphorae(lb)
    assert after["id"] != before["id"]
    assert total(lb) == 10
    for _ in range(5):
        ask(lb.vip)
    eventually(lambda: total(lb) == 15)
    assert lb.api.get(f"{AMPHORAE}/{after['id']}/stats")[0]["total_connections"] == 5
    site.api.call("GET", f"{AMPHORAE}/{before['id']}", status=404)


def total(lb: Balancer) -> int:
    return int(lb.api.get(f"{lb.path}/stats")["total_connections"])


def test_configured_anew_haproxy_is_loaded_again(lb: Balancer) -> None:
    (amphora,) = amphorae(lb)
    with Drip(lb.vip) as drip:
        asked(lb, f"{AMPHORAE}/{amphora['id']}/config")
        lb.settled()
    assert drip.failed == []
    assert "Configure ok reload" in lb.story()
    assert amphorae(lb)[0]["id"] == amphora["id"]


def test_an_amphora_in_use_is_not_deleted(lb: Balancer) -> None:
    (amphora,) = amphorae(lb)
    said = lb.api.call("DELETE", f"{AMPHORAE}/{amphora['id']}", status=409)
    assert "fail it over" in said["faultstring"]
    assert ask(lb.vip).status == 200
