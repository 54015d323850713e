"""The operations of the network API, as data, and what clients look for that is not here.

app.py serves them where the network driver has users' networks; openapi.py describes them.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from litestar import Response
from msgspec import UNSET, Struct, UnsetType, defstruct

from fairlead.api import network_lists as lists
from fairlead.api import networks
from fairlead.api.calls import Call
from fairlead.api.faults import json_response
from fairlead.api.network_bodies import TagsBody
from fairlead.api.openapi_schemas import Link
from fairlead.api.operation import Action, Method, Operation
from fairlead.errors import NotFound

VERSION = "/v2.0"

# What this subset has, in the aliases that clients ask for.
EXTENSIONS = {
    "binding": "Port Binding", "filter-validation": "Filter parameters validation",
    "net-mtu": "Network MTU", "pagination": "Pagination support", "project-id": "project_id field",
    "sorting": "Sorting support", "standard-attr-description": "standard-attr-description",
    "standard-attr-tag": "Tag support for resources with standard attribute",
}  # fmt: skip

# What clients list although no such thing can exist here: path, key of the list, word for one.
NONE_HERE = (
    ("address-scopes", "address_scopes", "Address Scope"),
    ("agents", "agents", "Agent"),
    ("availability_zones", "availability_zones", "Network Availability Zone"),
    ("floatingips", "floatingips", "Floating IP"),
    ("qos/policies", "policies", "QoS Policy"),
    ("routers", "routers", "Router"),
    ("security-groups", "security_groups", "Security Group"),
    ("security-group-rules", "security_group_rules", "Security Group Rule"),
    ("subnetpools", "subnetpools", "Subnet Pool"),
    ("trunks", "trunks", "Trunk"),
)

_TAG_FILTERS = {
    "tags": "With all of these tags.", "tags-any": "With any of these tags.",
    "not-tags": "Without all of these tags.", "not-tags-any": "Without any of these tags.",
}  # fmt: skip
_PAGING = {
    "limit": "Most objects of a page; without it a list is whole.",
    "marker": "Id of the last object of the page before.",
    "page_reverse": "The page before it.",
    "sort_key": "Fields, separated by commas.",
    "sort_dir": "asc or desc for each field.",
}
_PORT_FILTERS = {"fixed_ips": "subnet_id=ID or ip_address=ADDRESS; both hold for one address."}


class Extension(Struct, frozen=True, kw_only=True):
    """Something that this subset of the network API has."""

    alias: str
    name: str
    description: str = ""
    updated: str = "2026-10-01T00:00:00-00:00"
    links: tuple[str, ...] = ()


class Extensions(Struct, frozen=True, kw_only=True):
    """All of them."""

    extensions: list[Extension]


class OneExtension(Struct, frozen=True, kw_only=True):
    """One of them."""

    extension: Extension


@cache
def operations() -> tuple[Operation, ...]:
    """All operations of the network API."""
    return tuple(_all())


def _all() -> Iterator[Operation]:
    for word, kind in networks.KINDS.items():
        yield from _of_kind(word, kind)
        yield from _of_tags(word, kind)
    yield _operation("GET", "extensions", "Extension", "list_network_extensions",
                     "List what this network API has.", _list_extensions,
                     gives=Extensions)  # fmt: skip
    yield _operation("GET", "extensions/{alias_id}", "Extension", "get_network_extension",
                     "Show one of them.", _show_extension, gives=OneExtension)  # fmt: skip
    for path, key, word in NONE_HERE:
        gives = defstruct(f"No{word.replace(' ', '')}s", [(key, list[str])], kw_only=True)
        yield _operation("GET", path, word, f"list_network_{key}",
                         f"List {word}s: there are none here.", _listing_none(key),
                         gives=gives)  # fmt: skip
        yield _operation("GET", f"{path}/{{none_id}}", word, f"get_network_{key}",
                         f"Show a {word}: there is none here.", _show_none,
                         gives=gives)  # fmt: skip


def _of_kind(word: str, kind: networks.Kind) -> Iterator[Operation]:
    rows: tuple[tuple[Method, str, str, str, Action, int, Any, Any], ...] = (
        ("GET", "", f"list_{kind.plural}", f"List {word}s.", networks.show_list, 200, None,
         _wrapped(kind.plural, list[kind.view], links=True)),  # type: ignore[name-defined] # made at run time
        ("POST", "", f"create_{kind.name}", f"Create a {word}.", networks.create, 201,
         _wrapped(kind.name, kind.body), _wrapped(kind.name, kind.view)),
        ("GET", "/{id}", f"get_{kind.name}", f"Show a {word}.", networks.show, 200, None,
         _wrapped(kind.name, kind.view)),
        ("PUT", "/{id}", f"update_{kind.name}", f"Change a {word}.", networks.update, 200,
         _wrapped(kind.name, kind.changes), _wrapped(kind.name, kind.view)),
        ("DELETE", "/{id}", f"delete_{kind.name}", f"Delete a {word} that is not in use.",
         networks.delete, 204, None, None),
    )  # fmt: skip
    for method, below, name, summary, action, status, takes, gives in rows:
        path = kind.plural + below.replace("{id}", f"{{{kind.name}_id}}")
        yield _operation(
            method, path, word, name, summary, action, status=status, takes=takes, gives=gives,
            query=_query(kind) if action is networks.show_list else {},
        )  # fmt: skip


def _of_tags(word: str, kind: networks.Kind) -> Iterator[Operation]:
    path = f"{kind.plural}/{{{kind.name}_id}}/tags"
    rows: tuple[tuple[Method, str, str, str, Action, int, Any], ...] = (
        ("GET", "", "get_{}_tags", "Show the tags of a", networks.show_tags, 200, None),
        ("PUT", "", "replace_{}_tags", "Replace the tags of a", networks.replace_tags, 200,
         TagsBody),
        ("DELETE", "", "remove_{}_tags", "Remove the tags of a", networks.remove_tags, 204, None),
        ("GET", "/{tag}", "has_{}_tag", "Look for a tag of a", networks.has_tag, 204, None),
        ("PUT", "/{tag}", "add_{}_tag", "Add a tag to a", networks.add_tag, 201, None),
        ("DELETE", "/{tag}", "remove_{}_tag", "Remove a tag of a", networks.remove_tag, 204, None),
    )  # fmt: skip
    for method, below, name, summary, action, status, takes in rows:
        yield _operation(
            method, path + below, word, name.format(kind.name), f"{summary} {word}.", action,
            status=status, takes=takes, gives=TagsBody if status == 200 else None,
        )  # fmt: skip


def _operation(
    method: Method, path: str, word: str, name: str, summary: str, action: Action, **more: Any
) -> Operation:
    rules = {"GET": "get_all", "POST": "post", "PUT": "put", "DELETE": "delete"}
    return Operation(
        method=method, path=f"{VERSION}/{path}", kind=word, resource="network",
        rule=rules[method], name=name, summary=summary, action=action,
        fault=networks.neutron_fault, **more,
    )  # fmt: skip


def _query(kind: networks.Kind) -> dict[str, str]:
    plain = [name for name, plain in lists.fields_of(kind.view).items() if plain]
    found = {name: f"Objects with this {name}; several are alternatives." for name in plain}
    return found | (_PORT_FILTERS if kind.name == "port" else {}) | _TAG_FILTERS | _PAGING


@cache
def _wrapped(key: str, body: Any, *, links: bool = False) -> type[Struct]:
    """A body in its wrapper, as a type."""
    fields: list[Any] = [(key, body)]
    if links:
        fields.append((f"{key}_links", list[Link] | UnsetType, UNSET))
    what = body.__name__ if isinstance(body, type) and not links else key.title()
    return defstruct(f"{what}Wrapped", fields, kw_only=True)


async def _list_extensions(call: Call) -> Response[bytes]:
    found = [Extension(alias=alias, name=name) for alias, name in EXTENSIONS.items()]
    return json_response(Extensions(extensions=found))


async def _show_extension(call: Call) -> Response[bytes]:
    alias = str(call.request.path_params["alias_id"])
    if alias not in EXTENSIONS:
        raise NotFound("Extension", alias)
    return json_response(OneExtension(extension=Extension(alias=alias, name=EXTENSIONS[alias])))


def _listing_none(key: str) -> Action:
    async def show(call: Call) -> Response[bytes]:
        return json_response({key: []})

    return show


async def _show_none(call: Call) -> Response[bytes]:
    raise NotFound(call.kind, str(call.request.path_params["none_id"]))
