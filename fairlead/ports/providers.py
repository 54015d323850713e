"""Who provides load balancers: this product's own amphorae, or a third party's driver."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from fairlead.domain.model import LoadBalancer
from fairlead.domain.observed import Vip
from fairlead.domain.tree import Tree
from fairlead.wire.driver_agent import Said
from fairlead.wire.heartbeat import Counters


class Provider(Protocol):
    """One provider, as the API speaks to it.

    Errors: `Refused` for an invalid value, `Unsupported` for what the provider cannot do,
    `Conflict`, and `Broken` for a driver that failed.
    """

    name: str
    description: str
    own: bool
    """Whether Fairlead's controller does the work: nobody is told of changes then."""

    async def flavor_capabilities(self) -> Mapping[str, str]:
        """What a flavor may say, by key, with descriptions."""
        ...

    async def zone_capabilities(self) -> Mapping[str, str]:
        """What an availability zone may say."""
        ...

    async def validate_flavor(self, data: Mapping[str, Any]) -> None:
        """Refuse a flavor's data that this provider cannot make true."""
        ...

    async def validate_zone(self, data: Mapping[str, Any]) -> None:
        """Refuse an availability zone's data."""
        ...

    async def allocate_vip(self, root: LoadBalancer) -> Vip | None:
        """A VIP of the provider's own making; None leaves it to the network driver."""
        ...

    def changing(self, before: Tree | None, after: Tree) -> AbstractAsyncContextManager[None]:
        """Entered to tell of an edit, which is stored inside (`before` None is a creation).

        When entering raises, nothing is stored. When storing fails, the telling is taken back
        as far as that can be done. Not called for `own` providers.
        """
        ...


class Providers(Protocol):
    """The enabled ones."""

    @property
    def default(self) -> str:
        """The name of the one that is taken when a request names none."""
        ...

    def all(self) -> Mapping[str, Provider]:
        """By name, aliases included, in the order of configuration."""
        ...

    def get(self, name: str) -> Provider:
        """`Refused` ("Provider 'X' is not enabled.") for others."""
        ...


class DriverReports(Protocol):
    """What third parties' drivers report of their load balancers, and may ask."""

    async def status(self, said: Sequence[Said]) -> None:
        """Take statuses in, in this order; DELETED removes. `Malformed` when one cannot be."""
        ...

    async def statistics(self, counted: Mapping[str, Counters]) -> None:
        """Set running totals by listener id."""
        ...

    async def tree_of(self, kind: str, object_id: str) -> Tree | None:
        """The tree of a third party's object, which is not about to go; or None."""
        ...
