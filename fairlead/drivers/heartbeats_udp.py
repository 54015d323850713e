"""Heartbeats over UDP (port `Heartbeats`).

Datagrams wait in the kernel, in a buffer for the burst of many thousand amphorae; they are taken
from there many at a time. What comes while it is full is dropped: the next heartbeat says the same.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

from fairlead.ports import Heard

_LONGEST = 65_535
_AT_ONCE = 100
_BUFFER_BYTES = 16 * 1024 * 1024
_SO_RCVBUFFORCE = 33  # socket(7); Python has no name for it


class UdpHeartbeats:
    """A UDP socket on the management network, which listens from the start."""

    def __init__(self, address: str, port: int) -> None:
        """Port 0 takes a free one."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        _widen(self._socket)
        self._socket.bind((address, port))

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._socket.getsockname()[1])

    async def receive(self) -> AsyncIterator[Heard]:
        """As the port."""
        loop = asyncio.get_running_loop()
        while True:
            datagrams = [await loop.sock_recv(self._socket, _LONGEST)]
            more = self._take_waiting(datagrams)
            yield Heard(datagrams=tuple(datagrams), more=more)
            await asyncio.sleep(0)

    def _take_waiting(self, datagrams: list[bytes]) -> bool:
        """Take what waits already; whether that was not all."""
        with suppress(BlockingIOError):
            while len(datagrams) < _AT_ONCE:
                datagrams.append(self._socket.recv(_LONGEST))
            self._socket.recv(1, socket.MSG_PEEK)
            return True
        return False

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


def _widen(receiver: socket.socket) -> None:
    """Have a large buffer; without the right to that, as large a one as the host allows."""
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    with suppress(PermissionError):
        receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
