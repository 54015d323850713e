"""Bodies of the secret store's API, in Barbican's fields, and the rules that hold for them.

PURE. Messages name fields and never what a payload is. Used by secrets.py and, for the document, by
openapi.py.
"""

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from fairlead.domain.secrets import OCTETS, PARTS, TEXT, ContainerType, SecretType
from fairlead.errors import Refused

LARGEST_PAYLOAD = 128 * 1024
_IN_BASE64 = LARGEST_PAYLOAD * 4 // 3 + LARGEST_PAYLOAD // 32
Name = Annotated[str, Meta(max_length=255, description="Human-readable name.")] | None
_Word = Annotated[str, Meta(max_length=255)] | None
_Reference = Annotated[str, Meta(max_length=255, description="URL of a secret.")]


class SecretCreate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new secret; without `payload` it is empty until one is put into it."""

    name: Name = None
    payload: Annotated[str, Meta(max_length=_IN_BASE64)] | None = None
    payload_content_type: (
        Annotated[str, Meta(max_length=64, description="text/plain or application/octet-stream.")]
        | None
    ) = None
    payload_content_encoding: Literal["base64"] | None = None
    secret_type: SecretType | None = None
    algorithm: _Word = None
    bit_length: Annotated[int, Meta(ge=1, le=32767)] | None = None
    mode: _Word = None
    expiration: Annotated[str, Meta(max_length=64, description="ISO 8601.")] | None = None


class SecretRef(Struct, frozen=True, kw_only=True):
    """Where a secret is."""

    secret_ref: str


class SecretShown(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A secret as it is shown, without its payload."""

    secret_ref: str
    name: str
    status: str
    secret_type: SecretType
    algorithm: str | None
    bit_length: int | None
    mode: str | None
    expiration: str | None
    created: str
    updated: str
    creator_id: str
    content_types: dict[str, str] | None = None


class SecretsShown(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page of secrets."""

    secrets: list[SecretShown]
    total: int
    next: str | None = None
    previous: str | None = None


class NamedSecret(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A secret and what it is to the container."""

    name: Name = None
    secret_ref: _Reference


class ContainerCreate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new container."""

    name: Name = None
    type: ContainerType
    secret_refs: Annotated[list[NamedSecret], Meta(max_length=64)] = []


class ContainerRef(Struct, frozen=True, kw_only=True):
    """Where a container is."""

    container_ref: str


class ContainerShown(Struct, frozen=True, kw_only=True):
    """A container as it is shown."""

    container_ref: str
    name: str
    type: ContainerType
    status: str
    secret_refs: list[NamedSecret]
    consumers: list[dict[str, str]]
    created: str
    updated: str
    creator_id: str


class ContainersShown(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page of containers."""

    containers: list[ContainerShown]
    total: int
    next: str | None = None
    previous: str | None = None


def payload_of(body: SecretCreate) -> bytes | None:
    """The payload that a body brings, decoded; `Refused`."""
    if body.payload is None:
        if body.payload_content_type is not None:
            raise Refused("'payload' must be supplied when 'payload_content_type' is supplied.")
        return None
    kind = content_type(body.payload_content_type)
    if kind == OCTETS and body.payload_content_encoding != "base64":
        raise Refused(
            "'payload_content_encoding' must be base64 when 'payload_content_type' is "
            "application/octet-stream."
        )
    if kind == TEXT and body.payload_content_encoding is not None:
        raise Refused(
            "'payload_content_encoding' must not be supplied when 'payload_content_type' is "
            "text/plain."
        )
    return checked(body.payload.encode() if kind == TEXT else decoded(body.payload.encode()), kind)


def content_type(given: str | None) -> str:
    """text/plain or application/octet-stream; `Refused` for others."""
    if given is None:
        raise Refused("'payload_content_type' must be supplied when 'payload' is supplied.")
    word, _, parameter = given.partition(";")
    plain, charset = word.strip().lower(), parameter.strip().lower()
    if plain in (TEXT, OCTETS) and charset in ("", "charset=utf-8"):
        return plain
    raise Refused("'payload_content_type' should be text/plain or application/octet-stream.")


def decoded(text: bytes) -> bytes:
    """From base64, line breaks allowed; `Refused`."""
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Refused("'payload' is not valid base64.") from None


def checked(payload: bytes, kind: str) -> bytes:
    """A payload that may be kept; `Refused`."""
    if not payload:
        raise Refused("'payload' must not be empty.")
    if len(payload) > LARGEST_PAYLOAD:
        raise Refused(f"'payload' must not be larger than {LARGEST_PAYLOAD} bytes.")
    if kind == TEXT:
        try:
            payload.decode()
        except UnicodeDecodeError:
            raise Refused("'payload' of text/plain should be UTF-8.") from None
    return payload


def expiration_of(body: SecretCreate, now: datetime) -> datetime | None:
    """When the secret ends; `Refused`."""
    if body.expiration is None:
        return None
    try:
        found = datetime.fromisoformat(body.expiration)
    except ValueError:
        raise Refused("'expiration' should be a time in ISO 8601.") from None
    moment = found.replace(tzinfo=found.tzinfo or UTC)
    if moment <= now:
        raise Refused("'expiration' is before current time.")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise Refused("'expiration' should be a time in ISO 8601.") from None


def check_parts(body: ContainerCreate) -> None:
    """`Refused` unless the names are what the type of container asks for, once each."""
    names = [named.name or "" for named in body.secret_refs]
    if len(set(names)) < len(names):
        raise Refused("'secret_refs' should have each name once.")
    may, must = PARTS.get(body.type, (frozenset(names), frozenset()))
    if not must <= set(names) <= may:
        raise Refused(
            f"'secret_refs' of a container of type {body.type} should have the names "
            f"{', '.join(sorted(must))}" + (f" and may have {', '.join(sorted(may - must))}.")
        )


def shown_time(value: datetime) -> str:
    """As Barbican writes it: UTC without a zone."""
    return value.strftime("%Y-%m-%dT%H:%M:%S.%f")


def ref(base: str, place: str, object_id: Any) -> str:
    """The URL of a secret or a container."""
    return f"{base}/v1/{place}/{object_id}"
