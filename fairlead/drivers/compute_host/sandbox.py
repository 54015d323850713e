"""An amphora's processes: what they see of the host, how they start, how they are found and ended.

The file system inside is an allow-list: programs (/usr), this Python with this package, a few
files of /etc, private /dev, /proc, /tmp and /run, and the amphora's own directory. No other
amphora's files, no state directory, no home. /proc/sys is read-only: uid 0 could otherwise
reach the host through it. Processes are found by a marker in the arguments of bwrap and of the
shell in it, which is safe against reused process ids and needs no record that a crash could lose.
They belong to no controller: `setsid --fork` hands them to init. The first process of the PID
namespace is that shell: it starts the agent again when it dies, so that the agent's death never
ends the namespace that haproxy lives in, and while it waits it collects who lost their parents.
Used by the driver only; every function blocks.
"""

import compileall
import functools
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import fairlead
from fairlead.errors import Retryable

HOME = "/var/lib/amphora"
START_SECONDS = 10.0
END_SECONDS = 5.0
_LONGEST_LOG = 4 * 1024 * 1024
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# The process id comes first: "$$" stays the same through every exec.
_LAUNCH = """\
echo $$
while [ "$1" != -- ]; do echo 0 > "$1" || exit 1; shift; done
shift; exec "$@"
"""
# "up" tells the driver that the sandbox stands; then both streams are the console. When nobody
# listens any more, the controller died meanwhile and the sandbox ends (SIGPIPE spares the first
# process of a PID namespace).
_SUPERVISE = 'echo up || exit 1; exec >&2; while :; do "$@"; sleep 0.3; done'

_CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID",
    "NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW", "SYS_CHROOT",
)  # fmt: skip
_ETC = (
    "alternatives", "group", "hosts", "ld.so.cache", "localtime", "nsswitch.conf", "passwd",
    "protocols", "services", "ssl/certs", "ssl/openssl.cnf",
)  # fmt: skip
_READ_ONLY_PROC = ("sys", "fs", "sysrq-trigger")


def bwrap(marker: str, own: Path, state_dir: Path, command: Sequence[str]) -> list[str]:
    """The command line of a sandbox whose `HOME` is the host's directory `own`."""
    shown = _python_places()
    covered = any(map(state_dir.is_relative_to, (Path("/usr"), *shown)))
    hidden = ["--tmpfs", str(state_dir)] if covered else []
    package = Path(fairlead.__file__).parent
    return [
        "bwrap", "--unshare-pid", "--as-pid-1", "--unshare-ipc", "--unshare-uts",
        "--unshare-cgroup-try",
        "--hostname", "amphora",
        *_system(),
        # Before what is shown: that may lie below them.
        "--tmpfs", "/run", "--symlink", "/run", "/var/run",
        "--tmpfs", "/tmp",  # noqa: S108 - the sandbox's own
        *(word for place in (*shown, package) for word in _open_parent(place)),
        *(word for place in shown for word in ("--ro-bind", str(place), str(place))),
        *hidden,
        "--ro-bind", str(package), str(package),
        "--proc", "/proc",
        *(w for n in _READ_ONLY_PROC for w in ("--ro-bind-try", f"/proc/{n}", f"/proc/{n}")),
        "--dev", "/dev",
        "--bind", str(own), HOME, "--chdir", HOME, "--remount-ro", "/",
        "--clearenv", "--setenv", "PATH", _PATH, "--setenv", "LANG", "C.UTF-8",
        "--setenv", "PYTHONPATH", str(package.parent), "--setenv", "PYTHONDONTWRITEBYTECODE", "1",
        "--setenv", "FAIRLEAD_AMPHORA", marker,
        "--cap-drop", "ALL", *(w for name in _CAPABILITIES for w in ("--cap-add", f"CAP_{name}")),
        "--", "/bin/sh", "-c", _SUPERVISE, marker, *command,
    ]  # fmt: skip


@functools.cache
def compile_agent() -> None:
    """Leave compiled code beside what the agent imports: each amphora would do it at each start.

    Done once. Inside the sources are read-only; where they are so outside too, starts take 0.1 s
    longer and agents several MB more.
    """
    package = Path(fairlead.__file__).parent
    for part in ("agent", "wire"):
        compileall.compile_dir(package / part, quiet=2)
    for single in ("__init__.py", "errors.py"):
        compileall.compile_file(package / single, quiet=2)


def start(
    command: Sequence[str], *, namespace: Path, cgroups: Sequence[Path], pid_file: Path, log: Path
) -> None:
    """Start `command` detached, in the namespace and cgroups; return once the sandbox stands.

    The process id is written last: a start that was interrupted counts as none. `Retryable` with
    bwrap's own words when the sandbox does not stand within `START_SECONDS`.
    """
    launch = ["setsid", "--fork", "sh", "-c", _LAUNCH, "launch", *map(str, cgroups), "--"]
    with _console(log) as console:
        before = os.fstat(console.fileno()).st_size
        process = subprocess.Popen(
            [*launch, "nsenter", f"--net={namespace}", *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=console,
            cwd="/", env={"PATH": _PATH},
        )  # fmt: skip
    with process:
        assert process.stdout is not None  # noqa: S101 - stdout=PIPE makes one
        words = _first_words(process.stdout.fileno())
    if words[1:] != ["up"]:
        said = log.read_bytes()[before:][-500:].decode(errors="replace").strip()
        raise Retryable(f"The amphora's sandbox did not start: {said or 'no word from it'}")
    pid_file.write_text(words[0])


def _first_words(stream: int) -> list[str]:
    """What is said until "up", the end of the stream or `START_SECONDS`."""
    said = b""
    until = time.monotonic() + START_SECONDS
    while not said.endswith(b"up\n") and (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select([stream], [], [], left)
        part = os.read(stream, 64) if ready else b""
        if not part:
            break
        said += part
    return said.decode().split()


def living(pid_file: Path, marker: str, log: Path) -> int | None:
    """The process id of the sandbox, or None when it does not run.

    Without the outer bwrap, which only waits, a sandbox goes on: then it is its first process's.
    """
    try:
        pid = int(pid_file.read_text())
    except (FileNotFoundError, ValueError):
        pid = 0
    return pid if _marked(pid, marker) else first_process(marker, log)


def first_process(marker: str, log: Path) -> int | None:
    """Process 1 of the PID namespace of a sandbox that stands: its output is the console."""
    for pid in marked(marker):
        if _is_first(pid) and _speaks_to(pid, log):
            return pid
    return None


def end_agent(first: int, command: Sequence[str]) -> None:
    """Kill the agent, the child of `first` with that command line; return when it is dead.

    `Retryable` after `END_SECONDS`.
    """
    arguments = b"".join(word.encode() + b"\0" for word in command)
    agents = {pid for pid in _all_pids() if _parent(pid) == first and _cmdline(pid) == arguments}

    def doomed(pid: int) -> bool:
        return pid in agents and _parent(pid) == first and _cmdline(pid) == arguments

    _kill_all(doomed)


def marked(marker: str) -> list[int]:
    """Every process of the sandbox that the host sees as such, from before its start to its end."""
    return [pid for pid in _all_pids() if _marked(pid, marker)]


def end(marker: str, inodes: frozenset[int]) -> None:
    """Kill the sandbox and whatever runs in its network namespaces; return when all is dead.

    `Retryable` after `END_SECONDS`.
    """
    own = os.stat("/proc/thread-self/ns/net").st_ino

    def doomed(pid: int) -> bool:
        found = _network(pid)
        return _marked(pid, marker) or (found != own and found in inodes)

    _kill_all(doomed)


def _kill_all(doomed: Callable[[int], bool]) -> None:
    """Kill until none is left; `Retryable` after `END_SECONDS`."""
    until = time.monotonic() + END_SECONDS
    while _kill(doomed):
        if time.monotonic() > until:
            raise Retryable("The amphora's processes do not end.")
        time.sleep(0.005)


def _kill(doomed: Callable[[int], bool]) -> bool:
    """Signal every doomed process; whether there was one."""
    found = False
    for pid in _all_pids():
        if not doomed(pid):
            continue
        found = True
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if doomed(pid):  # the id may have changed hands before the handle was taken
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        except ProcessLookupError:
            continue
        finally:
            os.close(handle)
    return found


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _marked(pid: int, marker: str) -> bool:
    return marker.encode() in _cmdline(pid).split(b"\0")


def _cmdline(pid: int) -> bytes:
    """Its arguments, each with a zero byte behind it; nothing for one that is dead."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _status(pid: int, field: str) -> list[str]:
    """The values of a line in its status (proc(5)); none for a process that is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return next((line.split()[1:] for line in lines if line.startswith(f"{field}:")), [])


def _parent(pid: int) -> int | None:
    found = _status(pid, "PPid")
    return int(found[0]) if found else None


def _is_first(pid: int) -> bool:
    """Whether it is process 1 of a PID namespace just below ours."""
    numbers = _status(pid, "NSpid")
    return len(numbers) == 2 and numbers[1] == "1"


def _speaks_to(pid: int, log: Path) -> bool:
    try:
        return os.path.samefile(f"/proc/{pid}/fd/1", log)
    except (FileNotFoundError, ProcessLookupError):
        return False


def _network(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None  # gone, a zombie, or a process that root itself may not look into


def trim_console(log: Path) -> None:
    """Empty a console that has grown long; who writes to it goes on at its new end."""
    if log.exists() and log.stat().st_size > _LONGEST_LOG:
        os.truncate(log, 0)


def _console(log: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    return os.fdopen(os.open(log, flags, 0o600), "ab")


def _system() -> list[str]:
    """The host's programs and libraries, and the files of /etc that hold no secret."""
    words = ["--ro-bind", "/usr", "/usr"]
    for place in (Path("/bin"), Path("/sbin"), *sorted(Path("/").glob("lib*"))):
        if place.is_symlink():
            words += ["--symlink", os.readlink(place), str(place)]
        elif place.is_dir():
            words += ["--ro-bind", str(place), str(place)]
    for name in _ETC:
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return words


def _open_parent(place: Path) -> list[str]:
    """Let haproxy, which drops root, reach what is shown there: bwrap would make parents 0700."""
    return ["--perms", "0755", "--dir", str(place.parent)]


def _python_places() -> list[Path]:
    """Where this Python and its packages live, without what /usr already shows."""
    real = Path(sys.executable).resolve().parent.parent
    places = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.base_prefix).resolve(), real}
    return sorted(place for place in places if not place.is_relative_to("/usr"))
