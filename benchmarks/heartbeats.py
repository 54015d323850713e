"""What heartbeats of many amphorae cost the health manager: CPU, statements, memory.

The amphorae are simulated: another process sends what their agents would, signed, over UDP on
loopback. All else is real: the socket, `Health` and `Watch`, the store on SQLite.
"""

import asyncio
import multiprocessing
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import sqlalchemy as sa

from benchmarks.fleet import Fleet, stored
from benchmarks.lab import Trouble
from benchmarks.report import Chapter, Table
from fairlead.controller.health import Health
from fairlead.controller.watch import Watch
from fairlead.drivers.clock import SystemClock
from fairlead.drivers.fake import FakeCompute, FakeSecrets, FakeWorld
from fairlead.drivers.heartbeats_udp import UdpHeartbeats
from fairlead.drivers.queue_memory import MemoryQueue
from fairlead.plan.suspicion import Limits
from fairlead.store import SqlStore

_SIZES = (1_000, 10_000)
_INTERVAL = 5.0
_EDGES = 11
_AIM = 5_000
_RATE = "heartbeats per second of CPU"
_PATIENCE = 180.0
_BEFORE_THE_END = 1.2  # by then the last second's totals are written


def measure() -> Chapter:
    """All of it with each number of amphorae."""
    columns = []
    for size in _SIZES:
        with TemporaryDirectory() as directory:
            columns.append(asyncio.run(_measure(size, Path(directory))))
    rows = [(what, *(column[what] for column in columns)) for what in columns[0]]
    least = min(float(columns[-1][what]) for what in columns[-1] if what.startswith(_RATE))
    still = max(float(c["statements per heartbeat, nothing new"]) for c in columns)
    return Chapter(
        "Heartbeats",
        "Simulated amphorae (real signed heartbeats over UDP from another process, real store on "
        "SQLite), each with a load balancer of 2 listeners and a pool of 10 members, each heard "
        f"every {_INTERVAL:g} s. CPU time is that of the whole process: taking in, writing, "
        "watching, and waking up for each datagram where few come. In a burst all heartbeats are "
        "sent at once. The first heartbeats have every amphora asked (by a stand-in) and all "
        "statuses written. Statements are those that SQLAlchemy sends; one that writes many rows "
        "counts once. Memory is the size of all objects that hang on what is remembered of an "
        "amphora.",
        [Table(("amphorae", *(f"{size}" for size in _SIZES)), rows)],
        [(f"{_AIM} heartbeats/s on one core with {_SIZES[-1]} amphorae (least: {least:.0f})",
          least >= _AIM),
         (f"no statement per heartbeat when nothing changed (most: {still:.4f})", still < 0.001)],
    )  # fmt: skip


async def _measure(size: int, directory: Path) -> dict[str, str]:
    store = SqlStore(f"sqlite+aiosqlite:///{directory}/bench.db")
    await store.start()
    fleet = await stored(store, size)
    found: dict[str, str] = {}
    async with _listening(store, fleet) as (health, port):
        ears = Ears(health, fleet, port)
        first = await ears.round(_INTERVAL, until_known=True)
        found["CPU ms per amphora, first heartbeat"] = f"{first.cpu / size * 1000:.2f}"
        found["statements per amphora, first heartbeat"] = f"{first.statements / size:.1f}"
        still = await ears.round(_INTERVAL)
        found[f"{_RATE}, nothing new"] = f"{size / still.cpu:.0f}"
        found["statements per heartbeat, nothing new"] = f"{still.statements / size:.4f}"
        burst = await ears.round(0)
        found[f"{_RATE}, in a burst"] = f"{size / burst.cpu:.0f}"
        found["of a burst not taken in"] = f"{burst.lost}"
        fleet.count()
        busy = await ears.round(_INTERVAL)
        found[f"{_RATE}, all totals new"] = f"{size / busy.cpu:.0f}"
        found["statements per second, all totals new"] = f"{busy.statements / busy.seconds:.1f}"
        times = [await ears.edge(store, number) for number in range(_EDGES)]
        found["ms until an edge can be read, median"] = f"{statistics.median(times) * 1000:.0f}"
        found["ms until an edge can be read, longest"] = f"{max(times) * 1000:.0f}"
        began = time.process_time()
        await health.roster.refresh()
        found["CPU ms to read all records"] = f"{(time.process_time() - began) * 1000:.0f}"
        remembered = _bytes([health.roster.pulses], set())
        found["KB of memory per amphora"] = f"{remembered / size / 1000:.1f}"
    await store.close()
    return found


@asynccontextmanager
async def _listening(store: SqlStore, fleet: Fleet) -> AsyncIterator[tuple[Health, int]]:
    secrets = FakeSecrets(now=lambda: datetime.now(UTC))
    fleet.keys = {one: secrets.heartbeat_key(one) for one in fleet.amphorae}
    health = Health(store, MemoryQueue(), fleet, secrets, SystemClock(), lag=65.0)
    heartbeats = UdpHeartbeats("127.0.0.1", 0)
    watch = Watch(
        health, store, MemoryQueue(), fleet, FakeCompute(FakeWorld()), SystemClock(),
        silence=_PATIENCE, limits=Limits(),
    )  # fmt: skip
    loops = [asyncio.create_task(one) for one in [*health.loops(heartbeats), watch.run()]]
    try:
        yield health, heartbeats.port
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        heartbeats.close()


class Round(msgspec.Struct, frozen=True):
    """What one heartbeat of everybody cost."""

    cpu: float
    seconds: float
    statements: int
    lost: int


class Ears:
    """Has the fleet speak, and looks at what listening takes."""

    def __init__(self, health: Health, fleet: Fleet, port: int) -> None:
        self._health = health
        self._fleet = fleet
        self._port = port

    async def round(self, seconds: float, *, until_known: bool = False) -> Round:
        """One heartbeat of everybody, spread over so many seconds."""
        datagrams = self._fleet.beat()
        with _statements() as statements:
            cpu, began = time.process_time(), time.monotonic()
            async with _sending(datagrams, self._port, seconds):
                pass
            if until_known:
                await self._known()
            await asyncio.sleep(_BEFORE_THE_END)
            cpu, took = time.process_time() - cpu, time.monotonic() - began
        pulses = self._health.roster.pulses.values()
        lost = sum(p.sequence < self._fleet.sequence for p in pulses)
        return Round(cpu=cpu, seconds=took, statements=len(statements), lost=lost)

    async def _known(self) -> None:
        """Until everybody was asked, and what they said is written."""
        end = time.monotonic() + _PATIENCE
        pulses = self._health.roster.pulses
        while len(pulses) < len(self._fleet.amphorae) or any(
            not p.assessed for p in pulses.values()
        ):
            if time.monotonic() > end:
                raise Trouble("the first heartbeats were not taken in")
            await asyncio.sleep(0.5)

    async def edge(self, store: SqlStore, number: int) -> float:
        """Seconds from a member's going down, told among everybody's heartbeats, to its reading."""
        lb_id, member_id, edge = self._fleet.edge(number)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
            began = time.monotonic()
            agent.sendto(edge, ("127.0.0.1", self._port))
            while (await store.tree(lb_id)).observed.get(member_id) != "ERROR":
                if time.monotonic() - began > _PATIENCE:
                    raise Trouble("an edge was not taken in")
                await asyncio.sleep(0.002)
            return time.monotonic() - began


@asynccontextmanager
async def _sending(datagrams: Sequence[bytes], port: int, seconds: float) -> AsyncIterator[None]:
    """Another process sends; over when it has ended."""
    process = multiprocessing.get_context("fork").Process(
        target=_send, args=(datagrams, port, seconds), daemon=True
    )
    process.start()
    try:
        yield
        while process.is_alive():
            await asyncio.sleep(0.05)
    finally:
        process.kill()
        process.join()


def _send(datagrams: Sequence[bytes], port: int, seconds: float) -> None:
    began = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agents:
        for number, datagram in enumerate(datagrams):
            due = began + seconds * number / len(datagrams)
            if (pause := due - time.monotonic()) > 0:
                time.sleep(pause)
            agents.sendto(datagram, ("127.0.0.1", port))


@contextmanager
def _statements() -> Iterator[list[str]]:
    found: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        found.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


def _bytes(things: Iterable[Any], counted: set[int]) -> int:
    """The size of things with all that hangs on them, each counted once."""
    total = 0
    for thing in things:
        if id(thing) in counted:
            continue
        counted.add(id(thing))
        total += sys.getsizeof(thing)
        if isinstance(thing, dict):
            total += _bytes([*thing.keys(), *thing.values()], counted)
        elif isinstance(thing, msgspec.Struct):
            total += _bytes([getattr(thing, name) for name in thing.__struct_fields__], counted)
    return total
