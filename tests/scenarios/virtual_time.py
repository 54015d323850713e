"""Virtual time: an event loop whose clock stands still while anything happens.

When nothing is left to run and no call is out on a thread, time jumps to the next timer. So a
test may sleep for an hour and be back at once, retries and time bounds come exactly when they
are due, and everything that goes by the loop's time (sleep, timeout, the work queue) agrees.
Calls that leave the loop for a thread must be announced with `outside`, or time would run away
beneath them.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a time of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._virtual = 0.0
        self._outside = 0

    def time(self) -> float:
        return self._virtual

    def stand_still(self, seconds: float) -> None:
        """Let time pass while nothing of this process runs, as a stopped process would."""
        self._virtual += seconds

    @contextmanager
    def outside(self) -> Iterator[None]:
        """While a call is out on a thread."""
        self._outside += 1
        try:
            yield
        finally:
            self._outside -= 1

    def _run_once(self) -> None:
        timers = [t.when() for t in self._scheduled if not t.cancelled()]
        if timers and not self._ready and not self._outside:
            self._virtual = max(self._virtual, min(timers))
        super()._run_once()


class VirtualClock:
    """The `Clock` port on a `VirtualLoop`."""

    def now(self) -> datetime:
        return BEGINNING + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def stand_still(seconds: float) -> None:
    """As `VirtualLoop.stand_still`, on the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.stand_still(seconds)


@contextmanager
def outside() -> Iterator[None]:
    """As `VirtualLoop.outside`, on the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    with loop.outside():
        yield
