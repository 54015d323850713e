"""HTTP basic authentication against an htpasswd file, and a file that says who users are.

`htpasswd` holds `user:bcrypt-hash` lines (as `htpasswd -B` writes them); `users` is YAML or JSON:
`{user: {project_id: ..., roles: [...]}}`. Both are read again when they change; while a changed
file cannot be read, the last good contents stay in force. A verified password is remembered as a
keyed digest for as long as its hash stays in the file, so bcrypt runs once per user and password
and not once per request; failed ones are not remembered. bcrypt runs in threads, few at a time, so
that guessing cannot take all of them, and few requests wait for their turn.
"""

import asyncio
import base64
import binascii
import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path

import bcrypt
import msgspec
import structlog
from msgspec import Struct

from fairlead.api.access import Caller, with_implied
from fairlead.api.stamps import Stamp, stamp
from fairlead.errors import Retryable, Unauthorized

log = structlog.get_logger()
_AT_ONCE = 2
_WAITING = 50
BCRYPT_BYTES = 72
"""The longest password that bcrypt looks at whole."""
_REFUSAL = "The request needs the name and password of a user."
# What an unknown user's password is compared with, so that both answers take as long.
_NOBODY = b"$2b$12$GhvMmNVjRW29ulnudl.LbuAnUtN/LRfe1JsBm1Xu6LE3059z5Tr8m"


class Account(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a user works, and as what: roles are reader, member and admin."""

    project_id: str
    roles: tuple[str, ...] = ("member",)


class _Contents(Struct, frozen=True):
    """Both files as last read, and the digest of the last verified password per user."""

    hashes: dict[str, bytes]
    accounts: dict[str, Account]
    verified: dict[str, bytes]


class HttpBasic:
    """Authenticates by the two files; they must exist and be well-formed at the start."""

    own_projects = True

    def __init__(self, htpasswd: Path, users: Path) -> None:
        self._files = (htpasswd, users)
        self._key = secrets.token_bytes(32)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0
        self._stamp = self._stamp_now()
        self._contents = self._read()

    async def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """The user behind the Authorization header; `Unauthorized`, `Retryable` in a crowd."""
        user, password = _credentials(headers.get("authorization", ""))
        contents = self._current()
        digest = hmac.digest(self._key, f"{user}\0".encode() + password, "sha256")
        if not _remembers(contents, user, digest):
            await self._verify(contents, user, password, digest)
        account = contents.accounts.get(user)
        if account is None:
            return Caller(user=user, project_id=None, roles=frozenset())
        return Caller(user=user, project_id=account.project_id, roles=with_implied(account.roles))

    async def _verify(self, contents: _Contents, user: str, password: bytes, digest: bytes) -> None:
        if self._waiting >= _WAITING:
            raise Retryable("Too many passwords are being checked, try again soon.", after=1.0)
        self._waiting += 1
        try:
            async with self._turns:
                if _remembers(contents, user, digest):  # verified while this request waited
                    return
                known = contents.hashes.get(user)
                matches = await asyncio.to_thread(_matches, password, known or _NOBODY)
        finally:
            self._waiting -= 1
        if known is None or not matches:
            log.info("login refused", user=user[:64])
            raise Unauthorized("The name or the password is wrong.")
        contents.verified[user] = digest

    def _current(self) -> _Contents:
        current = self._stamp_now()
        if current != self._stamp:
            self._stamp = current
            try:
                self._contents = _remembering(self._contents, self._read())
                log.info("users read again", files=[str(f) for f in self._files])
            except (OSError, ValueError, msgspec.MsgspecError) as error:
                log.error("users not read, the last ones stay in force", error=str(error))
        return self._contents

    def _stamp_now(self) -> tuple[Stamp, ...]:
        return tuple(stamp(path) for path in self._files)

    def _read(self) -> _Contents:
        htpasswd, users = self._files
        accounts = msgspec.yaml.decode(users.read_bytes(), type=dict[str, Account])
        return _Contents(_hashes(htpasswd.read_text()), accounts, {})


def _remembering(before: _Contents, after: _Contents) -> _Contents:
    """The new contents, with what was verified against hashes that are still the same."""
    for user, digest in before.verified.items():
        if user in after.hashes and after.hashes[user] == before.hashes.get(user):
            after.verified[user] = digest
    return after


def _remembers(contents: _Contents, user: str, digest: bytes) -> bool:
    return hmac.compare_digest(contents.verified.get(user, b""), digest)


def _credentials(header: str) -> tuple[str, bytes]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise Unauthorized(_REFUSAL)
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
        user, colon, password = decoded.partition(b":")
        name = user.decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise Unauthorized(_REFUSAL) from None
    if not colon or not name:
        raise Unauthorized(_REFUSAL)
    return name, password


def _matches(password: bytes, known: bytes) -> bool:
    """Compare in constant time; what bcrypt cannot take never matches."""
    if len(password) > BCRYPT_BYTES or b"\0" in password:
        bcrypt.checkpw(b"", _NOBODY)
        return False
    try:
        return bcrypt.checkpw(password, known)
    except ValueError:  # not a bcrypt hash
        return False


def _hashes(text: str) -> dict[str, bytes]:
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.partition(":") for line in lines if line and not line.startswith("#"))
    return {user: known.encode() for user, _, known in pairs}
