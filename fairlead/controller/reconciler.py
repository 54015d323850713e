"""The reconcile loop: observe, plan, take steps, until the tree is in force.

`Reconciler.reconcile` does it for one load balancer and says when to come back; `run` is a
runner that claims keys from the work queue. A failure is tried again with growing pauses; after
`retries` of them, or at once when trying again is pointless, the generation is given up on: the
load balancer shows ERROR, the events say why, and a slow retry goes on. A new edit starts afresh.
A generation that was in force once is repaired in the same way, but is never given up on.

What broken amphorae need may take long, again and again. So only some runners repair and retry at
any time; the others stay free for what users ask for.
"""

from collections.abc import Callable, Sequence

import msgspec
import structlog
from msgspec import Struct

from fairlead.controller.certificates import Material
from fairlead.controller.executor import Executor, Result, Scene
from fairlead.controller.observer import Drivers, Observation, Renderer
from fairlead.domain.events import Event
from fairlead.domain.observed import World
from fairlead.domain.tree import Tree
from fairlead.errors import FairleadError, Fenced, NotFound, Permanent, Retryable
from fairlead.plan import steps
from fairlead.plan.planner import Wave, foreseen, next_wave
from fairlead.plan.steps import Step
from fairlead.ports import Clock, WorkQueue

log = structlog.get_logger()
_LONGEST_PAUSE = 10.0
_MOST_LOOKS = 100


class Patience(Struct, frozen=True, kw_only=True):
    """How failures are retried; durations in seconds."""

    retries: int
    first_pause: float
    slow_retry: float


class Trouble(Struct, kw_only=True):
    """Failures of one generation in a row, and which ones the slow retries have told of."""

    generation: int
    count: int = 0
    slow: bool = False
    told: set[tuple[str, str | None, str]] = set()

    def news(self, events: Sequence[Event]) -> list[Event]:
        """What has not been told: a slow retry that goes on for days shall not fill the log."""
        fresh = {(e.step, e.amphora_id, e.detail): e for e in events}
        told, self.told = self.told, self.told | fresh.keys()
        return [e for key, e in fresh.items() if key not in told] if self.slow else list(events)


class Reconciler:
    """Makes the world what the trees say; `epoch` fences off controllers that came before.

    At most `repairs` runners at once do what no user waits for.
    """

    def __init__(
        self,
        drivers: Drivers,
        executor: Executor,
        queue: WorkQueue,
        clock: Clock,
        *,
        render: Renderer,
        patience: Patience,
        repairs: int,
        epoch: int,
        settled: Callable[[str], None] = lambda lb_id: None,
    ) -> None:
        self._drivers = drivers
        self._executor = executor
        self._queue = queue
        self._clock = clock
        self._render = render
        self._patience = patience
        self._places = repairs
        self._parked: dict[str, None] = {}  # an ordered set
        self._epoch = epoch
        self._settled = settled
        self._troubles: dict[str, Trouble] = {}
        self._noted: dict[str, tuple[str, ...]] = {}  # by load balancer: what was told already
        self._unrenewed: dict[str, set[tuple[str | None, str]]] = {}  # amphora, and why

    async def run(self) -> None:
        """Work on keys from the queue for ever."""
        while True:
            try:
                await self._work()
            except Exception:
                log.exception("the work queue failed")
                await self._clock.sleep(_LONGEST_PAUSE)

    async def _work(self) -> None:
        """One key; when cancelled meanwhile, the next runner gets it at once."""
        lb_id = await self._queue.claim()
        retry_after: float | None = 0.0
        try:
            retry_after = await self._turn(lb_id)
        except Exception:
            log.exception("reconcile failed", lb_id=lb_id)
            retry_after = _LONGEST_PAUSE
        finally:
            await self._queue.done(lb_id, retry_after=retry_after)

    async def _turn(self, lb_id: str) -> float | None:
        """Reconcile; what no user waits for is parked until there is a place for it."""
        tree = await self._tree(lb_id)
        if tree is None:
            return None
        if tree.applied < tree.generation and self._trouble(tree) is None:
            return await self._converge(tree)
        if self._places == 0:
            self._parked[lb_id] = None
            return None
        self._places -= 1
        try:
            return await self._converge(tree)
        finally:
            self._places += 1
            if self._parked:
                first = next(iter(self._parked))
                del self._parked[first]
                await self._queue.put(first)

    async def reconcile(self, lb_id: str) -> float | None:
        """Bring one load balancer to its newest generation; seconds until a retry, or None.

        Raises only what keeps it from reading the tree or from noting a failure.
        """
        tree = await self._tree(lb_id)
        return None if tree is None else await self._converge(tree)

    async def _tree(self, lb_id: str) -> Tree | None:
        """The tree, if there is one and its work is ours and not a third party's."""
        try:
            tree = await self._drivers.store.tree(lb_id)
        except NotFound:
            self._troubles.pop(lb_id, None)
            return None
        return tree if tree.own else None

    async def _converge(self, tree: Tree) -> float | None:
        taken: set[Step] = set()
        known: dict[str, Material] = {}
        for _ in range(_MOST_LOOKS):
            try:
                if await self._advance(tree, taken, known):
                    self._troubles.pop(tree.id, None)
                    if tree.deleted:
                        self._unrenewed.pop(tree.id, None)
                    return None
            except FairleadError as error:
                return await self._failed(tree, error)
            except Exception as error:  # a defect: retried and told like any failure
                log.exception("reconcile broke", lb_id=tree.id, generation=tree.generation)
                await self._tell(tree, "Plan", "retry", type(error).__name__)
                return await self._failed(tree, Retryable(f"Plan broke: {type(error).__name__}"))
            newest = await self._tree(tree.id)
            if newest is None:
                return None
            if newest.generation != tree.generation:
                taken.clear()
            tree = newest
        await self._tell(tree, "Plan", "retry", f"no end after {_MOST_LOOKS} looks")
        return await self._failed(tree, Retryable("The plan does not come to an end"))

    async def _advance(self, tree: Tree, taken: set[Step], known: dict[str, Material]) -> bool:
        """Look, then take waves until another look is needed; whether that was all.

        Raises the error that decides what happens next, also when a step that was `taken` is to be
        taken again: it had no effect. Events are recorded in one go, after the last wave: what
        the steps did shall not wait for that.
        """
        observation = await self._look(tree, known)
        world: World | None = observation.world
        events: list[Event] = []
        try:
            while world is not None:
                wave = next_wave(tree, world, self._clock.now())
                wave = tuple(s for s in wave if not (isinstance(s, steps.Renew) and s in taken))
                if not wave:
                    return True
                await self._check_effect(tree, taken, wave)
                seen = msgspec.structs.replace(observation, world=world)
                scene = Scene(tree=tree, observation=seen, epoch=self._epoch)
                results = await self._executor.run(wave, scene)
                events += self._news(tree, wave, results)
                _raise_worst(wave, results)
                if isinstance(wave[0], steps.Settle):
                    self._settled(tree.id)
                    events = [] if tree.deleted else events
                    return True
                world = foreseen(world, wave)
            return False
        finally:
            await self._record(tree, events)

    def _news(self, tree: Tree, wave: Wave, results: Sequence[Result]) -> list[Event]:
        """The events of a wave; a renewal that fails at each resync is told of when it changes."""
        pairs = list(zip(wave, results, strict=True))
        renewals = [result for step, result in pairs if isinstance(step, steps.Renew)]
        if not renewals:
            return [result.event for result in results]
        told = self._unrenewed.pop(tree.id, set())
        failed = {(r.event.amphora_id, r.event.detail) for r in renewals if r.error is not None}
        if failed:
            self._unrenewed[tree.id] = failed
        known = [r for r in renewals if (r.event.amphora_id, r.event.detail) in told]
        return [result.event for result in results if result not in known]

    async def _check_effect(self, tree: Tree, taken: set[Step], wave: Wave) -> None:
        for step in wave:
            if step in taken:
                name = type(step).__name__
                await self._tell(tree, name, "retry", "It was done, but had no effect")
                raise Retryable(f"{name} had no effect")
        taken.update(wave)

    async def _look(self, tree: Tree, known: dict[str, Material]) -> Observation:
        try:
            observation = await self._executor.look(tree, self._render, self._epoch, known)
        except FairleadError as error:
            await self._tell(tree, "Observe", "retry", str(error))
            raise
        told = self._noted.pop(tree.id, ())
        if observation.notes:
            self._noted[tree.id] = observation.notes
        for note in observation.notes:
            if note not in told:
                await self._tell(tree, "Certificates", "info", note)
        return observation

    async def _failed(self, tree: Tree, error: FairleadError) -> float | None:
        """Note the failure, give up when it is time, and say when to try again."""
        if isinstance(error, Fenced):
            log.warning("fenced", lb_id=tree.id, generation=tree.generation)
            self._troubles.pop(tree.id, None)
            return None
        trouble = self._trouble(tree)
        if trouble is None:
            trouble = self._troubles[tree.id] = Trouble(generation=tree.generation)
        trouble.count += 1
        if trouble.count <= self._patience.retries and not isinstance(error, Permanent):
            pause = min(self._patience.first_pause * 2.0 ** (trouble.count - 1), _LONGEST_PAUSE)
            hint = error.after if isinstance(error, Retryable) else None
            return max(pause, hint or 0.0)
        trouble.slow = True
        if tree.failed < tree.generation and tree.applied < tree.generation:
            await self._give_up(tree, error)
        return self._patience.slow_retry

    async def _give_up(self, tree: Tree, error: FairleadError) -> None:
        try:
            await self._drivers.store.give_up(tree.id, tree.generation, self._epoch)
        except Fenced:
            log.warning("fenced", lb_id=tree.id, generation=tree.generation)
            return
        pause = self._patience.slow_retry
        await self._tell(tree, "GiveUp", "failed", f"{error} (trying again every {pause:g} s)")

    def _trouble(self, tree: Tree) -> Trouble | None:
        """The failures of this very generation."""
        trouble = self._troubles.get(tree.id)
        return trouble if trouble is not None and trouble.generation == tree.generation else None

    async def _tell(self, tree: Tree, step: str, outcome: str, detail: str) -> None:
        event = Event(
            loadbalancer_id=tree.id, generation=tree.generation, at=self._clock.now(),
            step=step, outcome=outcome, detail=detail,  # type: ignore[arg-type]  # a Literal
        )  # fmt: skip
        log.warning("trouble", lb_id=tree.id, generation=tree.generation, step=step, detail=detail)
        await self._record(tree, [event])

    async def _record(self, tree: Tree, events: Sequence[Event]) -> None:
        trouble = self._trouble(tree)
        if trouble is not None:
            events = trouble.news(events)
        if events:
            await self._drivers.store.record(events)


def _raise_worst(wave: Wave, results: Sequence[Result]) -> None:
    """Raise the error that decides what happens next: fenced, then pointless, then any.

    A certificate that could not be renewed holds nothing up.
    """
    errors = [
        result.error
        for step, result in zip(wave, results, strict=True)
        if not isinstance(step, steps.Renew) or isinstance(result.error, Fenced)
    ]
    for kind in (Fenced, Permanent, FairleadError):
        for error in errors:
            if isinstance(error, kind):
                raise error
