"""Requests per second and CPU per request: the amphora against a bare haproxy, in turns."""

import os
import re
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.lab import Trouble, run, until
from benchmarks.probes import answer, command, cpu_seconds, inhabitants
from benchmarks.report import Chapter, Table
from benchmarks.service import Service, service
from benchmarks.stage import (
    FIRST_PORT,
    Machine,
    bare_haproxy,
    create,
    default_subnet,
    machine,
    tree,
    web_servers,
)
from fairlead.drivers.compute_host.cards import NAMES
from fairlead.drivers.compute_host.cgroups import Cgroups
from fairlead.settings import AmphoraSettings

_ROUNDS = 12
_SECONDS = 2
_CONNECTIONS = 32
_WARM_UP_SECONDS = 1
_REQUESTS = re.compile(r"(\d+) requests in ([\d.]+)(m?s)")
_AIM = 0.97

# What one would write by hand for the same job.
_BY_HAND = """\
global
    maxconn 8000
    user nobody
    group nogroup
defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 50s
    option redispatch
    retries 3
frontend web
    bind {address}:80
    default_backend servers
backend servers
    balance roundrobin
    option httpchk GET /
    server one {servers}:{first} check inter 1s
    server two {servers}:{second} check inter 1s
"""


@dataclass(frozen=True)
class Proxy:
    """Where requests go, and the process that works on them."""

    name: str
    address: str
    pid: int


@dataclass(frozen=True)
class Round:
    """One run of wrk."""

    rate: float
    cpu_us: float


def measure() -> Chapter:
    """Keep-alive, then a connection per request."""
    tables, aims = [], []
    with _stage() as (client, amphora, bare):
        for kind, header in (
            ("keep-alive", None),
            ("a connection per request", "Connection: close"),
        ):
            rounds = _rounds(client, (amphora, bare), header)
            rate = _ratio(rounds, lambda one: one.rate)
            cpu = _ratio(rounds, lambda one: one.cpu_us)
            tables.append(Table((kind, "requests/s", "CPU us/request"), _rows(rounds, rate, cpu)))
            aims.append((f"{kind}: at least {_AIM} of bare haproxy's requests/s", rate >= _AIM))
            aims.append(
                (f"{kind}: CPU per request at most {1 / _AIM:.2f} of bare's", cpu <= 1 / _AIM)
            )
    return Chapter("Throughput", _METHOD, tables, aims)


_METHOD = (
    f"`wrk -t1 -c{_CONNECTIONS}` in a namespace of its own, {_SECONDS} s a round, {_ROUNDS} rounds "
    "each, the amphora and the bare haproxy in turns and the one to begin changing. Both are the "
    "same program on the same bridge with the same two web servers (a haproxy that answers by "
    "itself) and checks every second; the bare one has a configuration written by hand and no "
    "agent. Both are under the same limits in cgroups side by side. Client, proxy and servers "
    "share the machine's cores. CPU is user and system time of haproxy's worker (/proc/PID/stat) "
    "over the requests answered. Medians over rounds; a ratio is the median of the ratios of "
    "neighbouring rounds."
)


@contextmanager
def _stage() -> Iterator[tuple[Machine, Proxy, Proxy]]:
    with (
        service() as running,
        web_servers(running) as servers,
        machine(running, "client") as client,
    ):
        amphora = _amphora(running, servers)
        with machine(running, "bare") as where:
            text = _BY_HAND.format(
                address=where.address, servers=servers, first=FIRST_PORT, second=FIRST_PORT + 1
            )
            with _limits() as put, bare_haproxy(running, where, text) as pid:
                put(pid)
                _await_answers(where.address)
                yield client, amphora, Proxy("bare haproxy", where.address, pid)


@contextmanager
def _limits() -> Iterator[Callable[[int], None]]:
    """Puts a process under the limits of an amphora; it must end before this does."""
    limits = AmphoraSettings()
    groups = Cgroups(
        f"bench-{os.getpid()}",
        memory_bytes=limits.memory_bytes, cpu_share=limits.cpu_share, pids=limits.pids,
    )  # fmt: skip
    entrances = groups.ensure("bare")

    def put(pid: int) -> None:
        for entrance in entrances:
            entrance.write_text(str(pid))

    try:
        yield put
    finally:
        groups.remove("bare")


def _amphora(running: Service, servers: str) -> Proxy:
    balancer = create(running.api, tree(default_subnet(running.api).id, servers, "throughput"))
    running.api.await_active(balancer.id)
    _await_answers(balancer.vip)
    space = next(NAMES.glob(f"fl-{running.instance}-*"))
    # A worker is started by its master, so that it is the younger one.
    worker = [pid for pid in inhabitants(space) if command(pid)[0] == "haproxy"][-1]
    return Proxy("amphora", balancer.vip, worker)


def _await_answers(address: str) -> None:
    until("answers", 10, lambda: (answer(address) or (0,))[0] == 200)


def _rounds(
    client: Machine, proxies: tuple[Proxy, Proxy], header: str | None
) -> dict[str, list[Round]]:
    """Rounds by proxy; the n-th of one and the n-th of the other are neighbours."""
    found: dict[str, list[Round]] = {proxy.name: [] for proxy in proxies}
    for proxy in proxies:
        _wrk(client, proxy.address, _WARM_UP_SECONDS, header)
    for number in range(_ROUNDS):
        for proxy in proxies if number % 2 else reversed(proxies):
            before = cpu_seconds(proxy.pid)
            requests, seconds = _wrk(client, proxy.address, _SECONDS, header)
            spent = cpu_seconds(proxy.pid) - before
            found[proxy.name].append(Round(requests / seconds, 1e6 * spent / requests))
    return found


def _wrk(client: Machine, address: str, seconds: int, header: str | None) -> tuple[int, float]:
    """Requests answered and the seconds it took; `Trouble` when one failed."""
    extra = ["-H", header] if header else []
    said = run("wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{seconds}s", *extra, f"http://{address}/",
               namespace=client.namespace, seconds=seconds + 20)  # fmt: skip
    match = _REQUESTS.search(said)
    if match is None or "Non-2xx" in said or "Socket errors" in said:
        raise Trouble(f"wrk on {address}: {said}")
    return int(match[1]), float(match[2]) / (1000 if match[3] == "ms" else 1)


def _ratio(rounds: dict[str, list[Round]], figure: Callable[[Round], float]) -> float:
    ours, theirs = rounds.values()
    return statistics.median(figure(a) / figure(b) for a, b in zip(ours, theirs, strict=True))


def _rows(rounds: dict[str, list[Round]], rate: float, cpu: float) -> list[tuple[str, str, str]]:
    rows = [
        (name, f"{statistics.median(r.rate for r in seen):.0f}",
         f"{statistics.median(r.cpu_us for r in seen):.1f}")
        for name, seen in rounds.items()
    ]  # fmt: skip
    return [*rows, ("amphora / bare", f"{rate:.3f}", f"{cpu:.3f}")]
