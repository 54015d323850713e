"""The secret store's API, in Barbican's shapes: /v1/secrets and /v1/containers.

A caller works in the own project only, also an administrator: what belongs to another project is
not found, exactly as what does not exist. Served where the service keeps the secrets itself
(`Services.secret_admin`). A payload is in no answer but the one of its own path.
"""

import uuid
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
from litestar import Response
from litestar.exceptions import HTTPException, NotFoundException
from msgspec import Struct

from fairlead.api import secret_bodies as bodies
from fairlead.api.calls import Call
from fairlead.api.faults import json_response
from fairlead.api.operation import Action, Body, Method, Operation
from fairlead.domain.secrets import WORDS, Container, Secret, SecretKind, SecretQuery
from fairlead.domain.types import uuid_text
from fairlead.errors import Forbidden, NotFound, Refused
from fairlead.ports import SecretAdmin

VERSION = "/v1"
_PAGE, _LONGEST_PAGE = 10, 100
_FAR = 2**31
_PLACES: dict[SecretKind, str] = {"secret": "secrets", "container": "containers"}
# Query parameters that filter, and the fields they are about.
_FILTERS: dict[SecretKind, dict[str, str]] = {
    "secret": {"name": "name", "alg": "algorithm", "mode": "mode", "bits": "bit_length",
               "secret_type": "secret_type"},
    "container": {"name": "name", "type": "type"},
}  # fmt: skip
T = TypeVar("T", bound=Struct)


def operations() -> Iterator[Operation]:
    """All of this area."""
    rows: tuple[tuple[SecretKind, Method, str, str, str, Action, int, Body, Body], ...] = (
        ("secret", "GET", "", "get_all", "List Secrets.", _list, 200, None, bodies.SecretsShown),
        ("secret", "POST", "", "post", "Store a Secret.", _store, 201,
         bodies.SecretCreate, bodies.SecretRef),
        ("secret", "GET", "/{secret_id}", "get_one", "Show what is known of a Secret.",
         _show, 200, None, bodies.SecretShown),
        ("secret", "GET", "/{secret_id}/payload", "get_payload", "Show what a Secret holds.",
         _show_payload, 200, None, bytes),
        ("secret", "PUT", "/{secret_id}", "put", "Give a Secret its payload.",
         _fill, 204, bytes, None),
        ("secret", "DELETE", "/{secret_id}", "delete", "Delete a Secret.", _delete, 204, None,
         None),
        ("container", "GET", "", "get_all", "List Containers.", _list, 200, None,
         bodies.ContainersShown),
        ("container", "POST", "", "post", "Make a Container.", _contain, 201,
         bodies.ContainerCreate, bodies.ContainerRef),
        ("container", "GET", "/{container_id}", "get_one", "Show a Container.", _show, 200, None,
         bodies.ContainerShown),
        ("container", "DELETE", "/{container_id}", "delete", "Delete a Container.",
         _delete, 204, None, None),
    )  # fmt: skip
    for kind, method, path, rule, summary, action, status, takes, gives in rows:
        word = {"get_all": "list", "get_one": "get", "post": "store", "put": "fill"}.get(rule, rule)
        yield Operation(
            method=method, path=f"{VERSION}/{_PLACES[kind]}{path}", kind=WORDS[kind],
            resource="secret", rule=rule, name=f"{word}_{kind}" + "s" * (rule == "get_all"),
            summary=summary, action=action, status=status, takes=takes, gives=gives,
            query=_query(kind) if rule == "get_all" else {}, fault=_barbican_fault,
        )  # fmt: skip


def _query(kind: SecretKind) -> dict[str, str]:
    own = {name: f"Those with this {field}." for name, field in _FILTERS[kind].items()}
    most = f"Most objects to answer with, at most {_LONGEST_PAGE}."
    return {"limit": most, "offset": "How many to leave out.", **own}


def _barbican_fault(status: int, error: Exception) -> dict[str, Any]:
    """Barbican's shape of an error."""
    return {"code": status, "title": HTTPStatus(status).phrase, "description": str(error)}


async def _store(call: Call) -> Response[bytes]:
    project_id, admin = _project(call), _admin(call)
    body = _decoded(await call.document(), bodies.SecretCreate)
    payload, now = bodies.payload_of(body), call.services.clock.now()
    secret = Secret(
        id=call.services.new_id(),
        project_id=project_id,
        name=body.name,
        creator_id=call.caller.user_id or call.caller.user,
        created_at=now,
        updated_at=now,
        secret_type=body.secret_type or "opaque",
        content_type=None if payload is None else bodies.content_type(body.payload_content_type),
        algorithm=body.algorithm,
        bit_length=body.bit_length,
        mode=body.mode,
        expiration=bodies.expiration_of(body, now),
    )
    await admin.create(secret, payload)
    made = bodies.SecretRef(secret_ref=_ref(call, "secret", secret.id))
    return json_response(made, 201, Location=made.secret_ref)


async def _fill(call: Call) -> Response[bytes]:
    project_id, admin, secret_id = _project(call), _admin(call), _id(call, "secret")
    headers = call.request.headers
    if headers.get("content-type", "").startswith("application/json"):
        raise HTTPException(status_code=415, detail="A payload is no JSON.")
    kind = bodies.content_type(headers.get("content-type"))
    encoding = headers.get("content-encoding", "").lower()
    if encoding not in ("", "base64"):
        raise Refused("Content-Encoding should be base64, if anything.")
    data = await call.request.body()
    plain = bodies.decoded(data) if encoding else data
    await admin.fill(secret_id, project_id, kind, bodies.checked(plain, kind))
    return Response(b"", status_code=204)


async def _show_payload(call: Call) -> Response[bytes]:
    project_id, admin, secret_id = _project(call), _admin(call), _id(call, "secret")
    secret = await admin.secret(secret_id, project_id)
    payload = await admin.payload(secret_id, project_id)
    kind = secret.content_type or ""
    accept = call.request.headers.get("accept", "*/*")
    wanted = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if not wanted & {kind, f"{kind.partition('/')[0]}/*", "*/*", ""}:
        raise HTTPException(status_code=406, detail=f"This secret's payload is {kind}.")
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(payload, status_code=200, media_type=kind, headers=headers)


async def _contain(call: Call) -> Response[bytes]:
    project_id, admin = _project(call), _admin(call)
    body = _decoded(await call.document(), bodies.ContainerCreate)
    bodies.check_parts(body)
    now = call.services.clock.now()
    container = Container(
        id=call.services.new_id(),
        project_id=project_id,
        name=body.name,
        creator_id=call.caller.user_id or call.caller.user,
        created_at=now,
        updated_at=now,
        type=body.type,
        secrets={named.name or "": _named(named.secret_ref) for named in body.secret_refs},
    )
    await admin.create_container(container)
    made = bodies.ContainerRef(container_ref=_ref(call, "container", container.id))
    return json_response(made, 201, Location=made.container_ref)


async def _show(call: Call) -> Response[bytes]:
    project_id, admin = _project(call), _admin(call)
    found: Secret | Container
    if call.kind == WORDS["secret"]:
        found = await admin.secret(_id(call, "secret"), project_id)
    else:
        found = await admin.container(_id(call, "container"), project_id)
    return json_response(_shown(call, found))


async def _delete(call: Call) -> Response[bytes]:
    project_id, admin, kind = _project(call), _admin(call), _kind(call)
    await admin.delete(kind, _id(call, kind), project_id)
    return Response(b"", status_code=204)


async def _list(call: Call) -> Response[bytes]:
    project_id, admin, kind = _project(call), _admin(call), _kind(call)
    limit = min(_number(call, "limit", _PAGE), _LONGEST_PAGE)
    offset = _number(call, "offset", 0)
    given = {name: call.parameters.one(name) for name in _FILTERS[kind]}
    equal = {name: value for name, value in given.items() if value}
    page, total = await admin.page(SecretQuery(
        kind=kind, project_id=project_id, now=call.services.clock.now(), offset=offset, limit=limit,
        equal={_FILTERS[kind][name]: _value(name, value) for name, value in equal.items()},
    ))  # fmt: skip
    place = _PLACES[kind]

    def link(start: int) -> str:
        query = urlencode({"limit": limit, "offset": start, **equal})
        return f"{call.address}{VERSION}/{place}?{query}"

    links = {}
    if limit and offset + limit < total:
        links["next"] = link(offset + limit)
    if offset:
        links["previous"] = link(max(0, offset - limit))
    return json_response({place: [_shown(call, one) for one in page], "total": total, **links})


def _shown(call: Call, one: Secret | Container) -> Struct:
    created, updated = bodies.shown_time(one.created_at), bodies.shown_time(one.updated_at)
    name, creator_id, status = one.name or one.id, one.creator_id, "ACTIVE"
    if isinstance(one, Container):
        refs = [
            bodies.NamedSecret(name=part or None, secret_ref=_ref(call, "secret", secret_id))
            for part, secret_id in one.secrets.items()
        ]
        return bodies.ContainerShown(
            container_ref=_ref(call, "container", one.id), name=name, type=one.type,
            status=status, secret_refs=refs, consumers=[], created=created, updated=updated,
            creator_id=creator_id,
        )  # fmt: skip
    return bodies.SecretShown(
        secret_ref=_ref(call, "secret", one.id), name=name, status=status,
        secret_type=one.secret_type, algorithm=one.algorithm, bit_length=one.bit_length,
        mode=one.mode, created=created, updated=updated, creator_id=creator_id,
        expiration=None if one.expiration is None else bodies.shown_time(one.expiration),
        content_types=None if one.content_type is None else {"default": one.content_type},
    )  # fmt: skip


def _project(call: Call) -> str:
    """The caller's project, once it is known that the caller may do it there."""
    project_id = call.caller.project_id
    call.allow(project_id)
    if project_id is None:
        raise Forbidden
    return project_id


def _admin(call: Call) -> SecretAdmin:
    if call.services.secret_admin is None:
        raise NotFoundException(detail="Secrets are kept by another service.")
    return call.services.secret_admin


def _kind(call: Call) -> SecretKind:
    return "secret" if call.kind == WORDS["secret"] else "container"


def _id(call: Call, kind: SecretKind) -> str:
    given = str(call.request.path_params[f"{kind}_id"])
    try:
        return uuid_text(given)
    except ValueError:
        raise NotFound(WORDS[kind], given[:100]) from None


def _named(reference: str) -> str:
    """The id of the secret that a container's body names."""
    rest, _, last = reference.rstrip("/").rpartition("/")
    try:
        if rest.rpartition("/")[2] == "secrets":
            return str(uuid.UUID(last))
    except ValueError:
        pass
    raise Refused(f"'secret_ref' should be the URL of a secret, not '{reference}'.")


def _decoded(document: Any, type_: type[T]) -> T:
    try:
        return msgspec.convert(document, type_)
    except msgspec.ValidationError as error:
        raise Refused(f"Provided object does not match schema: {error}.") from None


def _number(call: Call, name: str, default: int) -> int:
    """A paging parameter; what is no sensible number counts as left out, as with Barbican."""
    text = call.parameters.one(name) or ""
    return min(int(text), _FAR) if text.isascii() and text.isdigit() and len(text) < 20 else default


def _value(name: str, text: str) -> str | int:
    if name != "bits":
        return text
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Refused("'bits' should be a number.")
    return int(text)


def _ref(call: Call, kind: SecretKind, object_id: str) -> str:
    return bodies.ref(call.address, _PLACES[kind], object_id)
