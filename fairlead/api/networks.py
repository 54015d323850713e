"""The stand-alone network API: networks, subnets and ports in Neutron's bodies.

Just enough for the OpenStack tools to make and find what load balancers are put on, where no
network service is around. A caller sees shared networks and those of the own project; what it
cannot see is 404. Served only where the network driver has users' networks (`NetworkAdmin`).
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, NoReturn

import msgspec
from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from fairlead.api import network_views as shown
from fairlead.api.answers import selected
from fairlead.api.calls import Call, admitted
from fairlead.api.faults import json_response, on_error
from fairlead.api.operation import Method
from fairlead.api.parameters import Parameters
from fairlead.api.services import Services
from fairlead.domain.bodies import refused
from fairlead.domain.observed import NetworkInfo
from fairlead.errors import FairleadError, NotFound, Refused
from fairlead.ports import NetworkAdmin, WantedIp

VERSION = "/v2.0"
_PAGING = frozenset({"limit", "marker", "page_reverse", "sort_key", "sort_dir", "fields"})
_Name = Annotated[str, msgspec.Meta(max_length=255, description="Human-readable name.")]
_Project = Annotated[str, msgspec.Meta(max_length=36, description="Owner.")] | None
_Rows = list[dict[str, Any]]


class NetworkBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new network. Sharing it with every project needs admin."""

    name: _Name = ""
    shared: bool = False
    admin_state_up: bool = True
    project_id: _Project = None
    tenant_id: _Project = None


class SubnetBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new address range. Without `gateway_ip` nothing routes for it."""

    network_id: str
    cidr: str
    name: _Name = ""
    gateway_ip: str | None = None
    ip_version: int | None = None
    enable_dhcp: bool = True
    project_id: _Project = None
    tenant_id: _Project = None


class FixedIpBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which address a port shall have; what is left out is chosen."""

    subnet_id: str | None = None
    ip_address: str | None = None


class PortBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new port with one address."""

    network_id: str
    name: _Name = ""
    fixed_ips: tuple[FixedIpBody, ...] = ()
    admin_state_up: bool = True
    project_id: _Project = None
    tenant_id: _Project = None


class Directory:
    """What one caller sees and does of networks, subnets and ports."""

    def __init__(self, admin: NetworkAdmin, call: Call) -> None:
        self._admin = admin
        self._call = call
        self._caller = call.caller

    async def networks(self) -> _Rows:
        """Networks the caller may use."""
        return [shown.network(one) for one in await self._visible()]

    async def subnets(self) -> _Rows:
        """Subnets of those networks."""
        return [shown.subnet(one) for net in await self._visible() for one in net.subnets]

    async def ports(self) -> _Rows:
        """Ports of the caller's project."""
        own, everything = self._scope()
        ports = await self._admin.all_ports()
        return [shown.port(p) for p in ports if everything or p.project_id == own]

    async def create_network(self, body: NetworkBody) -> dict[str, Any]:
        """A network of the caller's, or of the named project for operators."""
        project_id = self._owner(body)
        if body.shared:
            self._call.allow(None, "share")
        _check_up(body.admin_state_up)
        made = await self._admin.create_network(
            body.name, project_id=project_id, shared=body.shared
        )
        return shown.network(made)

    async def create_subnet(self, body: SubnetBody) -> dict[str, Any]:
        """A range on a network of the caller's."""
        network = await self._network(body.network_id)
        self._call.allow(network.project_id)
        if body.ip_version not in (None, 6 if ":" in body.cidr else 4):
            raise refused("ip_version", body.ip_version, "It is not the version of cidr.")
        made = await self._admin.create_subnet(
            network.id,
            cidr=body.cidr,
            name=body.name,
            gateway=body.gateway_ip,
            project_id=network.project_id or self._owner(body),
        )
        return shown.subnet(made)

    async def create_port(self, body: PortBody) -> dict[str, Any]:
        """A port of the caller's on a network it may use."""
        network = await self._network(body.network_id)
        _check_up(body.admin_state_up)
        own = self._owner(body)
        made = await self._admin.create_port(
            network.id,
            name=body.name,
            fixed_ips=[
                WantedIp(subnet_id=one.subnet_id, address=one.ip_address) for one in body.fixed_ips
            ],
            project_id=own if network.shared else network.project_id or own,
        )
        return shown.port(made)

    async def delete(self, kind: str, row: dict[str, Any]) -> None:
        """Remove what the caller owns."""
        self._call.allow(row["project_id"])
        await {
            "network": self._admin.delete_network,
            "subnet": self._admin.delete_subnet,
            "port": self._admin.delete_port,
        }[kind](row["id"])

    async def _visible(self) -> list[NetworkInfo]:
        own, everything = self._scope()
        networks = await self._admin.networks()
        return [n for n in networks if everything or n.shared or n.project_id == own]

    async def _network(self, network_id: str) -> NetworkInfo:
        for network in await self._visible():
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

    def _owner(self, body: NetworkBody | SubnetBody | PortBody) -> str:
        project_id = body.project_id or body.tenant_id or self._caller.project_id
        self._call.allow(project_id)
        return str(project_id)


class Kind(Struct, frozen=True):
    """How a kind is called, what creates it and what lists it."""

    word: str
    body: type[Struct]
    create: Callable[[Directory, Any], Awaitable[dict[str, Any]]]
    rows: Callable[[Directory], Awaitable[_Rows]]


KINDS: dict[str, Kind] = {
    "network": Kind("Network", NetworkBody, Directory.create_network, Directory.networks),
    "subnet": Kind("Subnet", SubnetBody, Directory.create_subnet, Directory.subnets),
    "port": Kind("Port", PortBody, Directory.create_port, Directory.ports),
}


def handlers(services: Services, admin: NetworkAdmin) -> list[HTTPRouteHandler]:
    """Route handlers for list, show, create and delete of each kind."""
    rows: tuple[tuple[Method, str, _Act, str], ...] = (
        ("GET", "", _list, "get_all"),
        ("POST", "", _create, "post"),
        ("GET", "/{object_id:str}", _show, "get_all"),
        ("DELETE", "/{object_id:str}", _delete, "delete"),
    )
    return [
        _handler(services, admin, kind, method, f"{VERSION}/{kind}s{path}", act, action)
        for kind in KINDS
        for method, path, act, action in rows
    ]


def neutron_fault(_status: int, error: Exception) -> dict[str, Any]:
    """Neutron's shape of an error."""
    word = error.word if isinstance(error, NotFound) else ""
    return {
        "NeutronError": {"type": word + type(error).__name__, "message": str(error), "detail": ""}
    }


_Act = Callable[[Call, Directory, str], Awaitable[Response[bytes]]]


def _handler(
    services: Services,
    admin: NetworkAdmin,
    kind: str,
    method: Method,
    path: str,
    act: _Act,
    action: str,
) -> HTTPRouteHandler:
    async def handle(request: Request[Any, Any, Any]) -> Response[bytes]:
        call = await admitted(services, request, kind, "network", action)
        return await act(call, Directory(admin, call), kind)

    return HTTPRouteHandler(
        path,
        http_method=method,
        status_code=200,  # of answers that set none; all of ours do
        exception_handlers={FairleadError: on_error(neutron_fault)},
    )(handle)


async def _list(call: Call, directory: Directory, kind: str) -> Response[bytes]:
    rows = _filtered(await KINDS[kind].rows(directory), call.parameters)
    fields = call.parameters.many("fields")
    return json_response({f"{kind}s": [selected(row, fields) for row in rows]})


async def _show(call: Call, directory: Directory, kind: str) -> Response[bytes]:
    row = await _row(call, directory, kind)
    return json_response({kind: selected(row, call.parameters.many("fields"))})


async def _create(call: Call, directory: Directory, kind: str) -> Response[bytes]:
    given = await call.body(kind)
    try:
        body = msgspec.convert(given, KINDS[kind].body, strict=False)
    except msgspec.ValidationError as error:
        raise Refused(f"Invalid input for {kind}. {error}.") from None
    return json_response({kind: await KINDS[kind].create(directory, body)}, 201)


async def _delete(call: Call, directory: Directory, kind: str) -> Response[bytes]:
    await directory.delete(kind, await _row(call, directory, kind))
    return Response(b"", status_code=204)


async def _row(call: Call, directory: Directory, kind: str) -> dict[str, Any]:
    wanted = str(call.request.path_params["object_id"])
    for row in await KINDS[kind].rows(directory):
        if row["id"] == wanted:
            return row
    raise NotFound(KINDS[kind].word, wanted)


def _filtered(rows: _Rows, given: Parameters) -> _Rows:
    """Rows whose plain values are, spelled out, what the query asks for."""
    for name, text in given.pairs:
        if name in _PAGING:
            continue
        if name not in shown.FILTERS:
            _unknown(name)
        rows = [row for row in rows if name in row and _spelled(row[name]) == text.lower()]
    return rows


def _unknown(name: str) -> NoReturn:
    raise Refused(f"Invalid input for operation: '{name[:100]}' is not a filter.")


def _spelled(value: Any) -> str:
    return "" if value is None else str(value).lower()


def _check_up(up: bool) -> None:
    if not up:
        raise refused("admin_state_up", up, "Networks and ports here are always up.")
