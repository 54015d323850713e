"""Telling third parties' providers of edits, within the store's turn of the load balancer.

So a driver hears of edits in the order in which they are stored, and an edit that it refuses is
not stored. Called by writing.py and balancers.py.
"""

from contextlib import AbstractAsyncContextManager, nullcontext

from fairlead.api.services import Services
from fairlead.domain.tree import Tree
from fairlead.ports.store import Announce


def announcing(services: Services) -> Announce:
    """What the store is to enter before it saves."""

    def announce(before: Tree | None, after: Tree) -> AbstractAsyncContextManager[None]:
        if after.own:
            return nullcontext()
        return services.providers.get(after.root.provider).changing(before, after)

    return announce
