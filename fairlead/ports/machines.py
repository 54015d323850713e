"""Machines for amphorae, and what is said to and heard from them."""

from collections.abc import AsyncIterator
from typing import Protocol

from msgspec import Struct

from fairlead.domain.observed import Instance, Port
from fairlead.wire.amphora import AgentStatus, AmphoraConfig, Applied, Renewal
from fairlead.wire.boot import Boot


class AmphoraSpec(Struct, frozen=True, kw_only=True):
    """A machine to be made: its management card and what its agent is booted with.

    `memory_bytes` and `cpu_share` (in processors) are what it may use, None as much as any.
    """

    management: Port
    boot: Boot
    memory_bytes: int | None = None
    cpu_share: float | None = None


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

    async def renew(self, amphora_id: str, address: str, renewal: Renewal) -> bool:
        """Have the agent show another certificate from now on; traffic and calls go on.

        False when it is of a release that cannot. `Permanent` when it refused the certificate;
        `Retryable` and `Fenced` as above.
        """
        ...


class Heard(Struct, frozen=True, kw_only=True):
    """Datagrams that came, oldest first; `more` when others wait already."""

    datagrams: tuple[bytes, ...]
    more: bool


class Heartbeats(Protocol):
    """Datagrams from amphorae."""

    def receive(self) -> AsyncIterator[Heard]:
        """Every datagram as it arrives, as many at once as wait, up to a bound.

        Others on the event loop have their turn in between.
        """
        ...
