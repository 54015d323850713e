"""The reconcile loop: observe, plan, take steps, until the tree is in force.

`Reconciler.reconcile` does it for one load balancer and says when to come back; `run` is a
runner that claims keys from the work queue. A failure is tried again with growing pauses; after
`retries` of them, or at once when trying again is pointless, the generation is given up on: the
load balancer shows ERROR, the events say why, and a slow retry goes on. A new edit starts afresh.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from msgspec import Struct

from fairlead.controller.executor import Executor, Result, Scene
from fairlead.controller.observer import Drivers, Renderer, observe
from fairlead.domain.events import Event
from fairlead.domain.tree import Tree
from fairlead.errors import FairleadError, Fenced, NotFound, Permanent, Retryable
from fairlead.plan import steps
from fairlead.plan.planner import next_wave
from fairlead.ports import Clock, WorkQueue

log = structlog.get_logger()
_LONGEST_PAUSE = 10.0
_MOST_WAVES = 100


class Patience(Struct, frozen=True, kw_only=True):
    """How failures are retried; durations in seconds."""

    retries: int
    first_pause: float
    slow_retry: float


class Reconciler:
    """Makes the world what the trees say; `epoch` fences off controllers that came before."""

    def __init__(
        self,
        drivers: Drivers,
        executor: Executor,
        queue: WorkQueue,
        clock: Clock,
        *,
        render: Renderer,
        patience: Patience,
        epoch: int,
        settled: Callable[[str], None] = lambda lb_id: None,
    ) -> None:
        self._drivers = drivers
        self._executor = executor
        self._queue = queue
        self._clock = clock
        self._render = render
        self._patience = patience
        self._epoch = epoch
        self._settled = settled
        self._failures: dict[str, tuple[int, int]] = {}

    async def run(self) -> None:
        """Work on keys from the queue for ever."""
        while True:
            lb_id = await self._queue.claim()
            retry_after: float | None = self._patience.slow_retry
            try:
                retry_after = await self.reconcile(lb_id)
            except asyncio.CancelledError:
                raise
            except Exception:
                log.exception("reconcile failed", lb_id=lb_id)
            finally:
                await self._queue.done(lb_id, retry_after=retry_after)

    async def reconcile(self, lb_id: str) -> float | None:
        """Bring one load balancer to its newest generation; seconds until a retry, or None."""
        for _ in range(_MOST_WAVES):
            try:
                tree = await self._drivers.store.tree(lb_id)
            except NotFound:
                self._failures.pop(lb_id, None)
                return None
            try:
                results, finished = await self._advance(tree)
            except FairleadError as error:
                return await self._failed(tree, [], error)
            worst = _worst(results)
            if worst is not None:
                return await self._failed(tree, results, worst)
            if finished:
                self._failures.pop(lb_id, None)
                return None
        return await self._failed(tree, [], Retryable("The plan does not come to an end"))

    async def _advance(self, tree: Tree) -> tuple[Sequence[Result], bool]:
        """Take one wave; whether that was all there is to do."""
        observation = await observe(tree, self._drivers, self._render, self._epoch)
        wave = next_wave(tree, observation.world, self._clock.now())
        if not wave:
            return (), True
        scene = Scene(tree=tree, observation=observation, epoch=self._epoch)
        results = await self._executor.run(wave, scene)
        settled = isinstance(wave[0], steps.Settle) and _worst(results) is None
        if not (settled and tree.deleted):
            await self._drivers.store.record([r.event for r in results])
        if settled:
            self._settled(tree.id)
        return results, settled

    async def _failed(
        self, tree: Tree, results: Sequence[Result], error: FairleadError
    ) -> float | None:
        """Note the failure, give up when it is time, and say when to try again."""
        if isinstance(error, Fenced):
            log.warning("fenced", lb_id=tree.id, generation=tree.generation)
            return None
        generation, before = self._failures.get(tree.id, (tree.generation, 0))
        count = before + 1 if generation == tree.generation else 1
        self._failures[tree.id] = (tree.generation, count)
        if not results:
            await self._tell(tree, "Observe", "retry", str(error))
        if count <= self._patience.retries and not isinstance(error, Permanent):
            pause = min(self._patience.first_pause * 2.0 ** (count - 1), _LONGEST_PAUSE)
            hint = error.after if isinstance(error, Retryable) else None
            return max(pause, hint or 0.0)
        if tree.failed < tree.generation and tree.applied < tree.generation:
            await self._drivers.store.give_up(tree.id, tree.generation, self._epoch)
            await self._tell(tree, "GiveUp", "failed", f"{error} (trying again every "
                             f"{self._patience.slow_retry:g} s)")  # fmt: skip
        return self._patience.slow_retry

    async def _tell(self, tree: Tree, step: str, outcome: str, detail: str) -> None:
        event = Event(
            loadbalancer_id=tree.id, generation=tree.generation, at=self._clock.now(),
            step=step, outcome=outcome, detail=detail,  # type: ignore[arg-type]  # a Literal
        )  # fmt: skip
        log.warning("trouble", lb_id=tree.id, generation=tree.generation, step=step, detail=detail)
        await self._drivers.store.record([event])


def _worst(results: Sequence[Result]) -> FairleadError | None:
    """The error that decides what happens next: fenced, then pointless, then any."""
    errors = [r.error for r in results if r.error is not None]
    for kind in (Fenced, Permanent, FairleadError):
        for error in errors:
            if isinstance(error, kind):
                return error
    return None
