"""Network namespaces of amphorae and the cards in them: veth pairs into the host's bridges.

Invariants: a card has one name, derived from installation and MAC, at both of its ends, so that
finding it again needs no record. A pair is created by one netlink message with its inner end
already inside the namespace: a half-made pair cannot be lost on the host, and removing the
namespace removes every pair. Every function finds or creates, and repairs what differs. All
functions block for some milliseconds: the driver calls them from worker threads.

The bridges are those of the network namespace of the calling thread. The name of a namespace
lives in a mount, and the controller may have a mount namespace of its own (`ip netns exec` and
systemd make one): the name can then be lost while the amphora runs, and `ensure_namespace` gives
it again to the namespace of the living process.
"""

import ctypes
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pyroute2 import IPRoute

from fairlead.domain.observed import Port
from fairlead.errors import Retryable

T = TypeVar("T")

MANAGEMENT = "mgmt0"
NAMES = Path("/run/netns")

_CLONE_NEWNET = 0x40000000
_IFF_UP = 1
_NO_DAD = 0x02
_LIBC = ctypes.CDLL(None, use_errno=True)

# Nothing is routed between a load balancer's networks; each card answers for its own addresses
# only; addresses work at once; a VIP may be bound before it arrives; many short connections to
# a few members find ports; haproxy's external checks may run ping without privileges.
SYSCTLS = {
    "ipv4/ip_forward": "0",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv4/conf/all/arp_ignore": "1",
    "ipv4/conf/all/arp_announce": "2",
    "ipv4/conf/all/accept_redirects": "0",
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/default/send_redirects": "0",
    "ipv4/ip_nonlocal_bind": "1",
    "ipv4/ip_local_port_range": "15000 65000",
    "ipv4/tcp_tw_reuse": "1",
    "ipv4/ping_group_range": "0 2147483647",
    "ipv6/conf/all/forwarding": "0",
    "ipv6/conf/all/accept_dad": "0",
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/all/accept_ra": "0",
    "ipv6/conf/default/accept_ra": "0",
    "ipv6/conf/all/accept_redirects": "0",
    "ipv6/ip_nonlocal_bind": "1",
}


def card_name(instance: str, mac: str) -> str:
    """The name of a card at both ends: 15 characters, the most Linux takes."""
    return "fl" + hashlib.sha256(f"{instance}/{mac.lower()}".encode()).hexdigest()[:13]


def namespace_inode(path: Path) -> int | None:
    """The number of the network namespace at `path`; None when none is there (any more)."""
    try:
        found, own = path.stat(), os.stat("/proc/thread-self/ns/net")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return found.st_ino if found.st_dev == own.st_dev else None


def ensure_namespace(name: str, pid: int | None) -> None:
    """Let `name` be the namespace of the process, or a new one; with loopback and sysctls set."""
    path = NAMES / name
    found = namespace_inode(path)
    if found is None or (pid and found != namespace_inode(Path(f"/proc/{pid}/ns/net"))):
        drop_namespace(name)
        _ip_netns(*(["attach", name, str(pid)] if pid else ["add", name]))
    with opened(path) as namespace:
        inside(namespace, _prepare)


def drop_namespace(name: str) -> None:
    """Remove the name; the namespace ends with its last process or open file."""
    if os.path.lexists(NAMES / name):
        _ip_netns("del", name)


def named(prefix: str) -> list[str]:
    """What follows `prefix` in the names of namespaces, half-made ones included."""
    found = os.listdir(NAMES) if NAMES.is_dir() else []
    return [name.removeprefix(prefix) for name in found if name.startswith(prefix)]


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A file descriptor of a namespace, which lives at least as long."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def inside(namespace: int, work: Callable[[], T]) -> T:
    """Run `work` in the namespace, on a thread of its own: the caller's stays where it is."""

    def enter() -> T:
        if _LIBC.setns(namespace, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return work()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(enter).result()


def plug_management(namespace: int, host_name: str, port: Port) -> None:
    """The management card, with its addresses, cut off from those of other amphorae.

    It gets no route: whom the agent speaks with is on the segment, and traffic of users that has
    no route of its own shall not leave here.
    """
    _plug(namespace, host_name, MANAGEMENT, port, isolated=True)
    inside(namespace, lambda: _address(port))


def plug(namespace: int, name: str, port: Port) -> None:
    """A card without addresses."""
    _plug(namespace, name, name, port, isolated=False)


def unplug(namespace: int | None, name: str) -> None:
    """Remove a card, whichever of its ends can be found."""
    with IPRoute() as host:
        _remove(host, name)
    if namespace is not None:
        inside(namespace, lambda: _remove_here(name))


def unplug_all(namespace: int) -> None:
    """Remove every veth pair with an end in the namespace, and wait until it is gone."""

    def remove() -> None:
        with IPRoute() as here:
            for link in here.get_links():
                if _kind(link) == "veth":
                    here.link("del", index=link["index"])

    inside(namespace, remove)


def plugged(namespace: int) -> frozenset[str]:
    """MACs of the whole cards, management excluded: up at both ends, outer end in a bridge."""

    def mine() -> dict[str, str]:
        with IPRoute() as here:
            return {
                link.get_attr("IFLA_IFNAME"): link.get_attr("IFLA_ADDRESS")
                for link in here.get_links()
                if _kind(link) == "veth" and link["flags"] & _IFF_UP
            }

    cards = inside(namespace, mine)
    with IPRoute() as host:
        return frozenset(
            mac for name, mac in cards.items() if name != MANAGEMENT and _bridged(host, name)
        )


def _ip_netns(*arguments: str) -> None:
    subprocess.run(["ip", "netns", *arguments], check=True, capture_output=True, timeout=10)


def _prepare() -> None:
    for name, value in SYSCTLS.items():
        entry = Path("/proc/sys/net") / name
        if entry.exists():  # a kernel without IPv6 lacks some
            entry.write_text(value)
    with IPRoute() as here:
        here.link("set", index=1, state="up")


def _plug(namespace: int, outer: str, inner: str, port: Port, *, isolated: bool) -> None:
    with IPRoute() as host:
        bridge = _index(host, port.segment)
        if bridge is None:
            raise Retryable(f"The bridge {port.segment} of port {port.id} does not exist.")
        if _index(host, outer) is None or not inside(namespace, lambda: _here(inner)):
            _remove(host, outer)
            inside(namespace, lambda: _remove_here(inner))
            peer = {"ifname": inner, "net_ns_fd": namespace, "address": port.mac}
            host.link("add", ifname=outer, kind="veth", mtu=port.mtu, peer=peer)
        inside(namespace, lambda: _bring_up(inner, port))
        _quiet(outer)
        index = _index(host, outer)
        host.link("set", index=index, mtu=port.mtu, master=bridge, state="up")
        host.brport("set", index=index, isolated=int(isolated))


def _bring_up(name: str, port: Port) -> None:
    with IPRoute() as here:
        here.link("set", index=_index(here, name), address=port.mac, mtu=port.mtu, state="up")


def _quiet(name: str) -> None:
    """Keep the host from speaking IPv6 on the outer end: the amphora speaks there."""
    switch = Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6")
    if switch.exists():
        switch.write_text("1")


def _address(port: Port) -> None:
    with IPRoute() as here:
        index = _index(here, MANAGEMENT)
        for fixed in port.fixed_ips:
            address, length = fixed.prefixed.split("/")
            here.addr("replace", index=index, address=address, prefixlen=int(length), flags=_NO_DAD)


def _here(name: str) -> bool:
    with IPRoute() as here:
        return _index(here, name) is not None


def _remove_here(name: str) -> None:
    with IPRoute() as here:
        _remove(here, name)


def _remove(where: IPRoute, name: str) -> None:
    index = _index(where, name)
    if index is not None:
        where.link("del", index=index)


def _index(where: IPRoute, name: str) -> int | None:
    found: list[int] = where.link_lookup(ifname=name)
    return found[0] if found else None


def _bridged(host: IPRoute, name: str) -> bool:
    index = _index(host, name)
    link = host.get_links(index)[0] if index else None
    return bool(link and link["flags"] & _IFF_UP and link.get_attr("IFLA_MASTER"))


def _kind(link: Any) -> str | None:
    info = link.get_attr("IFLA_LINKINFO")
    return info.get_attr("IFLA_INFO_KIND") if info else None
