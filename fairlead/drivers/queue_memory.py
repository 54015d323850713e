"""The `WorkQueue` of the embedded default: in this process, on the running event loop.

Nothing is kept over a restart; the controller begins with `Store.all_ids`. No polling: the
loop wakes a claimer when the earliest key is due. Every state change happens between two awaits,
so a claim that is cancelled has either taken a key and returned it, or taken none.
Keys come out in order of their due times; among equal ones, in order of asking.
"""

import asyncio
import heapq
from collections import deque
from itertools import count


class MemoryQueue:
    """Keys waiting (`_due`), keys running, and claimers waiting for a key."""

    def __init__(self) -> None:
        self._due: dict[str, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, str]] = []  # may hold entries that `_due` outdated
        self._running: dict[str, float | None] = {}  # value: when it was asked for again
        self._claimers: deque[asyncio.Future[None]] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._order = count()

    async def put(self, key: str, *, delay: float = 0.0) -> None:
        """As the port."""
        due = asyncio.get_running_loop().time() + delay
        if key in self._running:
            self._running[key] = _earlier(self._running[key], due)
        else:
            self._wait(key, due)

    async def claim(self) -> str:
        """As the port; cancelling it loses no key."""
        while (key := self._take()) is None:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._claimers.append(turn)
            self._rouse()
            try:
                await turn
            except asyncio.CancelledError:
                if turn in self._claimers:
                    self._claimers.remove(turn)
                self._rouse()  # the wake-up this one got may be meant for another now
                raise
        self._rouse()
        return key

    async def done(self, key: str, *, retry_after: float | None = None) -> None:
        """As the port; ignored for a key that does not run."""
        if key not in self._running:
            return
        due = self._running.pop(key)
        if retry_after is not None:
            due = _earlier(due, asyncio.get_running_loop().time() + retry_after)
        if due is not None:
            self._wait(key, due)

    def _wait(self, key: str, due: float) -> None:
        if key in self._due and self._due[key][0] <= due:
            return
        self._due[key] = (due, next(self._order))
        heapq.heappush(self._heap, (*self._due[key], key))
        if len(self._heap) > 2 * len(self._due) + 64:
            self._heap = sorted((*place, key) for key, place in self._due.items())
        self._rouse()

    def _take(self) -> str | None:
        """Become the runner of the first due key, if there is one."""
        earliest = self._earliest()
        if earliest is None or earliest > asyncio.get_running_loop().time():
            return None
        key = heapq.heappop(self._heap)[2]
        del self._due[key]
        self._running[key] = None
        return key

    def _earliest(self) -> float | None:
        """When the next key is due; outdated entries before it are dropped."""
        while self._heap:
            due, order, key = self._heap[0]
            if self._due.get(key) == (due, order):
                return due
            heapq.heappop(self._heap)
        return None

    def _rouse(self) -> None:
        """Wake one claimer if a key is due, or set the alarm for when one is."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        earliest = self._earliest()
        if earliest is None or not self._claimers:
            return
        loop = asyncio.get_running_loop()
        if earliest > loop.time():
            self._alarm = loop.call_at(earliest, self._rouse)
            return
        while self._claimers:
            turn = self._claimers.popleft()
            if not turn.done():  # a cancelled claimer may not have left yet
                turn.set_result(None)
                return


def _earlier(one: float | None, other: float) -> float:
    return other if one is None else min(one, other)
