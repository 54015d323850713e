"""The single checks of `fairlead doctor`: each looks at one thing and says what it found.

Invariants: a check leaves the host as it was, ends within some seconds, and never raises for
what it finds. The remedy is a command to run or a setting to make. Called by doctor alone.
"""

import http.client
import os
import re
import resource
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from fairlead.cli.invocation import address, command
from fairlead.drivers.compute_host.cgroups import Cgroups, hierarchies

OLDEST_HAPROXY = (2, 4)
SPARE_FILES = 100  # what haproxy opens besides two for each connection
_SECONDS = 10.0
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_DROPPING = re.compile(r"type filter hook forward priority [^;]*; policy drop;")
_MIB = 1024 * 1024


class Finding(Struct, frozen=True, kw_only=True):
    """What was found: `ok`, worth a note, or lacking, so that amphorae cannot run.

    `remedy` says how to get it; `package` is the Debian package that has it.
    """

    level: Literal["ok", "note", "lacks"]
    what: str
    remedy: str = ""
    package: str = ""


def ok(what: str) -> Finding:
    """Nothing to do."""
    return Finding(level="ok", what=what)


def note(what: str, remedy: str) -> Finding:
    """Amphorae run, with less than they could have."""
    return Finding(level="note", what=what, remedy=remedy)


def lacks(what: str, remedy: str, package: str = "") -> Finding:
    """Amphorae cannot run."""
    return Finding(level="lacks", what=what, remedy=remedy, package=package)


def root() -> Finding:
    """Namespaces, bridges and packet filters are root's."""
    if os.geteuid() == 0:
        return ok("Run by root")
    return lacks("Not run by root", f"sudo {command('doctor')}; the service too")


def haproxy_version(program: str) -> Finding:
    """Servers are added and removed at run time since 2.4."""
    said = _run(program, "-v").stdout
    found = re.search(r"version (\d+)\.(\d+)\S*", said, re.IGNORECASE)
    if found is None:
        return lacks(f"{program} does not say its version", "apt-get install haproxy", "haproxy")
    oldest = ".".join(map(str, OLDEST_HAPROXY))
    if (int(found[1]), int(found[2])) < OLDEST_HAPROXY:
        remedy = f"Install {oldest} or newer: Debian 12 and Ubuntu 22.04 have it"
        return lacks(f"{program} {found[0]} is older than {oldest}", remedy)
    return ok(f"{program}, {found[0]}")


def open_files(maxconn: int, hard: int | None = None) -> Finding:
    """Haproxy refuses to start when the hard limit is below what `maxconn` needs."""
    if hard is None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    needed = 2 * maxconn + SPARE_FILES
    if hard in (-1, resource.RLIM_INFINITY) or hard >= needed:
        return ok(f"Open files: {hard} allowed, {needed} needed for {maxconn} connections")
    fitting = max((hard - SPARE_FILES) // 2, 10)
    return lacks(
        f"Open files: {hard} allowed, {needed} needed for {maxconn} connections",
        f"ulimit -Hn {needed} before the start, or in fairlead.toml: [amphora] maxconn = {fitting}",
    )


def state_directory(directory: Path) -> Finding:
    """The nearest directory that exists takes files and locks."""
    existing = next(one for one in (directory, *directory.parents) if one.is_dir())
    try:
        with tempfile.TemporaryFile(dir=existing):
            free = os.statvfs(existing)
    except OSError as error:
        remedy = f"Choose another: {command('serve')} --state-dir DIR"
        return lacks(f"State directory {directory}: {error.strerror}", remedy)
    megabytes = free.f_bavail * free.f_frsize // _MIB
    if megabytes < 100:
        return lacks(f"State directory {directory}: {megabytes} MB free", f"df -h {existing}")
    return ok(f"State directory {directory} is writable, {megabytes} MB free")


def listening(listen: str) -> Finding:
    """The API's address is free, or somebody has it: perhaps a Fairlead that runs."""
    host, port = address(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if is_fairlead(host, port):
                return ok(f"{listen} is served by a Fairlead that runs")
            other = f"{command('serve')} --listen ADDR:PORT"
            remedy = f"ss -tlnp 'sport = :{port}' tells who; or: {other}"
            return note(f"{listen} cannot be listened on: {error.strerror}", remedy)
    return ok(f"{listen} is free for the API")


def is_fairlead(host: str, port: int) -> bool:
    """Whether a Fairlead answers there, asked for at most two seconds or so."""
    connection = http.client.HTTPConnection(host, port, timeout=2.0)
    try:
        connection.request("GET", "/openapi.json")
        said = msgspec.json.decode(connection.getresponse().read(), type=_Described)
    except (OSError, http.client.HTTPException, msgspec.MsgspecError):
        return False
    finally:
        connection.close()
    return said.info.title == "Fairlead"


class _Info(Struct):
    title: str


class _Described(Struct):
    """What is read of an OpenAPI document."""

    info: _Info


def clock(now: float | None = None) -> Finding:
    """Certificates and heartbeats need a clock that is not before this very file."""
    now = time.time() if now is None else now
    if now < Path(__file__).stat().st_mtime - 86400:
        shown = time.strftime("%Y-%m-%d", time.gmtime(now))
        return lacks(f"The clock says {shown}, before Fairlead was installed", "Set the clock")
    return ok(f"Clock: {time.strftime('%Y-%m-%d %H:%M', time.gmtime(now))} UTC")


def forwarding() -> Finding:
    """The service turns forwarding on at its start, for which /proc/sys must be writable."""
    on = _FORWARDING.read_text().strip() == "1"
    if on:
        return ok("IPv4 forwarding is on")
    if os.geteuid() == 0 and not os.access(_FORWARDING, os.W_OK):
        return lacks(
            "IPv4 forwarding is off and /proc/sys is read-only",
            "In a container: run it privileged. Else: sysctl -w net.ipv4.ip_forward=1",
        )
    return ok("IPv4 forwarding is off; fairlead serve turns it on")


def by_trying() -> Iterator[Finding]:
    """What only root can try: namespaces, links, packet filter, sandbox, cgroups."""
    yield from _networks(f"fldoctor-{os.getpid()}")
    yield _sandbox()
    yield _limits()
    yield from _foreign_filter()


def _networks(name: str) -> Iterator[Finding]:
    """A namespace of ours with all that amphorae and networks need in it; removed again."""
    made = _run("ip", "netns", "add", name)
    if made.returncode:
        yield lacks(f"Network namespaces: {_words(made)}", "In a container: run it privileged")
        return
    try:
        yield ok("Network namespaces can be made")
        inside = ("ip", "-n", name, "link", "add")
        yield _tried("Bridges", *inside, "br0", "type", "bridge")
        yield _tried("veth pairs", *inside, "a0", "type", "veth", "peer", "name", "b0")
        nft = ("ip", "netns", "exec", name, "nft")
        chain = "add chain inet t c { type nat hook postrouting priority 90; }"
        rules = f"add table inet t; {chain}; add rule inet t c masquerade"
        yield _tried("nftables with NAT", *nft, rules)
    finally:
        _run("ip", "netns", "del", name)


def _tried(what: str, *command: str) -> Finding:
    outcome = _run(*command)
    if outcome.returncode:
        remedy = f"This kernel lacks them, or may not load them. Tried: {' '.join(command)}"
        return lacks(f"{what}: {_words(outcome)}", remedy)
    return ok(f"{what} can be made")


def _sandbox() -> Finding:
    """As an amphora is started: own PID, mount, IPC and host name, an own /proc."""
    outcome = _run(
        "bwrap", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--ro-bind", "/", "/",
        "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run", "true",
    )  # fmt: skip
    if outcome.returncode:
        return lacks(f"Sandboxes: {_words(outcome)}", "In a container: run it privileged")
    return ok("Sandboxes can be made")


def _limits() -> Finding:
    """A cgroup with limits, made by the driver itself and removed again."""
    unified, roots = hierarchies()
    absent = {"memory", "cpu", "pids"} - set(roots)
    if absent and unified is None:
        remedy = "Amphorae run without these limits; mount the cgroup controllers to have them"
        return note(f"No cgroup controller for {', '.join(sorted(absent))}", remedy)
    probe = Cgroups("doctor", memory_bytes=32 * _MIB, cpu_share=1.0, pids=16)
    name = str(os.getpid())
    try:
        probe.ensure(name)
        probe.remove(name)
    except OSError as error:
        remedy = "In a container: run it privileged, or with a cgroup namespace of its own"
        return lacks(f"cgroups cannot be made: {error}", remedy)
    return ok(f"cgroups version {2 if unified else 1}: limits are enforced")


def _foreign_filter() -> Iterator[Finding]:
    """Others' rules that drop what is forwarded (Docker makes such) also drop our traffic."""
    if _DROPPING.search(_run("nft", "list", "chains").stdout):
        yield note(
            "Another packet filter drops forwarded packets by default",
            "Members outside the default network need: iptables -I FORWARD -i 'fl+' -j ACCEPT "
            "and iptables -I FORWARD -o 'fl+' -j ACCEPT",
        )


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a program; status 127 when that was impossible."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))


def _words(outcome: subprocess.CompletedProcess[str]) -> str:
    said = outcome.stderr.strip().splitlines()
    return said[0] if said else "it failed without a word"
