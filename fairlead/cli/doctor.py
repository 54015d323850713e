"""`fairlead doctor`: what this host has and lacks to run amphorae, and how to get it.

Invariants: what can be tried is tried, in a network namespace and a cgroup made for it and
removed again; nothing else on the host changes. The exit status is 0 only when the host driver
can run. `serve` asks `missing` at each start, so that one looks for programs and no further.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from msgspec.structs import replace

from fairlead.cli import host_checks
from fairlead.cli.host_checks import Finding, lacks, ok
from fairlead.cli.invocation import address, command
from fairlead.settings import Settings, default_state_dir, load

# Program -> Debian package and what needs it.
PROGRAMS = {
    "haproxy": ("haproxy", "balances the traffic"),
    "bwrap": ("bubblewrap", "isolates amphorae"),
    "nft": ("nftables", "keeps networks apart"),
    "ip": ("iproute2", "makes network namespaces"),
    "ping": ("iputils-ping", "checks members of PING monitors"),
    "nsenter": ("util-linux", "starts amphorae in their network namespace"),
    "setsid": ("util-linux", "lets amphorae outlive the service"),
}
_SIGNS = {"ok": "✔", "note": "!", "lacks": "✘"}


def missing(path: str | None = None) -> list[str]:
    """Names of programs that are in no directory of `path` (default: the environment's PATH)."""
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


def doctor(options: argparse.Namespace) -> int:
    """Print a line for everything that was checked; 0 when the host driver can run."""
    state_dir = (options.state_dir or default_state_dir()).absolute()
    settings = load(state_dir, options.config)
    if options.state_dir:
        settings = replace(settings, state_dir=str(state_dir))
    if options.listen:
        settings = replace(settings, api=replace(settings.api, listen=options.listen))
    address(settings.api.listen)
    return report(examine(settings))


def examine(settings: Settings, path: str | None = None) -> Iterator[Finding]:
    """All findings, as they are made; those that need root only when this is root."""
    yield ok(f"Python {sys.version.split()[0]}")
    absent = missing(path)
    for name in PROGRAMS:
        yield _program(name, path)
    yield host_checks.root()
    for check in _everywhere(settings):
        yield check()
    if os.geteuid() == 0 and not absent:
        yield from host_checks.by_trying()
    else:
        why = "the programs above are there" if absent else "run by root"
        yield host_checks.note("Isolation and networks were not tried", f"They are when {why}.")


def report(findings: Iterable[Finding]) -> int:
    """Print findings, then what to do; the exit status."""
    packages, lacking = [], 0
    for one in findings:
        print(f"{_SIGNS[one.level]} {one.what}", flush=True)
        if one.remedy:
            print(f"    {one.remedy}", flush=True)
        lacking += one.level == "lacks"
        if one.package and one.package not in packages:
            packages.append(one.package)
    print()
    if packages:
        print(f"Run: sudo apt-get install {' '.join(packages)}   (Debian, Ubuntu)")
    print("This host cannot run amphorae yet." if lacking else "This host can run amphorae.")
    if lacking:
        print(f"Until then, {command('serve', '--drivers', 'fake')} serves an in-memory world.")
    return 1 if lacking else 0


def _everywhere(settings: Settings) -> Iterator[Callable[[], Finding]]:
    yield lambda: host_checks.open_files(settings.amphora.maxconn)
    yield lambda: host_checks.state_directory(Path(settings.state_dir))
    yield lambda: host_checks.listening(settings.api.listen)
    yield host_checks.clock
    yield host_checks.forwarding


def _program(name: str, path: str | None) -> Finding:
    package, purpose = PROGRAMS[name]
    found = shutil.which(name, path=path)
    if found is None:
        return lacks(f"{name} is missing: it {purpose}", f"apt-get install {package}", package)
    return host_checks.haproxy_version(found) if name == "haproxy" else ok(found)
