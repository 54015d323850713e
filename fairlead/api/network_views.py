"""How networks, subnets and ports are shown: in Neutron's fields.

PURE. Fields that Fairlead does not know by itself have the value that says so.
"""

import ipaddress
from typing import Any

from fairlead.domain.observed import NetworkInfo, Port, Subnet

# Plain values that lists can be filtered by.
FILTERS = frozenset({
    "id", "name", "project_id", "tenant_id", "shared", "admin_state_up", "status",
    "router:external", "network_id", "cidr", "gateway_ip", "ip_version", "enable_dhcp",
    "mac_address", "device_id", "device_owner",
})  # fmt: skip


def network(one: NetworkInfo) -> dict[str, Any]:
    """A network."""
    return {
        "id": one.id,
        "name": one.name,
        "project_id": one.project_id,
        "tenant_id": one.project_id,
        "shared": one.shared,
        "admin_state_up": True,
        "status": "ACTIVE",
        "router:external": False,
        "subnets": [subnet.id for subnet in one.subnets],
    }


def subnet(one: Subnet) -> dict[str, Any]:
    """An address range."""
    return {
        "id": one.id,
        "name": one.name,
        "network_id": one.network_id,
        "project_id": one.project_id,
        "tenant_id": one.project_id,
        "cidr": one.cidr,
        "gateway_ip": one.gateway,
        "ip_version": ipaddress.ip_network(one.cidr).version,
        "enable_dhcp": False,
        "allocation_pools": [],
        "dns_nameservers": [],
        "host_routes": [],
    }


def port(one: Port) -> dict[str, Any]:
    """A port; `device_id` is what it exists for, `bridge_name` where a server is plugged in."""
    return {
        "id": one.id,
        "name": one.name,
        "network_id": one.network_id,
        "project_id": one.project_id,
        "tenant_id": one.project_id,
        "mac_address": one.mac,
        "admin_state_up": True,
        "status": "ACTIVE",
        "device_id": one.owner,
        "device_owner": "Octavia" if one.owner else "",
        "binding:vif_type": "bridge",
        "binding:vif_details": {"bridge_name": one.segment},
        "fixed_ips": [
            {"subnet_id": ip.subnet_id, "ip_address": ip.address} for ip in one.fixed_ips
        ],
    }
