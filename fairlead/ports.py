"""The ports: what the core needs from the outside, as small protocols.

Every port has a fake, at least one real driver and one contract suite in tests/contract that
both pass. All calls are idempotent: ensure_* and create find or create, release_* and delete
succeed when there is nothing to do. Drivers raise only the exceptions of `fairlead.errors`:
`NotFound`, `Refused` and `Conflict` for what the caller asked, `Retryable` and `Permanent` for
what went wrong. Identifiers are UUID strings; times are aware datetimes in UTC; durations
are seconds.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from fairlead.domain.edits import Edit
from fairlead.domain.events import Event
from fairlead.domain.observed import (
    Amphora,
    Instance,
    NetworkInfo,
    Port,
    Subnet,
    Vip,
)
from fairlead.domain.query import Query
from fairlead.domain.tree import Tree
from fairlead.domain.views import Entry
from fairlead.wire.amphora import AgentStatus, AmphoraConfig, Applied
from fairlead.wire.boot import Boot
from fairlead.wire.heartbeat import Counters


class Clock(Protocol):
    """Time, so that tests can own it."""

    def now(self) -> datetime:
        """The wall clock, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class WorkQueue(Protocol):
    """Keys to be worked on, each by one runner at a time, wake-ups coalesced.

    A key put while it waits is one piece of work; put while it runs, it runs once more
    afterwards. The earlier of two due times wins.
    """

    async def put(self, key: str, *, delay: float = 0.0) -> None:
        """Ask for `key` to be worked on in `delay` seconds, or sooner if asked before."""
        ...

    async def claim(self) -> str:
        """Wait for a due key that nobody runs, and become its runner."""
        ...

    async def done(self, key: str, *, retry_after: float | None = None) -> None:
        """Stop being the runner; with `retry_after`, ask for the key again then."""
        ...


class Store(Protocol):
    """Desired trees, amphora records, observations, statistics and events."""

    async def edit(self, lb_id: str, edit: Edit) -> Tree:
        """Apply a pure edit to the newest tree, save it with generation + 1, and return it.

        Compare-and-set on the generation: when two edits meet, the later one is computed
        again from the newer tree. An edit that returns its input unchanged saves nothing.
        `NotFound` when no such tree exists. Does not wake the controller.
        """
        ...

    async def create(self, tree: Tree) -> Tree:
        """Store a new tree of generation 1; `Conflict` when its id exists."""
        ...

    async def tree(self, lb_id: str) -> Tree:
        """The tree with its generations and observed operating statuses, by one query."""
        ...

    async def owner(self, kind: str, object_id: str) -> str:
        """The load balancer id an object of that kind belongs to; `NotFound`."""
        ...

    async def list(self, query: Query) -> Sequence[Entry]:
        """One page of entries, filtered and sorted by the database."""
        ...

    async def all_ids(self) -> Sequence[str]:
        """Ids of every stored load balancer."""
        ...

    async def settle(self, lb_id: str, generation: int, epoch: int) -> None:
        """Record that `generation` is in force, and remove what it deleted.

        A deleted load balancer goes with all its rows, events included. `Fenced` when a
        newer epoch has written.
        """
        ...

    async def give_up(self, lb_id: str, generation: int, epoch: int) -> None:
        """Record that `generation` could not be applied (status ERROR until it is)."""
        ...

    async def put_amphora(self, amphora: Amphora) -> None:
        """Create or replace an amphora's record."""
        ...

    async def drop_amphora(self, amphora_id: str) -> None:
        """Remove an amphora's record and its statistics."""
        ...

    async def amphorae(self, lb_id: str | None = None) -> Sequence[Amphora]:
        """Records of one load balancer, or of all, by slot."""
        ...

    async def observe(self, lb_id: str, statuses: Mapping[str, str]) -> None:
        """Set the observed operating status of objects, given by id."""
        ...

    async def count(self, lb_id: str, amphora_id: str, counters: Mapping[str, Counters]) -> None:
        """Set an amphora's running totals per listener id."""
        ...

    async def statistics(self, lb_id: str) -> Mapping[str, Counters]:
        """Totals per listener id over all amphorae."""
        ...

    async def record(self, events: Sequence[Event]) -> None:
        """Append events; the oldest beyond a bound per load balancer are dropped."""
        ...

    async def events(self, lb_id: str, *, limit: int = 100) -> Sequence[Event]:
        """The newest events of a load balancer, newest first."""
        ...

    async def next_epoch(self) -> int:
        """A fencing number greater than every one handed out before."""
        ...


class VipRequest(Struct, frozen=True, kw_only=True):
    """What a user said about the VIP; at least one of the first three is set."""

    vip_port_id: str | None = None
    vip_network_id: str | None = None
    vip_subnet_id: str | None = None
    vip_address: str | None = None


class Network(Protocol):
    """Networks, subnets and ports. Ports have unique deterministic names."""

    async def allocate_vip(self, lb_id: str, project_id: str, request: VipRequest) -> Vip:
        """Find or create the VIP port (name "vip:{lb_id}", owner lb_id) the request describes.

        A port the user brings keeps its name and is only marked with the owner; it must be
        free. `Refused` names the field that is wrong or unknown; `Conflict` when the address
        or port is taken. Without a subnet: the one that contains the address, else the first
        of the network with two free addresses, IPv4 preferred.
        """
        ...

    async def subnet(self, subnet_id: str, project_id: str | None = None) -> Subnet:
        """A subnet; `NotFound` also when `project_id` is given and may not use it."""
        ...

    def is_management(self, address: str) -> bool:
        """Whether an address is on the management network, where no member may be."""
        ...

    async def ensure_port(
        self, name: str, *, owner: str, network_id: str, subnet_ids: Sequence[str]
    ) -> Port:
        """Find or create a port with one address on each subnet (added where missing)."""
        ...

    async def management_port(self, name: str, *, owner: str) -> Port:
        """Find or create a port on the management network."""
        ...

    async def ports(self, owner: str) -> Sequence[Port]:
        """All ports of an owner."""
        ...

    async def owners(self) -> frozenset[str]:
        """Every owner that has ports."""
        ...

    async def release(self, port_id: str) -> None:
        """Give a port's addresses back. A port that a user brought only loses its owner."""
        ...


class NetworkAdmin(Protocol):
    """What users do with networks themselves; a network driver may offer it."""

    async def networks(self) -> Sequence[NetworkInfo]:
        """Every network with its subnets; the management network is not listed."""
        ...

    async def create_network(self, name: str, *, project_id: str, shared: bool) -> NetworkInfo:
        """A new layer 2 segment that the host itself has no address on."""
        ...

    async def create_subnet(
        self, network_id: str, *, cidr: str, name: str, gateway: str | None, project_id: str
    ) -> Subnet:
        """A new address range; `gateway` may be None. `Refused` on overlap in the network."""
        ...

    async def create_port(
        self,
        network_id: str,
        *,
        name: str,
        address: str | None,
        subnet_id: str | None,
        project_id: str,
    ) -> Port:
        """A port of the user's own, with one address."""
        ...

    async def all_ports(self) -> Sequence[Port]:
        """Every port outside the management network."""
        ...

    async def delete_network(self, network_id: str) -> None:
        """`Conflict` while ports exist on it; its subnets go with it."""
        ...

    async def delete_subnet(self, subnet_id: str) -> None:
        """`Conflict` while ports have addresses on it."""
        ...

    async def delete_port(self, port_id: str) -> None:
        """`Conflict` while a load balancer owns it."""
        ...


class AmphoraSpec(Struct, frozen=True, kw_only=True):
    """A machine to be made: its management card and what its agent is booted with."""

    management: Port
    boot: Boot


class Compute(Protocol):
    """Machines for amphorae."""

    async def create(self, spec: AmphoraSpec) -> None:
        """Find or create the machine and have its agent started; start it again if stopped.

        Returns once the agent's process runs; whether it answers is the caller's to ask.
        """
        ...

    async def observe(self, amphora_id: str) -> Instance | None:
        """The machine, or None."""
        ...

    async def restart_agent(self, amphora_id: str) -> None:
        """End an agent that hangs; it starts again with the newest boot data.

        Traffic goes on meanwhile. Nothing happens when the machine does not run.
        """
        ...

    async def attach(self, amphora_id: str, port: Port) -> None:
        """Plug a card with the port's MAC and MTU into the port's segment. No addresses."""
        ...

    async def detach(self, amphora_id: str, mac: str) -> None:
        """Remove the card with that MAC."""
        ...

    async def delete(self, amphora_id: str) -> None:
        """End its processes and remove all it had: nothing is left behind."""
        ...

    async def all_ids(self) -> frozenset[str]:
        """Amphora ids of every machine this Fairlead has made, also of half-made ones."""
        ...


class Credentials(Struct, frozen=True, kw_only=True):
    """A certificate with its key and the authority that signs both sides; PEM texts."""

    certificate: str
    private_key: str
    authority: str
    not_after: datetime


class Secrets(Protocol):
    """The local certificate authority and the heartbeat master key."""

    async def issue(self, amphora_id: str, address: str) -> Credentials:
        """A new certificate each call: common name = amphora id, `address` as IP SAN."""
        ...

    async def controller(self) -> Credentials:
        """The controller's client certificate."""
        ...

    def heartbeat_key(self, amphora_id: str) -> bytes:
        """The key an amphora signs heartbeats with."""
        ...


class Amphorae(Protocol):
    """Conversation with the agents; `address` is an amphora's management address."""

    async def configure(self, amphora_id: str, address: str, config: AmphoraConfig) -> Applied:
        """Put a configuration in force.

        `Permanent` carries the checking program's message when it was refused; `Retryable`
        when the agent does not answer; `Fenced` when a newer epoch was there first.
        """
        ...

    async def status(self, amphora_id: str, address: str) -> AgentStatus:
        """What runs; `Retryable` when the agent does not answer."""
        ...


class Heartbeats(Protocol):
    """Datagrams from amphorae."""

    def receive(self) -> AsyncIterator[bytes]:
        """Every datagram as it arrives."""
        ...
