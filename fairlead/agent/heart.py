"""Sends heartbeats: about every interval, and at once when something changed state.

Sequence numbers grow over all reports of one life of the agent; `boot` names that life. A report
that does not fit one datagram is split by halves (see wire.heartbeat). Nobody answers, and an
unreachable health manager is only logged. Called by main; server asks it for reports.
"""

import asyncio
import os
import socket
import time
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from fairlead.agent import log
from fairlead.agent.apply import Applier
from fairlead.agent.observer import Observer, Seen
from fairlead.wire.boot import Boot
from fairlead.wire.heartbeat import Report, seal

LOOK_SECONDS = 0.8  # an edge shall be known to the API in under a second
MAX_DATAGRAM = 60_000


class Heart:
    """One life of the agent, as health managers see it."""

    def __init__(self, boot: Boot, applier: Applier, observer: Observer) -> None:
        self._boot = boot
        self._applier = applier
        self._observer = observer
        self._life = os.urandom(8).hex()
        self._sequence = 0
        self._targets = [_target(text) for text in boot.health_managers]
        self._trouble: dict[str, str] = {}

    async def beat(self) -> None:
        """Look all the time and send what is due, for ever."""
        sent: Seen | None = None
        sent_at = 0.0
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as four,
            socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six,
        ):
            four.setblocking(False)
            six.setblocking(False)
            while True:
                seen = await self._observer.look(patient=self._applier.busy)
                applied = self._applier.applied.is_set()
                self._applier.applied.clear()
                edge = applied or (sent is not None and _states(sent) != _states(seen))
                if edge or time.monotonic() - sent_at >= self._boot.heartbeat_interval:
                    self._send((four, six), edge=edge)
                    sent, sent_at = seen, time.monotonic()
                await self._pause()

    def report(self, *, edge: bool = False) -> Report:
        """The amphora as it was last seen, under a sequence number of its own."""
        seen = self._observer.seen
        self._sequence += 1
        return Report(
            amphora_id=self._boot.amphora_id,
            boot=self._life,
            sequence=self._sequence,
            sent_at=time.time(),
            revision=self._applier.revision(),
            healthy=not self._applier.must_run() or seen.answers,
            edge=edge,
            listeners=seen.listeners,
            members=seen.members,
        )

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._applier.applied.wait()
        except TimeoutError:
            return

    def _send(self, sockets: Sequence[socket.socket], *, edge: bool) -> None:
        for part in self._fitting(self.report(edge=edge)):
            for family, host, port in self._targets:
                try:
                    sockets[family == socket.AF_INET6].sendto(part, (host, port))
                    self._trouble.pop(host, None)
                except OSError as error:
                    self._complain(host, error.strerror or "unreachable")

    def _complain(self, host: str, reason: str) -> None:
        if self._trouble.get(host) != reason:
            self._trouble[host] = reason
            log.event("heartbeat not sent", health_manager=host, reason=reason)

    def _fitting(self, report: Report) -> Iterator[bytes]:
        """Datagrams of at most MAX_DATAGRAM bytes that together say what `report` says."""
        datagram = seal(report, self._boot.heartbeat_key)
        if len(datagram) <= MAX_DATAGRAM:
            yield datagram
            return
        for half in halves(report):
            self._sequence += 1
            yield from self._fitting(replace(half, sequence=self._sequence))


def halves(report: Report) -> tuple[Report, Report]:
    """Two reports with half of the listeners and half of the members each."""
    listeners, members = report.listeners, report.members
    at, among = len(listeners) // 2, len(members) // 2
    return (
        replace(report, listeners=listeners[:at], members=members[:among]),
        replace(report, listeners=listeners[at:], members=members[among:]),
    )


def _states(seen: Seen) -> object:
    """What makes an edge when it changes; counters do not."""
    return (
        seen.answers,
        {listener.id: listener.state for listener in seen.listeners},
        {(member.pool_id, member.id): member.state for member in seen.members},
    )


def _target(text: str) -> tuple[socket.AddressFamily, str, int]:
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    return (socket.AF_INET6 if ":" in host else socket.AF_INET), host, int(port)
