"""Which address, which range, which name: the choices of the local network driver.

PURE. Everything is derived from the arguments, so that a repeated call after a crash chooses the
same again. Addresses are texts in their canonical form; `seed` spreads choices over a range so
that concurrent callers rarely meet. Called by the driver, its VIP rules and its start.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from fairlead.errors import Refused

IPNetwork = IPv4Network | IPv6Network
_WINDOW = 1 << 32


def parse_cidr(text: str) -> IPNetwork:
    """A unicast range that a network can use; host bits are cut. `Refused` names `cidr`."""
    try:
        network = ip_network(text, strict=False)
    except ValueError as error:
        raise Refused(
            f"Invalid input for field/attribute cidr. Value: '{text}'. "
            "It must be an address range such as 192.0.2.0/24."
        ) from error
    unusable = (network.is_multicast, network.is_loopback, network.is_link_local)
    if any(unusable) or network.network_address.is_unspecified:
        raise Refused(
            f"Invalid input for field/attribute cidr. Value: '{text}'. "
            "Multicast, loopback, link-local and unspecified ranges cannot be used."
        )
    return network


def parse_address(text: str, field: str) -> IPv4Address | IPv6Address:
    """The address without a zone; `Refused` names `field`."""
    try:
        address = ip_address(text)
    except ValueError as error:
        raise _bad(field, text, "It must be an IPv4 or IPv6 address.") from error
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise _bad(field, text, "An address with a zone cannot be used.")
    return address


def check_address(text: str, field: str, cidr: str, gateway: str | None) -> str:
    """`text` in canonical form, if a port may have it in `cidr`; else `Refused` names the rule."""
    address = parse_address(text, field)
    network = ip_network(cidr)
    if address.version != network.version or address not in network:
        raise _bad(field, text, f"It is outside the subnet's range {cidr}.")
    first, last = _usable(network)
    if int(address) < first:
        raise _bad(field, text, f"It is the network address of {cidr}.")
    if int(address) > last:
        raise _bad(field, text, f"It is the broadcast address of {cidr}.")
    if str(address) == gateway:
        raise _bad(field, text, f"It is the gateway of {cidr}.")
    return str(address)


def free_address(cidr: str, gateway: str | None, used: Collection[str], seed: str) -> str | None:
    """An address of `cidr` that is neither reserved nor used, or None when there is none.

    Reserved are the gateway and, in ranges of more than two addresses, the network address and
    the IPv4 broadcast address.
    """
    network = ip_network(cidr)
    first, last = _usable(network)
    size = min(last - first + 1, _WINDOW)
    make = type(network.network_address)
    start = _digest(cidr, seed) % size
    for step in range(min(size, len(used) + 2)):
        candidate = str(make(first + (start + step) % size))
        if candidate != gateway and candidate not in used:
            return candidate
    return None


def count_free(cidr: str, gateway: str | None, used: Collection[str]) -> int:
    """How many addresses of `cidr` are neither reserved nor used."""
    first, last = _usable(ip_network(cidr))
    return last - first + 1 - len(set(used) | ({gateway} if gateway else set()))


def first_host(cidr: str) -> str:
    """The lowest address a machine may have: what the host takes as gateway of its networks."""
    network = ip_network(cidr)
    return str(type(network.network_address)(_usable(network)[0]))


def overlaps(one: IPNetwork, other: IPNetwork) -> bool:
    """Whether two ranges share an address; ranges of two families never do."""
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and one.overlaps(other)
    return isinstance(other, IPv6Network) and one.overlaps(other)


def choose_free(candidates: Iterable[str], in_use: Iterable[str]) -> str:
    """The first candidate range that overlaps nothing in use; `Refused` when all do."""
    taken = [ip_network(cidr, strict=False) for cidr in in_use]
    for candidate in candidates:
        network = ip_network(candidate)
        if not any(overlaps(network, other) for other in taken):
            return candidate
    raise Refused("Every address range known for a local network is in use on this host.")


def management_candidates() -> Iterator[str]:
    """Ranges for the management network: from the top of the shared space 100.64.0.0/10."""
    for second in range(127, 63, -1):
        yield f"100.{second}.0.0/20"


def default_candidates() -> Iterator[str]:
    """IPv4 ranges for the default network."""
    yield from (f"172.30.{third}.0/24" for third in range(256))
    yield from (f"10.{second}.0.0/24" for second in range(255, -1, -1))


def default_candidates_v6(instance: str) -> Iterator[str]:
    """Unique local IPv6 ranges for the default network, different for every instance."""
    for attempt in range(16):
        random40 = _digest("ula", instance, str(attempt)) % (1 << 40)
        prefix = (0xFD << 120) | (random40 << 80)
        yield f"{IPv6Address(prefix)}/64"


def bridge_name(instance: str, network_id: str) -> str:
    """The name of a network's bridge: 15 characters, the longest that Linux takes."""
    return f"fl{instance}{hashlib.sha256(network_id.encode()).hexdigest()[:7]}"


def mac_of(instance: str, thing_id: str, attempt: int = 0) -> str:
    """A locally administered unicast MAC address; `attempt` steps to another one."""
    number = _digest("mac", instance, thing_id, str(attempt)) % (1 << 40)
    return ":".join(f"{byte:02x}" for byte in b"\x02" + number.to_bytes(5, "big"))


def _usable(network: IPNetwork) -> tuple[int, int]:
    """The lowest and highest address that machines may have, as numbers."""
    first, last = int(network.network_address), int(network.broadcast_address)
    if network.num_addresses <= 2:
        return first, last
    return first + 1, last - 1 if network.version == 4 else last


def _digest(*parts: str) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:8], "big")


def _bad(field: str, value: str, rule: str) -> Refused:
    return Refused(f"Invalid input for field/attribute {field}. Value: '{value}'. {rule}")
