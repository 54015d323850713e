"""Who provides load balancers: this product's own amphorae, or a third party's driver."""

from collections.abc import Mapping
from typing import Any, Protocol

from fairlead.domain.tree import Tree


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

    async def changing(self, before: Tree | None, after: Tree) -> None:
        """Tell of an edit that is about to be stored (`before` is None at creation).

        When it raises, nothing is stored. Not called for `own` providers.
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
