"""A secret store of the in-memory world: whatever tests put in."""

from typing import TypeVar

from fairlead.errors import Refused, Retryable
from fairlead.ports import Bundle

T = TypeVar("T")


class FakeVault:
    """`bundles` and `texts` by reference; everything else leads nowhere.

    While it is `away`, it does not answer.
    """

    def __init__(self) -> None:
        self.away = False
        self.bundles: dict[str, Bundle] = {}
        self.texts: dict[str, str] = {}

    async def bundle(self, reference: str, project_id: str | None) -> Bundle:
        """As the port, for every project."""
        return self._found(self.bundles, reference)

    async def text(self, reference: str, project_id: str | None) -> str:
        """As the port, for every project."""
        return self._found(self.texts, reference)

    def _found(self, known: dict[str, T], reference: str) -> T:
        if self.away:
            raise Retryable(f"The secret store does not answer for {reference}.")
        if reference not in known:
            raise Refused(f"Could not retrieve certificate: ['{reference}']")
        return known[reference]
