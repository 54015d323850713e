"""What to tell `ip` so that the amphora's cards are as they shall be.

PURE. `World` is what `ip -j` shows; `changes` gives the batch lines that are missing. Every card
keeps its routes twice: in the main table, the first listed card preferred, and in a table of its
own that traffic from the card's addresses uses, so that a reply from a VIP leaves by the VIP's
card. Rules with our priority are ours, and so are all routes of a listed card but the kernel's;
cards that are not listed are not touched. Called by cards.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network
from typing import Any, NamedTuple

from fairlead.errors import Retryable
from fairlead.wire.amphora import Interface

PRIORITY = 10000
_MAIN = 0
_METRIC = 100
_NEVER = frozenset({"lo", "mgmt0"})

Address = IPv4Interface | IPv6Interface


class World(NamedTuple):
    """The answers of "ip -j addr", "ip -j route show table all" and "ip -j rule", decoded."""

    links: Sequence[Mapping[str, Any]]
    routes: Sequence[Mapping[str, Any]]
    rules: Sequence[Mapping[str, Any]]


class Card(NamedTuple):
    """A present card with what it shall be; `position` is its place in the configuration."""

    name: str
    number: int
    position: int
    wanted: Interface
    link: Mapping[str, Any]

    @property
    def table(self) -> int:
        """The card's own routing table."""
        return PRIORITY + self.number

    @property
    def addresses(self) -> list[Address]:
        """The addresses it shall have."""
        return [ip_interface(text) for text in self.wanted.addresses]

    def first(self, version: int) -> str | None:
        """The address of a family that traffic leaving here comes from."""
        return next((str(a.ip) for a in self.addresses if a.version == version), None)


class RouteLine(NamedTuple):
    """A route as both sides of the comparison write it."""

    table: int
    destination: str
    via: str | None
    metric: int
    source: str | None

    @property
    def place(self) -> tuple[int, str, int]:
        """Where the kernel keeps one route: setting another there replaces it."""
        return self.table, self.destination, self.metric

    def line(self, device: str) -> str:
        """What `ip route replace` and `ip route del` take."""
        via = f" via {self.via}" if self.via else ""
        source = f" src {self.source}" if self.source else ""
        table = f" table {self.table}" if self.table else ""
        metric = f" metric {self.metric}" if self.metric else ""
        return f"{self.destination}{via} dev {device}{table}{metric}{source} proto static"


def cards(world: World, interfaces: Sequence[Interface]) -> list[Card]:
    """The cards behind `interfaces`; `Retryable` names a MAC that is not there."""
    by_mac = {link.get("address"): link for link in world.links if link["ifname"] not in _NEVER}
    found = []
    for position, interface in enumerate(interfaces):
        link = by_mac.get(interface.mac.lower())
        if link is None:
            raise Retryable(f"no network card with MAC {interface.mac} is plugged in yet")
        found.append(Card(link["ifname"], link["ifindex"], position, interface, link))
    return found


def bearer(world: World, address: str) -> str | None:
    """The name of the card that has `address`."""
    sought = ip_address(address)
    for link in world.links:
        if any(ip_address(info["local"]) == sought for info in link.get("addr_info", ())):
            return str(link["ifname"])
    return None


def changes(world: World, found: Sequence[Card], *, prune: bool) -> list[str]:
    """Batch lines that add what is missing and, with `prune`, remove what is too much.

    Removing a card's first address can take others with it: read the world again and repeat
    until nothing is left to do.
    """
    lines: list[str] = []
    for card in found:
        lines += _link(card)
        lines += _missing_addresses(card)
        have = set(_routes_seen(world.routes, card))
        lines += [f"route replace {r.line(card.name)}" for r in _routes(card) if r not in have]
    wanted_rules = {rule for card in found for rule in _rules(card)}
    seen_rules = set(_rules_seen(world.rules))
    lines += [_rule("add", rule) for rule in sorted(wanted_rules - seen_rules)]
    if prune:
        lines += [_rule("del", rule) for rule in sorted(seen_rules - wanted_rules)]
        for card in found:
            lines += _surplus(world, card)
    return lines


def added(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each address that `lines` put on a card, as device and address without prefix."""
    for line in lines:
        words = line.split()
        if words[:2] == ["addr", "replace"]:
            yield words[4], words[2].partition("/")[0]


def settling(found: Iterable[Card]) -> bool:
    """Whether an IPv6 address is still tentative: it cannot be bound for a moment more."""
    return any(info.get("tentative") for card in found for info in _addresses_seen(card))


def _link(card: Card) -> Iterator[str]:
    if card.link.get("mtu") != card.wanted.mtu:
        yield f"link set dev {card.name} mtu {card.wanted.mtu}"
    if "UP" not in card.link.get("flags", ()):
        yield f"link set dev {card.name} up"


def _missing_addresses(card: Card) -> Iterator[str]:
    """IPv6 has no order: all but the first are deprecated, so that they are no one's source."""
    have = {_text(info): info for info in _addresses_seen(card)}
    for address in card.addresses:
        text = address.with_prefixlen
        deprecated = address.version == 6 and str(address.ip) != card.first(6)
        info = have.get(text)
        if info is not None and deprecated == (info.get("preferred_life_time") == 0):
            continue
        # Without duplicate detection the address can be bound at once.
        lifetime = f" nodad preferred_lft {0 if deprecated else 'forever'}"
        yield f"addr replace {text} dev {card.name}{lifetime if address.version == 6 else ''}"


def _surplus(world: World, card: Card) -> Iterator[str]:
    wanted, seen = set(_routes(card)), set(_routes_seen(world.routes, card))
    replaced = {route.place for route in wanted - seen}
    for route in seen - wanted:
        if route.place not in replaced:
            yield f"route del {route.line(card.name).removesuffix(' proto static')}"
    keep = {address.with_prefixlen for address in card.addresses}
    misplaced = _misplaced(card)
    for info in _addresses_seen(card):
        text = _text(info)
        if text not in keep or text in misplaced:
            yield f"addr del {text} dev {card.name}"


def _misplaced(card: Card) -> set[str]:
    """IPv4 addresses that are first in their network and shall not be: they are added again."""
    first: dict[str, str] = {}
    for address in card.addresses:
        first.setdefault(str(address.network), address.with_prefixlen)
    return {
        _text(info)
        for info in _addresses_seen(card)
        if info["family"] == "inet"
        and not info.get("secondary")
        and first.get(str(ip_interface(_text(info)).network), _text(info)) != _text(info)
    }


def _addresses_seen(card: Card) -> Iterator[Mapping[str, Any]]:
    for info in card.link.get("addr_info", ()):
        if info["family"] == "inet" or (info["family"] == "inet6" and info["scope"] != "link"):
            yield info


def _text(info: Mapping[str, Any]) -> str:
    return f"{ip_address(info['local'])}/{info['prefixlen']}"


def _routes(card: Card) -> Iterator[RouteLine]:
    """The routes of a card; its own table exists only where there is one to put in."""
    for route in card.wanted.routes:
        network = ip_network(route.destination)
        via = str(ip_address(route.via))
        # A route's IPv6 source is refused while the address settles; and see _missing_addresses.
        source = card.first(4) if network.version == 4 else None
        yield RouteLine(_MAIN, str(network), via, _METRIC + card.position, source)
        yield RouteLine(card.table, str(network), via, _METRIC, source)
    if card.wanted.routes:
        sources: dict[str, str | None] = {}
        for address in card.addresses:
            source = str(address.ip) if address.version == 4 else None
            sources.setdefault(str(address.network), source)
        for destination, source in sources.items():
            yield RouteLine(card.table, destination, None, _METRIC, source)


def _routes_seen(routes: Iterable[Mapping[str, Any]], card: Card) -> Iterator[RouteLine]:
    for route in routes:
        table = route.get("table", "main")
        if route.get("dev") != card.name or table not in ("main", str(card.table)):
            continue
        if route.get("protocol") in ("kernel", "ra") or route.get("type", "unicast") != "unicast":
            continue
        via, source = route.get("gateway"), route.get("prefsrc")
        yield RouteLine(
            _MAIN if table == "main" else card.table,
            _destination(route["dst"], via),
            via,
            route.get("metric", 0),
            source,
        )


def _destination(text: str, neighbour: str | None) -> str:
    if text == "default":
        return "::/0" if neighbour is not None and ":" in neighbour else "0.0.0.0/0"
    return str(ip_network(text))


def _rules(card: Card) -> Iterator[tuple[str, int]]:
    if card.wanted.routes:
        for address in card.addresses:
            yield str(address.ip), card.table


def _rules_seen(rules: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, int]]:
    for rule in rules:
        if rule.get("priority") == PRIORITY and str(rule.get("table", "")).isdigit():
            yield rule["src"], int(rule["table"])


def _rule(verb: str, rule: tuple[str, int]) -> str:
    source, table = rule
    return f"rule {verb} priority {PRIORITY} from {source} lookup {table}"
