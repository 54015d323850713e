"""The demo as a user runs it: the whole way, and interrupted half-way. Nothing may be left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairlead.cli.demo import leftovers
from fairlead.wiring import instance_id

COMMAND = (sys.executable, "-m", "fairlead.cli", "demo")
PLACES = Path("/var/tmp")
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root and network namespaces"),
]


def started() -> subprocess.Popen[str]:
    return subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def directories() -> set[str]:
    return {path.name for path in PLACES.glob("fairlead-demo-*")}


def test_every_step_works_and_nothing_is_left() -> None:
    before = directories()
    began = time.monotonic()
    process = started()
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    for step in (
        "✔ Service ready", "✔ Load balancer on ", "✔ Traffic: ", "✔ birch killed: ERROR after ",
        "✔ birch back: ", "✔ cedar added under load: ", "✔ Weight of apple to 0: ",
        "✔ Statistics: ", "✔ Load balancer deleted in ", "✔ Nothing is left: ",
    ):  # fmt: skip
        assert step in said
    assert "✘" not in said
    assert "\x1b" not in said, "plain lines where nobody sees colours"
    assert time.monotonic() - began < 60
    assert directories() <= before


def test_what_a_killed_demo_left_is_removed_by_the_next() -> None:
    before = directories()
    with started() as killed:
        assert killed.stdout is not None
        for line in killed.stdout:
            if "Load balancer on" in line:
                (left,) = directories() - before
                killed.kill()
                break
    instance = instance_id(PLACES / left)
    assert leftovers.namespaces(instance)
    with started() as following:
        assert following.stdout is not None
        said = following.stdout.readline()
        following.send_signal(signal.SIGINT)
        following.stdout.read()
    assert "Removed what a demo that was killed had left" in said
    assert left in said
    assert leftovers.found(instance, PLACES / left) == []
    assert directories() <= before


@pytest.mark.parametrize("seconds", [0.5, 1.0, 1.5, 2.0, 2.5])
def test_a_demo_interrupted_at_its_start_leaves_nothing_and_says_so(seconds: float) -> None:
    before = directories()
    process = started()
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode in (1, 130, -signal.SIGINT), said
    assert "Left behind" not in said
    assert "While removing" not in said
    assert directories() <= before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["Service ready", "Traffic: "])
def test_an_interrupted_demo_cleans_up(number: int, moment: str) -> None:
    said = ""
    with started() as process:
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if moment in line:
                process.send_signal(number)
        status = process.wait(timeout=60)
    assert status == 1, said
    assert "Interrupted" in said
    assert "Left behind" not in said
    assert "✔ Nothing is left" in said
    assert "Traceback" not in said
