"""`fairlead user`: the real command, and whether people get in afterwards."""

import base64
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.api.access import Caller
from fairlead.api.first_user import CLOUDS, HTPASSWD, USERS, ensure_admin
from fairlead.api.http_basic import HttpBasic
from fairlead.errors import Unauthorized

ROOT = Path(__file__).parents[2]


class Desk:
    """A state directory, the command, and a running service's view of the users."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        ensure_admin(directory, url="http://127.0.0.1:9")
        self.door = HttpBasic(directory / HTPASSWD, directory / USERS)

    def command(self, *words: str) -> list[str]:
        action, *more = words
        here = ("--state-dir", str(self.directory))
        return [sys.executable, "-m", "fairlead.cli", "user", action, *more, *here]

    def run(self, *words: str, typed: str = "", status: int = 0) -> str:
        done = subprocess.run(
            self.command(*words), input=typed, capture_output=True, text=True, cwd=ROOT, timeout=60
        )
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if status == 0 else done.stderr

    async def enter(self, user: str, password: str) -> Caller:
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        return await self.door.authenticate({"authorization": f"Basic {token}"})


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_the_life_of_a_user(desk: Desk) -> None:
    desk.run("add", "mary", "--project", "shop", typed="secret\n")
    mary = await desk.enter("mary", "secret")
    assert (mary.project_id, mary.roles) == ("shop", {"member", "reader"})
    desk.run("set", "mary", "--project", "farm", "--role", "reader", "--role", "auditor")
    mary = await desk.enter("mary", "secret")
    assert (mary.project_id, mary.roles) == ("farm", {"reader", "auditor"})
    desk.run("set", "mary", "--role", "admin")
    assert (await desk.enter("mary", "secret")).project_id == "farm"
    desk.run("password", "mary", typed="new one\n")
    await desk.enter("mary", "new one")
    with pytest.raises(Unauthorized):
        await desk.enter("mary", "secret")
    desk.run("remove", "mary")
    with pytest.raises(Unauthorized):
        await desk.enter("mary", "new one")
    assert "mary" not in desk.run("list")
    for name in (HTPASSWD, USERS):
        assert "mary" not in (desk.directory / name).read_text()


async def test_the_others_stay_as_they_are(desk: Desk) -> None:
    before = {name: (desk.directory / name).read_text() for name in (HTPASSWD, USERS, CLOUDS)}
    desk.run("add", "mary", "--project", "shop", typed="secret\n")
    assert (desk.directory / HTPASSWD).read_text().startswith(before[HTPASSWD])
    desk.run("password", "mary", typed="other\n")
    desk.run("remove", "mary")
    assert {name: (desk.directory / name).read_text() for name in before} == before
    modes = {stat.S_IMODE((desk.directory / name).stat().st_mode) for name in before}
    assert modes == {0o600}


def test_all_of_them_are_listed(desk: Desk) -> None:
    desk.run("add", "mary", "--project", "shop", "--role", "reader", typed="secret\n")
    with (desk.directory / HTPASSWD).open("a") as file:
        file.write("# a comment\nnobody:$2b$12$x\n")
    with (desk.directory / USERS).open("a") as file:
        file.write("ghost: {project_id: p}\n")
    assert desk.run("list") == (
        "NAME    PROJECT  ROLES\n"
        "admin   default  admin\n"
        "ghost   p        member (no password)\n"
        "mary    shop     reader\n"
        "nobody  -        -\n"
    )
    desk.run("password", "ghost", typed="boo\n")
    assert "no password" not in desk.run("list")
    assert "# a comment\n" in (desk.directory / HTPASSWD).read_text()
    assert "name one" in desk.run("set", "nobody", "--role", "reader", status=1)


@pytest.mark.parametrize(
    ("words", "typed", "said"),
    [
        (("add", "admin", "--project", "p"), "x\n", "exists already"),
        (("add", "a:b", "--project", "p"), "x\n", "no name of a user"),
        (("add", "#a", "--project", "p"), "x\n", "no name of a user"),
        (("add", "", "--project", "p"), "x\n", "no name of a user"),
        (("add", "a b", "--project", "p"), "x\n", "no name of a user"),
        (("add", "mary", "--project", "p" * 37), "x\n", "no project"),
        (("add", "mary", "--project", "p", "--role", "a b"), "x\n", "no role"),
        (("add", "mary", "--project", "p"), "", "1 to 72 bytes"),
        (("add", "mary", "--project", "p"), "é" * 37 + "\n", "1 to 72 bytes"),
        (("set", "mary", "--project", "p"), "", "does not exist"),
        (("set", "admin"), "", "Give --project, --role"),
        (("password", "mary"), "x\n", "does not exist"),
        (("remove", "mary"), "", "does not exist"),
    ],
)
def test_what_cannot_be_changes_nothing(
    desk: Desk, words: tuple[str, ...], typed: str, said: str
) -> None:
    before = {path: path.read_bytes() for path in desk.directory.iterdir()}
    assert said in desk.run(*words, typed=typed, status=1)
    assert {path: path.read_bytes() for path in desk.directory.iterdir()} == before


def test_before_the_first_start_there_is_nobody(desk: Desk) -> None:
    (desk.directory / HTPASSWD).unlink()
    assert "first start" in desk.run("list", status=1)


def test_a_broken_file_is_named_and_kept(desk: Desk) -> None:
    (desk.directory / USERS).write_text("mary: [")
    assert f"{desk.directory / USERS}: " in desk.run("remove", "admin", status=1)
    assert (desk.directory / USERS).read_text() == "mary: ["


@pytest.mark.parametrize(("second", "said"), [("secret", ""), ("other", "not the same")])
async def test_a_terminal_is_asked_twice_and_shows_nothing(
    desk: Desk, second: str, said: str
) -> None:
    words = desk.command("add", "mary", "--project", "shop")
    terminal, inside = pty.openpty()
    running = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *words], stdin=inside, stdout=inside, stderr=inside, cwd=ROOT
    )
    os.close(inside)
    shown = b""
    for prompt, typed in ((b"Password: ", "secret"), (b"Again: ", second)):
        while not shown.endswith(prompt):
            shown += os.read(terminal, 1000)
        os.write(terminal, typed.encode() + b"\n")
    try:
        while more := os.read(terminal, 1000):
            shown += more
    except OSError:  # the terminal of an ended process
        pass
    status = running.wait()
    os.close(terminal)
    assert b"secret" not in shown
    assert said.encode() in shown
    assert (status == 0) is (said == "")
    if not said:
        assert (await desk.enter("mary", "secret")).project_id == "shop"


def test_many_at_once_lose_nothing(desk: Desk) -> None:
    running = [
        subprocess.Popen(
            desk.command("add", f"user{n}", "--project", "p"), stdin=subprocess.PIPE, cwd=ROOT
        )
        for n in range(4)
    ]
    for one in running:
        one.communicate(b"secret\n")
    assert [one.returncode for one in running] == [0] * 4
    assert all(f"user{n} " in desk.run("list") for n in range(4))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to own files for another")
def test_the_files_stay_their_owners(desk: Desk) -> None:
    for name in (HTPASSWD, USERS):
        os.chown(desk.directory / name, 47_291, 47_291)
    desk.run("add", "mary", "--project", "shop", typed="secret\n")
    owners = {(desk.directory / name).stat().st_uid for name in (HTPASSWD, USERS)}
    assert owners == {47_291}


def said(desk: Desk, *words: str, typed: str = "") -> str:
    """What a command that works has to say all the same."""
    done = subprocess.run(
        desk.command(*words), input=typed, capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_what_is_seldom_meant_is_done_and_told(desk: Desk) -> None:
    assert said(desk, "add", "mary", "--project", "shop", "--role", "member", typed="a\n") == ""
    assert "Role 'amdin' is none of" in said(desk, "set", "mary", "--role", "amdin")
    assert "No user who can log in is an admin now" in said(desk, "remove", "admin")
    assert said(desk, "set", "mary", "--role", "admin") == ""
