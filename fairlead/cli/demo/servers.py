"""Real web servers, each a process in a network namespace of its own on a network of Fairlead's.

A namespace is plugged in as anybody would plug in a server: an API port gives its address, its
MAC and the bridge; a veth pair leads there. Called by the story; `remove` by the cleaning too.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from fairlead.cli.demo.client import Trouble

_SCRIPT = Path(__file__).with_name("web_server.py")
_SECONDS = 10.0


class WebServer:
    """One server; `name` is what it answers and what its namespace is called."""

    def __init__(self, name: str, number: int, instance: str) -> None:
        self.name = name
        self.namespace = f"fldemo-{instance}-{number}"
        self.address = ""
        self._card = f"fd{instance}s{number}"
        self._process: asyncio.subprocess.Process | None = None

    async def plug_in(self, port: dict[str, Any], prefix: int) -> None:
        """Make the namespace with a card that has the port's MAC and address."""
        self.address = port["fixed_ips"][0]["ip_address"]
        bridge = port["binding:vif_details"]["bridge_name"]
        inside = ("ip", "-n", self.namespace)
        await run("ip", "netns", "add", self.namespace)
        await run(
            "ip", "link", "add", self._card, "type", "veth", "peer", "name", "eth0",
            "address", port["mac_address"], "netns", self.namespace,
        )  # fmt: skip
        await run("ip", "link", "set", self._card, "master", bridge, "up")
        await run(*inside, "addr", "add", f"{self.address}/{prefix}", "dev", "eth0")
        await run(*inside, "link", "set", "eth0", "up")

    async def start(self) -> None:
        """Start the server's process, and return when it listens."""
        process = await asyncio.create_subprocess_exec(
            "ip", "netns", "exec", self.namespace, sys.executable, "-I", str(_SCRIPT),
            self.name, self.address,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        self._process = process
        assert process.stdout is not None  # noqa: S101 - stdout=PIPE makes one
        if await asyncio.wait_for(process.stdout.readline(), _SECONDS) != b"ready\n":
            raise Trouble(f"The web server {self.name} did not start.")

    async def kill(self) -> None:
        """End the process at once, as a crash would."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.wait()

    async def remove(self) -> None:
        """Leave nothing: the card goes with its namespace."""
        await self.kill()
        if self._stands():
            await run("ip", "netns", "del", self.namespace)

    def _stands(self) -> bool:
        return Path("/run/netns", self.namespace).exists()


async def run(*command: str) -> None:
    """Run a program; `Trouble` with its words when it fails. It is never left half-way."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        _, said = await process.communicate()
    except asyncio.CancelledError:
        await process.wait()
        raise
    if process.returncode:
        raise Trouble(f"{' '.join(command)}: {said.decode().strip()}")
