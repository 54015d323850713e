"""Which address a port gets: the rules for VIPs, and those for ports users make.

A port given: the network is the port's, and the address the one asked for or the only one.
A subnet given: an address on it. A network given: the subnet that contains the address, else the
first with two free addresses (the second is for the amphora), IPv4 preferred. Additional VIPs are
on the same network, each on a subnet that no other address of the load balancer is on.
Everything is decided on what the ledger has read; a race lost afterwards is decided anew.
Called by the driver and its part for users.
"""

from collections.abc import Collection, Sequence
from ipaddress import ip_network

from fairlead.domain.model import AdditionalVip
from fairlead.domain.observed import FixedIp, Port, Subnet, Vip
from fairlead.drivers.network_local.addresses import (
    check_address,
    count_free,
    free_address,
    parse_address,
)
from fairlead.drivers.network_local.ledger import Segment
from fairlead.errors import Conflict, Refused
from fairlead.ports import VipRequest, WantedIp

NO_PLACE = "VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id."
_NEEDED = 2


def vip_of(port: Port, fixed_ip: FixedIp, request: VipRequest) -> Vip:
    """Where a load balancer answers, with the address on each subnet the request names."""
    on = {ip.subnet_id: ip.address for ip in port.fixed_ips}
    return Vip(
        vip_address=fixed_ip.address,
        vip_port_id=port.id,
        vip_subnet_id=fixed_ip.subnet_id,
        vip_network_id=port.network_id,
        additional_vips=tuple(
            AdditionalVip(subnet_id=one.subnet_id, ip_address=on[one.subnet_id], port_id=port.id)
            for one in request.additional_vips
        ),
    )


def address_found(port: Port, request: VipRequest) -> FixedIp:
    """Which address of a port that is there already is the VIP, whatever else is asked now."""
    own = _own_addresses(port, request) or port.fixed_ips
    return next(
        (
            ip
            for ip in own
            if request.vip_address == ip.address or request.vip_subnet_id == ip.subnet_id
        ),
        own[0],
    )


def address_on_port(port: Port, request: VipRequest) -> FixedIp:
    """Which address of the user's port is the VIP; `Refused` unless exactly one fits.

    `Refused` also when the port lacks an additional VIP.
    """
    if missing := missing_on_port(port, request):
        raise _bad_additional(
            missing[0].subnet_id, f"Port {port.id} does not have that address on that subnet."
        )
    wanted = request.vip_address and str(parse_address(request.vip_address, "vip_address"))
    fitting = [
        ip
        for ip in _own_addresses(port, request)
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
    """A free address for the VIP; `Refused` names the rule, `Conflict` if taken."""
    if request.vip_address:
        return asked_address(segment, request.vip_subnet_id, request.vip_address, "vip_address")
    if request.vip_subnet_id:
        return any_address(segment, existing_subnet(segment, request.vip_subnet_id), seed)
    others = {one.subnet_id for one in request.additional_vips}
    for subnet in _ipv4_first(segment):
        free = count_free(subnet.cidr, subnet.gateway, segment.used[subnet.id])
        if subnet.id not in others and free >= _NEEDED:
            return any_address(segment, subnet, seed)
    raise Refused(f"Network {segment.network.id} has no subnet with two free addresses.")


def additional_addresses(
    segment: Segment, wanted: Sequence[AdditionalVip], taken: Collection[str], seed: str
) -> list[FixedIp]:
    """A free address for each additional VIP, as `address_on_segment`; not on subnets taken."""
    found = []
    for one in wanted:
        subnet = segment.subnet(one.subnet_id)
        if subnet is None:
            raise _bad_additional(
                one.subnet_id,
                "All VIP subnets must belong to the same network, and it is not on "
                f"{segment.network.id}.",
            )
        if subnet.id in taken:
            raise _bad_additional(subnet.id, "It is the VIP's own: one address for each subnet.")
        if one.ip_address:
            field = "additional_vips.ip_address"
            found.append(asked_address(segment, subnet.id, one.ip_address, field))
        else:
            found.append(any_address(segment, subnet, seed))
    return found


def missing_on_port(port: Port, request: VipRequest) -> list[AdditionalVip]:
    """The additional VIPs that the port does not have."""
    on = {ip.subnet_id: ip.address for ip in port.fixed_ips}
    return [
        one
        for one in request.additional_vips
        if one.subnet_id not in on or one.ip_address not in (None, on[one.subnet_id])
    ]


def lost_from_port(port: Port, request: VipRequest) -> list[AdditionalVip]:
    """The addresses that a VIP's port lacks; the VIP's own, too, if it is named."""
    subnet_id, address = request.vip_subnet_id, request.vip_address
    lost = missing_on_port(port, request)
    if subnet_id and address and subnet_id not in {ip.subnet_id for ip in port.fixed_ips}:
        lost.append(AdditionalVip(subnet_id=subnet_id, ip_address=address))
    return lost


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


def addresses_of_user(segment: Segment, wanted: Sequence[WantedIp], seed: str) -> list[FixedIp]:
    """What a port that a user makes gets: what was asked for, or a free address, IPv4 preferred."""
    found = [_address_of_user(segment, one, seed) for one in wanted or (WantedIp(),)]
    if len({ip.subnet_id for ip in found}) < len(found):
        raise Refused(
            "Invalid input for field/attribute fixed_ips. A port has one address on a subnet."
        )
    return found


def _address_of_user(segment: Segment, wanted: WantedIp, seed: str) -> FixedIp:
    if wanted.address:
        return asked_address(segment, wanted.subnet_id, wanted.address, "address")
    if wanted.subnet_id:
        return any_address(segment, existing_subnet(segment, wanted.subnet_id), seed)
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


def _own_addresses(port: Port, request: VipRequest) -> list[FixedIp]:
    """The addresses that no additional VIP of the request names."""
    others = {one.subnet_id for one in request.additional_vips}
    return [ip for ip in port.fixed_ips if ip.subnet_id not in others]


def _bad_additional(subnet_id: str, rule: str) -> Refused:
    return Refused(
        f"Invalid input for field/attribute additional_vips. Value: '{subnet_id}'. {rule}"
    )


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
