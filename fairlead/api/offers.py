"""What a new load balancer's flavor and availability zone mean: the provider, and data for it.

The data is copied into the load balancer, so that no later change of the catalog reaches one that
exists. Called by balancers.py.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from fairlead.api.calls import Call
from fairlead.domain import shape
from fairlead.domain.catalog import (
    CATALOG,
    AvailabilityZone,
    AvailabilityZoneProfile,
    Flavor,
    FlavorProfile,
    data_of,
)
from fairlead.domain.model import LoadBalancer
from fairlead.errors import NotFound, Refused

# The field of a load balancer that asks for an item of a kind, and the one that keeps its data.
_ASKED = {
    Flavor.KIND: ("flavor_id", "flavor_data"),
    AvailabilityZone.KIND: ("availability_zone", "zone_data"),
}


class Offer(Struct, frozen=True, kw_only=True):
    """What an item of the catalog means: to whom, and what it asks for."""

    kind: str
    key: str
    provider: str
    data: dict[str, Any]


async def chosen(call: Call, values: Mapping[str, Any]) -> dict[str, Any]:
    """Provider, flavor_data and zone_data of a load balancer with these values.

    A flavor decides the provider when none is asked for, then a zone; they have to agree.
    """
    asked = {kind: values.get(field) for kind, (field, _) in _ASKED.items()}
    offers = [await _offer(call, kind, key) for kind, key in asked.items() if key is not None]
    providers = call.services.providers
    name = values.get("provider") or next((o.provider for o in offers), providers.default)
    provider = providers.get(name)
    for offer in offers:
        theirs = providers.get(offer.provider)
        if theirs.name != provider.name and not (theirs.own and provider.own):
            word = CATALOG[offer.kind].word
            raise Refused(f"{word} '{offer.key}' is not compatible with provider '{name}'")
    return {"provider": name, **{_ASKED[offer.kind][1]: offer.data for offer in offers}}


def vip_networks(root: LoadBalancer) -> tuple[str, ...]:
    """The networks that the load balancer's zone has VIPs on; none where it does not say."""
    return shape.of_zone(root.zone_data).valid_vip_networks or ()


async def _offer(call: Call, kind: str, key: str) -> Offer:
    """`Refused` unless the item is there and enabled."""
    catalog, word = call.services.catalog, CATALOG[kind].word
    try:
        item = await catalog.find(kind, key)
    except NotFound:
        raise Refused(f"Validation failure: {word} {key} not found.") from None
    assert isinstance(item, Flavor | AvailabilityZone)  # noqa: S101 - the kinds of `_ASKED`
    if not item.enabled:
        raise Refused(f"The selected {kind} is not allowed in this deployment: {key}")
    profile = await catalog.find(item.PROFILE[0], str(item.profile_id))
    assert isinstance(profile, FlavorProfile | AvailabilityZoneProfile)  # noqa: S101 - as above
    return Offer(kind=kind, key=key, provider=profile.provider_name, data=data_of(profile))
