"""The amphora's own directory: where the agent keeps all that must outlive it.

Invariants: a file is replaced as a whole or not at all, and is readable by its owner only.
`good.json` is the last configuration that was in force. While the file `applying` exists nobody
knows what haproxy runs, because a change was begun and not finished; haproxy.cfg may then be
ahead of good.json. `epoch` holds the highest fencing number seen. Files under `run` describe
running processes and mean nothing without them. Certificates lie in a directory of their own, each
file named by what is in it; good.json has them by name only. Used by every other module of the
agent.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from fairlead.errors import Permanent, Retryable
from fairlead.wire.amphora import CERTIFICATES, AmphoraConfig, File
from fairlead.wire.boot import Boot

T = TypeVar("T")
_FILE_NAME = re.compile(r"[0-9a-z][0-9a-z-]{0,63}\.(?:pem|list)")


class Home:
    """Paths, and the reading and writing of state, below one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.run = directory / "run"
        self.run.mkdir(mode=0o700, exist_ok=True)
        self.haproxy_cfg = directory / "haproxy.cfg"
        self.candidate = directory / "haproxy.cfg.new"
        self.master_socket = self.run / "master.sock"
        self.pid_file = self.run / "haproxy.pid"
        self.haproxy_log = self.run / "haproxy.log"
        self.server_state = self.run / "server-state"
        self.counters = directory / "counters.json"
        self._certificates = directory / CERTIFICATES
        self._certificates.mkdir(mode=0o700, exist_ok=True)
        self._good = directory / "good.json"
        self._epoch = directory / "epoch"
        self._applying = directory / "applying"

    def boot(self) -> Boot:
        """What the amphora was given; errors are the caller's to end on."""
        return msgspec.json.decode((self.directory / "boot.json").read_bytes(), type=Boot)

    def stored_boot(self) -> Boot | None:
        """As `boot`, None when it is missing or damaged."""
        return self.read(self.directory / "boot.json", Boot)

    def put_boot(self, boot: Boot) -> None:
        """Have the next life of the agent begin with this."""
        self.write(self.directory / "boot.json", boot)

    def epoch(self) -> int:
        """The highest fencing number seen, 0 before the first."""
        return self.read(self._epoch, int) or 0

    def raise_epoch(self, epoch: int) -> None:
        """Remember a fencing number; an equal one costs nothing."""
        if epoch > self.epoch():
            self.write(self._epoch, epoch)

    def good(self) -> AmphoraConfig | None:
        """The last configuration that was in force."""
        return self.read(self._good, AmphoraConfig)

    def certain(self) -> bool:
        """Whether no change is half done."""
        return not self._applying.exists()

    def begin(self) -> None:
        """From here on nobody knows what is in force."""
        self._applying.touch(mode=0o600)

    def finish(self, config: AmphoraConfig | None) -> None:
        """Make `config` the last good one, or with None keep the one there is; certain again."""
        if config is not None:
            self.write(self._good, config)
        self._applying.unlink(missing_ok=True)

    def put_files(self, files: Iterable[File]) -> None:
        """Have them all; `Retryable` when one came without content and is not here."""
        for file in files:
            path = self._file(file.name)
            if path.exists():
                continue
            if file.content is None:
                raise Retryable(f"the file {file.name} is not here")
            replace_file(path, file.content.encode())

    def keep_files(self, files: Iterable[File]) -> None:
        """Remove all others."""
        kept = {file.name for file in files}
        for path in self._certificates.iterdir():
            if path.name not in kept:
                path.unlink()

    def has_file(self, name: str) -> bool:
        """Whether it is here."""
        return self._file(name).exists()

    def _file(self, name: str) -> Path:
        if not _FILE_NAME.fullmatch(name):
            raise Permanent(f"'{name[:100]}' is no name of a file of certificates")
        return self._certificates / name

    def read(self, path: Path, kind: type[T]) -> T | None:
        """A state file's content; None when it is missing or damaged."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def write(self, path: Path, content: object) -> None:
        """Replace a state file."""
        replace_file(path, msgspec.json.encode(content))


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` where `path` is, atomically, with mode 0600."""
    fresh = path.with_name(path.name + ".tmp")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)
