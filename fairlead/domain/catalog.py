"""What operators offer: flavors and availability zones, each described by a profile.

PURE. Declared as the kinds of the tree are (see model.py), but on their own: an item belongs to no
load balancer and no project, and has no status. A profile's data is JSON text that its provider
understands. A load balancer keeps a copy of the data it was made with, so nothing here changes
one that exists. Zones are known by their names, all others by ids.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Struct

from fairlead.domain import types
from fairlead.domain.model import KINDS, Description, Id
from fairlead.domain.naming import Naming
from fairlead.domain.observed import Amphora
from fairlead.domain.quota import ProjectQuota
from fairlead.domain.types import Access, field

# Octavia keeps objects of this id (or name) to stand for deleted ones.
PLACEHOLDER = "00000000-0000-0000-0000-000000000000"

ProviderName = Annotated[
    str,
    field(
        "Provider the data is for.",
        required=True,
        nullable=False,
        max_length=255,
        example="amphora",
    ),
]


def _data(description: str, example: str) -> msgspec.Meta:
    return field(description, required=True, nullable=False, max_length=4096, example=example)


class Item(Struct, frozen=True, kw_only=True):
    """What every item has. `PROFILE` names the kind and the field of the profile it follows."""

    KIND: ClassVar[str]
    PROFILE: ClassVar[tuple[str, str] | None] = None

    id: Id
    name: Annotated[str, field("Name.", required=True, nullable=False, max_length=255)]

    @property
    def key(self) -> str:
        """What it is addressed by."""
        return self.id

    @property
    def profile_id(self) -> str | None:
        """The profile it follows."""
        found: str | None = getattr(self, self.PROFILE[1]) if self.PROFILE else None
        return found


class FlavorProfile(Item, frozen=True, kw_only=True):
    """What flavors mean to a provider."""

    KIND = "flavorprofile"

    provider_name: ProviderName
    flavor_data: Annotated[
        str, _data("What a flavor asks for, a JSON object as text.",
                   '{"loadbalancer_topology": "SINGLE"}'),
    ]  # fmt: skip


class Flavor(Item, frozen=True, kw_only=True):
    """A choice of users' for a load balancer."""

    KIND = "flavor"
    PROFILE = (FlavorProfile.KIND, "flavor_profile_id")

    name: Annotated[
        str,
        field("Unique name.", required=True, nullable=False, min_length=1, max_length=255),
    ]
    description: Description = ""
    enabled: Annotated[bool, field("Whether new load balancers may have it.")] = True
    flavor_profile_id: Annotated[
        str, field("Id of its profile.", access=Access.CREATE, required=True, check=types.uuid_text)
    ]


class AvailabilityZoneProfile(Item, frozen=True, kw_only=True):
    """What availability zones mean to a provider."""

    KIND = "availability_zone_profile"

    provider_name: ProviderName
    availability_zone_data: Annotated[
        str, _data("What a zone is, a JSON object as text.", '{"valid_vip_networks": []}')
    ]


class AvailabilityZone(Item, frozen=True, kw_only=True):
    """A place that load balancers can be in; known by its name."""

    KIND = "availability_zone"
    PROFILE = (AvailabilityZoneProfile.KIND, "availability_zone_profile_id")

    id: Annotated[str, field("Identifier.", access=Access.HIDDEN)]
    name: Annotated[
        str,
        field("Unique name.", access=Access.CREATE, required=True, check=types.path_segment,
              min_length=1, max_length=255),
    ]  # fmt: skip
    description: Description = ""
    enabled: Annotated[bool, field("Whether new load balancers may be in it.")] = True
    availability_zone_profile_id: Annotated[
        str, field("Id of its profile.", access=Access.CREATE, required=True, check=types.uuid_text)
    ]

    @property
    def key(self) -> str:
        """See `Item`."""
        return self.name


CATALOG: dict[str, Naming] = {
    Flavor.KIND: Naming(
        type=Flavor, word="Flavor", wrapper="flavor", argument="flavor_", plural="flavors",
    ),
    FlavorProfile.KIND: Naming(
        type=FlavorProfile, word="Flavor Profile", wrapper="flavorprofile",
        argument="flavor_profile_", plural="flavorprofiles", links="flavorprofile_links",
    ),
    AvailabilityZone.KIND: Naming(
        type=AvailabilityZone, word="Availability Zone", wrapper="availability_zone",
        argument="availability_zone_", plural="availability_zones",
    ),
    AvailabilityZoneProfile.KIND: Naming(
        type=AvailabilityZoneProfile, word="Availability Zone Profile",
        wrapper="availability_zone_profile", argument="availability_zone_profile_",
        plural="availability_zone_profiles", links="availability_zone_profile_links",
    ),
}  # fmt: skip

QUOTA = Naming(type=ProjectQuota, word="Quota", wrapper="quota", argument="quotas", plural="quotas")

AMPHORA = Naming(
    type=Amphora, word="Amphora", wrapper="amphora", argument="amphora_", plural="amphorae"
)

# Every kind that is declared field by field, of the tree or not.
NAMED: Mapping[str, Naming] = {**KINDS, **CATALOG, "quota": QUOTA, "amphora": AMPHORA}

# What a profile means, by kind: who provides it, and its data. Fixed while somebody follows it.
DATA = {FlavorProfile.KIND: "flavor_data", AvailabilityZoneProfile.KIND: "availability_zone_data"}


def data_of(profile: Item) -> dict[str, Any]:
    """A profile's data, decoded; `ValueError` when it is no JSON object."""
    try:
        return msgspec.json.decode(getattr(profile, DATA[profile.KIND]), type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError("Value should be a JSON object as text") from error


def means_the_same(one: Item, other: Item) -> bool:
    """Whether those who follow a profile would not notice the difference."""
    names = ("provider_name", DATA[one.KIND]) if one.KIND in DATA else ()
    return all(getattr(one, name) == getattr(other, name) for name in names)
