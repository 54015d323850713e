"""What the demo plays with: the service, a network, web servers on it, and traffic.

Invariant: whatever was set up, `clean_up` takes away, in whatever state it is, and looks at the
host to see that it did. Made by `demo`; the story acts on it.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from fairlead.cli.demo import leftovers
from fairlead.cli.demo.client import LBAAS, Client, Trouble
from fairlead.cli.demo.screen import Screen
from fairlead.cli.demo.servers import WebServer
from fairlead.cli.demo.service import LiveService
from fairlead.cli.demo.traffic import Traffic
from fairlead.errors import FairleadError

_PREFIX = 24
_CIDR = f"192.0.2.0/{_PREFIX}"
_WATCH_EVERY = 0.25


class Stage:
    """Everything the demo makes. The ids are those of the API, "" while there is no such thing."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.service = LiveService()
        self.client: Client
        self.traffic: Traffic
        self.network_id = self.subnet_id = self.balancer_id = self.pool_id = ""
        self.servers: dict[str, WebServer] = {}
        self.member_ids: dict[str, str] = {}
        self._port_ids: list[str] = []
        self._cards: frozenset[str] = frozenset()
        self._watcher: asyncio.Task[None] | None = None

    async def open(self) -> float:
        """Start the service; the seconds until it was ready."""
        took = await self.service.start()
        self.client = Client(self.service.clouds)
        return took

    async def make_network(self) -> None:
        """A network of our own; its range may be anybody's, for the host has no address on it."""
        network = await self.client.post("/v2.0/networks", "network", name="demo")
        self.network_id = network["id"]
        subnet = await self.client.post(
            "/v2.0/subnets", "subnet", network_id=self.network_id, cidr=_CIDR, name="demo"
        )
        self.subnet_id = subnet["id"]

    async def add_server(self, name: str) -> None:
        """One more web server on that network."""
        port = await self.client.post("/v2.0/ports", "port", network_id=self.network_id, name=name)
        self._port_ids.append(port["id"])
        server = WebServer(name, len(self.servers) + 1, self.service.instance)
        self.servers[name] = server
        await server.plug_in(port, _PREFIX)
        await server.start()

    def member(self, name: str) -> dict[str, Any]:
        """The fields of the member that stands for a server."""
        return {
            "name": name, "address": self.servers[name].address, "protocol_port": 80,
            "subnet_id": self.subnet_id,
        }  # fmt: skip

    @property
    def balancer_path(self) -> str:
        """Where the load balancer is in the API."""
        return f"{LBAAS}/loadbalancers/{self.balancer_id}"

    def member_path(self, name: str = "") -> str:
        """Where the members of the pool are, or the one of a server."""
        path = f"{LBAAS}/pools/{self.pool_id}/members"
        return f"{path}/{self.member_ids[name]}" if name else path

    def begin_traffic(self) -> None:
        """Start the clients, and keep the screen's view of the API fresh."""
        self._cards = leftovers.cards(self.service.instance)
        self.traffic.start()
        self.screen.traffic = self.traffic
        self._watcher = asyncio.create_task(self._watch())

    async def end_traffic(self) -> None:
        """Stop both."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
            await self.traffic.stop()
        self.screen.traffic = None

    async def until(self, seconds: float, what: str, holds: Callable[[], bool]) -> None:
        """Wait until something holds; `Trouble` with `what` when it does not in time."""
        for _ in range(int(seconds / 0.005)):
            if holds():
                return
            await asyncio.sleep(0.005)
        raise Trouble(f"{what}: not within {seconds:g} s")

    async def done(self, text: str) -> None:
        """Show a step that worked, beside members as they are now."""
        if self._watcher is not None:
            await self._look()
        self.screen.done(text)

    async def take_down(self) -> None:
        """Remove through the API what was made through the API, apart from the load balancer."""
        for port_id in self._port_ids:
            await self.client.delete(f"/v2.0/ports/{port_id}")
        await self.client.delete(f"/v2.0/subnets/{self.subnet_id}")
        await self.client.delete(f"/v2.0/networks/{self.network_id}")
        for path in (f"/v2.0/subnets/{self.subnet_id}", f"/v2.0/networks/{self.network_id}"):
            if await self.client.get(path) is not None:
                raise Trouble(f"{path} is still there.")

    async def clean_up(self) -> list[str]:
        """Remove everything from the host; what is left in spite of that, or went wrong."""
        problems: list[str] = []
        instance, state_dir = self.service.instance, self.service.state_dir
        self._cards |= leftovers.cards(instance)
        removals = [self.end_traffic, *(s.remove for s in self.servers.values())]
        for remove in (*removals, self._close, self.service.stop, self.service.remove):
            try:
                await remove()
            except (FairleadError, OSError) as error:
                problems.append(f"While removing: {error}")
        left = leftovers.found(instance, state_dir, self._cards)
        return problems + [f"Left behind: {one}" for one in left]

    async def explain(self) -> None:
        """Print what helps to understand a failure: events, and last words of all processes."""
        for event in await self._events():
            facts = (event["at"], event["step"], event["outcome"], event["detail"])
            self.screen.say(" ".join(map(str, facts)))
        for log in (self.service.log, *self.service.state_dir.glob("amphorae/*/console.log")):
            self.screen.say(f"{log.name}: {log.read_text(errors='replace')[-1000:].strip()}")

    async def _events(self) -> list[dict[str, Any]]:
        """Oldest first; none when there is no load balancer, or nobody to ask."""
        if not self.balancer_id:
            return []
        path = f"/v2/octavia/loadbalancers/{self.balancer_id}/events"
        with contextlib.suppress(FairleadError):
            return list(reversed(await self.client.get(path) or []))
        return []

    async def _close(self) -> None:
        with contextlib.suppress(AttributeError):  # it never came so far
            await self.client.close()

    async def _watch(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(_WATCH_EVERY)

    async def _look(self) -> None:
        """Bring the screen's view of the API up to date."""
        members = await self.client.get(self.member_path())
        self.screen.members = sorted(
            (m["name"], m["operating_status"], str(m["weight"])) for m in members
        )
        balancer = await self.client.get(self.balancer_path)
        self.screen.balancer = balancer["operating_status"]
