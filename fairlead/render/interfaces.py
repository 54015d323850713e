"""The amphora's network cards: addresses and routes.

PURE. The card on the VIP's network carries the amphora's own addresses first, so that they are
the source of traffic to members, then the VIP. The default route leaves by the gateway of the
VIP's subnet: members without a subnet and clients elsewhere are behind it. The other cards
have connected routes only.
"""

import ipaddress
from collections.abc import Mapping

from fairlead.domain.observed import FixedIp, Port
from fairlead.wire.amphora import Interface, Route

_DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}


def interfaces(ports: Mapping[str, Port], vip: Port, vip_address: str) -> tuple[Interface, ...]:
    """One interface per port, the VIP's network first, then by network id.

    `ports` are by network id and must hold the VIP's network (else KeyError); `vip` must hold
    `vip_address` (else ValueError).
    """
    virtual = next((ip for ip in vip.fixed_ips if ip.address == vip_address), None)
    if virtual is None:
        raise ValueError(f"port {vip.id} does not have the VIP {vip_address}")
    others = [ports[network] for network in sorted(ports) if network != vip.network_id]
    return (
        _interface(ports[vip.network_id], virtual),
        *(_interface(port, None) for port in others),
    )


def _interface(port: Port, virtual: FixedIp | None) -> Interface:
    own = [ip.prefixed for ip in port.fixed_ips]
    return Interface(
        mac=port.mac,
        addresses=(*own, virtual.prefixed) if virtual else tuple(own),
        routes=_default_route(virtual),
        mtu=port.mtu,
    )


def _default_route(virtual: FixedIp | None) -> tuple[Route, ...]:
    if virtual is None or virtual.gateway is None:
        return ()
    version = ipaddress.ip_address(virtual.gateway).version
    return (Route(destination=_DEFAULT[version], via=virtual.gateway),)
