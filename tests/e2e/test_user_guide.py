"""The user guide is true: its commands run, in its order, and print what it says they print.

Indented blocks go to one shell, as a reader would type them; a command that fails ends it. Lines
that begin with `#>` say what the output of the block so far has to hold. The guide's places in
the file system are put below a directory of the test's own.
"""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import Site

GUIDE = Path(__file__).parents[2] / "docs" / "user-guide.md"
SECONDS = 120.0
NETNS = f"fltest-{os.getpid()}-blue"


def blocks() -> list[tuple[str, str]]:
    """The indented blocks of the guide, each with the heading above it."""
    found: list[tuple[str, str]] = []
    heading, lines = "", list[str]()
    for line in [*GUIDE.read_text().splitlines(), "the end"]:
        if line.startswith("    ") or (lines and not line):
            lines.append(line[4:])
            continue
        if lines:
            found.append((heading, "\n".join(lines).strip("\n")))
            lines = []
        if line.startswith("#"):
            heading = line.strip("# ")
    return found


class Shell:
    """One bash in which block after block is run."""

    def __init__(self, directory: Path, places: dict[str, str]) -> None:
        self._places = places
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {"PATH": path, "HOME": str(directory), "LANG": "C.UTF-8"}
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, cwd=directory, env=environment, start_new_session=True,
        )  # fmt: skip
        self.run("set -eo pipefail")

    def run(self, block: str) -> str:
        """What a block prints; fails when a command of it does."""
        for ours, theirs in self._places.items():
            block = block.replace(ours, theirs)
        mark = f"--- {time.monotonic_ns()} ---"
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"{block}\necho '{mark}'\n".encode())
        self._bash.stdin.flush()
        said = self._read_until(f"{mark}\n".encode())
        assert mark in said, f"{block}\n\nsaid:\n{said}"
        return said.replace(f"{mark}\n", "")

    def _read_until(self, mark: bytes) -> str:
        assert self._bash.stdout is not None
        pipe, said, end = self._bash.stdout.fileno(), b"", time.monotonic() + SECONDS
        while not said.endswith(mark):
            ready, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
            more = os.read(pipe, 65536) if ready else b""
            if not more:
                break
            said += more
        return said.decode(errors="replace")

    def close(self) -> None:
        """End the shell and what it has started."""
        assert self._bash.stdin is not None
        os.killpg(self._bash.pid, signal.SIGKILL)
        with self._bash:
            pass


@pytest.fixture
def shell(site: Site, tmp_path: Path) -> Iterator[Shell]:
    places = {
        "/var/lib/fairlead": str(site.state_dir), "/tmp/guide": str(tmp_path / "guide"),
        "blue-server": NETNS, "server0": f"fl{os.getpid()}",
    }  # fmt: skip
    made = Shell(tmp_path, places)
    try:
        yield made
    finally:
        made.close()
        subprocess.run(["ip", "netns", "delete", NETNS], capture_output=True)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the guide uses openssl")
def test_every_command_of_the_guide_does_what_it_says(shell: Shell) -> None:
    for heading, block in blocks():
        wanted = re.findall(r"^#> (.*)$", block, re.MULTILINE)
        said = shell.run(block)
        for text in wanted:
            assert text in said, f"{heading}:\n{block}\n\nsaid:\n{said}"


def test_the_guide_says_what_commands_print() -> None:
    assert sum("#> " in block for _, block in blocks()) >= 10
