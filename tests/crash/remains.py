"""What an installation has on this host, found by looking at the host and at its files.

Nothing here asks Fairlead. Bridges, the packet filter and the networks' own rows belong to the
installation and not to a load balancer, so they do not count.
"""

import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
NOT_OF_BALANCERS = {
    "fairlead.db": {"counters", "alembic_version"},
    "network.db": {"net_networks", "net_subnets"},
}
FIRST_FILES = {
    "clouds.yaml", "drivers", "fairlead.db", "fairlead.toml", "htpasswd", "instance", "lock",
    "network.db", "users.yaml", "vault.keys", "secrets", "secrets/.lock", "secrets/authority.pem",
    "secrets/authority.sealed", "secrets/heartbeat.sealed", "secrets/sealing.key",
    "secrets/controller.sealed",
}  # fmt: skip


class Remains:
    """What exists on behalf of load balancers, by kind, as text."""

    def __init__(self, state_dir: Path, instance: str) -> None:
        self.namespaces = sorted(one.name for one in Path("/run/netns").glob(f"fl-{instance}-*"))
        self.cards = sorted(link["ifname"] for link in _links("type", "veth"))
        self.processes = sorted(_processes(f"{instance}/", self.namespaces))
        self.cgroups = [
            str(group) for depth in ("", "*/")
            for group in CGROUPS.glob(f"{depth}fairlead/{instance}/*") if group.is_dir()
        ]  # fmt: skip
        self.homes = sorted(one.name for one in (state_dir / "amphorae").glob("*"))
        self.rows = {
            f"{name} {table}": count
            for name, passed in NOT_OF_BALANCERS.items()
            for table, count in _rows(state_dir / name).items()
            if table not in passed and count
        }
        known = FIRST_FILES | {"amphorae"}
        self.files = sorted(name for name in files(state_dir) if name not in known)

    def __iter__(self) -> Iterator[str]:
        """Everything, to compare with an empty list."""
        for kind, found in vars(self).items():
            if found:
                yield f"{kind}: {found}"


def files(state_dir: Path) -> Iterator[str]:
    """What the state directory and its secrets hold; a database counts with its companions."""
    for file in (*state_dir.iterdir(), *(state_dir / "secrets").iterdir()):
        yield str(file.relative_to(state_dir)).removesuffix("-wal").removesuffix("-shm")


def bridges() -> list[str]:
    """Names of the bridges of this network namespace."""
    return sorted(link["ifname"] for link in _links("type", "bridge"))


def ports(state_dir: Path) -> dict[str, list[str]]:
    """Names of ports by owner, as the networks' database has them."""
    with closing(sqlite3.connect(state_dir / "network.db")) as database:
        found: dict[str, list[str]] = {}
        for owner, name in database.execute("select owner, name from net_ports order by name"):
            found.setdefault(owner, []).append(name)
        return found


def balancers(state_dir: Path) -> set[str]:
    """Ids of the load balancers that are stored."""
    with closing(sqlite3.connect(state_dir / "fairlead.db")) as database:
        return {lb_id for (lb_id,) in database.execute("select lb_id from trees")}


def inside(namespace: str) -> dict[int, list[str]]:
    """Command lines by process id of what runs in a named network namespace."""
    try:
        inode = (Path("/run/netns") / namespace).stat().st_ino
    except FileNotFoundError:
        return {}
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "ns/net").stat().st_ino == inode:
                found[int(entry.name)] = (entry / "cmdline").read_text().split("\0")
        except OSError:
            continue  # it ended meanwhile
    return {pid: words for pid, words in found.items() if words[0]}


def _processes(mark: str, namespaces: list[str]) -> set[int]:
    found = {pid for namespace in namespaces for pid in inside(namespace)}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.startswith(mark.encode()) for word in words) and int(entry.name) != os.getpid():
            found.add(int(entry.name))
    return found


def _links(*words: str) -> list[dict[str, str]]:
    shown = subprocess.run(["ip", "-j", "link", "show", *words], capture_output=True, check=True)
    return [link for link in json.loads(shown.stdout or b"[]") if link]


def _rows(file: Path) -> dict[str, int]:
    with closing(sqlite3.connect(file)) as database:
        tables = database.execute(
            "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"
        ).fetchall()
        return {
            name: database.execute(f'select count(*) from "{name}"').fetchone()[0]
            for (name,) in tables
        }
