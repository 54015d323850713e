"""Who provides load balancers, and what flavors and zones may say to each of them."""

from collections.abc import Iterator, Mapping, Sequence

from litestar import Response
from msgspec import Struct

from fairlead.api import answers
from fairlead.api.calls import Call
from fairlead.api.faults import json_response
from fairlead.api.operation import Operation
from fairlead.errors import Refused

_KNOWN = {"name", "description"}
_QUERY = {
    "name": "Only the one of this name.",
    "description": "Only those with this description.",
    "fields": "Only these keys of each.",
}


class Named(Struct):
    """Something with a name, and what it is."""

    name: str
    description: str


class ProviderList(Struct):
    """The enabled providers, the default one first."""

    providers: list[Named]


class FlavorCapabilities(Struct):
    """Keys that a flavor's data may have."""

    flavor_capabilities: list[Named]


class ZoneCapabilities(Struct):
    """Keys that an availability zone's data may have."""

    availability_zone_capabilities: list[Named]


async def show_list(call: Call) -> Response[bytes]:
    """The enabled providers, aliases included."""
    call.allow(call.caller.project_id)
    found = {name: one.description for name, one in call.services.providers.all().items()}
    return _answer(call, "providers", found)


async def show_flavor_capabilities(call: Call) -> Response[bytes]:
    """What a provider's flavors may say."""
    call.allow(call.caller.project_id)
    provider = call.services.providers.get(_name(call))
    return _answer(call, "flavor_capabilities", await provider.flavor_capabilities())


async def show_zone_capabilities(call: Call) -> Response[bytes]:
    """What a provider's availability zones may say."""
    call.allow(call.caller.project_id)
    provider = call.services.providers.get(_name(call))
    return _answer(call, "availability_zone_capabilities", await provider.zone_capabilities())


def _name(call: Call) -> str:
    return str(call.request.path_params["provider"])


def _answer(call: Call, wrapper: str, found: Mapping[str, str]) -> Response[bytes]:
    given = call.parameters
    unknown = {name for name, _ in given.pairs} - _KNOWN - {"fields"}
    if unknown:
        said = ", ".join(sorted(unknown))
        raise Refused(f"One or more arguments are either duplicate or invalid: {said}")
    wanted = {name: text for name in _KNOWN if (text := given.one(name)) is not None}
    rows: Sequence[dict[str, str]] = [
        {"name": name, "description": description} for name, description in found.items()
    ]
    rows = [row for row in rows if wanted.items() <= row.items()]
    fields = given.many("fields")
    return json_response({wrapper: [answers.selected(row, fields) for row in rows]})


def operations() -> Iterator[Operation]:
    """All of them read."""
    of_one = "lbaas/providers/{provider}"
    yield Operation(
        method="GET", path="lbaas/providers", kind="Provider", resource="provider",
        rule="get_all", name="list_providers", summary="List enabled Providers.",
        action=show_list, gives=ProviderList, query=_QUERY,
    )  # fmt: skip
    yield Operation(
        method="GET", path=f"{of_one}/flavor_capabilities", kind="Provider",
        resource="provider-flavor", rule="get_all", name="list_flavor_capabilities",
        summary="List what Flavors of a Provider may say.", action=show_flavor_capabilities,
        gives=FlavorCapabilities, query=_QUERY,
    )  # fmt: skip
    yield Operation(
        method="GET", path=f"{of_one}/availability_zone_capabilities", kind="Provider",
        resource="provider-availability-zone", rule="get_all",
        name="list_availability_zone_capabilities",
        summary="List what Availability Zones of a Provider may say.",
        action=show_zone_capabilities, gives=ZoneCapabilities, query=_QUERY,
    )  # fmt: skip
