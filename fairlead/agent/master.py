"""Talking to haproxy: its master's command line, and what the answers mean.

The master passes commands on to any worker, old ones included, so one socket serves for
everything and does not depend on what haproxy.cfg says. Answers end when haproxy closes the
connection, which it does once it has seen our end of input. Formats: haproxy 2.6 management
guide, "show proc" and "show stat". Called by haproxy, runtime and observer.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fairlead.errors import Retryable


class Processes(NamedTuple):
    """The answer to "show proc": `workers` are newest first, the first one takes connections.

    `failed` counts the failed reloads since the last one that worked.
    """

    reloads: int
    failed: int
    workers: tuple[int, ...]


class StatRow(NamedTuple):
    """The columns we use of one line of "show stat"; empty numbers are 0."""

    proxy: str
    name: str
    status: str
    is_frontend: bool
    sessions: int
    session_limit: int
    total_sessions: int
    bytes_in: int
    bytes_out: int
    request_errors: int
    weight: int = 0


class Master:
    """The master's command line at `socket`."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def ask(self, command: str, seconds: float = 3.0) -> str:
        """One command's answer, trimmed; `Retryable` when there is none."""
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_unix_connection(self._socket)
                try:
                    writer.write(command.encode() + b"\n")
                    writer.write_eof()
                    answer = await reader.read(-1)
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise Retryable("haproxy's master does not answer") from error
        return answer.decode().strip()

    async def processes(self) -> Processes:
        """Who runs."""
        return parse_processes(await self.ask("show proc"))

    async def statistics(self, worker: int, *, servers: bool) -> list[StatRow]:
        """Frontends, and servers if wanted, as worker `worker` sees them."""
        kinds = 5 if servers else 1
        return list(parse_statistics(await self.ask(f"@!{worker} show stat -1 {kinds} -1")))


def parse_processes(text: str) -> Processes:
    """Read "show proc"; `Retryable` when it is something else."""
    reloads, failed, workers = -1, 0, []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 4 or not words[0].isdigit():
            continue
        if words[1] == "master":
            reloads = int(words[2])
            failed = int(words[4].rstrip("]")) if words[3] == "[failed:" else 0
        elif words[1] == "worker":
            workers.append(int(words[0]))
    if reloads < 0:
        raise Retryable("haproxy's master gave no list of processes")
    return Processes(reloads, failed, tuple(workers))


def parse_statistics(text: str) -> Iterator[StatRow]:
    """Read "show stat" by the names in its header; `Retryable` when there is no header."""
    header, _, body = text.partition("\n")
    if not header.startswith("# pxname,"):
        raise Retryable("haproxy gave no statistics")
    names = header[2:].split(",")
    at = [names.index(name) for name in _COLUMNS]
    for line in body.splitlines():
        # Quoted text comes only in later columns, so that a plain split is safe here.
        cells = line.split(",", max(at) + 1)
        if len(cells) > max(at):
            proxy, name, status, kind, *numbers = (cells[index] for index in at)
            yield StatRow(proxy, name, status, kind == "0", *(int(text or 0) for text in numbers))


_COLUMNS = (
    "pxname", "svname", "status", "type", "scur", "slim", "stot", "bin", "bout", "ereq", "weight",
)  # fmt: skip
