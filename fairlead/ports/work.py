"""Time, and keys that wait to be worked on."""

from datetime import datetime
from typing import Protocol


class WallClock(Protocol):
    """What those need of time who only compare dates."""

    def now(self) -> datetime:
        """The wall clock, UTC."""
        ...


class Clock(WallClock, Protocol):
    """Time, so that tests can own it."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class WorkQueue(Protocol):
    """Keys to be worked on, each by one runner at a time, wake-ups coalesced.

    A key put while it waits is one piece of work; put while it runs, it runs once more
    afterwards. The earlier of two due times wins.
    """

    async def put(self, key: str, *, delay: float = 0.0) -> None:
        """Ask for `key` to be worked on in `delay` seconds, or sooner if asked before."""
        ...

    async def claim(self) -> str:
        """Wait for a due key that nobody runs, and become its runner."""
        ...

    async def done(self, key: str, *, retry_after: float | None = None) -> None:
        """Stop being the runner; with `retry_after`, ask for the key again then."""
        ...
