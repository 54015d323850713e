"""A secret store of the in-memory world: whatever tests put in."""

from typing import TypeVar

from fairlead.errors import Refused, Retryable
from fairlead.ports import Bundle

T = TypeVar("T")


class FakeVault:
    """`bundles` and `texts` by reference; everything else leads nowhere.

    `owners` names the project that a reference is of; one without belongs to everybody. While it is
    `away`, it does not answer.
    """

    def __init__(self) -> None:
        self.away = False
        self.bundles: dict[str, Bundle] = {}
        self.texts: dict[str, str] = {}
        self.owners: dict[str, str] = {}

    async def bundle(self, reference: str, project_id: str | None) -> Bundle:
        """As the port."""
        return self._found(self.bundles, reference, project_id)

    async def text(self, reference: str, project_id: str | None) -> str:
        """As the port."""
        return self._found(self.texts, reference, project_id)

    def _found(self, known: dict[str, T], reference: str, project_id: str | None) -> T:
        if self.away:
            raise Retryable(f"The secret store does not answer for {reference}.")
        if reference not in known or self.owners.get(reference, project_id) != project_id:
            raise Refused(f"Could not retrieve certificate: ['{reference}']")
        return known[reference]
