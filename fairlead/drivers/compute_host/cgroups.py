"""Limits on an amphora's memory, processor time and processes: cgroup `fairlead/<instance>/<id>`.

Version 2 where it offers all three controllers, else the version 1 hierarchies that exist. A
host without any, or one that lets nobody change them (a container's often are read-only or
busy), runs amphorae without limits, which is logged once. The mounts are those that this
process sees. Used by the driver only; every function blocks.
"""

import contextlib
import errno
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

_PERIOD = 100_000  # microseconds
_CONTROLLERS = ("memory", "cpu", "pids")
_ATTEMPTS = 100
_FORBIDDEN = {errno.EBUSY, errno.EROFS, errno.EACCES, errno.EPERM, errno.EOPNOTSUPP}
_log = structlog.get_logger()


class Cgroups:
    """The cgroups of one Fairlead on this host.

    `memory_bytes` counts everything an amphora uses, its temporary files too; `cpu_share` is in
    processors (0.5 is half of one); `pids` counts threads.
    """

    def __init__(self, instance: str, *, memory_bytes: int, cpu_share: float, pids: int) -> None:
        self._branch = Path("fairlead") / instance
        self._memory_bytes, self._cpu_share, self._pids = memory_bytes, cpu_share, pids
        self._unified, self._roots = hierarchies()
        if not self._unified and len(self._roots) < len(_CONTROLLERS):
            lacking = sorted(set(_CONTROLLERS) - set(self._roots))
            _log.warning("cgroup.unavailable", controllers=lacking)

    def ensure(
        self, amphora_id: str, *, memory_bytes: int | None = None, cpu_share: float | None = None
    ) -> list[Path]:
        """Make the cgroups with their limits; the files a process enters them by.

        What is not given of an amphora's own limits is as for all.
        """
        memory_bytes = memory_bytes or self._memory_bytes
        quota = max(int((cpu_share or self._cpu_share) * _PERIOD), 1000)
        try:
            return self._made(amphora_id, memory_bytes, quota)
        except OSError as error:
            if error.errno not in _FORBIDDEN:
                raise
            _log.warning("cgroup.unavailable", reason=str(error))
            self._unified, self._roots = None, {}
            return []

    def _made(self, amphora_id: str, memory_bytes: int, quota: int) -> list[Path]:
        if self._unified:
            self._delegate(self._unified)
            together = {
                "memory.max": str(memory_bytes),
                "cpu.max": f"{quota} {_PERIOD}",
                "pids.max": str(self._pids),
            }
            return [_limit(self._unified / self._branch / amphora_id, together)]
        apart = {
            "memory": {"memory.limit_in_bytes": str(memory_bytes)},
            "cpu": {"cpu.cfs_period_us": str(_PERIOD), "cpu.cfs_quota_us": str(quota)},
            "pids": {"pids.max": str(self._pids)},
        }
        return [
            _limit(root / self._branch / amphora_id, apart[controller])
            for controller, root in self._roots.items()
        ]

    def ids(self) -> frozenset[str]:
        """Amphora ids that have a cgroup."""
        found: set[str] = set()
        for root in self._all():
            with contextlib.suppress(FileNotFoundError):  # it goes with its last amphora
                found |= {group.name for group in (root / self._branch).iterdir() if group.is_dir()}
        return frozenset(found)

    def remove(self, amphora_id: str) -> None:
        """Remove the cgroups once their processes are gone, and parents left empty."""
        for root in self._all():
            _rmdir_patiently(root / self._branch / amphora_id)
            for parent in (root / self._branch, root / self._branch.parent):
                with contextlib.suppress(OSError):  # others live there, or it never was
                    parent.rmdir()

    def _all(self) -> Sequence[Path]:
        return [self._unified] if self._unified else list(self._roots.values())

    def _delegate(self, root: Path) -> None:
        wanted = " ".join(f"+{controller}" for controller in _CONTROLLERS)
        for group in (root, root / self._branch.parent, root / self._branch):
            _mkdir(group)
            (group / "cgroup.subtree_control").write_text(wanted)


def hierarchies() -> tuple[Path | None, dict[str, Path]]:
    """The version 2 mount if it has all controllers, and the version 1 mounts by controller."""
    roots: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ", 1)
        point = Path(left.split()[4])
        kind, _, options = right.split(" ", 2)
        if kind == "cgroup2":
            offered = (point / "cgroup.controllers").read_text().split()
            if set(_CONTROLLERS) <= set(offered):
                return point, {}
        if kind == "cgroup":
            roots |= {name: point for name in _CONTROLLERS if name in options.split(",")}
    return None, roots


def _limit(group: Path, limits: dict[str, str]) -> Path:
    _mkdir(group)
    for name, value in limits.items():
        (group / name).write_text(value)
    return group / "cgroup.procs"


def _mkdir(group: Path) -> None:
    for _ in range(_ATTEMPTS):  # the removal of another amphora may take an empty parent away
        with contextlib.suppress(FileNotFoundError):
            group.mkdir(parents=True, exist_ok=True)
            return


def _rmdir_patiently(group: Path) -> None:
    """A cgroup stays busy for some milliseconds after its last process was killed."""
    for attempt in range(_ATTEMPTS):
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or attempt == _ATTEMPTS - 1:
                raise
            time.sleep(0.02)
