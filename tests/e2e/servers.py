"""Member servers for the tests: `python servers.py NAME CERTIFICATE PLACES`.

One process serves many places; PLACES is JSON, {"port": kind}. Kinds: "http", "tls" (HTTP over
TLS), "proxy" (HTTP after a PROXY header of either version) and "tcp" (says its name, then
echoes). "mtls" is "tls" for clients with a certificate of an authority that is in the same file.
Every HTTP answer is JSON that says who answered and what was asked; the path may ask for more, see
`answer`. Commands arrive on stdin and are answered on stdout, one JSON value per line, see
`Servers.obey`. Needs the standard library alone; started by machines.py in a network namespace of
its own.
"""

import asyncio
import ipaddress
import json
import ssl
import struct
import sys
from collections import deque
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_KEPT = 200


class Place:
    """One port: what is told about it and what was asked of it."""

    def __init__(self, kind):
        self.kind = kind
        self.server = None
        self.health = 200
        self.seen = deque(maxlen=_KEPT)
        self.writers = set()


class Servers:
    """All places of this process."""

    def __init__(self, name, certificate, places):
        self.name = name
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate)
        self.mtls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.mtls.load_cert_chain(certificate)
        self.mtls.load_verify_locations(certificate)
        self.mtls.verify_mode = ssl.CERT_REQUIRED
        self.places = {int(port): Place(kind) for port, kind in places.items()}

    async def open(self, port):
        place = self.places[port]
        talk = self.echo if place.kind == "tcp" else self.http

        async def accept(reader, writer):
            place.writers.add(writer)
            try:
                await talk(port, place, reader, writer)
            except (OSError, EOFError, asyncio.LimitOverrunError):
                pass
            finally:
                place.writers.discard(writer)
                writer.close()

        context = {"tls": self.tls, "mtls": self.mtls}.get(place.kind)
        place.server = await asyncio.start_server(
            accept, None, port, ssl=context, backlog=1024, reuse_address=True,
        )  # fmt: skip

    def close(self, port):
        place = self.places[port]
        if place.server is not None:
            place.server.close()
            place.server = None
        for writer in list(place.writers):
            writer.transport.abort()

    async def obey(self, command):
        """One command: {"do": verb, "port": port, ...}."""
        place = self.places.get(command.get("port"))
        match command["do"]:
            case "open" if place.server is None:
                await self.open(command["port"])
            case "close":
                self.close(command["port"])
            case "reopen":
                self.close(command["port"])
                place.kind = command["kind"]
                await self.open(command["port"])
            case "health":
                place.health = command["status"]
            case "seen":
                return list(place.seen)
            case "ping":
                for family, name in (
                    ("ipv4", "icmp_echo_ignore_all"),
                    ("ipv6", "icmp/echo_ignore_all"),
                ):
                    Path(f"/proc/sys/net/{family}/{name}").write_text(
                        str(int(not command["answer"]))
                    )
        return True

    async def echo(self, port, place, reader, writer):
        writer.write(f"{self.name}:{port}\n".encode())
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    async def http(self, port, place, reader, writer):
        proxy = await read_proxy(reader) if place.kind == "proxy" else None
        while True:
            request = parse(await reader.readuntil(b"\r\n\r\n"))
            length = int(request["headers"].get("content-length", "0"))
            request["body"] = (await reader.readexactly(length)).decode()
            request["proxy"] = proxy
            place.seen.append(request)
            await self.answer(port, place, request, writer)
            if request["headers"].get("connection", "") == "close" or request["version"] == "1.0":
                return

    async def answer(self, port, place, request, writer):
        """/health has the place's health as status; ?wait=S, ?size=N, ?cookie=NAME=VALUE."""
        target = urlsplit(request["path"])
        asked = {k: v[0] for k, v in parse_qs(target.query).items()}
        status = place.health if target.path.startswith("/health") else 200
        await asyncio.sleep(float(asked.get("wait", 0)))
        peer = writer.get_extra_info("peername")[0]
        said = {
            "name": f"{self.name}:{port}",
            "tls": encryption(writer),
            "peer": str(ipaddress.ip_address(peer.removeprefix("::ffff:"))),
            **request,
        }
        body = b"x" * int(asked["size"]) if "size" in asked else json.dumps(said).encode()
        head = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
        if "cookie" in asked:
            head.append(f"Set-Cookie: {asked['cookie']}; Path=/")
        if request["method"] == "HEAD":
            body = b""
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        await writer.drain()


def encryption(writer):
    """How a connection is encrypted, and who says to be its client; None when it is not."""
    cipher = writer.get_extra_info("cipher")
    if cipher is None:
        return None
    subject = (writer.get_extra_info("peercert") or {}).get("subject", ())
    client = dict(pair for group in subject for pair in group).get("commonName")
    return {"version": cipher[1], "cipher": cipher[0], "client": client}


def parse(head):
    """A request's head as a dictionary; header names in lower case, the last value wins."""
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, path, version = first.split(" ")
    pairs = [line.split(":", 1) for line in lines]
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    return {
        "method": method, "path": path, "version": version.removeprefix("HTTP/"),
        "headers": headers,
    }  # fmt: skip


async def read_proxy(reader):
    """The PROXY header a connection begins with; EOFError when there is none."""
    start = await reader.readexactly(12)
    if start == _SIGNATURE:
        command, family, length = struct.unpack("!BBH", await reader.readexactly(4))
        data = await reader.readexactly(length)
        size = {1: 4, 2: 16}.get(family >> 4)
        source = str(ipaddress.ip_address(data[:size])) if size else None
        return {"version": 2, "command": command & 15, "source": source}
    if not start.startswith(b"PROXY "):
        raise EOFError
    words = (start + await reader.readuntil(b"\r\n")).decode().split()
    return {"version": 1, "family": words[1], "source": words[2] if len(words) > 2 else None}


async def main():
    name, certificate, places = sys.argv[1:]
    servers = Servers(name, certificate, json.loads(places))
    for port in servers.places:
        await servers.open(port)
    commands = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    print(json.dumps("ready"), flush=True)
    while line := await commands.readline():
        print(json.dumps(await servers.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
