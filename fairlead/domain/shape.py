"""What flavors and availability zones may say to the amphora provider.

PURE. Declared as resources are, one field a key: capabilities, checks and meaning come from here.
A load balancer carries the data that it was made with (`flavor_data`, `zone_data`); `of_flavor`
and `of_zone` read it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from msgspec import Struct

from fairlead.domain import types
from fairlead.domain.bodies import converted, refused
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
    amphora_memory_mib: Annotated[
        int | None,
        field("Most memory that an amphora may use, in MiB.", nullable=False, ge=128, le=1 << 20),
    ] = None
    amphora_cpus: Annotated[
        float | None,
        field("Most processors that an amphora may use, such as 0.5 or 2.", nullable=False,
              ge=0.1, le=1024),
    ] = None  # fmt: skip
    connection_limit: Annotated[
        int | None,
        field("Most connections at once, over all listeners of a load balancer.", nullable=False,
              ge=10, le=2147483647),
    ] = None  # fmt: skip

    @property
    def memory_bytes(self) -> int | None:
        """The limit of memory in bytes."""
        return None if self.amphora_memory_mib is None else self.amphora_memory_mib << 20


class ZoneData(Struct, frozen=True, kw_only=True):
    """What an availability zone is."""

    compute_zone: Annotated[
        str | None,
        field("Name of the place; shown as the cached_zone of amphorae.", nullable=False,
              max_length=255),
    ] = None  # fmt: skip
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


def check_flavor(data: Mapping[str, Any], provider: str, *, maxconn: int) -> FlavorData:
    """The flavor, if amphorae can be like that; `maxconn` is the most that any of them holds."""
    found = checked(FlavorData, data, provider, "flavor")
    if found.loadbalancer_topology not in _TOPOLOGIES:
        raise Unsupported(
            provider, f"loadbalancer_topology {found.loadbalancer_topology}; "
            f"supported: {', '.join(_TOPOLOGIES)}"
        )  # fmt: skip
    if (found.connection_limit or 0) > maxconn:
        raise refused(
            "connection_limit", found.connection_limit,
            f"An amphora of this deployment holds at most {maxconn} connections.",
        )  # fmt: skip
    return found
