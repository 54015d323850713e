"""The provider that Fairlead itself is: haproxy in amphorae of its own."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from fairlead.domain import shape
from fairlead.domain.model import LoadBalancer
from fairlead.domain.observed import Vip
from fairlead.domain.tree import Tree
from fairlead.errors import Refused
from fairlead.ports import Provider


class AmphoraProvider:
    """Under the name `amphora`, and under `octavia`, which other installations call it.

    `maxconn` is the most connections that an amphora may hold.
    """

    own = True

    def __init__(
        self,
        name: str = "amphora",
        description: str = "Amphorae of Fairlead itself.",
        *,
        maxconn: int = 8000,
    ) -> None:
        self.name = name
        self.description = description
        self._maxconn = maxconn

    async def flavor_capabilities(self) -> Mapping[str, str]:
        """As the port."""
        return shape.capabilities(shape.FlavorData)

    async def zone_capabilities(self) -> Mapping[str, str]:
        """As the port."""
        return shape.capabilities(shape.ZoneData)

    async def validate_flavor(self, data: Mapping[str, Any]) -> None:
        """As the port; `Unsupported` for an unknown key."""
        shape.check_flavor(data, self.name, maxconn=self._maxconn)

    async def validate_zone(self, data: Mapping[str, Any]) -> None:
        """As the port; `Unsupported` for an unknown key."""
        shape.checked(shape.ZoneData, data, self.name, "availability zone")

    async def allocate_vip(self, root: LoadBalancer) -> Vip | None:
        """The network driver does."""
        return None

    def changing(self, before: Tree | None, after: Tree) -> AbstractAsyncContextManager[None]:
        """Nothing to tell: the controller sees the tree."""
        return nullcontext()


class Registry:
    """The enabled providers, and which of them is the default."""

    def __init__(self, *providers: Provider, default: str = "amphora") -> None:
        self._providers = {provider.name: provider for provider in providers}
        self.default = default

    def all(self) -> Mapping[str, Provider]:
        """As the port."""
        return self._providers

    def get(self, name: str) -> Provider:
        """As the port."""
        if name not in self._providers:
            raise Refused(f"Provider '{name}' is not enabled.")
        return self._providers[name]
