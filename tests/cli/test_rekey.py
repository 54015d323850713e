"""Keys of users' secrets: made at the first start, renewed, lost, damaged."""

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_serve import ROOT, free_address
from tests.live_service import LiveService

BODY = {"payload": "find me if you can", "payload_content_type": "text/plain"}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[LiveService]:
    made = LiveService(tmp_path / "state", "--drivers", "fake", listen=free_address())
    yield made
    made.kill()


def rekey(state_dir: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "fairlead.cli", "rekey", "--state-dir", str(state_dir)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)


def stored(service: LiveService) -> str:
    with service.client() as client:
        answer = client.post("/v1/secrets", json=BODY)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["secret_ref"])


def payload(service: LiveService, reference: str) -> str:
    with service.client() as client:
        answer = client.get(f"{reference}/payload")
        assert answer.status_code == 200, answer.text
        return answer.text


def keys(service: LiveService) -> list[str]:
    text = (service.state_dir / "vault.keys").read_text()
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_secrets_outlive_a_new_key(service: LiveService) -> None:
    service.start()
    reference = stored(service)
    file = service.state_dir / "vault.keys"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = keys(service)
    refused = rekey(service.state_dir)
    assert (refused.returncode, keys(service)) == (1, before)
    assert "already serves" in refused.stderr
    assert service.stop(signal.SIGTERM) == 0
    for _ in range(2):
        done = rekey(service.state_dir)
        assert (done.returncode, done.stderr) == (0, "Secrets sealed with a new key: 1.\n")
    assert len(keys(service)) == 1
    assert keys(service) != before
    for path in service.state_dir.iterdir():
        assert b"find me" not in path.read_bytes(), path
        assert path == file or keys(service)[0].encode() not in path.read_bytes()
    service.start()
    assert payload(service, reference) == BODY["payload"]
    assert "find me" not in service.said()


def test_without_the_key_it_does_not_start(service: LiveService) -> None:
    service.start()
    reference = stored(service)
    assert service.stop() == 0
    file = service.state_dir / "vault.keys"
    aside = file.with_name("aside")
    shutil.move(file, aside)
    for content, mode, said in (
        (None, 0, "is missing"),
        (b"no key\n", 0o600, "is damaged"),
        (b"", 0o600, "is damaged"),
        (aside.read_bytes(), 0o640, "chmod 600"),
    ):
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
            file.chmod(mode)
        service.launch()
        assert service.process is not None
        assert service.process.wait(30) == 1
        assert said in service.said()
        assert str(file) in service.said()
        assert "Traceback" not in service.said()
    os.replace(aside, file)
    service.start()
    assert payload(service, reference) == BODY["payload"]


def test_a_key_that_another_row_was_sealed_with_does_not_open_it(service: LiveService) -> None:
    """A row that was put in another's place, or in another project, is not answered."""
    service.start()
    first, second = stored(service), stored(service)
    assert service.stop() == 0
    with sqlite3.connect(service.state_dir / "fairlead.db") as database:
        ids = [reference.rpartition("/")[2] for reference in (first, second)]
        row = database.execute("SELECT sealed FROM secrets WHERE id = ?", ids[:1]).fetchone()
        database.execute("UPDATE secrets SET sealed = ? WHERE id = ?", (*row, ids[1]))
    database.close()
    service.start()
    assert payload(service, first) == BODY["payload"]
    with service.client() as client:
        answer = client.get(f"{second}/payload")
    assert answer.status_code == 500
    assert "damaged" in answer.text
