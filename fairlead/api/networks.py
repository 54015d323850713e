"""The stand-alone network API: networks, subnets and ports in Neutron's bodies.

Just enough for the OpenStack tools to make and find what load balancers are put on, where no
network service is around. A caller sees shared networks and those of the own project; what it
cannot see is 404. Served only where the network driver has users' networks (`NetworkAdmin`).
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from litestar import Response
from msgspec import Struct
from msgspec.structs import replace

from fairlead.api import network_bodies as bodies
from fairlead.api import network_lists as lists
from fairlead.api import network_views as views
from fairlead.api.answers import selected
from fairlead.api.calls import Call
from fairlead.api.faults import json_response
from fairlead.api.network_views import Notes, Thing, notes_of
from fairlead.api.selection import page_links
from fairlead.domain.bodies import refused
from fairlead.domain.observed import NetworkInfo, Port, Subnet
from fairlead.errors import Conflict, NotFound
from fairlead.ports import NetworkAdmin, WantedIp


class Directory:
    """What one caller sees and does of networks, subnets and ports."""

    def __init__(self, call: Call) -> None:
        admin = call.services.network_admin
        assert admin is not None  # noqa: S101 - these operations are served with one only
        self._admin: NetworkAdmin = admin
        self._call = call
        self._caller = call.caller

    async def networks(self) -> list[NetworkInfo]:
        """Networks the caller may use."""
        own, everything = self._scope()
        networks = await self._admin.networks()
        return [n for n in networks if everything or n.shared or n.project_id == own]

    async def subnets(self) -> list[Subnet]:
        """Subnets of those networks."""
        return [subnet for network in await self.networks() for subnet in network.subnets]

    async def ports(self) -> list[Port]:
        """Ports of the caller's project."""
        own, everything = self._scope()
        ports = await self._admin.all_ports()
        return [port for port in ports if everything or port.project_id == own]

    async def create_network(self, body: bodies.NetworkBody) -> Thing:
        """A network of the caller's, or of the named project for operators."""
        project_id = self._owner(body)
        if body.shared:
            self._call.allow(None, "share")
        return await self._admin.create_network(
            body.name, project_id=project_id, shared=body.shared, note=_note(Notes(), body)
        )

    async def create_subnet(self, body: bodies.SubnetBody) -> Thing:
        """A range on a network of the caller's."""
        network = await self._network(body.network_id)
        self._call.allow(network.project_id)
        if body.ip_version not in (None, 6 if ":" in body.cidr else 4):
            raise refused("ip_version", body.ip_version, "It is not the version of cidr.")
        return await self._admin.create_subnet(
            network.id,
            cidr=body.cidr,
            name=body.name,
            gateway=body.gateway_ip,
            project_id=network.project_id or self._owner(body),
            note=_note(Notes(), body),
        )

    async def create_port(self, body: bodies.PortBody) -> Thing:
        """A port of the caller's on a network it may use."""
        network = await self._network(body.network_id)
        own = self._owner(body)
        return await self._admin.create_port(
            network.id,
            name=body.name,
            fixed_ips=[
                WantedIp(subnet_id=one.subnet_id, address=one.ip_address) for one in body.fixed_ips
            ],
            project_id=own if network.shared else network.project_id or own,
            note=_note(Notes(), body),
        )

    async def change(self, thing: Thing, body: Struct) -> Thing:
        """Set what the body says; the rest stays."""
        self._call.allow(thing.project_id)
        said = bodies.said(body)
        if isinstance(thing, NetworkInfo) and said.get("shared", thing.shared) != thing.shared:
            self._call.allow(None, "share")
        if isinstance(thing, Port) and thing.owner and said.get("name", thing.name) != thing.name:
            raise Conflict(f"Port {thing.id} is in use by {thing.owner}: its name stays.")
        values = {_OWN[name]: value for name, value in said.items() if name in _OWN}
        after = replace(thing, note=_note(notes_of(thing), body), **values)
        return await self._admin.change(after)

    async def tag(self, thing: Thing, tags: tuple[str, ...]) -> Thing:
        """Make these the tags of an object."""
        self._call.allow(thing.project_id, "put")
        notes = replace(notes_of(thing), tags=tuple(dict.fromkeys(tags)))
        return await self._admin.change(replace(thing, note=_text(notes)))

    async def delete(self, thing: Thing) -> None:
        """Remove what the caller owns."""
        self._call.allow(thing.project_id)
        match thing:
            case NetworkInfo():
                await self._admin.delete_network(thing.id)
            case Subnet():
                await self._admin.delete_subnet(thing.id)
            case Port():
                await self._admin.delete_port(thing.id)

    async def _network(self, network_id: str) -> NetworkInfo:
        for network in await self.networks():
            if network.id == network_id:
                return network
        raise NotFound("Network", network_id)

    def _scope(self) -> tuple[str | None, bool]:
        """The caller's project, and whether it sees all of them."""
        own = self._caller.project_id
        everything = self._call.allows(None, "get_all-global")
        if not everything:
            self._call.allow(own, "get_all")
        return own, everything

    def _owner(self, body: Any) -> str:
        project_id = body.project_id or body.tenant_id or self._caller.project_id
        self._call.allow(project_id)
        return str(project_id)


# What a change says of an object itself, by the name that the driver's types have for it.
_OWN = {"name": "name", "shared": "shared", "gateway_ip": "gateway"}


class Kind(Struct, frozen=True):
    """What clients call it, how it is shown, what lists, creates and changes it."""

    name: str
    view: type[Struct]
    things: Callable[[Directory], Awaitable[list[Any]]]
    create: Callable[[Directory, Any], Awaitable[Thing]]
    body: type[Struct]
    changes: type[Struct]

    @property
    def plural(self) -> str:
        """The wrapper of its lists, and its path."""
        return f"{self.name}s"


# By the word that messages have for it.
KINDS: dict[str, Kind] = {
    "Network": Kind("network", views.NetworkView, Directory.networks, Directory.create_network,
                    bodies.NetworkBody, bodies.NetworkChange),
    "Subnet": Kind("subnet", views.SubnetView, Directory.subnets, Directory.create_subnet,
                   bodies.SubnetBody, bodies.SubnetChange),
    "Port": Kind("port", views.PortView, Directory.ports, Directory.create_port,
                 bodies.PortBody, bodies.PortChange),
}  # fmt: skip


def neutron_fault(_status: int, error: Exception) -> dict[str, Any]:
    """Neutron's shape of an error."""
    word = error.word.replace(" ", "") if isinstance(error, NotFound) else ""
    return {
        "NeutronError": {"type": word + type(error).__name__, "message": str(error), "detail": ""}
    }


async def show_list(call: Call) -> Response[bytes]:
    """The objects a caller sees, filtered, ordered and, with `limit`, in pages."""
    kind, given = KINDS[call.kind], call.parameters
    known = lists.fields_of(kind.view)
    rows = [views.shown(thing) for thing in await kind.things(Directory(call))]
    rows = lists.ordered(lists.filtered(rows, known, given), known, given)
    page = lists.page(rows, given, call.kind)
    fields = given.many("fields")
    answer: dict[str, Any] = {kind.plural: [selected(row, fields) for row in page]}
    limit = lists.limit_of(given)
    if limit is not None:
        ids = [row["id"] for row in page]
        answer[f"{kind.plural}_links"] = page_links(call, ids, limit, given.one("marker"))
    return json_response(answer)


async def show(call: Call) -> Response[bytes]:
    """One object."""
    row = views.shown(await _thing(call))
    return json_response({KINDS[call.kind].name: selected(row, call.parameters.many("fields"))})


async def create(call: Call) -> Response[bytes]:
    """Make an object: 201."""
    kind = KINDS[call.kind]
    body = bodies.read(kind.name, await call.body(kind.name), kind.body)
    return json_response({kind.name: views.shown(await kind.create(Directory(call), body))}, 201)


async def update(call: Call) -> Response[bytes]:
    """Set fields of an object."""
    kind = KINDS[call.kind]
    body = bodies.read(kind.name, await call.body(kind.name), kind.changes)
    return json_response(
        {kind.name: views.shown(await Directory(call).change(await _thing(call), body))}
    )


async def delete(call: Call) -> Response[bytes]:
    """Remove an object: 204."""
    await Directory(call).delete(await _thing(call))
    return Response(b"", status_code=204)


async def show_tags(call: Call) -> Response[bytes]:
    """The tags of an object."""
    return json_response({"tags": notes_of(await _thing(call)).tags})


async def replace_tags(call: Call) -> Response[bytes]:
    """Make the tags of an object the given ones."""
    body = bodies.read("tags", await call.document(), bodies.TagsBody)
    thing = await Directory(call).tag(await _thing(call), body.tags)
    return json_response({"tags": notes_of(thing).tags})


async def remove_tags(call: Call) -> Response[bytes]:
    """Take all tags of an object away: 204."""
    await Directory(call).tag(await _thing(call), ())
    return Response(b"", status_code=204)


async def has_tag(call: Call) -> Response[bytes]:
    """204 when an object has the tag that the path names, else 404."""
    tag = _tag_of(call)
    if tag not in notes_of(await _thing(call)).tags:
        raise NotFound("Tag", tag)
    return Response(b"", status_code=204)


async def add_tag(call: Call) -> Response[bytes]:
    """Give an object one more tag: 201."""
    thing = await _thing(call)
    given = {"tags": [*notes_of(thing).tags, _tag_of(call)]}
    await Directory(call).tag(thing, bodies.read("tags", given, bodies.TagsBody).tags)
    return Response(b"", status_code=201)


async def remove_tag(call: Call) -> Response[bytes]:
    """Take one tag of an object away: 204."""
    thing, gone = await _thing(call), _tag_of(call)
    if gone not in notes_of(thing).tags:
        raise NotFound("Tag", gone)
    await Directory(call).tag(thing, tuple(t for t in notes_of(thing).tags if t != gone))
    return Response(b"", status_code=204)


def _tag_of(call: Call) -> str:
    return str(call.request.path_params["tag"])


async def _thing(call: Call) -> Thing:
    kind = KINDS[call.kind]
    wanted = str(call.request.path_params[f"{kind.name}_id"])
    for thing in await kind.things(Directory(call)):
        if thing.id == wanted:
            found: Thing = thing
            return found
    raise NotFound(call.kind, wanted)


def _note(before: Notes, body: Struct) -> str:
    """What the body says beyond what the driver has places for, kept as a text."""
    said = {k: v for k, v in bodies.said(body).items() if k in Notes.__struct_fields__}
    return _text(replace(before, **said))


def _text(notes: Notes) -> str:
    return msgspec.json.encode(notes).decode()
