"""Heartbeats that were refused: counted, and told of once a minute.

Whoever can send to the health manager's port can send nonsense as fast as the network carries it;
a log line for each would fill a disk. Used by health.py.
"""

from collections import Counter

import structlog

from fairlead.ports import Clock

log = structlog.get_logger()
_TELL_EVERY = 60.0


class Refusals:
    """Counts by reason since the start (`total`); `told` is how often the log has told of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._untold: Counter[str] = Counter()
        self._next = clock.monotonic()
        self.total: Counter[str] = Counter()
        self.told = 0

    def add(self, reason: str) -> None:
        """Count one; the first is told at once, later ones when their minute is over."""
        self.total[reason] += 1
        self._untold[reason] += 1
        now = self._clock.monotonic()
        if now >= self._next:
            log.warning("heartbeats refused", count=self._untold.total(), why=dict(self._untold))
            self._untold.clear()
            self._next = now + _TELL_EVERY
            self.told += 1
