"""What is remembered."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol

from fairlead.domain.edits import Edit
from fairlead.domain.events import Event
from fairlead.domain.observed import Amphora
from fairlead.domain.query import Query
from fairlead.domain.tree import Tree
from fairlead.domain.views import Entry
from fairlead.wire.heartbeat import Counters

Announce = Callable[[Tree | None, Tree], AbstractAsyncContextManager[None]]


def unannounced(before: Tree | None, after: Tree) -> AbstractAsyncContextManager[None]:
    """Nobody is told."""
    return nullcontext()


class Store(Protocol):
    """Desired trees, amphora records, observations, statistics and events."""

    async def edit(self, lb_id: str, edit: Edit, announce: Announce = unannounced) -> Tree:
        """Apply a pure edit to the newest tree, save it with generation + 1, and return it.

        `announce` is entered with the trees before and after, in the order in which the edits
        of this process are saved; the edit is saved inside of it, so that it can refuse.

        Compare-and-set on the generation: when two edits meet, the later one is computed
        again from the newer tree. An edit that returns its input unchanged saves nothing.
        `NotFound` when no such tree exists, `QuotaMet` when the project may not have what
        the edit adds; edits that meet cannot pass a limit together. Does not wake the
        controller.
        """
        ...

    async def create(self, tree: Tree, announce: Announce = unannounced) -> Tree:
        """Store a new tree of generation 1, announced as an edit (`before` is None).

        `Conflict` when its id exists.

        `QuotaMet` as with `edit`; `Refused` when the catalog has not the root's flavor or
        availability zone (any more).
        """
        ...

    async def tree(self, lb_id: str) -> Tree:
        """The tree with its generations and observed operating statuses, by one query."""
        ...

    async def owner(self, kind: str, object_id: str) -> str:
        """The load balancer id an object of that kind belongs to; `NotFound`."""
        ...

    async def one(
        self,
        kind: str,
        object_id: str,
        *,
        parent_id: str | None = None,
        links: frozenset[str] | None = None,
    ) -> Entry:
        """An object with those of its links, None all; `NotFound`, also below another parent."""
        ...

    async def list(self, query: Query) -> Sequence[Entry]:
        """One page of entries, filtered and sorted by the database."""
        ...

    async def all_ids(self) -> Sequence[str]:
        """Ids of every stored load balancer."""
        ...

    async def settle(self, lb_id: str, generation: int, epoch: int) -> None:
        """Record that `generation` is in force, and remove what it deleted.

        A deleted load balancer goes with all its rows, events included. `Fenced` when a
        newer epoch has written.
        """
        ...

    async def give_up(self, lb_id: str, generation: int, epoch: int) -> None:
        """Record that `generation` could not be applied (status ERROR until it is)."""
        ...

    async def locate(self, ids: Collection[str]) -> Mapping[str, tuple[str, str]]:
        """Kind and load balancer id of the objects among `ids` that exist."""
        ...

    async def report(self, lb_id: str, statuses: Mapping[str, str]) -> None:
        """Set what a provider's driver reports of objects, given by id, as of now.

        Of an object that was asked to go only ERROR counts.
        """
        ...

    async def forget(self, lb_id: str, ids: Sequence[str]) -> None:
        """Remove objects that their provider has removed; the load balancer's id: everything."""
        ...

    async def count_reported(self, counters: Mapping[str, Counters]) -> None:
        """Set running totals of listeners that a third party's provider serves."""
        ...

    async def put_amphora(self, amphora: Amphora) -> None:
        """Create or replace an amphora's record."""
        ...

    async def drop_amphora(self, amphora_id: str) -> None:
        """Remove an amphora's record; what it counted stays in its listeners' totals."""
        ...

    async def restart_counting(self, amphora_id: str) -> None:
        """Add an amphora's totals to those of the amphorae that are gone: it begins at zero."""
        ...

    async def amphorae(self, lb_id: str | None = None) -> Sequence[Amphora]:
        """Records of one load balancer, or of all, by slot."""
        ...

    async def list_amphorae(self, query: Query) -> Sequence[Amphora]:
        """One page of records; `query.project_id` is the owner of their load balancers."""
        ...

    async def observe(self, statuses: Mapping[str, Mapping[str, str]]) -> None:
        """Set observed operating statuses, by load balancer and object id, all at once."""
        ...

    async def count(self, counters: Mapping[str, Mapping[str, Counters]]) -> None:
        """Set running totals, by amphora and listener id, all at once."""
        ...

    async def statistics(self, lb_id: str) -> Mapping[str, Counters]:
        """Totals per listener id over all amphorae there ever were; they never shrink.

        With a third party's provider: what its driver reports.
        """
        ...

    async def counters(self, amphora_id: str) -> Mapping[str, Counters]:
        """Totals of one amphora per listener id."""
        ...

    async def record(self, events: Sequence[Event]) -> None:
        """Append events; the oldest beyond a bound per load balancer are dropped."""
        ...

    async def events(self, lb_id: str, *, limit: int = 100) -> Sequence[Event]:
        """The newest events of a load balancer, newest first."""
        ...

    async def ping(self) -> None:
        """A sign of life of what is stored; `Retryable` when it does not answer."""
        ...

    async def next_epoch(self) -> int:
        """A fencing number greater than every one handed out before."""
        ...
