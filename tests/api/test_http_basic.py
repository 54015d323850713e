"""Names and passwords: the files, what is remembered, and the first start."""

import asyncio
import base64
import os
import stat
import time
from collections import Counter
from pathlib import Path
from typing import Any

import bcrypt
import msgspec
import pytest
from structlog.testing import capture_logs

from fairlead.api.access import Caller
from fairlead.api.first_user import CLOUDS, HTPASSWD, USERS, ensure_admin
from fairlead.api.http_basic import HttpBasic
from fairlead.errors import Retryable, Unauthorized

ROUNDS = 4


class Directory:
    """The two files, written as an operator would."""

    def __init__(self, path: Path) -> None:
        self.htpasswd, self.users = path / HTPASSWD, path / USERS
        self._ticks = iter(range(1, 1000))
        self.write({"mary": "secret"}, {"mary": {"project_id": "p1", "roles": ["member"]}})
        self.door = HttpBasic(self.htpasswd, self.users)

    def write(self, passwords: dict[str, str], users: Any) -> None:
        lines = ["# users", ""]
        for user, password in passwords.items():
            known = bcrypt.hashpw(password.encode(), bcrypt.gensalt(ROUNDS)).decode()
            lines.append(f"{user}:{known.replace('$2b$', '$2y$')}")  # as htpasswd -B writes them
        self.htpasswd.write_text("\n".join(lines) + "\n")
        self.users.write_bytes(msgspec.yaml.encode(users))
        now = time.time() + next(self._ticks)
        os.utime(self.users, (now, now))

    async def enter(self, user: str, password: str) -> Caller:
        return await self.door.authenticate(basic(user, password))


def basic(user: str, password: str) -> dict[str, str]:
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"authorization": f"Basic {token}"}


@pytest.fixture
def files(tmp_path: Path) -> Directory:
    return Directory(tmp_path)


async def test_a_user_gets_project_and_roles(files: Directory) -> None:
    caller = await files.enter("mary", "secret")
    assert caller == Caller(user="mary", project_id="p1", roles=frozenset({"member", "reader"}))


@pytest.mark.parametrize(
    "header",
    [
        "", "Basic", "Basic ", "Basic !!!!", "Bearer abc", "Basic " + "A" * 10_000,
        "Basic " + base64.b64encode(b"mary").decode(),
        "Basic " + base64.b64encode(b":secret").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:secret").decode(),
        "Basic " + base64.b64encode(b"mary:" + b"s" * 200).decode(),
        "Basic " + base64.b64encode(b"mary:secret\0").decode(),
        "Basic " + base64.b64encode(b"mary:secret ").decode(),
        "Basic " + base64.b64encode(b"mary:").decode(),
        "Basic " + base64.b64encode(b"mary:x\0y").decode(),
        "Basic é",
    ],
)  # fmt: skip
async def test_everything_else_is_refused(files: Directory, header: str) -> None:
    with pytest.raises(Unauthorized):
        await files.door.authenticate({"authorization": header})


async def test_a_refusal_does_not_tell_whether_the_user_exists(files: Directory) -> None:
    said = []
    for user in ("mary", "nobody"):
        with pytest.raises(Unauthorized) as refusal:
            await files.enter(user, "guess")
        said.append(str(refusal.value))
    assert said[0] == said[1]


async def test_bcrypt_runs_once_per_user_and_password(tmp_path: Path) -> None:
    slow = Directory(tmp_path)
    known = bcrypt.hashpw(b"secret", bcrypt.gensalt(10))
    slow.htpasswd.write_bytes(b"mary:" + known)
    started = time.perf_counter()
    bcrypt.checkpw(b"secret", known)
    once = time.perf_counter() - started
    started = time.perf_counter()
    await asyncio.gather(*(slow.enter("mary", "secret") for _ in range(40)))
    assert time.perf_counter() - started < 15 * once
    started = time.perf_counter()
    for _ in range(100):
        await slow.enter("mary", "secret")
    assert (time.perf_counter() - started) / 100 < once / 5
    with pytest.raises(Unauthorized):
        await slow.enter("mary", "Secret")


async def test_a_crowd_is_sent_away_and_the_door_opens_again(files: Directory) -> None:
    entered = await asyncio.gather(
        *(files.enter("mary", f"guess {n}") for n in range(60)), return_exceptions=True
    )
    assert Counter(map(type, entered)) == {Unauthorized: 50, Retryable: 10}
    assert (await files.enter("mary", "secret")).user == "mary"


async def test_an_edit_of_the_users_forgets_no_password(files: Directory) -> None:
    await files.enter("mary", "secret")
    known = files.htpasswd.read_text()
    files.write({"bob": "new"}, {"mary": {"project_id": "p2"}, "bob": {"project_id": "p3"}})
    files.htpasswd.write_text(known + files.htpasswd.read_text())
    full = [files.enter("bob", f"guess {n}") for n in range(50)]
    crowd = asyncio.gather(*full, return_exceptions=True)
    await asyncio.sleep(0)
    assert (await files.enter("mary", "secret")).project_id == "p2", "remembered, or sent away"
    await crowd


async def test_changed_files_are_in_force_at_once(files: Directory) -> None:
    await files.enter("mary", "secret")
    users = {"mary": {"project_id": "p2", "roles": ["reader"]}, "bob": {"project_id": "p3"}}
    files.write({"mary": "changed", "bob": "new"}, users)
    with pytest.raises(Unauthorized):
        await files.enter("mary", "secret")
    assert (await files.enter("mary", "changed")).project_id == "p2"
    assert (await files.enter("bob", "new")).roles == {"member", "reader"}
    files.write({"bob": "new"}, users)
    with pytest.raises(Unauthorized):
        await files.enter("mary", "changed")


async def test_a_broken_file_leaves_the_last_good_one_in_force(files: Directory) -> None:
    for broken in ("mary: [", "mary: 7", "mary: {project: p1}", "- mary"):
        files.users.write_text(broken)
        with capture_logs() as logs:
            assert (await files.enter("mary", "secret")).project_id == "p1"
        assert [entry["log_level"] for entry in logs] == ["error"]
    files.users.unlink()
    assert (await files.enter("mary", "secret")).project_id == "p1"


async def test_a_user_without_an_account_may_do_nothing(files: Directory) -> None:
    files.write({"mary": "secret"}, {})
    caller = await files.enter("mary", "secret")
    assert (caller.project_id, caller.roles) == (None, frozenset())


async def test_a_hash_of_another_kind_never_matches(files: Directory) -> None:
    files.htpasswd.write_text("mary:secret\nbob:\n:x\nplain\n")
    for user, password in (("mary", "secret"), ("bob", ""), ("plain", "")):
        with pytest.raises(Unauthorized):
            await files.enter(user, password)


async def test_passwords_are_never_logged(files: Directory) -> None:
    with capture_logs() as logs:
        with pytest.raises(Unauthorized):
            await files.enter("mary", "hunter2")
        await files.enter("mary", "secret")
    assert logs
    assert not any(word in str(logs) for word in ("hunter2", "'secret'"))


async def test_the_first_start_makes_an_admin_once(tmp_path: Path) -> None:
    ensure_admin(tmp_path, url="http://127.0.0.1:9/")
    written = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert {path.name for path in written} == {CLOUDS, HTPASSWD, USERS}
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600}
    cloud = msgspec.yaml.decode(written[tmp_path / CLOUDS])["clouds"]["fairlead"]
    assert cloud["load_balancer_endpoint_override"] == "http://127.0.0.1:9"
    door = HttpBasic(tmp_path / HTPASSWD, tmp_path / USERS)
    assert "admin" in (await door.authenticate(basic("admin", cloud["auth"]["password"]))).roles
    ensure_admin(tmp_path, url="http://127.0.0.1:10")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == written


async def test_a_first_start_that_was_cut_short_begins_again(tmp_path: Path) -> None:
    ensure_admin(tmp_path, url="http://127.0.0.1:9")
    (tmp_path / HTPASSWD).unlink()
    ensure_admin(tmp_path, url="http://127.0.0.1:9")
    password = msgspec.yaml.decode((tmp_path / CLOUDS).read_bytes())
    known = password["clouds"]["fairlead"]["auth"]["password"]
    door = HttpBasic(tmp_path / HTPASSWD, tmp_path / USERS)
    assert "admin" in (await door.authenticate(basic("admin", known))).roles
