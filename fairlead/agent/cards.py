"""Bringing the amphora's network cards into the state a configuration asks for.

Reads with `ip -j`, writes with `ip -batch`, and announces every address that was added, and those
that are confirmed. Not safe for concurrent use: apply holds the lock.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from fairlead.agent import log
from fairlead.agent.announce import announce
from fairlead.agent.commands import run
from fairlead.agent.interfaces import World, added, cards, changes, settling
from fairlead.errors import Retryable
from fairlead.wire.amphora import Interface

_ROUNDS = 5
_SETTLING_TRIES = 50
_SECOND_ANNOUNCEMENT = 1.0


async def observe() -> World:
    """Links, routes and rules of both families; `Retryable` when `ip` fails."""
    both, six = await asyncio.gather(
        _ip("-j", "-batch", "-", feed="addr show\nroute show table all\nrule show\n"),
        _ip("-j", "-6", "rule", "show"),
    )
    links, routes, rules = (msgspec.json.decode(part or "[]") for part in both.splitlines())
    return World(links, routes, rules + msgspec.json.decode(six or "[]"))


async def settle(world: World, interfaces: Sequence[Interface], *, prune: bool) -> World:
    """Make the cards have what `interfaces` list and, with `prune`, nothing else.

    `world` is what was observed before; returns what is so now. `Retryable` names a MAC that is
    missing, or carries the words of `ip`.
    """
    for _ in range(_ROUNDS):
        found = cards(world, interfaces)
        lines = changes(world, found, prune=prune)
        if not lines:
            return world
        await _change(lines)
        log.event("interfaces changed", changes=len(lines), prune=prune)
        macs = {card.name: card.wanted.mac for card in found}
        for device, address in added(lines):
            _announce(device, macs[device], address)
        world = await _settled(interfaces)
    raise Retryable("the network cards do not take their addresses and routes")


def confirm(world: World, interfaces: Sequence[Interface]) -> None:
    """Tell the neighbours once more where the virtual addresses are: others had them, too."""
    for card in cards(world, interfaces):
        for address in card.wanted.virtual:
            _announce(card.name, card.wanted.mac, address.partition("/")[0])


def _announce(device: str, mac: str, address: str) -> None:
    """Twice: one may be lost."""
    announce(device, mac, address)
    loop = asyncio.get_running_loop()
    loop.call_later(_SECOND_ANNOUNCEMENT, announce, device, mac, address)


async def _change(lines: Sequence[str]) -> None:
    """Run a batch; `ip` takes rules to be IPv4's unless it is told otherwise for the whole run."""
    six = [line for line in lines if line.startswith("rule ") and ":" in line]
    for options, part in ((), [line for line in lines if line not in six]), (("-6",), six):
        if part:
            await _ip(*options, "-batch", "-", feed="\n".join(part) + "\n")


async def _settled(interfaces: Sequence[Interface]) -> World:
    """The world once new addresses can be bound, or as it is after a second."""
    world = await observe()
    for _ in range(_SETTLING_TRIES):
        if not settling(cards(world, interfaces)):
            break
        await asyncio.sleep(0.02)
        world = await observe()
    return world


async def _ip(*arguments: str, feed: str = "") -> str:
    outcome = await run("ip", *arguments, feed=feed)
    if outcome.status != 0:
        raise Retryable(f"ip refused: {' '.join(outcome.stderr.split())[:500]}")
    return outcome.stdout
