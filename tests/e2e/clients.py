"""Clients of load balancers: single requests, held connections, and load that counts failures."""

import asyncio
import http.client
import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

from msgspec import Struct

PATIENCE = 10.0
_POLL = 0.05


class Reply(Struct, frozen=True):
    """An answer; `said` is what a member server says of the request, {} otherwise."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    said: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Which server answered, "" when none did."""
        return str(self.said.get("name", ""))

    @property
    def location(self) -> str:
        return self.headers.get("location", "")


def ask(
    address: str,
    port: int = 80,
    path: str = "/",
    *,
    source: str | None = None,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    patience: float = PATIENCE,
    tls: ssl.SSLContext | None = None,
) -> Reply:
    """One request on a connection of its own."""
    place = (source, 0) if source else None
    if tls is None:
        connection = http.client.HTTPConnection(address, port, patience, place)
    else:
        connection = http.client.HTTPSConnection(
            address, port, timeout=patience, source_address=place, context=tls
        )
    try:
        connection.request(method, path, headers={"Host": "test", **(headers or {})})
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    fields = {name.lower(): value for name, value in answer.getheaders()}
    said = json.loads(body) if body.startswith(b"{") else {}
    return Reply(answer.status, fields, body, said)


def names(count: int, address: str, port: int = 80, **how: Any) -> Counter[str]:
    """How often which server answers `count` requests; all must be answered with 200."""
    found: Counter[str] = Counter()
    for _ in range(count):
        reply = ask(address, port, **how)
        assert reply.status == 200, reply
        found[reply.name] += 1
    return found


def refused(address: str, port: int, *, source: str | None = None) -> bool:
    """Whether a request gets no answer: the connection is refused, cut or ignored."""
    try:
        ask(address, port, source=source, patience=3.0)
    except (OSError, http.client.HTTPException):
        return True
    return False


def eventually(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait until `condition()` is true, and return what it was."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"not true within {seconds:g} s: last {found!r}"
        time.sleep(_POLL)


class Held(ExitStack):
    """TCP connections that stay open until the block ends."""

    def open(self, address: str, port: int, *, source: str | None = None) -> socket.socket:
        place = (source, 0) if source else None
        made = socket.create_connection((address, port), PATIENCE, place)
        return self.enter_context(made)

    def greeted(self, address: str, port: int, **how: Any) -> str:
        """Connect to a "tcp" place; the server's name."""
        return line(self.open(address, port, **how))


def line(connection: socket.socket) -> str:
    """What the other end says up to the end of a line, or of the connection."""
    said = b""
    while not said.endswith(b"\n") and (part := connection.recv(1)):
        said += part
    return said.decode().strip()


class Load:
    """Clients that send requests all the time; a context manager.

    Each request must get a whole answer with status 200 in time. Nothing is sent twice: with
    `keep_alive`, a connection that ends without the server having said so is a failure.
    """

    def __init__(
        self,
        places: Iterable[tuple[str, int]],
        *,
        keep_alive: bool,
        clients: int = 4,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._tls = tls
        self._places = list(places)
        self._keep_alive = keep_alive
        self._clients = clients
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()

    def more(self, count: int) -> None:
        """Wait until that many more answers have come."""
        wanted = self.answers.total() + count
        eventually(lambda: self.answers.total() >= wanted or self.failures)

    async def _run(self) -> None:
        clients = [self._client(*place) for place in self._places for _ in range(self._clients)]
        await asyncio.gather(*clients)

    async def _client(self, address: str, port: int) -> None:
        while not self._stop.is_set():
            try:
                await self._converse(address, port)
            except (OSError, EOFError, ValueError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                await asyncio.sleep(0.01)

    async def _converse(self, address: str, port: int) -> None:
        """One connection, for one request or for as many as the server lets it."""
        opening = asyncio.open_connection(address, port, ssl=self._tls)
        reader, writer = await asyncio.wait_for(opening, PATIENCE)
        ends = b"" if self._keep_alive else b"Connection: close\r\n"
        try:
            for _ in range(500):
                writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n" + ends + b"\r\n")
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
                fields = head.decode().lower()
                length = int(fields.partition("content-length:")[2].split()[0])
                said = json.loads(await asyncio.wait_for(reader.readexactly(length), PATIENCE))
                if not fields.startswith("http/1.1 200 "):
                    raise ValueError(fields.partition("\r")[0])
                self.answers[said["name"]] += 1
                await asyncio.sleep(0.002)
                if not self._keep_alive or "connection: close" in fields or self._stop.is_set():
                    return
        finally:
            if self._tls is None:
                writer.close()
            else:
                writer.transport.abort()  # It would wait for the other end's goodbye.
