"""What the commands make of what was typed, and what they tell people to type."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.cli import main
from fairlead.cli.invocation import address, command
from fairlead.errors import Refused

ROOT = Path(__file__).parents[2]
SCRIPT = Path(sys.executable).with_name("fairlead")


def test_a_hint_repeats_where_things_are() -> None:
    given = argparse.Namespace(state_dir=Path("a b"), config=None, yes=True)
    assert command("uninstall", "--yes", given=given).endswith(" uninstall --state-dir 'a b' --yes")


def test_a_hint_names_the_program_as_it_was_called() -> None:
    done = subprocess.run(
        [SCRIPT, "serve", "--state-dir", "/proc/none", "--listen", "127.0.0.1:9"],
        capture_output=True, text=True, timeout=30, env={"PATH": "/nonexistent"},
    )  # fmt: skip
    assert done.returncode == 1
    assert f"{SCRIPT} doctor" in done.stderr or f"sudo {SCRIPT} serve" in done.stderr


@pytest.mark.parametrize("name", ["serve", "doctor", "uninstall"])
def test_an_empty_state_directory_is_not_the_current_one(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([name, "--state-dir", ""])
    assert "--state-dir: it is empty" in capsys.readouterr().err


def test_addresses() -> None:
    assert address("127.0.0.1:80") == ("127.0.0.1", 80)
    assert address("[::1]:80") == ("::1", 80)
    with pytest.raises(Refused, match="from 1 to 65535"):
        address("127.0.0.1:65536")


@pytest.mark.parametrize("words", ["--help", "doctor"])
def test_a_reader_that_leaves_is_no_trouble(words: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "fairlead.cli", words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr as said:
        assert said.read() == ""
    process.wait(timeout=30)
