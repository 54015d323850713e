"""The keys that seal users' secrets, in one file: a key a line, the newest first.

The newest seals, all of them open: so keys can be changed (`Keyring.renewed`, then everything
sealed again, then `Keyring.only_newest`). What is sealed (AES-256-GCM) is bound to the secret it
belongs to: moved to another row, or another project, it does not open. The file is 0600 and written
beside its place, synced and renamed.
"""

import base64
import binascii
import hashlib
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fairlead.errors import Permanent

_VERSION = b"\x01"
_KEY_BYTES, _MARK_BYTES, _NONCE_BYTES = 32, 8, 12
_HEAD = len(_VERSION) + _MARK_BYTES
_ABOUT = b"# Keys of the secrets in fairlead.db, newest first. Without them the secrets are lost.\n"


class Keyring:
    """Seals with the first of `keys`, opens with whichever sealed."""

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        self.keys = keys
        self._by_mark = {_mark(key): AESGCM(key) for key in keys}

    @classmethod
    def load(cls, path: Path, *, make: bool) -> "Keyring":
        """The file's keys; `make` it when there is none. `Permanent` says what is wrong."""
        try:
            if make and not path.exists():
                cls((os.urandom(_KEY_BYTES),)).save(path)
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise Permanent(f"{path} can be read by others: chmod 600 {path}")
            return cls(_parsed(path))
        except FileNotFoundError:
            raise Permanent(
                f"{path} is missing: without it the stored secrets cannot be read. "
                "Restore it from a copy."
            ) from None
        except OSError as error:
            raise Permanent(f"{path}: {error.strerror}.") from error

    def save(self, path: Path) -> None:
        """Put the keys in place."""
        beside = path.with_name(f".{path.name}.new")
        beside.unlink(missing_ok=True)
        lines = b"".join(base64.urlsafe_b64encode(key) + b"\n" for key in self.keys)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(beside, flags, 0o600), "wb") as file:
            file.write(_ABOUT + lines)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
        place = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(place)
        finally:
            os.close(place)

    def renewed(self) -> "Keyring":
        """With a new key that seals, and the others still there to open."""
        return Keyring((os.urandom(_KEY_BYTES), *self.keys))

    def only_newest(self) -> "Keyring":
        """Without those that only open."""
        return Keyring(self.keys[:1])

    def seal(self, plain: bytes, owner: bytes) -> bytes:
        """Encrypt; `owner` must be given again to open it."""
        mark, nonce = _mark(self.keys[0]), os.urandom(_NONCE_BYTES)
        return _VERSION + mark + nonce + self._by_mark[mark].encrypt(nonce, plain, owner)

    def open(self, sealed: bytes, owner: bytes) -> bytes:
        """Decrypt; `Permanent` when no key of the file fits."""
        mark, rest = sealed[len(_VERSION) : _HEAD], sealed[_HEAD:]
        if not sealed.startswith(_VERSION) or mark not in self._by_mark:
            raise Permanent("A secret was sealed with a key that is not in the key file.")
        try:
            return self._by_mark[mark].decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], owner)
        except InvalidTag:
            raise Permanent("A stored secret is damaged, or not where it was stored.") from None


def _parsed(path: Path) -> tuple[bytes, ...]:
    lines = [line.strip() for line in path.read_bytes().splitlines()]
    try:
        keys = tuple(
            base64.b64decode(line, altchars=b"-_", validate=True)
            for line in lines
            if line and not line.startswith(b"#")
        )
    except (binascii.Error, ValueError):
        keys = ()
    if not keys or {len(key) for key in keys} != {_KEY_BYTES}:
        raise Permanent(f"{path} is damaged: restore it from a copy.")
    return keys


def _mark(key: bytes) -> bytes:
    """What tells keys apart and says nothing of them."""
    return hashlib.sha256(b"fairlead key " + key).digest()[:_MARK_BYTES]
