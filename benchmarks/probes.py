"""Looking from outside: what a client gets, what haproxy says, what a process costs."""

import os
import socket
from collections.abc import Iterable
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def answer(
    address: str, port: int = 80, path: str = "/", seconds: float = 1.0
) -> tuple[int, str] | None:
    """Status and body of one request on a connection of its own; None when there is none."""
    request = f"GET {path} HTTP/1.0\r\nHost: bench\r\n\r\n".encode()
    try:
        with socket.create_connection((address, port), timeout=seconds) as connection:
            connection.sendall(request)
            said = b"".join(iter(lambda: connection.recv(65536), b""))
    except OSError:
        return None
    head, _, body = said.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    return (int(words[1]), body.decode()) if len(words) > 1 else None


def haproxy(home: Path, command: str) -> str:
    """An answer of the amphora's current worker; "" while it does not listen."""
    return _ask(home / "run" / "haproxy.sock", command)


def workers(home: Path) -> list[int]:
    """Process ids, as the amphora sees them, of its haproxy's workers, the current one first."""
    lines = _ask(home / "run" / "master.sock", "show proc").splitlines()
    return [int(line.split()[0]) for line in lines if "worker" in line.split()[1:2]]


def _ask(path: Path, command: str) -> str:
    # A socket's name is bounded in length; a directory's descriptor makes it short.
    holder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            connection.connect(f"/proc/self/fd/{holder}/{path.name}")
            connection.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    except OSError:
        return ""
    finally:
        os.close(holder)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its threads so far (proc(5), fields 14 and 15)."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICK


def parent(pid: int) -> int:
    """The process that started it, or that took it over."""
    return int(_stat(pid)[1])


def _stat(pid: int) -> list[str]:
    """The fields from the third on, which follow the program's name in parentheses."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def memory_mb(pids: Iterable[int]) -> tuple[float, float]:
    """Resident and proportional memory of processes together, in MB (2**20 bytes)."""
    resident = proportional = 0
    for pid in pids:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        sizes = {w[0]: int(w[1]) for w in map(str.split, rollup.splitlines()[1:])}
        resident += sizes["Rss:"]
        proportional += sizes["Pss:"]
    return resident / 1024, proportional / 1024


def command(pid: int) -> list[str]:
    """The arguments a process was started with."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")


def inhabitants(namespace: Path) -> list[int]:
    """Process ids of all that runs in a network namespace, oldest first."""
    inode = os.stat(namespace).st_ino
    return sorted(pid for pid in _all_pids() if _network(pid) == inode)


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _network(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None  # gone, or a process that root itself may not look into
