"""Who is let in, what they may do, and who provides what they ask for."""

from pathlib import Path

import msgspec

from fairlead.api.access import Authenticator
from fairlead.api.first_user import HTPASSWD, USERS, ensure_admin
from fairlead.api.http_basic import HttpBasic
from fairlead.api.no_auth import NoAuth
from fairlead.api.policy import Policy
from fairlead.api.vip_rules import VipRules
from fairlead.drivers.provider_amphora import AmphoraProvider, Registry
from fairlead.errors import Refused
from fairlead.ports import Providers
from fairlead.settings import Settings


def authenticator(settings: Settings, state_dir: Path) -> Authenticator:
    """Who lets callers in; the first start makes the user admin and writes clouds.yaml."""
    if settings.api.auth_strategy == "noauth":
        return NoAuth()
    ensure_admin(state_dir, url=f"http://{settings.api.listen}")
    try:
        return HttpBasic(state_dir / HTPASSWD, state_dir / USERS)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise Refused(f"The users in {state_dir}/{HTPASSWD} and {USERS}: {error}") from error


def policy(settings: Settings) -> Policy:
    """The rules, with an operator's file on top of the defaults."""
    api = settings.api
    return Policy(
        None if api.policy_file is None else Path(api.policy_file),
        new_only=api.policy_new_defaults,
        scoped=api.policy_enforce_scope,
    )


def providers(settings: Settings) -> Providers:
    """The enabled providers."""
    return Registry(AmphoraProvider(), AmphoraProvider("octavia"))


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
