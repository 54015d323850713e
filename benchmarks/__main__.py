"""Runs every measurement, prints the tables as they come and writes RESULTS.md beside this file.

`python -m benchmarks [CHAPTER...]`: with names of chapters, those only, and nothing is written.
"""

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import (
    changes,
    creation,
    heartbeats,
    memory,
    request_cost,
    startup,
    statements,
    throughput,
)
from benchmarks.lab import Trouble, network_of_our_own
from benchmarks.report import Chapter
from fairlead.cli.doctor import missing

RESULTS = Path(__file__).with_name("RESULTS.md")
CHAPTERS: dict[str, Callable[[], Chapter]] = {
    "startup": startup.measure,
    "creation": creation.measure,
    "changes": changes.measure,
    "throughput": throughput.measure,
    "statements": statements.measure,
    "memory": memory.measure,
    "request_cost": request_cost.measure,
    "heartbeats": heartbeats.measure,
}


def main(names: list[str]) -> int:
    """Exit status: 0 when everything was measured, also where an aim was missed."""
    problem = _unfit(names)
    if problem:
        print(f"benchmarks: {problem}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was made is taken away
    began = time.monotonic()
    texts = [_head()]
    print(texts[0])
    try:
        with network_of_our_own():
            for name in names or CHAPTERS:
                texts.append(_chapter(name))
                print(f"\n{texts[-1]}", flush=True)
    except Trouble as trouble:
        print(f"benchmarks: {trouble}", file=sys.stderr)
        return 1
    texts.append(f"The whole run took {time.monotonic() - began:.0f} s.")
    print(f"\n{texts[-1]}")
    if not names:
        RESULTS.write_text("\n\n".join(texts) + "\n")
    return 0


def _chapter(name: str) -> str:
    """A chapter's text, with how busy the machine was: our own work is part of that."""
    began, before = time.monotonic(), os.getloadavg()[0]
    text = CHAPTERS[name]().text()
    after, taken = os.getloadavg()[0], time.monotonic() - began
    return f"{text}\n\n(Took {taken:.0f} s; load average {before:.1f} before, {after:.1f} after.)"


def _unfit(names: list[str]) -> str:
    """Why nothing can be measured; "" when it can."""
    unknown = [name for name in names if name not in CHAPTERS]
    if unknown:
        return f"no chapter {unknown[0]}; there are {', '.join(CHAPTERS)}"
    if os.geteuid() != 0:
        return "network namespaces need root: sudo make bench"
    lacking = missing() + [name for name in ("wrk",) if shutil.which(name) is None]
    return f"this host lacks {', '.join(lacking)}: make setup" if lacking else ""


def _head() -> str:
    said = subprocess.run(["haproxy", "-v"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\S+)", said)
    version = found[1] if found else "unknown"
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        "# Benchmark results\n\n"
        "Written by `make bench`; each chapter says how it measures.\n\n"
        f"Machine: {os.cpu_count()} cores, {memory_gb:.0f} GB of memory, "
        f"{platform.system()} {platform.release()}, haproxy {version}, "
        f"Python {platform.python_version()}. {datetime.now(UTC):%Y-%m-%d}. Chapters tell the load "
        "average: where others use the machine, times are longer and more scattered."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
