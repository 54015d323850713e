"""What flavors and availability zones may say to the amphora provider.

PURE. Declared as resources are, one field a key: capabilities, checks and meaning come from here.
A load balancer carries the data that it was made with (`flavor_data`, `zone_data`); `of_flavor`
and `of_zone` read it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from msgspec import Struct

from fairlead.domain import types
from fairlead.domain.bodies import converted
from fairlead.domain.types import describe, field
from fairlead.errors import Unsupported

T = TypeVar("T", bound=Struct)

Topology = Literal["SINGLE", "ACTIVE_STANDBY"]
_TOPOLOGIES = ("SINGLE",)


class FlavorData(Struct, frozen=True, kw_only=True):
    """What a flavor asks for."""

    loadbalancer_topology: Annotated[
        Topology, field("How many amphorae serve a load balancer. SINGLE: one.", nullable=False)
    ] = "SINGLE"


class ZoneData(Struct, frozen=True, kw_only=True):
    """What an availability zone is."""

    valid_vip_networks: Annotated[
        tuple[str, ...] | None,
        field("Networks that VIPs may be on, a list of ids.", check=types.uuids, nullable=False),
    ] = None


def of_flavor(data: Mapping[str, Any]) -> FlavorData:
    """What stored data of a flavor means."""
    return _read(FlavorData, data)


def of_zone(data: Mapping[str, Any]) -> ZoneData:
    """What stored data of a zone means."""
    return _read(ZoneData, data)


def _read(declared: type[T], data: Mapping[str, Any]) -> T:
    """Keys that only others understand are passed over."""
    fields = describe(declared)
    return declared(**{key: converted(fields[key], data[key]) for key in data if key in fields})


def capabilities(declared: type[Struct]) -> dict[str, str]:
    """The keys that data may have, with what they mean."""
    return {name: one.description for name, one in describe(declared).items()}


def checked(declared: type[T], data: Mapping[str, Any], provider: str, what: str) -> T:
    """The data as a user gave it; `Unsupported` for an unknown key, `Refused` for a wrong value."""
    fields = describe(declared)
    for key in data:
        if key not in fields:
            raise Unsupported(provider, f"{what} key {key}")
    return _read(declared, data)


def check_flavor(data: Mapping[str, Any], provider: str) -> FlavorData:
    """The flavor, if amphorae can be like that."""
    found = checked(FlavorData, data, provider, "flavor")
    if found.loadbalancer_topology not in _TOPOLOGIES:
        raise Unsupported(
            provider, f"loadbalancer_topology {found.loadbalancer_topology}; "
            f"supported: {', '.join(_TOPOLOGIES)}"
        )  # fmt: skip
    return found
