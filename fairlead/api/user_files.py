"""Changing the users of http_basic.py: `htpasswd` and `users.yaml` in the state directory.

A running service reads both again when they change, so a change is in force at once. Each file is
replaced whole; between the two there is at no time a user who may do more than before or after.
One change at a time, whoever makes it. Called by cli/users.py.
"""

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import msgspec

from fairlead.api.first_user import HTPASSWD, USERS, write_private
from fairlead.api.http_basic import BCRYPT_BYTES, Account
from fairlead.errors import Refused

_NAME = re.compile(r"[^\s:#][^\s:]{0,63}")
_WORD = re.compile(r"[\w.-]{1,64}")
_PROJECT = re.compile(r"[^\s]{1,36}")
Lines = tuple[str, ...]


class UserFiles:
    """The users of one state directory, which a first start has made; else `Refused`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        if not (directory / HTPASSWD).is_file() or not (directory / USERS).is_file():
            raise Refused(f"{directory} has no users: a first start of the service makes one.")

    def all(self) -> dict[str, tuple[Account | None, bool]]:
        """Where each user works and as what, and whether there is a password."""
        accounts, passwords = self._accounts(), {_user(line) for line in self._lines()}
        names = sorted({*accounts, *passwords} - {""})
        return {name: (accounts.get(name), name in passwords) for name in names}

    def add(self, name: str, password: str, account: Account) -> None:
        """A new user."""
        _check(name, account)
        known = _hashed(password)
        with self._one_at_a_time():
            if name in self.all():
                raise Refused(f"User '{name}' exists already.")
            self._write_accounts({**self._accounts(), name: account})
            self._write_lines((*self._lines(), f"{name}:{known}"))

    def change(self, name: str, project_id: str | None, roles: Lines) -> None:
        """Another project, or other roles; what is None or empty stays."""
        with self._one_at_a_time():
            self._check_known(name)
            accounts = self._accounts()
            before = accounts.get(name)
            project_id = project_id or (before.project_id if before else None)
            if project_id is None:
                raise Refused(f"User '{name}' has no project yet: name one.")
            after = Account(project_id, roles or (before.roles if before else ("member",)))
            _check(name, after)
            self._write_accounts({**accounts, name: after})

    def set_password(self, name: str, password: str) -> None:
        """Another password; the one before ends at once."""
        known = _hashed(password)
        with self._one_at_a_time():
            self._check_known(name)
            self._write_lines((*self._lines(without=name), f"{name}:{known}"))

    def remove(self, name: str) -> None:
        """The user may no longer log in, and is forgotten."""
        with self._one_at_a_time():
            self._check_known(name)
            self._write_lines(self._lines(without=name))
            self._write_accounts({k: v for k, v in self._accounts().items() if k != name})

    def _check_known(self, name: str) -> None:
        if name not in self.all():
            raise Refused(f"User '{name}' does not exist.")

    def _accounts(self) -> dict[str, Account]:
        path = self._directory / USERS
        try:
            return msgspec.yaml.decode(path.read_bytes(), type=dict[str, Account])
        except msgspec.MsgspecError as error:
            raise Refused(f"{path}: {error}.") from None

    def _lines(self, without: str | None = None) -> Lines:
        lines = (self._directory / HTPASSWD).read_text().splitlines()
        return tuple(line for line in lines if without is None or _user(line) != without)

    def _write_accounts(self, accounts: Mapping[str, Account]) -> None:
        write_private(self._directory / USERS, msgspec.yaml.encode(accounts))

    def _write_lines(self, lines: Lines) -> None:
        write_private(self._directory / HTPASSWD, "".join(f"{one}\n" for one in lines).encode())

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        handle = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def check_password(password: str) -> None:
    """`Refused` when bcrypt cannot take it."""
    if not password or "\0" in password or len(password.encode()) > BCRYPT_BYTES:
        raise Refused(f"A password should have 1 to {BCRYPT_BYTES} bytes.")


def _hashed(password: str) -> str:
    check_password(password)
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt()).decode()


def _user(line: str) -> str:
    """The user a line of htpasswd is about; "" for a comment."""
    text = line.strip()
    return "" if text.startswith("#") else text.partition(":")[0]


def _check(name: str, account: Account) -> None:
    if not _NAME.fullmatch(name):
        raise Refused(f"'{name}' is no name of a user: 1 to 64 characters, no colon, no space.")
    if not _PROJECT.fullmatch(account.project_id):
        raise Refused(f"'{account.project_id}' is no project: 1 to 36 characters, no space.")
    for role in account.roles:
        if not _WORD.fullmatch(role):
            raise Refused(f"'{role}' is no role: letters, digits, '.', '_' and '-'.")
