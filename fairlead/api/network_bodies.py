"""What requests of the network API may hold, each field declared once, in Neutron's names.

PURE. A field that can have one value only (`FIXED`) may be said, as clients do, and is refused by
name when it says something else. What a change leaves out stays. Used by networks.py.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from fairlead.domain.bodies import refused
from fairlead.errors import Refused

Name = Annotated[str, Meta(max_length=255, description="Human-readable name.")]
Description = Annotated[str, Meta(max_length=255, description="Human-readable description.")]
Project = Annotated[str, Meta(max_length=36, description="Owner; another needs admin.")] | None
Tag = Annotated[str, Meta(max_length=60)]
Tags = Annotated[tuple[Tag, ...], Meta(max_length=50, description="Labels to select by.")]
Dhcp = Annotated[bool, Meta(description="Kept as said; nobody hands out leases here.")]
Servers = Annotated[tuple[str, ...], Meta(max_length=5, description="Kept as said.")]
Gateway = Annotated[str | None, Meta(description="What routes for it; null is nothing.")]
Shared = Annotated[bool, Meta(description="Every project may use it; needs admin.")]
Up = Annotated[bool, Meta(description="Only true.")]
Never = Annotated[bool, Meta(description="Only false.")]
Nothing = Annotated[tuple[Any, ...], Meta(max_length=0, description="Only empty.")]

# What has one value only, and why, by the name that clients say.
FIXED: dict[str, tuple[Any, str]] = {
    "admin_state_up": (True, "Networks and ports here are always up."),
    "router:external": (False, "No network here leads outside."),
    "port_security_enabled": (False, "There is no port security here."),
    "binding:vnic_type": ("normal", "Value should be normal."),
}


class NetworkBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new network. Sharing it with every project needs admin."""

    name: Name = ""
    description: Description = ""
    shared: Shared = False
    admin_state_up: Up = True
    external: Never = field(name="router:external", default=False)
    port_security_enabled: Never = False
    tags: Tags = ()
    project_id: Project = None
    tenant_id: Project = None


class SubnetBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new address range. Without `gateway_ip` nothing routes for it."""

    network_id: str
    cidr: str
    name: Name = ""
    description: Description = ""
    gateway_ip: Gateway = None
    ip_version: Annotated[int | None, Meta(description="4 or 6: that of cidr.")] = None
    enable_dhcp: Dhcp = True
    dns_nameservers: Servers = ()
    host_routes: Nothing = ()
    allocation_pools: Nothing = ()
    tags: Tags = ()
    project_id: Project = None
    tenant_id: Project = None


class FixedIpBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which address a port shall have; what is left out is chosen."""

    subnet_id: str | None = None
    ip_address: str | None = None


class PortBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new port, with one address or with one on each subnet that is named."""

    network_id: str
    name: Name = ""
    description: Description = ""
    fixed_ips: tuple[FixedIpBody, ...] = ()
    admin_state_up: Up = True
    port_security_enabled: Never = False
    security_groups: Nothing = ()
    allowed_address_pairs: Nothing = ()
    vnic_type: Annotated[str, Meta(description="Only normal.")] = field(
        name="binding:vnic_type", default="normal"
    )
    tags: Tags = ()
    project_id: Project = None
    tenant_id: Project = None


class NetworkChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a network."""

    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    shared: Shared | UnsetType = UNSET
    admin_state_up: Up | UnsetType = UNSET
    external: Never | UnsetType = field(name="router:external", default=UNSET)
    port_security_enabled: Never | UnsetType = UNSET


class SubnetChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a subnet; its range stays."""

    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    gateway_ip: Gateway | UnsetType = UNSET
    enable_dhcp: Dhcp | UnsetType = UNSET
    dns_nameservers: Servers | UnsetType = UNSET
    host_routes: Nothing | UnsetType = UNSET


class PortChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a port; its addresses stay."""

    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    admin_state_up: Up | UnsetType = UNSET
    port_security_enabled: Never | UnsetType = UNSET
    security_groups: Nothing | UnsetType = UNSET
    allowed_address_pairs: Nothing | UnsetType = UNSET


class TagsBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All tags of an object."""

    tags: Tags


def read(kind: str, given: Any, body: type[Struct]) -> Any:
    """The body of a request, checked; `Refused` names the field."""
    try:
        found = msgspec.convert(given, body, strict=False)
    except msgspec.ValidationError as error:
        raise Refused(f"Invalid input for {kind}. {error}.") from None
    for name, (only, why) in FIXED.items():
        if isinstance(given, dict) and name in given and said(found).get(name) != only:
            raise refused(name, given[name], why)
    return found


def said(body: Struct) -> dict[str, Any]:
    """The fields that were given, by the names clients know."""
    named = {one.name: one.encode_name for one in msgspec.structs.fields(body)}
    values = {named[k]: v for k, v in msgspec.structs.asdict(body).items()}
    return {name: value for name, value in values.items() if value is not UNSET}
