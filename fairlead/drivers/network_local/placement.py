"""Which address a port gets: the rules for VIPs, and those for ports users make.

A port given: the network is the port's, and the address the one asked for or the only one.
A subnet given: an address on it. A network given: the subnet that contains the address, else the
first with two free addresses (the second is for the amphora), IPv4 preferred.
Everything is decided on what the ledger has read; a race lost afterwards is decided anew.
Called by the driver and its part for users.
"""

from ipaddress import ip_network

from fairlead.domain.observed import FixedIp, Port, Subnet, Vip
from fairlead.drivers.network_local.addresses import (
    check_address,
    count_free,
    free_address,
    parse_address,
)
from fairlead.drivers.network_local.ledger import Segment
from fairlead.errors import Conflict, Refused
from fairlead.ports import VipRequest

NO_PLACE = "VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id."
_NEEDED = 2


def vip_of(port: Port, fixed_ip: FixedIp) -> Vip:
    """The four vip_* fields."""
    return Vip(
        vip_address=fixed_ip.address,
        vip_port_id=port.id,
        vip_subnet_id=fixed_ip.subnet_id,
        vip_network_id=port.network_id,
    )


def address_on_port(port: Port, request: VipRequest) -> FixedIp:
    """Which address of the user's port is the VIP; `Refused` unless exactly one fits."""
    wanted = request.vip_address and str(parse_address(request.vip_address, "vip_address"))
    fitting = [
        ip
        for ip in port.fixed_ips
        if request.vip_subnet_id in (None, ip.subnet_id) and wanted in (None, ip.address)
    ]
    if len(fitting) == 1:
        return fitting[0]
    if wanted and not fitting:
        raise Refused("Specified VIP address not found on the specified VIP port.")
    if request.vip_subnet_id and not fitting:
        raise Refused("No VIP address found on the specified VIP port and subnet.")
    raise Refused(
        "VIP port's subnet could not be determined. Please specify either a VIP subnet or address."
    )


def address_on_segment(segment: Segment, request: VipRequest, seed: str) -> FixedIp:
    """A free address that keeps the request; `Refused` names the rule, `Conflict` if taken."""
    if request.vip_address:
        return asked_address(segment, request.vip_subnet_id, request.vip_address, "vip_address")
    if request.vip_subnet_id:
        return any_address(segment, existing_subnet(segment, request.vip_subnet_id), seed)
    for subnet in _ipv4_first(segment):
        if count_free(subnet.cidr, subnet.gateway, segment.used[subnet.id]) >= _NEEDED:
            return any_address(segment, subnet, seed)
    raise Refused(f"Network {segment.network.id} has no subnet with two free addresses.")


def asked_address(segment: Segment, subnet_id: str | None, address: str, field: str) -> FixedIp:
    """The address on the subnet given, or on the one that contains it."""
    if subnet_id:
        subnet = existing_subnet(segment, subnet_id)
    else:
        subnet = _subnet_around(segment, address, field)
    checked = check_address(address, field, subnet.cidr, subnet.gateway)
    if checked in segment.used[subnet.id]:
        raise Conflict(f"{field} {checked} is already in use on subnet {subnet.id}.")
    return on_subnet(subnet, checked)


def any_address(segment: Segment, subnet: Subnet, seed: str) -> FixedIp:
    """Some free address of the subnet; `Refused` when it is full."""
    address = free_address(subnet.cidr, subnet.gateway, segment.used[subnet.id], seed)
    if address is None:
        raise Refused(f"Subnet {subnet.id} ({subnet.cidr}) has no free address.")
    return on_subnet(subnet, address)


def address_of_user(
    segment: Segment, subnet_id: str | None, address: str | None, seed: str
) -> FixedIp:
    """What a port that a user makes gets: the address asked for, or a free one, IPv4 preferred."""
    if address:
        return asked_address(segment, subnet_id, address, "address")
    if subnet_id:
        return any_address(segment, existing_subnet(segment, subnet_id), seed)
    for subnet in _ipv4_first(segment):
        if count_free(subnet.cidr, subnet.gateway, segment.used[subnet.id]) > 0:
            return any_address(segment, subnet, seed)
    raise Refused(f"Network {segment.network.id} has no subnet with a free address.")


def existing_subnet(segment: Segment, subnet_id: str) -> Subnet:
    """The subnet on this network; `Refused` when it is another network's, or nobody's."""
    subnet = segment.subnet(subnet_id)
    if subnet is None:
        raise Refused(f"Subnet {subnet_id} not found on network {segment.network.id}.")
    return subnet


def on_subnet(subnet: Subnet, address: str) -> FixedIp:
    """An address with what its subnet adds to it."""
    return FixedIp(subnet_id=subnet.id, address=address, cidr=subnet.cidr, gateway=subnet.gateway)


def _subnet_around(segment: Segment, address: str, field: str) -> Subnet:
    parsed = parse_address(address, field)
    for subnet in segment.network.subnets:
        if parsed in ip_network(subnet.cidr):
            return subnet
    raise Refused(
        f"Invalid input for field/attribute {field}. Value: '{address}'. "
        f"No subnet of network {segment.network.id} contains it."
    )


def _ipv4_first(segment: Segment) -> list[Subnet]:
    return sorted(segment.network.subnets, key=lambda subnet: ip_network(subnet.cidr).version)
