"""Putting a configuration in force, and keeping it there.

Invariants: one change at a time; an epoch below the highest seen is fenced; a failed change
leaves the last good configuration running and on disk; while it is unknown what haproxy runs
(a change was begun and not finished) no revision is claimed and the next change reloads. What is
new on the cards is added before haproxy changes and what is old is removed after, so that a
refused change has nothing to undo and an accepted one drops nothing. VIPs alone are taken after
haproxy started: until then another amphora may have them. Called by server and main.
"""

import asyncio
import socket

from msgspec.structs import replace

from fairlead.agent import cards, log
from fairlead.agent.haproxy import Haproxy, StillRuns
from fairlead.agent.home import Home
from fairlead.agent.interfaces import World
from fairlead.agent.interfaces import cards as find_cards
from fairlead.agent.observer import Observer
from fairlead.agent.runtime import equally_valid
from fairlead.errors import Fenced, Permanent, Retryable
from fairlead.wire.amphora import AmphoraConfig, Applied, Interface, without_contents

_WATCH_SECONDS = 1.0
_LONGEST_PAUSE = 10.0


class Applier:
    """The desired configuration and what is known of the running one."""

    def __init__(self, home: Home, haproxy: Haproxy, observer: Observer) -> None:
        self._home = home
        self._haproxy = haproxy
        self._observer = observer
        self._good = home.good()
        self._certain = home.certain() and self._installed()
        self._cards: frozenset[int] | None = frozenset()
        self._lock = asyncio.Lock()
        self.applied = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Whether a change is under way, so that what haproxy shows means little."""
        return self._lock.locked()

    def must_run(self) -> bool:
        """Whether the last good configuration has a listener."""
        return self._good is not None and self._good.haproxy_cfg != ""

    def revision(self) -> str | None:
        """What is in force.

        None while that is unknown, haproxy is down or does not answer, or a card is gone.
        """
        if self._good is None or not self._certain or not self._plugged():
            return None
        if self.must_run() and (self._haproxy.pid() is None or self._observer.silent):
            return None
        return self._good.revision

    def held(self) -> dict[str, str]:
        """Names of the certificates that are here, by the source each was read from."""
        known = self._good.sources if self._good else {}
        return {source: name for source, name in known.items() if self._home.has_file(name)}

    async def apply(self, config: AmphoraConfig) -> Applied:
        """Put `config` in force.

        `Fenced`; `Permanent` with haproxy's words when the check fails; `Retryable` with what
        went wrong otherwise.
        """
        async with self._lock:
            if config.epoch < self._home.epoch():
                raise Fenced(f"epoch {config.epoch} is older than {self._home.epoch()}")
            self._home.raise_epoch(config.epoch)
            try:
                how = await self._bring_about(config)
            except (Permanent, Retryable) as error:
                log.event("configuration refused", revision=config.revision, reason=str(error))
                raise
            finally:
                self._home.keep_files(self._good.files if self._good else ())
            log.event("configuration applied", revision=config.revision, how=how)
        self.applied.set()
        return Applied(revision=config.revision, how=how)

    async def adopt(self) -> None:
        """At the agent's start: give the cards what they had, and start haproxy if it is down."""
        async with self._lock:
            if self._good is not None:
                await self._restore_cards(self._good.interfaces)
        log.event(
            "adopted", revision=self.revision(), certain=self._certain, haproxy=self._haproxy.pid()
        )

    async def watch(self) -> None:
        """Start haproxy again whenever it should run and does not, or hangs.

        Pauses grow with failures.
        """
        pause = _WATCH_SECONDS
        while True:
            try:
                async with self._lock:
                    await self._revive()
                pause = _WATCH_SECONDS
            except (Retryable, OSError) as error:
                log.event("haproxy not revived", reason=str(error))
                pause = min(2 * pause, _LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def finish(self) -> None:
        """Wait for a change under way and keep the counters: the agent is about to end."""
        async with self._lock:
            self._observer.save()

    async def _revive(self) -> None:
        if self._good is None or not self.must_run():
            return
        if self._observer.hung:
            log.event("haproxy hangs", pid=self._haproxy.pid())
            await self._haproxy.kill()
            self._observer.absent()
        if self._haproxy.pid() is not None:
            return
        await self._restore_cards(self._good.interfaces)
        await self._start(self._good.haproxy_cfg)
        self._settle(None)

    async def _start(self, text: str) -> None:
        """Start haproxy, and know at once that it answers."""
        self._haproxy.install(text)
        await self._haproxy.start()
        await self._observer.look(patient=True)

    async def _bring_about(self, config: AmphoraConfig) -> str:
        if config.revision == self.revision():
            await self._settle_cards(await cards.observe(), config.interfaces)
            cards.confirm(await cards.observe(), config.interfaces)
            return "unchanged"
        self._home.put_files(config.files)
        world, _ = await asyncio.gather(cards.observe(), self._check(config))
        find_cards(world, config.interfaces)
        known = self._good if self._certain else None
        try:
            world = await cards.settle(world, self._at_first(config), prune=False)
            self._home.begin()
            self._certain = False
            how = await self._change_haproxy(known, config)
            await self._settle_cards(world, config.interfaces)
        except Retryable as error:
            await self._roll_back()
            adjusted = known is not None and known.skeleton == config.skeleton
            if known is not None and isinstance(error, StillRuns) and not adjusted:
                self._settle(None)
            raise
        self._settle(without_contents(config))
        return how

    def _at_first(self, config: AmphoraConfig) -> tuple[Interface, ...]:
        """The cards before haproxy changes: one that is about to start takes no VIP yet.

        haproxy binds addresses that are not there. Until it answers, who serves now goes on.
        """
        if not config.haproxy_cfg or self._haproxy.pid() is not None:
            return config.interfaces
        return tuple(
            replace(one, addresses=tuple(a for a in one.addresses if a not in one.virtual))
            for one in config.interfaces
        )

    async def _check(self, config: AmphoraConfig) -> None:
        """Have haproxy check it, unless only servers' weights and states differ: 20 ms of CPU."""
        if not config.haproxy_cfg:
            return
        if self._good is None or not equally_valid(self._good.haproxy_cfg, config.haproxy_cfg):
            await self._haproxy.check(config.haproxy_cfg)

    async def _change_haproxy(self, known: AmphoraConfig | None, config: AmphoraConfig) -> str:
        """`known` is what haproxy runs, None when nobody knows."""
        haproxy, text = self._haproxy, config.haproxy_cfg
        if not text:
            await haproxy.stop()
            return "runtime"
        if haproxy.pid() is None:
            await self._start(text)
            return "start"
        servers = known.servers if known else ()
        same_skeleton = known is not None and known.skeleton == config.skeleton
        if same_skeleton and await haproxy.adjust(servers, config.servers):
            haproxy.install(text)
            return "runtime"
        await self._observer.look(patient=True)
        haproxy.install(text)
        await haproxy.reload(servers, config.servers)
        return "reload"

    async def _roll_back(self) -> None:
        """Put the last good configuration back where a start would find it."""
        if self._good is None:
            return
        if self._good.haproxy_cfg:
            self._haproxy.install(self._good.haproxy_cfg)
        await self._restore_cards(self._good.interfaces)

    async def _restore_cards(self, interfaces: tuple[Interface, ...]) -> None:
        """As far as it goes: a card may be unplugged, and the controller will be back."""
        try:
            await self._settle_cards(await cards.observe(), interfaces)
        except Retryable as error:
            self._cards = None
            log.event("cards not restored", reason=str(error))

    async def _settle_cards(self, world: World, interfaces: tuple[Interface, ...]) -> None:
        """Give the cards exactly what they shall have, and remember which cards those are."""
        world = await cards.settle(world, interfaces, prune=True)
        self._cards = frozenset(card.number for card in find_cards(world, interfaces))

    def _plugged(self) -> bool:
        """Whether the cards that were set up are still there: a new one has a new number."""
        present = {number for number, _ in socket.if_nameindex()}
        return self._cards is not None and self._cards <= present

    def _settle(self, config: AmphoraConfig | None) -> None:
        """From here on it is known that `config`, or else the last good one, is in force."""
        self._home.finish(config)
        self._good = config or self._good
        self._certain = True

    def _installed(self) -> bool:
        """Whether haproxy.cfg is the last good configuration."""
        try:
            text = self._home.haproxy_cfg.read_text()
        except FileNotFoundError:
            text = ""
        return self._good is not None and text == self._good.haproxy_cfg
