"""How networks, subnets and ports are shown: in Neutron's fields, each declared once here.

PURE. Answers, the OpenAPI document and what lists filter and sort by are made from these types.
What the driver does not know but users may say of an object (`Notes`) is kept by it as a text.
Fields that Fairlead has no use for have the value that says so.
"""

import ipaddress
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from fairlead.domain.observed import NetworkInfo, Port, Subnet

Id = Annotated[str, Meta(description="Identifier.")]
Name = Annotated[str, Meta(description="Human-readable name.")]
Owner = Annotated[str | None, Meta(description="Owner.")]
Up = Annotated[bool, Meta(description="Always true.")]
Status = Annotated[str, Meta(description="Always ACTIVE.")]
Description = Annotated[str, Meta(description="Human-readable description.")]
Tags = Annotated[tuple[str, ...], Meta(description="Labels to select by.")]
OnNetwork = Annotated[str, Meta(description="Its network.")]


class Notes(Struct, frozen=True, kw_only=True):
    """What users say of an object, and the driver only remembers."""

    description: str = ""
    tags: tuple[str, ...] = ()
    enable_dhcp: bool = False
    dns_nameservers: tuple[str, ...] = ()


class NetworkView(Struct, frozen=True, kw_only=True):
    """A network: a layer 2 segment."""

    id: Id
    name: Name
    description: Description
    project_id: Owner
    tenant_id: Owner
    shared: Annotated[bool, Meta(description="Whether every project may use it.")]
    admin_state_up: Up = True
    status: Status = "ACTIVE"
    external: Annotated[bool, Meta(description="Always false.")] = field(
        name="router:external", default=False
    )
    mtu: Annotated[int, Meta(description="Largest packet, in bytes.")] = 1500
    subnets: Annotated[tuple[str, ...], Meta(description="Ids of its subnets.")]
    tags: Tags


class SubnetView(Struct, frozen=True, kw_only=True):
    """An address range of a network."""

    id: Id
    name: Name
    description: Description
    network_id: OnNetwork
    project_id: Owner
    tenant_id: Owner
    cidr: Annotated[str, Meta(description="The range.")]
    gateway_ip: Annotated[str | None, Meta(description="What routes for it; null is nothing.")]
    ip_version: Annotated[int, Meta(description="4 or 6.")]
    enable_dhcp: Annotated[bool, Meta(description="Kept as said; nobody hands out leases here.")]
    dns_nameservers: Annotated[
        tuple[str, ...], Meta(description="Kept as said; nobody is told of them here.")
    ]
    allocation_pools: Annotated[
        tuple[dict[str, str], ...], Meta(description="Always empty: all of the range is used.")
    ] = ()
    host_routes: Annotated[tuple[dict[str, str], ...], Meta(description="Always empty.")] = ()
    tags: Tags


class FixedIpView(Struct, frozen=True, kw_only=True):
    """An address of a port."""

    subnet_id: str
    ip_address: str


class PortView(Struct, frozen=True, kw_only=True):
    """A port: where a server or a load balancer is plugged in."""

    id: Id
    name: Name
    description: Description
    network_id: OnNetwork
    project_id: Owner
    tenant_id: Owner
    mac_address: Annotated[str, Meta(description="The address its card shall have.")]
    admin_state_up: Up = True
    status: Status = "ACTIVE"
    device_id: Annotated[str, Meta(description="The load balancer it exists for, or empty.")]
    device_owner: Annotated[str, Meta(description="Octavia, or empty.")]
    vif_type: Annotated[str, Meta(description="Always bridge.")] = field(
        name="binding:vif_type", default="bridge"
    )
    vif_details: Annotated[
        dict[str, str], Meta(description="`bridge_name` is where a server is plugged in.")
    ] = field(name="binding:vif_details")
    vnic_type: Annotated[str, Meta(description="Always normal.")] = field(
        name="binding:vnic_type", default="normal"
    )
    port_security_enabled: Annotated[bool, Meta(description="Always false.")] = False
    security_groups: Annotated[tuple[str, ...], Meta(description="Always empty.")] = ()
    fixed_ips: Annotated[tuple[FixedIpView, ...], Meta(description="Its addresses.")]
    tags: Tags


Thing = NetworkInfo | Subnet | Port


def notes_of(thing: Thing) -> Notes:
    """What was said of an object, or the defaults."""
    return msgspec.json.decode(thing.note, type=Notes) if thing.note else Notes()


def shown(thing: Thing) -> dict[str, Any]:
    """The answer that shows an object, without its wrapper."""
    view = _VIEWS[type(thing)](thing)
    row: dict[str, Any] = msgspec.to_builtins(view)
    return row


def _network(one: NetworkInfo) -> NetworkView:
    notes = notes_of(one)
    return NetworkView(
        id=one.id,
        name=one.name,
        description=notes.description,
        project_id=one.project_id,
        tenant_id=one.project_id,
        shared=one.shared,
        subnets=tuple(subnet.id for subnet in one.subnets),
        tags=notes.tags,
    )


def _subnet(one: Subnet) -> SubnetView:
    notes = notes_of(one)
    return SubnetView(
        id=one.id,
        name=one.name,
        description=notes.description,
        network_id=one.network_id,
        project_id=one.project_id,
        tenant_id=one.project_id,
        cidr=one.cidr,
        gateway_ip=one.gateway,
        ip_version=ipaddress.ip_network(one.cidr).version,
        enable_dhcp=notes.enable_dhcp,
        dns_nameservers=notes.dns_nameservers,
        tags=notes.tags,
    )


def _port(one: Port) -> PortView:
    notes = notes_of(one)
    return PortView(
        id=one.id,
        name=one.name,
        description=notes.description,
        network_id=one.network_id,
        project_id=one.project_id,
        tenant_id=one.project_id,
        mac_address=one.mac,
        device_id=one.owner,
        device_owner="Octavia" if one.owner else "",
        vif_details={"bridge_name": one.segment},
        fixed_ips=tuple(
            FixedIpView(subnet_id=ip.subnet_id, ip_address=ip.address) for ip in one.fixed_ips
        ),
        tags=notes.tags,
    )


_VIEWS: dict[type[Thing], Any] = {NetworkInfo: _network, Subnet: _subnet, Port: _port}
