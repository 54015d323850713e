"""Running totals per listener that survive reloads, restarts of haproxy and of the agent.

PURE. Every worker counts from zero. A total is what ended workers had counted when they were
last seen, plus what living workers show now. At most the last second of a worker is lost.
Workers are named by process id and start time, so that a reused process id is not mistaken.
A listener that no worker shows may only be out of service: the last of those are remembered.
Kept by observer, which also stores it.
"""

from collections.abc import Mapping

from msgspec import Struct, field

from fairlead.wire.heartbeat import Counters

PerListener = dict[str, Counters]
_REMEMBERED = 100


class Totals(Struct):
    """`ended` sums up workers that are gone; `living` is what each living worker last showed."""

    ended: dict[str, Counters] = field(default_factory=dict)
    living: dict[str, dict[str, Counters]] = field(default_factory=dict)

    def update(self, workers: Mapping[str, PerListener]) -> PerListener:
        """Take in what the living workers show now, and return the totals per listener id."""
        for name in self.living.keys() - workers.keys():
            _add(self.ended, self.living[name], active=False)
        self.living = dict(workers)
        self._forget()
        return self.now()

    def _forget(self) -> None:
        """Of what no worker shows keep what ended last; with no worker nothing is known."""
        shown = {listener for worker in self.living.values() for listener in worker}
        absent = [listener for listener in self.ended if listener not in shown]
        for listener in absent[:-_REMEMBERED] if self.living else ():
            del self.ended[listener]

    def now(self) -> PerListener:
        """The totals per listener id, of every listener that is remembered."""
        sums = dict(self.ended)
        for shown in self.living.values():
            _add(sums, shown, active=True)
        return sums


def _add(sums: PerListener, shown: PerListener, *, active: bool) -> None:
    for listener, more in shown.items():
        so_far = sums.pop(listener, Counters())  # What changed last comes last.
        sums[listener] = Counters(
            bytes_in=so_far.bytes_in + more.bytes_in,
            bytes_out=so_far.bytes_out + more.bytes_out,
            active_connections=so_far.active_connections + more.active_connections * active,
            total_connections=so_far.total_connections + more.total_connections,
            request_errors=so_far.request_errors + more.request_errors,
        )
