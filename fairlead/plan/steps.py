"""Steps: what the controller can do to the world, as data.

PURE. A step names everything it needs to find or create its object again, so running it twice
is harmless. The executor (controller/executor.py) has one function per step.
"""

from datetime import datetime

from msgspec import Struct

from fairlead.domain.observed import Amphora


class Step(Struct, frozen=True, kw_only=True, tag=True):
    """One action; `amphora_id` is set where it concerns one amphora."""

    amphora_id: str | None = None


class RestoreVip(Step, frozen=True, kw_only=True, tag=True):
    """Find or create the VIP's port again, with all that it shall have."""


class RecordAmphora(Step, frozen=True, kw_only=True, tag=True):
    """Write an amphora's record."""

    record: Amphora


class EnsureManagementPort(Step, frozen=True, kw_only=True, tag=True):
    """Give the amphora an address on the management network."""


class EnsurePort(Step, frozen=True, kw_only=True, tag=True):
    """Give the amphora a port on a network with an address on each of the subnets."""

    network_id: str
    subnet_ids: tuple[str, ...]


class Boot(Step, frozen=True, kw_only=True, tag=True):
    """Have the amphora's machine and agent running."""


class Revive(Step, frozen=True, kw_only=True, tag=True):
    """Have the machine and the agent of an amphora that went silent running again."""


class AwaitAgent(Step, frozen=True, kw_only=True, tag=True):
    """Wait a little until the agent answers."""


class Attach(Step, frozen=True, kw_only=True, tag=True):
    """Plug the amphora's port on a network into its machine."""

    network_id: str


class Configure(Step, frozen=True, kw_only=True, tag=True):
    """Put the tree's configuration, of this revision, in force."""

    revision: str


class Renew(Step, frozen=True, kw_only=True, tag=True):
    """Give the agent another certificate for the one that ends then.

    Nothing waits for it: where it fails, all else goes on, and it is tried at the next resync.
    """

    ends: datetime


class Announce(Step, frozen=True, kw_only=True, tag=True):
    """Have the amphora tell its neighbours where the VIP is, now that another one is gone."""

    gone: str


class Detach(Step, frozen=True, kw_only=True, tag=True):
    """Remove a card that no port stands for."""

    mac: str


class ReleasePort(Step, frozen=True, kw_only=True, tag=True):
    """Give a port back."""

    port_id: str


class Destroy(Step, frozen=True, kw_only=True, tag=True):
    """Remove the amphora's machine and all it had."""


class ForgetAmphora(Step, frozen=True, kw_only=True, tag=True):
    """Remove the amphora's record."""


class FindSubnet(Step, frozen=True, kw_only=True, tag=True):
    """Find the subnet a member names: fails while it does not exist."""

    subnet_id: str
    member_id: str


class ReadSecret(Step, frozen=True, kw_only=True, tag=True):
    """Read what a reference leads to: fails while it leads nowhere."""

    kind: str
    reference: str


class Settle(Step, frozen=True, kw_only=True, tag=True):
    """Record that a generation is in force."""

    generation: int
