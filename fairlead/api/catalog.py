"""Flavors, availability zones and their profiles: what operators offer to users.

One set of functions serves all four kinds, as for the kinds of the tree. The provider says whether
it can make a profile's data true, when the profile is written.
"""

from collections.abc import Iterator

import msgspec
from litestar import Response

from fairlead.api import answers, selection
from fairlead.api.calls import Call
from fairlead.api.faults import json_response
from fairlead.api.operation import Action, Body, Method, Operation
from fairlead.domain import bodies
from fairlead.domain.bodies import refused
from fairlead.domain.catalog import (
    CATALOG,
    DATA,
    PLACEHOLDER,
    AvailabilityZone,
    AvailabilityZoneProfile,
    FlavorProfile,
    Item,
    data_of,
)
from fairlead.errors import Conflict

# Where each kind is found, how the path names one, and the resource of its policy rules.
PLACES: dict[str, tuple[str, str, str]] = {
    "flavor": ("lbaas/flavors", "flavor_id", "flavor"),
    "flavorprofile": ("lbaas/flavorprofiles", "flavorprofile_id", "flavor-profile"),
    "availability_zone": (
        "lbaas/availabilityzones", "availability_zone_name", "availability-zone",
    ),
    "availability_zone_profile": (
        "lbaas/availabilityzoneprofiles", "availability_zone_profile_id",
        "availability-zone-profile",
    ),
}  # fmt: skip


async def show_list(call: Call) -> Response[bytes]:
    """One page of a kind's items."""
    call.allow(call.caller.project_id)
    query = selection.query_of(call, None, None)
    page = await call.services.catalog.list(query)
    fields, what = call.parameters.many("fields"), CATALOG[call.kind]
    return json_response({
        what.plural: [answers.selected(answers.shown_item(one), fields) for one in page],
        what.links_key: selection.links_of(call, query, page),
    })  # fmt: skip


async def show(call: Call) -> Response[bytes]:
    """One item."""
    call.allow(call.caller.project_id)
    item = await call.services.catalog.find(call.kind, _key(call))
    answer = answers.selected(answers.shown_item(item), call.parameters.many("fields"))
    return json_response({CATALOG[call.kind].wrapper: answer})


async def create(call: Call) -> Response[bytes]:
    """A new item: 201."""
    call.allow(call.caller.project_id)
    what = CATALOG[call.kind]
    values = bodies.creation(call.kind, await call.body(what.wrapper))
    item = msgspec.convert({**values, "id": call.services.new_id()}, what.type)
    assert isinstance(item, Item)  # noqa: S101 - all kinds of the catalog are
    if item.key == PLACEHOLDER:
        raise Conflict(f"A {what.word.lower()} of {item.name} already exists.")
    await _check_profile(call, item)
    await call.services.catalog.add(item)
    return json_response({what.wrapper: answers.shown_item(item)}, 201)


async def update(call: Call) -> Response[bytes]:
    """Set fields of an item: 200."""
    call.allow(call.caller.project_id)
    what = CATALOG[call.kind]
    values = bodies.changes(call.kind, await call.body(what.wrapper))
    if call.kind in DATA and values.keys() & {"provider_name", DATA[call.kind]}:
        before = await call.services.catalog.find(call.kind, _key(call))
        wanted = msgspec.structs.replace(before, **values)
        await _check_profile(call, wanted)
        # What was checked goes together, whatever another request does meanwhile.
        values |= {name: getattr(wanted, name) for name in ("provider_name", DATA[call.kind])}
    item = await call.services.catalog.change(
        call.kind, _key(call), lambda before: msgspec.structs.replace(before, **values)
    )
    return json_response({what.wrapper: answers.shown_item(item)})


async def delete(call: Call) -> Response[bytes]:
    """Remove an item that nobody uses: 204."""
    call.allow(call.caller.project_id)
    await call.services.catalog.remove(call.kind, _key(call))
    return Response(b"", status_code=204)


def _key(call: Call) -> str:
    if call.kind == AvailabilityZone.KIND:
        return str(call.request.path_params["availability_zone_name"])
    return call.object_id


async def _check_profile(call: Call, item: Item) -> None:
    """Have the provider judge a profile's data; other items have none."""
    if not isinstance(item, FlavorProfile | AvailabilityZoneProfile):
        return
    name = DATA[item.KIND]
    provider = call.services.providers.get(item.provider_name)
    try:
        data = data_of(item)
    except ValueError as error:
        raise refused(name, getattr(item, name), f"{error}.") from None
    if isinstance(item, FlavorProfile):
        await provider.validate_flavor(data)
    else:
        await provider.validate_zone(data)


def operations() -> Iterator[Operation]:
    """CRUD of each kind."""
    for kind, (path, key, resource) in PLACES.items():
        word, plural = CATALOG[kind].word, CATALOG[kind].plural
        words = f"{word}s"
        one = f"{path}/{{{key}}}"
        rows: tuple[tuple[Method, str, str, str, str, Action, int, Body, Body], ...] = (
            ("GET", path, "get_all", f"list_{plural}", f"List {words}.",
             show_list, 200, None, "list"),
            ("POST", path, "post", f"create_{kind}", f"Create a {word}.",
             create, 201, "create", "one"),
            ("GET", one, "get_one", f"get_{kind}", f"Show a {word}.", show, 200, None, "one"),
            ("PUT", one, "put", f"update_{kind}", f"Change a {word}.",
             update, 200, "update", "one"),
            ("DELETE", one, "delete", f"delete_{kind}", f"Delete a {word} that nobody uses.",
             delete, 204, None, None),
        )  # fmt: skip
        for method, where, rule, name, summary, action, status, takes, gives in rows:
            yield Operation(
                method=method, path=where, kind=kind, resource=resource, rule=rule, name=name,
                summary=summary, action=action, status=status, takes=takes, gives=gives,
            )  # fmt: skip
