"""What a deployment allows of VIPs: set by operators, read by vips.py and balancers.py."""

from collections.abc import Collection, Mapping
from typing import Any

from msgspec import Struct

from fairlead.errors import Refused

_FIELDS = ("vip_port_id", "vip_network_id", "vip_subnet_id")


class VipRules(Struct, frozen=True, kw_only=True):
    """What a deployment allows: the fields that may say where, and the networks.

    No `valid_networks` are all networks; an availability zone may name others instead.
    """

    allowed_fields: tuple[str, ...] = _FIELDS
    valid_networks: frozenset[str] = frozenset()
    denied_networks: frozenset[str] = frozenset()

    def check_fields(self, values: Mapping[str, Any]) -> None:
        """`Refused` unless a load balancer says where, and in a way that is allowed."""
        for name in _FIELDS:
            if values.get(name) and name not in self.allowed_fields:
                raise Refused(
                    f"Validation failure: use of {name} is disallowed by this deployment's "
                    "configuration."
                )
        if not any(values.get(name) for name in self.allowed_fields):
            raise Refused(
                f"Validation failure: VIP must contain one of: {', '.join(self.allowed_fields)}."
            )

    def check_network(self, network_id: str, valid: Collection[str] = ()) -> None:
        """`Refused` when no VIP may be on that network."""
        allowed = valid or self.valid_networks
        if network_id in self.denied_networks or (allowed and network_id not in allowed):
            raise Refused(
                f"Validation failure: Supplied VIP network_id {network_id} is not allowed by the "
                "configuration of this deployment."
            )
