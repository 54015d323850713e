"""The agent's HTTPS server: two paths, mutual TLS 1.3, one configuration at a time.

Only a certificate that the amphora's authority signed for client use gets in. The Host header
must name this amphora, so that a controller with an outdated address book does not configure
somebody else's (421). Sizes and times of requests are bounded, their number by door. Called by
main.
"""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

import h11
import msgspec
from msgspec import Struct

from fairlead.agent import log
from fairlead.agent.door import Door
from fairlead.errors import Fenced, Permanent, Retryable
from fairlead.wire.amphora import (
    CONFIG_PATH,
    STATUS_PATH,
    AgentStatus,
    AmphoraConfig,
    Applied,
    Rejected,
)
from fairlead.wire.boot import Boot

_MAX_BODY = 16 * 1024 * 1024
_CHUNK = 64 * 1024
_FIRST_SECONDS = 5.0
_IDLE_SECONDS = 300.0
_READ_SECONDS = 30.0


class _Unreadable(Exception):
    """The request cannot be answered on a connection that goes on."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class AgentServer:
    """Answers the controller."""

    def __init__(
        self,
        boot: Boot,
        apply: Callable[[AmphoraConfig], Awaitable[Applied]],
        status: Callable[[], Awaitable[AgentStatus]],
    ) -> None:
        self._boot = boot
        self._apply = apply
        self._status = status

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
        allowed = {CONFIG_PATH.encode(): b"PUT", STATUS_PATH.encode(): b"GET"}.get(path)
        if (b"host", self._boot.amphora_id.encode()) not in request.headers:
            reason = "the Host header does not name this amphora"
            return 421, Rejected(kind="misdirected", reason=reason)
        if allowed is None:
            return 404, _unclear("no such path")
        if method != allowed:
            return 405, _unclear(f"only {allowed.decode()} works here")
        if method == b"GET":
            return 200, await self._status()
        try:
            config = msgspec.json.decode(body, type=AmphoraConfig)
        except msgspec.MsgspecError as error:
            return 400, _unclear(str(error))
        return await self._configure(config)

    async def _configure(self, config: AmphoraConfig) -> tuple[int, Struct]:
        try:
            return 200, await self._apply(config)
        except Fenced as error:
            return 409, Rejected(kind="fenced", reason=str(error))
        except Permanent as error:
            return 422, Rejected(kind="check", reason=str(error))
        except (Retryable, OSError) as error:
            return 500, Rejected(kind="failed", reason=str(error))


def _unclear(reason: str) -> Rejected:
    return Rejected(kind="request", reason=reason)


def tls_context(boot: Boot, directory: Path) -> ssl.SSLContext:
    """TLS 1.3 with a client certificate required, signed by the amphora's authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=boot.authority)
    pair = directory / "tls.pem"
    with open(os.open(pair, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(boot.certificate + "\n" + boot.private_key)
    try:
        context.load_cert_chain(pair)
    finally:
        pair.unlink()
    return context


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
