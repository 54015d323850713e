"""Heartbeats over UDP (port `Heartbeats`).

A datagram that arrives while a thousand wait is dropped: the next heartbeat says the same.
"""

import asyncio
from collections.abc import AsyncIterator

_WAITING = 1000


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, queue: asyncio.Queue[bytes]) -> None:
        self._queue = queue

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self._queue.full():
            self._queue.put_nowait(data)


class UdpHeartbeats:
    """A UDP socket on the management network."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(_WAITING)
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self, address: str, port: int) -> int:
        """Listen; port 0 takes a free one. Gives the port."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: _Receiver(self._queue), local_addr=(address, port)
        )
        return int(self._transport.get_extra_info("sockname")[1])

    async def receive(self) -> AsyncIterator[bytes]:
        """Every datagram as it arrives."""
        while True:
            yield await self._queue.get()

    def close(self) -> None:
        """Stop listening."""
        if self._transport is not None:
            self._transport.close()
