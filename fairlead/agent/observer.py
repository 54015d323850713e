"""What haproxy shows about itself, kept current for heartbeats and status answers.

Invariants: totals never shrink; one failed look changes nothing, a row of them makes haproxy
unhealthy and `hung`, upon which apply starts it anew. Old workers are asked too, so that
connections which outlive a reload are counted.
Called by heart (all the time), apply (before a reload, after a start) and the server (on request).
"""

import asyncio
from pathlib import Path

from msgspec import Struct

from fairlead.agent import log, reports
from fairlead.agent.haproxy import Haproxy
from fairlead.agent.home import Home
from fairlead.agent.master import StatRow
from fairlead.agent.totals import PerListener, Totals
from fairlead.errors import Retryable
from fairlead.wire.heartbeat import ListenerReport, MemberReport

_LOOKS_BETWEEN_SAVES = 10
_PATIENCE = 3


class Seen(Struct, frozen=True, kw_only=True):
    """One look at haproxy; `answers` is false when it does not run or has hung."""

    answers: bool = False
    listeners: tuple[ListenerReport, ...] = ()
    members: tuple[MemberReport, ...] = ()


class Observer:
    """The newest look, and the totals that outlive workers."""

    def __init__(self, home: Home, haproxy: Haproxy) -> None:
        self._home = home
        self._haproxy = haproxy
        self._totals = home.read(home.counters, Totals) or Totals()
        self._lock = asyncio.Lock()
        self._looks = 0
        self._failures = 0
        self.seen = Seen()

    @property
    def hung(self) -> bool:
        """Whether haproxy lives and has not answered for several looks."""
        return self._failures >= _PATIENCE

    @property
    def silent(self) -> bool:
        """Whether haproxy was asked and nothing is known to be answering."""
        return self._looks > 0 and not self.seen.answers

    def absent(self) -> None:
        """Take in that no haproxy runs: what its workers had counted is kept."""
        self._totals.update({})
        self._failures = 0
        self.seen = Seen()

    async def look(self, *, patient: bool) -> Seen:
        """Look now; the result also stays in `seen`.

        `patient` while a change is under way: then a haproxy that lives has reason to be silent.
        """
        async with self._lock:
            if self._haproxy.pid() is None:
                self.absent()
                return self.seen
            try:
                self.seen = await self._ask()
                self._failures = 0
            except Retryable:
                self._failures += not patient
                if self._failures >= _PATIENCE:
                    self.seen = Seen()
            self._looks += 1
            if self._looks % _LOOKS_BETWEEN_SAVES == 0:
                self.save()
                self._haproxy.trim_log()
            return self.seen

    def save(self) -> None:
        """Keep the totals for the agent's next life; a full disk is no reason to end this one."""
        try:
            self._home.write(self._home.counters, self._totals)
        except OSError as error:
            log.event("counters not kept", reason=error.strerror)

    async def _ask(self) -> Seen:
        workers = (await self._haproxy.master.processes()).workers
        if not workers:
            raise Retryable("haproxy has no worker")
        rows = await self._haproxy.master.statistics(workers[0], servers=True)
        shown = {_life(workers[0]): reports.counters(rows)}
        for old in await asyncio.gather(*map(self._ask_old, workers[1:])):
            shown.update(old)
        return Seen(
            answers=True,
            listeners=reports.listener_reports(rows, self._totals.update(shown)),
            members=reports.member_reports(rows),
        )

    async def _ask_old(self, worker: int) -> dict[str, PerListener]:
        """An old worker's counters, the last known ones if it is just ending or hangs."""
        life = _life(worker)
        try:
            rows: list[StatRow] = await self._haproxy.master.statistics(worker, servers=False)
        except Retryable:
            return {life: self._totals.living[life]} if life in self._totals.living else {}
        return {life: reports.counters(rows)}


def _life(pid: int) -> str:
    """A process id with the process's start time (proc(5), field 22 of stat)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        raise Retryable("a worker of haproxy has just ended") from None
    return f"{pid}:{fields[19]}"
