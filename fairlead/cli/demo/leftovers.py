"""What a Fairlead has on this host, to prove that in the end there is nothing.

Looks at the host itself and not at any record of Fairlead's. Called by the story.
"""

import json
import os
import subprocess
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def found(instance: str, state_dir: Path, known: frozenset[str] = frozenset()) -> list[str]:
    """Everything of the installation `instance` that is here; `known` are cards to look for."""
    return [
        *(f"namespace {name}" for name in namespaces(instance)),
        *(f"link {name}" for name in links(instance, known)),
        *(f"process {pid}" for pid in processes(instance, state_dir)),
        *(f"packet filter {name}" for name in _tables(instance)),
        *(f"cgroup {path}" for path in _groups(instance)),
        *([f"directory {state_dir}"] if state_dir.exists() else []),
    ]


def cards(instance: str) -> frozenset[str]:
    """Names of the links that are plugged into bridges of the installation."""
    return frozenset(
        link["ifname"] for link in _ip_link() if link.get("master", "").startswith(f"fl{instance}")
    )


def namespaces(instance: str) -> list[str]:
    """Network namespaces: of amphorae and of the demo's web servers."""
    names = os.listdir("/run/netns") if os.path.isdir("/run/netns") else []
    return [n for n in names if n.startswith((f"fl-{instance}-", f"fldemo-{instance}-"))]


def links(instance: str, known: frozenset[str] = frozenset()) -> list[str]:
    """Bridges, cards of the demo's servers, and those of the `known` that are still there."""
    names = {link["ifname"] for link in _ip_link()}
    ours = (f"fl{instance}", f"fd{instance}")
    return sorted(name for name in names if name.startswith(ours) or name in known)


def processes(instance: str, state_dir: Path) -> list[str]:
    """Ids of processes whose command line names the installation."""
    marks = (f"{instance}/".encode(), str(state_dir).encode(), f"fldemo-{instance}".encode())
    return [
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if any(mark in _read(path) for mark in marks)
    ]


def _tables(instance: str) -> list[str]:
    listed = subprocess.run(("nft", "list", "tables"), capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if line.endswith(f"fairlead_{instance}")]


def _groups(instance: str) -> list[Path]:
    patterns = (f"fairlead/{instance}", f"*/fairlead/{instance}")
    return [path for pattern in patterns for path in _CGROUPS.glob(pattern)]


def _ip_link() -> list[dict[str, str]]:
    shown = subprocess.run(("ip", "-j", "link"), capture_output=True, check=True)
    return [dict(link) for link in json.loads(shown.stdout)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended meanwhile
        return b""
