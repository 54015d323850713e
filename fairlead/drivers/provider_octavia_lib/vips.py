"""VIPs that a driver makes itself: dictionaries of octavia-lib, and what comes back.

Called by provider.py.
"""

from typing import Any

import msgspec

from fairlead.domain.model import AdditionalVip, LoadBalancer
from fairlead.domain.observed import Vip
from fairlead.errors import Broken

_ASKED = ("vip_address", "vip_network_id", "vip_port_id", "vip_subnet_id", "vip_qos_policy_id")
# How drivers call what a VIP has; the first name counts.
_SPELLINGS = {
    "vip_address": ("vip_address", "ip_address"),
    "vip_port_id": ("vip_port_id", "port_id"),
    "vip_subnet_id": ("vip_subnet_id", "subnet_id"),
    "vip_network_id": ("vip_network_id", "network_id"),
}


def asked(root: LoadBalancer) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The VIP and the additional ones that a load balancer asks for."""
    values = {name: getattr(root, name) for name in _ASKED}
    more = [
        {k: v for k, v in msgspec.to_builtins(one).items() if v is not None}
        for one in root.additional_vips
    ]
    return {name: value for name, value in values.items() if value is not None}, more


def answered(provider: str, root: LoadBalancer, made: Any) -> Vip:
    """The VIP a driver made; `Broken` when it says too little of it."""
    given, more = made if isinstance(made, list | tuple) and len(made) == 2 else (made, None)
    if not isinstance(given, dict):
        raise Broken(provider, "The VIP it made cannot be understood.")
    found: dict[str, Any] = {
        name: next((given[s] for s in spellings if given.get(s)), getattr(root, name))
        for name, spellings in _SPELLINGS.items()
    }
    try:
        found["additional_vips"] = root.additional_vips if more is None else _additional(more)
        return msgspec.convert(found, Vip, from_attributes=True)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise Broken(provider, "The VIP it made has no address, port or network.") from error


def _additional(more: Any) -> list[dict[str, Any]]:
    names = AdditionalVip.__struct_fields__
    return [{k: v for k, v in dict(one).items() if k in names} for one in more]
