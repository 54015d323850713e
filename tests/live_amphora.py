"""A live amphora for tests: a real agent process with a real haproxy, in the test's own network.

Beside it what an amphora has around it: members that answer HTTP, clients that count their
failures, and a health manager's ear. Everything ends with the block it was made in. Processes are
ended by the process ids this module learnt when it started them.
"""

import asyncio
import contextlib
import ctypes
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec.structs import asdict, replace

from fairlead.drivers.amphora_rest import AmphoraRest
from fairlead.drivers.secrets_local import SecretsLocal
from fairlead.errors import Retryable
from fairlead.wire.amphora import (
    AGENT_PORT,
    AgentStatus,
    AmphoraConfig,
    Applied,
    Interface,
    Renewal,
    Server,
    revision_of,
)
from fairlead.wire.boot import Boot
from fairlead.wire.heartbeat import Report, unseal

ADDRESS = "127.0.0.1"
LISTENER = "11111111-0000-4000-8000-000000000001"
POOL = "22222222-0000-4000-8000-000000000001"
BACKEND = f"{POOL}:{LISTENER}"
FRONT_PORT = 8080
_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


class Now:
    def now(self) -> datetime:
        return datetime.now(UTC)


@contextmanager
def network_of_its_own() -> Iterator[None]:
    """Move this thread into a fresh, nameless network namespace for the length of the block."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    assert _LIBC.unshare(_CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    try:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        assert _LIBC.setns(before, _CLONE_NEWNET) == 0
        os.close(before)


def server(name: str, port: int, *, weight: int = 10, enabled: bool = True) -> Server:
    return Server(
        backend=BACKEND, name=name, address=ADDRESS, port=port, weight=weight, enabled=enabled,
        options="check inter 200ms fall 2 rise 2",
    )  # fmt: skip


class LiveAmphora:
    """One amphora's directory, its agent and the controller's end of the conversation."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home = directory / "home"
        self.home.mkdir(mode=0o700)
        self.amphora_id = str(uuid.uuid4())
        self.secrets = SecretsLocal(directory / "secrets", clock=Now())
        self.rest = AmphoraRest(self.secrets, timeout=30.0)
        self.agent: subprocess.Popen[bytes] | None = None

    async def boot(self, *health_managers: str, interval: float = 5.0) -> None:
        """Write boot.json, start the agent and wait until it answers."""
        await self.write_boot(*health_managers, interval=interval)
        await self.start()

    async def write_boot(
        self, *health_managers: str, interval: float = 5.0, listen: str = ADDRESS
    ) -> None:
        credentials = await self.secrets.issue(self.amphora_id, ADDRESS)
        boot = Boot(
            amphora_id=self.amphora_id, listen=listen, agent_port=AGENT_PORT,
            certificate=credentials.certificate, private_key=credentials.private_key,
            authority=credentials.authority,
            heartbeat_key=self.secrets.heartbeat_key(self.amphora_id),
            not_after=credentials.not_after,
            health_managers=health_managers, heartbeat_interval=interval,
        )  # fmt: skip
        (self.home / "boot.json").write_bytes(msgspec.json.encode(boot))

    async def renewal(self, *, epoch: int = 1, days: float = 30) -> Renewal:
        """A certificate for the agent that is good for so long."""
        secrets = SecretsLocal(self.directory / "secrets", clock=Now(), life=timedelta(days=days))
        issued = await secrets.issue(self.amphora_id, ADDRESS)
        return Renewal(epoch=epoch, **asdict(issued))

    async def start(self) -> AgentStatus:
        """Start the agent's process and wait until it answers."""
        self.spawn()
        return await self.answer()

    def spawn(self) -> None:
        with open(self.directory / "agent.log", "ab") as messages:
            self.agent = subprocess.Popen(
                [sys.executable, "-m", "fairlead.agent", str(self.home)],
                stderr=messages, cwd=Path(__file__).parents[1],
            )  # fmt: skip

    async def answer(self, seconds: float = 10.0) -> AgentStatus:
        end = time.monotonic() + seconds
        while True:
            try:
                return await self.status()
            except Retryable:
                assert time.monotonic() < end, (self.directory / "agent.log").read_text()
                await asyncio.sleep(0.05)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the agent's process; haproxy is not its business then."""
        if self.agent is not None:
            self.agent.send_signal(number)
            self.agent.wait(timeout=30)
            self.agent = None

    async def apply(self, config: AmphoraConfig) -> Applied:
        return await self.rest.configure(self.amphora_id, ADDRESS, config)

    async def status(self) -> AgentStatus:
        return await self.rest.status(self.amphora_id, ADDRESS)

    async def until(self, condition: Callable[[AgentStatus], bool], seconds: float) -> AgentStatus:
        """The first status that fulfils `condition`."""
        end = time.monotonic() + seconds
        while not condition(status := await self.answer()):
            assert time.monotonic() < end, status
            await asyncio.sleep(0.05)
        return status

    def config(
        self,
        *servers: Server,
        epoch: int = 1,
        bind: str = f"{ADDRESS}:{FRONT_PORT}",
        extra: str = "",
        interfaces: tuple[Interface, ...] = (),
    ) -> AmphoraConfig:
        """One HTTP listener with one pool of `servers`."""
        text = _CONFIGURATION.format(run=self.home / "run", bind=bind, extra=extra)
        text += "".join(_line(server) for server in servers)
        skeleton = re.sub(r"^    server .*\n", "", text, flags=re.MULTILINE)
        return stamped(
            AmphoraConfig(
                epoch=epoch, revision="", haproxy_cfg=text, servers=servers, interfaces=interfaces,
                skeleton=hashlib.sha256(skeleton.encode()).hexdigest(),
            )
        )  # fmt: skip

    def haproxy_pid(self) -> int:
        return int((self.home / "run" / "haproxy.pid").read_text())

    def ask_haproxy(self, command: str) -> str:
        """Haproxy's own word, past the agent; again while it is reloading."""
        for _ in range(50):
            with contextlib.suppress(ConnectionError, FileNotFoundError):
                return self._ask_once(command)
            time.sleep(0.02)
        return self._ask_once(command)

    def _ask_once(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as master:
            master.settimeout(5)
            master.connect(str(self.home / "run" / "master.sock"))
            master.sendall(command.encode() + b"\n")
            master.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: master.recv(65536), b"")).decode()

    def worker(self) -> int:
        """The process id of the worker that takes connections."""
        found = re.search(r"^(\d+)\s+worker", self.ask_haproxy("show proc"), re.MULTILINE)
        assert found is not None
        return int(found[1])

    def servers_seen(self) -> dict[str, tuple[str, int]]:
        """State and weight of each server, in haproxy's words."""
        rows = [line.split(",") for line in self.ask_haproxy("@1 show stat -1 4 -1").splitlines()]
        return {row[1]: (row[17], int(row[18])) for row in rows[1:] if len(row) > 18}

    async def end(self) -> None:
        self.kill()
        await self.rest.close()
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
            os.kill(self.haproxy_pid(), signal.SIGKILL)


def stamped(config: AmphoraConfig) -> AmphoraConfig:
    """The configuration with the revision that its content gives."""
    return replace(config, revision=revision_of(config))


@asynccontextmanager
async def live_amphora() -> AsyncIterator[LiveAmphora]:
    """A directory with a short name (sockets' names are bounded), gone at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="fltest-") as directory:
        amphora = LiveAmphora(Path(directory))
        try:
            yield amphora
        finally:
            await amphora.end()


class Member:
    """An HTTP server that answers every request with its name."""

    def __init__(self, name: str, port: int) -> None:
        self.name, self.port = name, port
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, ADDRESS, self.port)

    async def stop(self) -> None:
        """Go away at once, as a process that was killed."""
        if self._server is not None:
            self._server.close()
            for writer in self._open:
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        body = self.name.encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(head + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()


@asynccontextmanager
async def members(count: int, first_port: int = 9001) -> AsyncIterator[list[Member]]:
    """Members named m1, m2, ... on consecutive ports."""
    made = [Member(f"m{number + 1}", first_port + number) for number in range(count)]
    try:
        for member in made:
            await member.start()
        yield made
    finally:
        for member in made:
            await member.stop()


class Clients:
    """Clients that ask without a pause and count answers by member, and failures by reason."""

    def __init__(self, *, keep_alive: bool, count: int = 8) -> None:
        self.answers: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._keep_alive = keep_alive
        self._stop = False
        self._count = count

    async def __aenter__(self) -> "Clients":
        self._tasks = [asyncio.create_task(self._run()) for _ in range(self._count)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)

    async def _run(self) -> None:
        while not self._stop:
            try:
                reader, writer = await asyncio.open_connection(ADDRESS, FRONT_PORT)
            except OSError as error:
                self.failures[f"connect: {error.strerror}"] += 1
                await asyncio.sleep(0.01)
                continue
            try:
                async with asyncio.timeout(10):
                    while not self._stop and await self._ask(reader, writer):
                        await asyncio.sleep(0.002)
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                self.failures[repr(error)] += 1
            finally:
                writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether another request may follow on the connection."""
        last = b"" if self._keep_alive else b"Connection: close\r\n"
        writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n" + last + b"\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = re.search(rb"content-length: (\d+)", head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        if head.startswith(b"http/1.1 200"):
            self.answers[body.decode()] += 1
        else:
            self.failures[head.split(b"\r\n")[0].decode()] += 1
        return b"connection: close" not in head


class Ear:
    """A health manager's socket: verified reports in the order they came."""

    def __init__(self, key: bytes, port: int = 5555) -> None:
        self.target = f"{ADDRESS}:{port}"
        self._key = key
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((ADDRESS, port))

    async def next(self, seconds: float) -> Report:
        async with asyncio.timeout(seconds):
            datagram = await asyncio.get_running_loop().sock_recv(self._socket, 65536)
        return unseal(datagram, self._key)

    async def until(self, condition: Callable[[Report], bool], seconds: float) -> Report:
        async with asyncio.timeout(seconds):
            while not condition(report := await self.next(seconds)):
                pass
        return report

    def close(self) -> None:
        self._socket.close()


def _line(server: Server) -> str:
    disabled = "" if server.enabled else " disabled"
    target = f"{server.address}:{server.port}"
    tail = f"{server.options} weight {server.weight}{disabled}"
    return f"    server {server.name} {target} {tail}\n"


_CONFIGURATION = f"""\
global
    stats socket {{run}}/haproxy.sock mode 600 level admin expose-fd listeners
    server-state-file {{run}}/server-state
    maxconn 500
    hard-stop-after 30s
defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 50s
    option idle-close-on-response
    load-server-state-from-file global
frontend {LISTENER}
    bind {{bind}}
    default_backend {BACKEND}{{extra}}
backend {BACKEND}
    balance roundrobin
    option httpchk GET /
"""
