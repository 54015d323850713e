"""Traffic through the VIP: a new connection for every request, from some clients at once.

Counts who answered and what failed. A request counts as failed unless it got a whole answer with
status 200 in time: nothing is tried again. Started and stopped by the story; the screen reads
the counts.
"""

import asyncio
import time
from collections import Counter, deque

_CLIENTS = 4
_PAUSE = 0.005
_SECONDS = 5.0
_WINDOW = 1.0
_REQUEST = b"GET / HTTP/1.1\r\nHost: demo.test\r\nConnection: close\r\n\r\n"


class Traffic:
    """Clients of one VIP. `answers` and `failures` are running totals."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._tasks: list[asyncio.Task[None]] = []
        self._recent: deque[tuple[float, str]] = deque()
        self.answers: Counter[str] = Counter()
        self.failures = 0
        self.last_failure = ""
        self.last_answer: dict[str, float] = {}

    @property
    def sent(self) -> int:
        """Requests that ended, one way or the other."""
        return self.answers.total() + self.failures

    def start(self) -> None:
        """Let the clients begin."""
        self._tasks = [asyncio.create_task(self._client()) for _ in range(_CLIENTS)]

    async def stop(self) -> None:
        """Let every client finish its request."""
        tasks, self._tasks = self._tasks, []
        await asyncio.gather(*tasks)

    def rates(self) -> Counter[str]:
        """Answers by server in the last second."""
        while self._recent and self._recent[0][0] < time.monotonic() - _WINDOW:
            self._recent.popleft()
        return Counter(name for _, name in self._recent)

    async def ask(self, seconds: float = _SECONDS) -> str:
        """Send one request; the name of the server that answered, `OSError` otherwise."""
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(self._address, 80)
            try:
                writer.write(_REQUEST)
                answer = await reader.read(-1)
            finally:
                writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise OSError(head[:60].decode(errors="replace") or "closed without an answer")
        return body.decode().strip()

    async def _client(self) -> None:
        while self._tasks:
            try:
                name = await self.ask()
            except OSError as error:  # a timeout is one too
                self.failures += 1
                self.last_failure = str(error) or type(error).__name__
            else:
                now = time.monotonic()
                self.answers[name] += 1
                self.last_answer[name] = now
                self._recent.append((now, name))
            await asyncio.sleep(_PAUSE)
