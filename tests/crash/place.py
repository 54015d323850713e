"""Where the service is killed: its state directory, servers for members, and what to wait for."""

import asyncio
import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy.ext.asyncio import create_async_engine

from fairlead.controller.observer import Drivers, observe
from fairlead.drivers.amphora_rest import AmphoraRest
from fairlead.drivers.clock import SystemClock
from fairlead.drivers.compute_host import ComputeHost
from fairlead.drivers.fake import FakeVault
from fairlead.drivers.network_local import NetworkLocal
from fairlead.drivers.secrets_local import SecretsLocal
from fairlead.plan.planner import amphora_id, next_wave
from fairlead.settings import Settings
from fairlead.store import SqlStore
from fairlead.wiring import instance_id, renderer, uninstall
from tests.crash.reading import everything
from tests.crash.remains import Remains, inside
from tests.live_service import LiveService

SETTINGS = """
[controller]
first_pause = 0.1
slow_retry = 1.0

[health]
interval = 0.5
silence = 1.5
"""
SERVERS = """
import http.server, sys, threading

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = str(self.server.server_port).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass

servers = [http.server.ThreadingHTTPServer(("0.0.0.0", int(p)), Handler) for p in sys.argv[1:]]
for server in servers:
    threading.Thread(target=server.serve_forever).start()
print("up", flush=True)
"""


class Place:
    """One installation on one host."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.service = LiveService(state_dir, "--verbose")
        self._found()
        self._servers: subprocess.Popen[bytes] | None = None

    def _found(self) -> None:
        self.state_dir.mkdir(mode=0o700)
        (self.state_dir / "fairlead.toml").write_text(SETTINGS)

    def start_over(self) -> None:
        """Take the installation away, and begin with an empty directory again."""
        self._uninstall()
        shutil.rmtree(self.state_dir)
        self._found()

    @property
    def instance(self) -> str:
        return instance_id(self.state_dir)

    def serve(self, ports: range) -> None:
        """Start a web server on each port; it answers with the port's number."""
        command = [sys.executable, "-I", "-c", SERVERS, *map(str, ports)]
        self._servers = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._servers.stdout is not None
        assert self._servers.stdout.readline() == b"up\n"

    def subnet(self, client: httpx.Client) -> dict[str, Any]:
        """The IPv4 subnet of the default network; the servers answer at its gateway."""
        subnets = client.get("/v2.0/subnets").json()["subnets"]
        return next(one for one in subnets if one["ip_version"] == 4)

    def other_subnet(self, client: httpx.Client) -> dict[str, Any]:
        """10.77.0.0/24 on a user's network, where no server is."""
        made = client.post("/v2.0/networks", json={"network": {"name": "other"}}).json()["network"]
        body = {"network_id": made["id"], "cidr": "10.77.0.0/24", "ip_version": 4}
        return dict(client.post("/v2.0/subnets", json={"subnet": body}).json()["subnet"])

    def settled(self, client: httpx.Client, seconds: float = 30.0) -> float:
        """Wait until every object is ACTIVE; how long it took."""

        def pending() -> list[str]:
            return [
                f"{one['id']} {one['provisioning_status']}"
                for one in everything(client)
                if one["provisioning_status"] != "ACTIVE"
            ]

        return eventually(pending, seconds)

    def without_remains(self, seconds: float = 15.0) -> float:
        """Wait until nothing of any load balancer is left."""
        return eventually(lambda: list(Remains(self.state_dir, self.instance)), seconds)

    def unfinished(self, lb_ids: list[str]) -> dict[str, object]:
        """Steps that a look at the real world would plan, by load balancer, if there are any."""
        return asyncio.run(self._unfinished(lb_ids))

    async def _unfinished(self, lb_ids: list[str]) -> dict[str, object]:
        settings, found = Settings(), {}
        async with AsyncExitStack() as stack:
            drivers = self._drivers(settings, stack)
            render = renderer(settings)
            for lb_id in lb_ids:
                tree = await drivers.store.tree(lb_id)
                world = (await observe(tree, drivers, render, 1, {})).world
                wave = next_wave(tree, world, datetime.now(UTC))
                revisions = [(a.revision, a.wanted) for a in world.amphorae]
                if wave or any(r is None or r != w for r, w in revisions):
                    found[lb_id] = wave, revisions
        return found

    def _drivers(self, settings: Settings, stack: AsyncExitStack) -> Drivers:
        """The real ones, beside those of the service."""
        store = SqlStore(f"sqlite+aiosqlite:///{self.state_dir}/fairlead.db")
        engine = create_async_engine(f"sqlite+aiosqlite:///{self.state_dir}/network.db")
        secrets = SecretsLocal(self.state_dir / "secrets", clock=SystemClock())
        amphorae = AmphoraRest(secrets, timeout=10)
        for close in (store.close, engine.dispose, amphorae.close):
            stack.push_async_callback(close)
        limits = settings.amphora
        return Drivers(
            store=store,
            network=NetworkLocal(engine, self.instance),
            compute=ComputeHost(
                self.state_dir, self.instance, memory_bytes=limits.memory_bytes,
                cpu_share=limits.cpu_share, pids=limits.pids,
            ),
            amphorae=amphorae,
            secrets=secrets,
            vault=FakeVault(),  # Nothing here has a certificate.
            clock=SystemClock(),
        )  # fmt: skip

    def namespace(self, lb_id: str) -> str:
        return f"fl-{self.instance}-{amphora_id(lb_id, 0)}"

    def processes(self, lb_id: str) -> dict[int, list[str]]:
        """What runs for a load balancer: command lines by process id."""
        return inside(self.namespace(lb_id))

    def close(self) -> None:
        """Leave nothing, whatever happened."""
        self.service.kill()
        if self._servers is not None:
            self._servers.kill()
            self._servers.communicate()
        if (self.state_dir / "instance").exists():
            self._uninstall()

    def _uninstall(self) -> None:
        asyncio.run(uninstall(Settings(state_dir=str(self.state_dir))))


def eventually(trouble: Callable[[], list[str]], seconds: float) -> float:
    """Wait until there is no trouble; how long it took."""
    began = time.monotonic()
    while found := trouble():
        assert time.monotonic() - began < seconds, found
        time.sleep(0.02)
    return time.monotonic() - began


def fetch(address: str, port: int, path: str = "/") -> tuple[int, str]:
    """Status and text of one GET; OSError or http.client.HTTPException when there is none."""
    connection = http.client.HTTPConnection(address, port, timeout=3)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def refuses(address: str, port: int) -> bool:
    """Whether nothing listens there."""
    with socket.socket() as one:
        one.settimeout(3)
        return one.connect_ex((address, port)) != 0


def alive(pid: int) -> bool:
    """Whether the process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
