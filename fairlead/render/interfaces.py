"""The amphora's network cards: addresses and routes.

PURE. The card on the VIP's network carries the amphora's own addresses first, so that they are
the source of traffic to members, then the VIP and the additional VIPs. The default route of each
family leaves by the gateway of the first of their subnets that has one: members without a subnet
and clients elsewhere are behind it. The other cards have connected routes only.
"""

import ipaddress
from collections.abc import Mapping, Sequence

from fairlead.domain.observed import FixedIp, Port
from fairlead.wire.amphora import Interface, Route

_DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}


def interfaces(
    ports: Mapping[str, Port], vip: Port, vip_addresses: Sequence[str]
) -> tuple[Interface, ...]:
    """One interface per port, the VIP's network first, then by network id.

    `ports` are by network id and must hold the VIP's network (else KeyError); `vip` must hold
    `vip_addresses` (else ValueError).
    """
    held = {ip.address: ip for ip in vip.fixed_ips}
    missing = [address for address in vip_addresses if address not in held]
    if missing:
        raise ValueError(f"port {vip.id} does not have the VIP {missing[0]}")
    virtual = [held[address] for address in vip_addresses]
    others = [ports[network] for network in sorted(ports) if network != vip.network_id]
    return (
        _interface(ports[vip.network_id], virtual),
        *(_interface(port, []) for port in others),
    )


def _interface(port: Port, virtual: Sequence[FixedIp]) -> Interface:
    return Interface(
        mac=port.mac,
        addresses=tuple(ip.prefixed for ip in (*port.fixed_ips, *virtual)),
        virtual=tuple(ip.prefixed for ip in virtual),
        routes=_default_routes(virtual),
        mtu=port.mtu,
    )


def _default_routes(virtual: Sequence[FixedIp]) -> tuple[Route, ...]:
    via: dict[str, str] = {}
    for ip in virtual:
        if ip.gateway is not None:
            via.setdefault(_DEFAULT[ipaddress.ip_address(ip.gateway).version], ip.gateway)
    return tuple(Route(destination=to, via=gateway) for to, gateway in via.items())
