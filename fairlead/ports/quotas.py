"""How much each project may have."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from fairlead.domain.query import Query
from fairlead.domain.quota import ProjectQuota


class Quotas(Protocol):
    """Limits of projects. `Store.edit` and `Store.create` keep to them."""

    async def list(self, query: Query) -> Sequence[ProjectQuota]:
        """One page of the projects that have limits of their own."""
        ...

    async def of(self, project_id: str) -> ProjectQuota:
        """The limits of a project: its own, the defaults for the rest."""
        ...

    def defaults(self, project_id: str) -> ProjectQuota:
        """The limits of a project that has none of its own."""
        ...

    async def put(self, project_id: str, limits: Mapping[str, int | None]) -> ProjectQuota:
        """Set limits of a project by kind, None for the default; others stay."""
        ...

    async def reset(self, project_id: str) -> None:
        """Give a project the defaults."""
        ...
