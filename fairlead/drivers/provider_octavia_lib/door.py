"""The driver agent: three unix sockets where drivers report statuses and statistics, and ask.

One message and one answer a connection, framed as wire/driver_agent.py says; octavia-lib's
DriverLibrary is the other side. Whatever is sent, the door stays open: sizes, time and the number
of those served at once are bounded. Sockets are for owner and group (0660), as what is asked for
holds users' keys. Started by the wiring when a third party's provider is enabled.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import structlog
from msgspec import Struct

from fairlead.drivers.provider_octavia_lib.calls import fetched
from fairlead.drivers.provider_octavia_lib.models import complete, references
from fairlead.drivers.provider_octavia_lib.tellings import Tellings
from fairlead.errors import FairleadError, Refused
from fairlead.ports import DriverReports, Vault
from fairlead.wire import driver_agent as wire
from fairlead.wire.driver_agent import Malformed

log = structlog.get_logger()
_SECONDS = 20.0
_AT_ONCE = 32
_OK = {"status_code": 200}
_NOTHING = b"0\n"
"""An answer that DriverLibrary takes for a failure at once, where a dict would be an object."""

Answering = Callable[[bytes], Awaitable[bytes]]


class Places(Struct, frozen=True, kw_only=True):
    """Where the sockets are."""

    status: Path
    stats: Path
    get: Path


class Door:
    """Use as an async context manager."""

    def __init__(
        self, places: Places, reports: DriverReports, tellings: Tellings, vault: Vault
    ) -> None:
        self._sockets = {
            places.status: self._status, places.stats: self._statistics, places.get: self._get,
        }  # fmt: skip
        self._reports = reports
        self._tellings = tellings
        self._vault = vault
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._servers: list[asyncio.Server] = []

    async def __aenter__(self) -> "Door":
        self._tellings.connect(self._reports)
        for path, answering in self._sockets.items():
            server = await asyncio.start_unix_server(
                self._serving(answering), sock=_bound(path), limit=wire.MAX_HEADER
            )
            self._servers.append(server)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for server in self._servers:
            server.close()
        for path in self._sockets:
            path.unlink(missing_ok=True)

    def _serving(
        self, answering: Answering
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                async with self._turns, asyncio.timeout(_SECONDS):
                    writer.write(await _answer(reader, answering))
                    await writer.drain()
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                log.info("a driver went away, or was too slow")
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

        return serve

    async def _status(self, payload: bytes) -> bytes:
        await self._tellings.status(wire.statuses(payload))
        return wire.framed(_OK)

    async def _statistics(self, payload: bytes) -> bytes:
        await self._reports.statistics(wire.statistics(payload))
        return wire.framed(_OK)

    async def _get(self, payload: bytes) -> bytes:
        asked = wire.asked(payload)
        tree = self._tellings.tree_of(asked.kind, asked.id)
        tree = tree or await self._reports.tree_of(asked.kind, asked.id)
        if tree is None:
            return wire.framed({})
        one = tree.get(asked.kind, asked.id)
        secrets = await fetched(references(tree, one), tree, self._vault, strict=False)
        model = complete(tree, one, secrets)
        return wire.framed(model.to_dict(recurse=True, render_unsets=True))


async def _answer(reader: asyncio.StreamReader, answering: Answering) -> bytes:
    try:
        try:
            header = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            raise Malformed("The first line of a message should be its length.") from None
        return await answering(await reader.readexactly(wire.length(header)))
    except Malformed as error:
        log.warning("what a driver says makes no sense", **error.answer)
        return wire.framed(error.answer)
    except FairleadError as error:
        log.error("what a driver says could not be taken in", reason=str(error))
        return wire.framed({"status_code": 500, "fault_string": str(error)})
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        raise
    except Exception:
        log.exception("the driver agent broke")
        return _NOTHING


def _bound(path: Path) -> socket.socket:
    """A socket at that path, in place of one that an earlier life left; `Refused` otherwise."""
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        one.bind(str(path))
    except OSError as error:
        one.close()
        raise Refused(f"The socket {path}: {error.strerror or error}.") from error
    finally:
        os.umask(before)
    return one
