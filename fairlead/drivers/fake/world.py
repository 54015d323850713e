"""The state that all fakes share, and the knobs for misbehaving.

Each driver call that changes something takes `step_seconds`. `fail` makes the next calls of a named
function raise, `stall` makes one hang, `crash_after` raises `Crashed` from so many calls on, as if
the process had died there; `lose` and `stop` do to machines what power cuts do. Agents refuse a
configuration that contains one of `refused_words`. The network has what `capabilities` names, and
then every QoS policy and security group but the `unknown_ids`.
"""

import asyncio
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import count

from fairlead.domain.observed import Port, Subnet
from fairlead.errors import Retryable
from fairlead.ports import AmphoraSpec, Capability
from fairlead.wire.amphora import AmphoraConfig, Server
from fairlead.wire.heartbeat import (
    Counters,
    ListenerReport,
    MemberReport,
    Report,
    derive_key,
    seal,
)

MASTER_KEY = b"fake" * 8


class Crashed(BaseException):
    """The process died here: not an error anybody may handle."""


class FakeMachine:
    """A machine with its agent and files; every member is up unless the world says otherwise."""

    def __init__(self, spec: AmphoraSpec, life: str) -> None:
        self.spec = spec
        self.life = life
        self.running = True
        self.answers = True
        self.hangs = False
        self.healthy = True
        self.earlier = False  # of a release that knows nothing of renewed certificates
        self.certificate, self.not_after = spec.boot.certificate, spec.boot.not_after
        self.macs: dict[str, int] = {}  # with a number that no card ever had before
        self._cards = count()
        self._set_up: set[int] = set()
        self.config: AmphoraConfig | None = None
        self.configured: list[AmphoraConfig] = []
        self.files: dict[str, str] = {}
        self.epoch = 0
        self.sequence = 0
        self.counters: dict[str, Counters] = {}

    def begin(self, spec: AmphoraSpec, life: str) -> None:
        """A new life of its agent."""
        self.spec, self.life, self.sequence = spec, life, 0
        self.answers, self.hangs = True, False
        self.certificate, self.not_after = spec.boot.certificate, spec.boot.not_after

    def plug(self, mac: str) -> None:
        """Give it a card, unless it has it."""
        if mac not in self.macs:
            self.macs[mac] = next(self._cards)

    def take(self, config: AmphoraConfig) -> None:
        """Put a configuration in force; `Retryable` while it names a card that is not there."""
        missing = [i.mac for i in config.interfaces if i.mac not in self.macs]
        if missing:
            raise Retryable(f"no card with MAC {missing[0]}")
        files = {f.name: self.files.get(f.name, f.content) for f in config.files}
        self.files = {name: content for name, content in files.items() if content is not None}
        if self.files.keys() != files.keys():
            raise Retryable("a file is not here")
        self._set_up = {self.macs[i.mac] for i in config.interfaces}
        self.config, self.healthy = config, True
        self.configured.append(config)

    @property
    def revision(self) -> str | None:
        """What is in force; None also when a card that was set up is gone."""
        if self.config is None or not self._set_up <= set(self.macs.values()):
            return None
        return self.config.revision

    def report(self, sent_at: datetime, member_states: Mapping[str, str]) -> Report:
        """What the agent says now, under a sequence number of its own."""
        self.sequence += 1
        config = self.config
        lines = config.haproxy_cfg.splitlines() if config else []
        frontends = [line.split()[1] for line in lines if line.startswith("frontend ")]
        return Report(
            amphora_id=self.spec.boot.amphora_id,
            boot=self.life,
            sequence=self.sequence,
            sent_at=sent_at.timestamp(),
            revision=self.revision,
            healthy=self.healthy,
            listeners=tuple(
                ListenerReport(id=i, state="OPEN", counters=self.counters.get(i, Counters()))
                for i in frontends
            ),
            members=tuple(
                MemberReport(
                    pool_id=server.backend.split(":")[0],
                    id=server.name,
                    state=_state(server, member_states),
                )
                for server in (config.servers if config else ())
            ),
        )


class FakeWorld:
    """Ports, subnets, machines and datagrams; and failures to come."""

    def __init__(
        self,
        step_seconds: float = 0.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.step_seconds = step_seconds
        self.now = now
        self.ports: dict[str, Port] = {}
        self.users_ports: set[str] = set()
        self.subnets: dict[str, Subnet] = {}
        self.deleted_subnets: set[str] = set()
        self.capabilities: set[Capability] = set()
        self.unknown_ids: set[str] = set()
        self.machines: dict[str, FakeMachine] = {}
        self.member_states: dict[str, str] = {}
        self.refused_words: set[str] = set()
        self.datagrams: asyncio.Queue[bytes] = asyncio.Queue()
        self.flooded = False  # whether more datagrams wait whenever some were taken
        self.crash_after: int | None = None
        self.steps = 0
        self._failures: dict[str, list[Exception]] = {}
        self._stalls: dict[str, list[float]] = {}

    def fail(self, function: str, *errors: Exception) -> None:
        """Have the next calls of a function (such as "configure") raise these, in turn."""
        self._failures.setdefault(function, []).extend(errors)

    def stall(self, function: str, seconds: float = math.inf) -> None:
        """Have the next call of a function hang for that long."""
        self._stalls.setdefault(function, []).append(seconds)

    def heal(self) -> None:
        """Forget all failures and stalls that have not happened yet."""
        self._failures.clear()
        self._stalls.clear()
        self.crash_after = None

    def lose(self, amphora_id: str) -> None:
        """Have an amphora's machine vanish."""
        self.machines.pop(amphora_id, None)

    def stop(self, amphora_id: str) -> None:
        """Have the processes of an amphora's machine die."""
        self.machines[amphora_id].running = False

    def beat(self, amphora_id: str) -> bytes:
        """Have an amphora send a heartbeat; the datagram, for those who replay it."""
        report = self.machines[amphora_id].report(self.now(), self.member_states)
        datagram = seal(report, derive_key(MASTER_KEY, amphora_id))
        self.datagrams.put_nowait(datagram)
        return datagram

    async def step(self, function: str) -> None:
        """Take the time of a step, then fail or crash if asked to."""
        await asyncio.sleep(self.step_seconds)
        await self.look(function)

    async def look(self, function: str) -> None:
        """As `step`, for a call that only asks: that takes no time."""
        self.steps += 1
        stalls = self._stalls.get(function)
        if stalls:
            await _pause(stalls.pop(0))
        waiting = self._failures.get(function)
        if waiting:
            raise waiting.pop(0)
        if self.crash_after is not None:
            self.crash_after -= 1
            if self.crash_after < 0:
                raise Crashed(function)


async def _pause(seconds: float) -> None:
    if math.isinf(seconds):
        await asyncio.get_running_loop().create_future()
    await asyncio.sleep(seconds)


def _state(server: Server, member_states: Mapping[str, str]) -> str:
    if not server.enabled:
        return "MAINT"
    if server.weight == 0:
        return "DRAIN"
    usual = "UP" if "check" in server.options.split() else "NOCHECK"
    return member_states.get(server.name, usual)
