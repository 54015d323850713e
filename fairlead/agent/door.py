"""The agent's listening socket: on which card it listens, and how many may be inside.

Linux answers for an address on every card, so the socket is bound to the card that bears the
management address: neighbours of a VIP or a member do not reach the agent. Who has not shown a
certificate yet is a newcomer; newcomers have little time and few places, and the newest takes the
place of the oldest, so that many silent connections neither fill the memory nor keep the
controller out. Guests, who have shown one, are bounded too: the one that asked least recently
leaves. Called by server.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable

from fairlead.agent import cards, log
from fairlead.agent.interfaces import bearer

NEWCOMERS = 32
GUESTS = 32
HANDSHAKE_SECONDS = 3.0
_PAUSE = 0.1
_LOOK_SECONDS = 1.0

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Door:
    """Lets in who may come, and has `talk` speak with each."""

    def __init__(self, listening: socket.socket, card: str | None, context: ssl.SSLContext) -> None:
        self._listening = listening
        self._card = card
        self._number = 0
        self._context = context
        self._newcomers: dict[asyncio.Task[None], None] = {}
        self._guests: dict[asyncio.Task[None], None] = {}

    @classmethod
    async def open(cls, address: str, port: int, context: ssl.SSLContext) -> "Door":
        """Listen. `OSError` when no card bears `address`; "0.0.0.0" and "::" mean every card."""
        everywhere = address in ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
        card = None if everywhere else bearer(await cards.observe(), address)
        if card is None and not everywhere:
            raise OSError(f"no network card has the address {address}")
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        door = cls(socket.create_server((address, port), family=family, backlog=32), card, context)
        door._listening.setblocking(False)
        door._bind()
        return door

    async def serve(self, talk: Talk) -> None:
        """Let them in, for ever."""
        keep = asyncio.create_task(self._keep_bound())
        try:
            while True:
                await self._next(talk)
        finally:
            keep.cancel()
            self._listening.close()

    def show(self, context: ssl.SSLContext) -> None:
        """Meet new connections with this; those that are open go on."""
        self._context = context

    def seen(self) -> None:
        """The connection of the running task has asked for something."""
        task = asyncio.current_task()
        if task in self._guests:
            self._guests[task] = self._guests.pop(task)

    async def _next(self, talk: Talk) -> None:
        try:
            client, _ = await asyncio.get_running_loop().sock_accept(self._listening)
        except OSError as error:
            log.event("connection not accepted", reason=error.strerror)
            await asyncio.sleep(_PAUSE)
            return
        while len(self._newcomers) >= NEWCOMERS:
            _drop_first(self._newcomers)
        task = asyncio.create_task(self._receive(client, talk))
        self._newcomers[task] = None
        task.add_done_callback(self._left)
        await asyncio.sleep(0)  # Let it begin, for only then does it close what it was given.

    async def _receive(self, client: socket.socket, talk: Talk) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        with contextlib.suppress(OSError):  # Errors of TLS are among them.
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol,
                client,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=1.0,
            )
            self._promote()
            await talk(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    def _promote(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - called by one
        self._newcomers.pop(task, None)
        while len(self._guests) >= GUESTS:
            _drop_first(self._guests)
        self._guests[task] = None

    def _left(self, task: asyncio.Task[None]) -> None:
        self._newcomers.pop(task, None)
        self._guests.pop(task, None)
        if not task.cancelled():
            task.result()

    async def _keep_bound(self) -> None:
        """A card that was plugged in again has the same name and is another one."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            with contextlib.suppress(OSError):  # It is not there at the moment.
                self._bind()

    def _bind(self) -> None:
        if self._card is None or self._number == socket.if_nametoindex(self._card):
            return
        self._number = socket.if_nametoindex(self._card)
        name = self._card.encode() + b"\0"
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)


def _drop_first(connections: dict[asyncio.Task[None], None]) -> None:
    first = next(iter(connections))
    del connections[first]
    first.cancel()
