"""What the service and an idle amphora hold in memory."""

import statistics
import time
from pathlib import Path

from benchmarks.probes import command, inhabitants, memory_mb, parent
from benchmarks.report import Chapter, Table
from benchmarks.service import Service, service
from benchmarks.stage import create, default_subnet, tree, web_servers
from fairlead.drivers.compute_host.cards import NAMES

_COUNTS = (1, 10, 20)
_REST_SECONDS = 6.0


def measure() -> Chapter:
    """The service with 0, 1, 10 and 20 load balancers, and the amphorae beside it."""
    with service() as running, web_servers(running) as address:
        rows = [("at start", *_mb([running.pid]))]
        amphora_rows: list[tuple[str, str, str]] = []
        totals: list[float] = []
        made = 0
        for count in _COUNTS:
            while made < count:
                made += 1
                _one_more(running, address, made)
            time.sleep(_REST_SECONDS)
            rows.append((f"with {count} load balancers", *_mb([running.pid])))
            totals = _amphorae(running, count, amphora_rows)
    median = statistics.median(totals)
    return Chapter(
        "Memory",
        "MB (2^20 bytes). RSS counts every page a process has, so pages that processes share are "
        "counted in each; PSS divides shared pages among those that share them. An amphora is the "
        "sum over all processes in its network namespace, idle, with a listener, a pool and two "
        f"members under an HTTP monitor, {_REST_SECONDS:g} s after the last change.",
        [Table(("service", "RSS", "PSS"), rows), Table(("amphora", "RSS", "PSS"), amphora_rows)],
        [("an idle amphora under 50 MB in all (RSS)", median < 50)],
    )


def _one_more(running: Service, address: str, number: int) -> None:
    subnet = default_subnet(running.api)
    running.api.await_active(create(running.api, tree(subnet.id, address, f"lb{number}")).id)


def _amphorae(running: Service, count: int, rows: list[tuple[str, str, str]]) -> list[float]:
    """The processes of one amphora when it is alone, then the median of all; RSS sums."""
    spaces = sorted(NAMES.glob(f"fl-{running.instance}-*"))
    if count == 1:
        rows += _processes(spaces[0])
    sums = [memory_mb(inhabitants(space)) for space in spaces]
    middle = [statistics.median(column) for column in zip(*sums, strict=True)]
    label = "all processes, alone" if count == 1 else f"median of {count} amphorae"
    rows.append((label, f"{middle[0]:.1f}", f"{middle[1]:.1f}"))
    return [resident for resident, _ in sums]


def _processes(space: Path) -> list[tuple[str, str, str]]:
    return [(_role(pid), *_mb([pid])) for pid in inhabitants(space)]


def _role(pid: int) -> str:
    words = command(pid)
    name = Path(words[0]).name
    if name.startswith("python"):
        return "agent"
    if name != "haproxy":
        return name
    return "haproxy worker" if Path(command(parent(pid))[0]).name == name else "haproxy master"


def _mb(pids: list[int]) -> tuple[str, str]:
    resident, proportional = memory_mb(pids)
    return f"{resident:.1f}", f"{proportional:.1f}"
