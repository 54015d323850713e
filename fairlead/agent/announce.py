"""Telling the neighbours on a segment which card has an address now.

Without it a VIP that moved to another amphora stays unreachable until the neighbours' caches
expire. IPv4: a gratuitous ARP request and reply (RFC 5227, section 3). IPv6: an unsolicited
neighbour advertisement with the override flag (RFC 4861, section 7.2.6). Needs CAP_NET_RAW;
a failure is logged and is no reason to refuse a configuration. Called by cards.
"""

import socket
import struct

from fairlead.agent import log

_ETH_P_ARP = 0x0806
_BROADCAST = b"\xff" * 6
_ALL_NODES = "ff02::1"
_NEIGHBOUR_ADVERTISEMENT = 136
_OVERRIDE = 0x20000000


def announce(device: str, mac: str, address: str) -> None:
    """Send one announcement of `address` out of `device`, if the address is still ours."""
    try:
        _require_ours(address)
        if ":" in address:
            _advertise(device, _mac(mac), address)
        else:
            _gratuitous_arp(device, _mac(mac), address)
    except OSError as error:
        log.event("address not announced", device=device, address=address, error=error.strerror)


def arp_frame(mac: bytes, address: bytes, operation: int) -> bytes:
    """An Ethernet frame that says `address` is at `mac`; operation 1 is request, 2 reply."""
    target = b"\0" * 6 if operation == 1 else _BROADCAST
    ethernet = _BROADCAST + mac + struct.pack("!H", _ETH_P_ARP)
    return (
        ethernet
        + struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
        + (mac + address + target + address)
    )


def advertisement(mac: bytes, address: bytes) -> bytes:
    """The ICMPv6 message; the kernel fills in its checksum."""
    head = struct.pack("!BBHI", _NEIGHBOUR_ADVERTISEMENT, 0, 0, _OVERRIDE)
    target_link_layer_address = struct.pack("!BB", 2, 1) + mac
    return head + address + target_link_layer_address


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _require_ours(address: str) -> None:
    """Only a local address can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))


def _gratuitous_arp(device: str, mac: bytes, address: str) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ARP)) as link:
        link.bind((device, _ETH_P_ARP))
        for operation in (1, 2):
            link.send(arp_frame(mac, socket.inet_aton(address), operation))


def _advertise(device: str, mac: bytes, address: str) -> None:
    index = socket.if_nametoindex(device)
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as icmp:
        icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        icmp.bind((address, 0, 0, index))
        message = advertisement(mac, socket.inet_pton(socket.AF_INET6, address))
        icmp.sendto(message, (_ALL_NODES, 0, 0, index))
