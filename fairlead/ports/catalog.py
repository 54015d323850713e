"""Flavors, availability zones and their profiles."""

from collections.abc import Callable, Sequence
from typing import Protocol

from fairlead.domain.catalog import Item
from fairlead.domain.query import Query

Change = Callable[[Item], Item]


class Catalog(Protocol):
    """What operators offer. `key` is a zone's name, and the id of anything else.

    That a load balancer is not made with what goes away meanwhile is for `Store.create`.
    """

    async def list(self, query: Query) -> Sequence[Item]:
        """One page of a kind's items, filtered and sorted by the database."""
        ...

    async def find(self, kind: str, key: str) -> Item:
        """One item; `NotFound`."""
        ...

    async def add(self, item: Item) -> None:
        """Store a new item; `Conflict` when its name is taken, `NotFound` for its profile."""
        ...

    async def change(self, kind: str, key: str, change: Change) -> Item:
        """Change an item; nobody else does meanwhile.

        `Conflict` when its new name is taken, or when a profile that is in use would mean
        something else.
        """
        ...

    async def remove(self, kind: str, key: str) -> None:
        """Remove an item; `Conflict` while a load balancer has it or an item follows it."""
        ...
