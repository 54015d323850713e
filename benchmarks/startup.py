"""How long `fairlead serve` takes to be ready."""

from benchmarks.report import Chapter, Table, median_and_p90
from benchmarks.service import installation, service, serving
from benchmarks.stage import create, default_subnet, tree

_FIRST = 4
_AGAIN = 4
_BALANCERS = 3


def measure() -> Chapter:
    """First starts on empty state directories, then restarts that adopt running amphorae."""
    first = []
    for _ in range(_FIRST):
        with service() as running:
            first.append(running.ready_after)
    again = _restarts()
    rows = [
        ("first start", *median_and_p90(first, 2)),
        (f"restart, {_BALANCERS} load balancers adopted", *median_and_p90(again, 2)),
    ]
    return Chapter(
        "Start of the service",
        "From the start of `fairlead serve` to its line \"Fairlead is ready\" "
        f"({_FIRST} first starts, each on an empty state directory, and {_AGAIN} restarts).",
        [Table(("seconds", "median", "p90"), rows)],
        [("ready in under 3 s", max(first + again) < 3)],
    )  # fmt: skip


def _restarts() -> list[float]:
    taken = []
    with installation() as state_dir:
        with serving(state_dir) as running:
            subnet = default_subnet(running.api)
            for number in range(_BALANCERS):
                made = create(running.api, tree(subnet.id, "192.0.2.1", f"lb{number}"))
                running.api.await_active(made.id)
        for _ in range(_AGAIN):
            with serving(state_dir) as running:
                taken.append(running.ready_after)
    return taken
