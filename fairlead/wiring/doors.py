"""What callers may do, and ask for."""

from pathlib import Path

from fairlead.api.policy import Policy
from fairlead.api.vip_rules import VipRules
from fairlead.settings import Settings


def policy(settings: Settings) -> Policy:
    """The rules, with an operator's file on top of the defaults."""
    api = settings.api
    return Policy(
        None if api.policy_file is None else Path(api.policy_file),
        new_only=api.policy_new_defaults,
        scoped=api.policy_enforce_scope,
    )


def vip_rules(settings: Settings) -> VipRules:
    """What users may ask of VIPs."""
    vip = settings.vip
    allowed = {
        "vip_port_id": vip.allow_port_id,
        "vip_network_id": vip.allow_network_id,
        "vip_subnet_id": vip.allow_subnet_id,
    }
    return VipRules(
        allowed_fields=tuple(name for name, yes in allowed.items() if yes),
        valid_networks=frozenset(vip.valid_networks),
        denied_networks=frozenset(vip.denied_networks),
    )
