"""The agent's HTTPS server: three paths, mutual TLS 1.3, one configuration at a time.

Only a certificate that the amphora's authority signed for client use gets in. The Host header
must name this amphora, so that a controller with an outdated address book does not configure
somebody else's (421). Sizes and times of requests are bounded, their number by door. Called by
main.
"""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TypeVar

import h11
import msgspec
from msgspec import Struct

from fairlead.agent import log
from fairlead.agent.door import Door
from fairlead.errors import Fenced, Permanent, Retryable
from fairlead.wire.amphora import (
    CERTIFICATE_PATH,
    CONFIG_PATH,
    STATUS_PATH,
    AgentStatus,
    AmphoraConfig,
    Applied,
    Rejected,
    Renewal,
    Renewed,
)

T = TypeVar("T", bound=Struct)
_MAX_BODY = 16 * 1024 * 1024
_CHUNK = 64 * 1024
_FIRST_SECONDS = 5.0
_IDLE_SECONDS = 300.0
_READ_SECONDS = 30.0
_METHODS = {CONFIG_PATH.encode(): b"PUT", CERTIFICATE_PATH.encode(): b"PUT",
            STATUS_PATH.encode(): b"GET"}  # fmt: skip


class _Unreadable(Exception):
    """The request cannot be answered on a connection that goes on."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class AgentServer:
    """Answers the controller."""

    def __init__(
        self,
        amphora_id: str,
        apply: Callable[[AmphoraConfig], Awaitable[Applied]],
        status: Callable[[], Awaitable[AgentStatus]],
        renew: Callable[[Renewal], Renewed],
    ) -> None:
        self._amphora_id = amphora_id
        self._apply = apply
        self._status = status
        self._renew = renew

    async def serve(self, door: Door) -> None:
        """Answer whom `door` lets in, for ever."""

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._converse(reader, writer, door.seen)

        await door.serve(converse)

    async def _converse(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        asked: Callable[[], None],
    ) -> None:
        connection = h11.Connection(h11.SERVER)
        idle = _FIRST_SECONDS
        try:
            while connection.our_state is h11.IDLE:
                try:
                    request, body = await _read(connection, reader, idle)
                    idle = _IDLE_SECONDS
                    asked()
                    status, answer = await self._answer(request, body)
                except _Unreadable as error:
                    status, answer = error.status, _unclear(str(error))
                await _write(connection, writer, status, answer)
        except (EOFError, OSError, TimeoutError, h11.LocalProtocolError):
            pass  # The controller went away; it will ask again.
        finally:
            writer.close()

    async def _answer(self, request: h11.Request, body: bytes) -> tuple[int, Struct]:
        method, path = request.method, request.target
        allowed = _METHODS.get(path)
        if (b"host", self._amphora_id.encode()) not in request.headers:
            reason = "the Host header does not name this amphora"
            return 421, Rejected(kind="misdirected", reason=reason)
        if allowed is None:
            return 404, _unclear("no such path")
        if method != allowed:
            return 405, _unclear(f"only {allowed.decode()} works here")
        if method == b"GET":
            return 200, await self._status()
        try:
            if path == CONFIG_PATH.encode():
                return 200, await self._apply(_decoded(body, AmphoraConfig))
            return 200, self._renew(_decoded(body, Renewal))
        except _Unreadable as error:
            return error.status, _unclear(str(error))
        except Fenced as error:
            return 409, Rejected(kind="fenced", reason=str(error))
        except Permanent as error:
            return 422, Rejected(kind="check", reason=str(error))
        except (Retryable, OSError) as error:
            return 500, Rejected(kind="failed", reason=str(error))


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise _Unreadable(400, str(error)) from error


def _unclear(reason: str) -> Rejected:
    return Rejected(kind="request", reason=reason)


async def _read(
    connection: h11.Connection, reader: asyncio.StreamReader, idle: float
) -> tuple[h11.Request, bytes]:
    """One request; `EOFError` when the peer is done, `_Unreadable` when it makes no sense."""
    try:
        async with asyncio.timeout(idle):
            request = await _next(connection, reader)
        if not isinstance(request, h11.Request):
            raise EOFError
        body = bytearray()
        async with asyncio.timeout(_READ_SECONDS):
            while isinstance(part := await _next(connection, reader), h11.Data):
                body += part.data
                if len(body) > _MAX_BODY:
                    raise _Unreadable(413, f"the body is larger than {_MAX_BODY} bytes")
    except h11.RemoteProtocolError as error:
        raise _Unreadable(error.error_status_hint, str(error)) from error
    return request, bytes(body)


async def _next(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Event:
    while not isinstance(event := connection.next_event(), h11.Event):
        if event is h11.PAUSED:
            raise EOFError
        connection.receive_data(await reader.read(_CHUNK))
    return event


async def _write(
    connection: h11.Connection, writer: asyncio.StreamWriter, status: int, answer: Struct
) -> None:
    body = msgspec.json.encode(answer)
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    reason = HTTPStatus(status).phrase.encode()
    head = h11.Response(status_code=status, headers=headers, reason=reason)
    for event in (head, h11.Data(data=body), h11.EndOfMessage()):
        writer.write(connection.send(event) or b"")
    await writer.drain()
    if status not in (200, 409, 422, 500):
        log.event("request not understood", status=status)
    if connection.our_state is h11.DONE and connection.their_state is h11.DONE:
        connection.start_next_cycle()
