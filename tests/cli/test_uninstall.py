"""`fairlead uninstall` asks before it acts, and knows whose state directory it is given."""

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
    assert "fairlead uninstall" in capsys.readouterr().err
    assert (tmp_path / "instance").exists()
