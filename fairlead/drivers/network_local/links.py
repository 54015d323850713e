"""Bridges in the network namespace of the caller.

Invariants: a bridge of ours is up, learns and forwards at once (no STP, no forward delay, no
multicast snooping), keeps its MAC when ports come and go, and the host has exactly the addresses
on it that it was given. A bridge without host addresses is invisible to the host's IP stack: it
answers no ARP and has no IPv6. Netlink, no child process. Called by the driver.
"""

import errno
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from fairlead.errors import Permanent

MTU = 1500
_IFA_F_NODAD = 0x02
_SCOPE_LINK = 253
_SYSCTL = Path("/proc/sys/net")
_ISOLATED = {"ipv6/conf/{}/disable_ipv6": "1", "ipv4/conf/{}/arp_ignore": "8"}
# No machine on a bridge of ours may teach the host a route.
_WITH_HOST = {
    "ipv6/conf/{}/disable_ipv6": "0",
    "ipv6/conf/{}/accept_dad": "0",
    "ipv6/conf/{}/accept_ra": "0",
    "ipv6/conf/{}/accept_redirects": "0",
}


def exists(bridge: str) -> bool:
    """Whether an interface of that name is there: one system call."""
    try:
        socket.if_nametoindex(bridge)
    except OSError:
        return False
    return True


async def ensure_bridges(wanted: Mapping[str, tuple[str, Sequence[str]]]) -> None:
    """Make each bridge as described: name -> (MAC, host addresses in prefix form)."""
    async with AsyncIPRoute() as netlink:
        for bridge, (mac, addresses) in wanted.items():
            try:
                await _ensure(netlink, bridge, mac, addresses)
            except NetlinkError as error:
                raise Permanent(f"Bridge {bridge} cannot be set up: {error}") from error


async def remove_bridges(prefix: str, *, keep: frozenset[str] = frozenset()) -> None:
    """Delete every bridge whose name starts with `prefix` and is not in `keep`."""
    async with AsyncIPRoute() as netlink:
        for link in [found async for found in await netlink.get_links()]:
            name = str(link.get("ifname"))
            if _kind(link) == "bridge" and name.startswith(prefix) and name not in keep:
                await _delete(netlink, link["index"])


async def ranges_in_use() -> list[str]:
    """Every range the host has an address in or a route to, default routes left out."""
    async with AsyncIPRoute() as netlink:
        found = [
            f"{address.get('address')}/{address['prefixlen']}"
            async for address in await netlink.get_addr()
        ]
        found += [
            f"{route.get('dst')}/{route['dst_len']}"
            async for route in await netlink.get_routes()
            if route.get("dst")
            and route["dst_len"]
            and route["family"] in (socket.AF_INET, socket.AF_INET6)
        ]
    return found


def allow_forwarding(families: frozenset[int]) -> None:
    """Let the host route the given IP versions, so that members behind it are reachable.

    An interface that learns its IPv6 routes from router advertisements goes on doing so.
    """
    if 4 in families:
        _write("ipv4/ip_forward", "1")
    if 6 in families and _read("ipv6/conf/all/forwarding") != "1":
        for accept_ra in sorted(_SYSCTL.glob("ipv6/conf/*/accept_ra")):
            path = str(accept_ra.relative_to(_SYSCTL))
            if _read(path) == "1":
                _write(path, "2")
        _write("ipv6/conf/all/forwarding", "1")


async def _ensure(netlink: AsyncIPRoute, bridge: str, mac: str, addresses: Sequence[str]) -> None:
    if not exists(bridge):
        await _add(netlink, bridge, mac)
    index = socket.if_nametoindex(bridge)
    for path, value in (_WITH_HOST if addresses else _ISOLATED).items():
        _write(path.format(bridge), value)
    await netlink.link(
        "set",
        index=index,
        kind="bridge",
        br_stp_state=0,
        br_forward_delay=0,
        br_mcast_snooping=0,
    )
    await netlink.link("set", index=index, address=mac, mtu=MTU, state="up")
    await _set_addresses(netlink, index, addresses)


async def _add(netlink: AsyncIPRoute, bridge: str, mac: str) -> None:
    try:
        await netlink.link("add", ifname=bridge, kind="bridge", address=mac)
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise


async def _set_addresses(netlink: AsyncIPRoute, index: int, wanted: Sequence[str]) -> None:
    present = {
        f"{found.get('address')}/{found['prefixlen']}"
        async for found in await netlink.get_addr(index=index)
        if found["scope"] != _SCOPE_LINK
    }
    for gone in present.difference(wanted):
        address, prefix = gone.split("/")
        await netlink.addr("del", index=index, address=address, prefixlen=int(prefix))
    for prefixed in wanted:
        address, prefix = prefixed.split("/")
        flags = {"flags": _IFA_F_NODAD} if ":" in address else {}
        await netlink.addr("replace", index=index, address=address, prefixlen=int(prefix), **flags)


async def _delete(netlink: AsyncIPRoute, index: int) -> None:
    try:
        await netlink.link("del", index=index)
    except NetlinkError as error:
        if error.code != errno.ENODEV:
            raise


def _kind(link: Mapping[str, object]) -> str | None:
    info = link.get("linkinfo")
    return info.get("kind") if info is not None else None  # type: ignore[attr-defined]  # pyroute2 has no types


def _read(path: str) -> str | None:
    try:
        return (_SYSCTL / path).read_text().strip()
    except FileNotFoundError:  # the kernel has no IPv6
        return None


def _write(path: str, value: str) -> None:
    """Set a kernel parameter unless it has the value; `Permanent` when that is not allowed."""
    if _read(path) in (None, value):
        return
    try:
        (_SYSCTL / path).write_text(value)
    except OSError as error:
        raise Permanent(f"Kernel parameter net/{path} cannot be set: {error}") from error
