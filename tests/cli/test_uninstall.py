"""`fairlead uninstall` asks before it acts, and knows whose state directory it is given."""

import fcntl
import os
from pathlib import Path

import pytest

from fairlead.cli import main


def test_a_directory_that_is_nobodys_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["uninstall", "--yes", "--state-dir", str(tmp_path)]) == 1
    assert f"No Fairlead was ever started with the state directory {tmp_path}" in (
        capsys.readouterr().err
    )


def test_it_wants_a_yes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "instance").write_text("an installation")
    assert main(["uninstall", "--state-dir", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    if os.geteuid() == 0:
        assert f"uninstall --state-dir {tmp_path} --yes\n" in said
    assert (tmp_path / "instance").exists()


def test_a_damaged_configuration_does_not_matter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "instance").write_text("an installation")
    (tmp_path / "fairlead.toml").write_text("[nonsense")
    assert main(["uninstall", "--state-dir", str(tmp_path)]) == 1
    assert "nonsense" not in capsys.readouterr().err


def test_the_configuration_may_name_the_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "some.toml"
    config.write_text(f"state_dir = '{tmp_path}/there'")
    assert main(["uninstall", "--config", str(config)]) == 1
    assert f"{tmp_path}/there" in capsys.readouterr().err


def test_an_in_memory_world_left_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fairlead.db").touch()
    assert main(["uninstall", "--state-dir", str(tmp_path), "--yes"]) == 0
    assert f"rm -r {tmp_path}" in capsys.readouterr().err


@pytest.mark.root
def test_a_service_that_runs_is_stopped_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    (tmp_path / "instance").write_text("an installation")
    with (tmp_path / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert main(["uninstall", "--state-dir", str(tmp_path), "--yes"]) == 1
    assert "stop it first" in capsys.readouterr().err
