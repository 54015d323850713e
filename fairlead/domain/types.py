"""Value types of the API: how a field is declared, and the checks a value must pass.

PURE. A resource field is declared once, as `Annotated[type, field(...)]`: bounds and a
description as msgspec metadata, plus who may set it (`Access`) and an optional check that also
normalises. `describe` reads a declaration back; bodies, stored documents, OpenAPI and filters
are all made from it.
"""

import ipaddress
import re
import uuid
from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import Annotated, Any, Optional, get_args, get_type_hints

import msgspec
from msgspec import Struct

Check = Callable[[Any], Any]


class Access(Enum):
    """Who may set a field, and when."""

    WRITE = "at creation and in updates"
    CREATE = "at creation only"
    READ = "never: the service sets it"
    HIDDEN = "never, and it is not shown"


class Trait(Struct, frozen=True):
    """What a declaration says of a field beyond its type and bounds."""

    access: Access
    check: Check | None
    required: bool
    nullable: bool
    example: Any
    bounds: dict[str, Any]


def field(
    description: str,
    *,
    access: Access = Access.WRITE,
    check: Check | None = None,
    required: bool = False,
    nullable: bool = True,
    example: Any = msgspec.UNSET,
    **bounds: Any,
) -> msgspec.Meta:
    """Declare a field; `required` at creation, null means its default unless not `nullable`.

    `example` is a value for readers of the API's description, where neither type nor check
    tells one.
    `bounds` are msgspec's (ge, le, max_length, ...). They hold for what users send; stored
    documents are trusted.
    """
    if example is msgspec.UNSET and check is not None:
        example = _EXAMPLES.get(check, example)
    trait = Trait(access, check, required, nullable, example, bounds)
    return msgspec.Meta(description=description, extra={"trait": trait})


class Field(Struct, frozen=True):
    """A declared field as read back: `type` is what users may send, bounds included."""

    name: str
    type: Any
    default: Any
    description: str
    trait: Trait


@cache
def describe(resource: type[Struct]) -> dict[str, Field]:
    """The declared fields of a resource by name, in order of declaration."""
    hints = get_type_hints(resource, include_extras=True)
    found = {}
    for info in msgspec.structs.fields(resource):
        hint = hints[info.name]
        for meta in getattr(hint, "__metadata__", ()):
            if isinstance(meta, msgspec.Meta) and meta.extra and "trait" in meta.extra:
                default = info.default
                if info.default_factory is not msgspec.NODEFAULT:
                    default = info.default_factory()
                trait = meta.extra["trait"]
                found[info.name] = Field(
                    info.name, _bounded(hint, trait), default, meta.description or "", trait
                )
    return found


def _bounded(hint: Any, trait: Trait) -> Any:
    """The bare type with the declared bounds on the part that can carry them."""
    bare = hint.__origin__ if hasattr(hint, "__metadata__") else hint
    if not trait.bounds:
        return bare
    bounds = msgspec.Meta(**trait.bounds)
    parts = [part for part in get_args(bare) if part is not type(None)]
    if type(None) not in get_args(bare):
        return Annotated[bare, bounds]
    return Optional[Annotated[parts[0], bounds]]  # noqa: UP045 - built at run time


def uuid_text(value: str) -> str:
    """A UUID in dashed lower-case form."""
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise ValueError("Value should be UUID format") from None


def uuids(value: tuple[str, ...]) -> tuple[str, ...]:
    """UUIDs in dashed lower-case form."""
    return tuple(map(uuid_text, value))


def ip_text(value: str) -> str:
    """An IPv4 or IPv6 address in canonical form, without a zone."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise ValueError("Value should be IPv4 or IPv6 format") from None
    if getattr(address, "scope_id", None):
        raise ValueError("Value should be an address without a zone")
    if getattr(address, "ipv4_mapped", None):
        raise ValueError("Value should be the IPv4 address itself, not mapped into IPv6")
    return str(address)


def uuid_list(value: tuple[str, ...]) -> tuple[str, ...]:
    """UUIDs in canonical form, without repetition."""
    return tuple(dict.fromkeys(uuid_text(item) for item in value))


def addresses_on_subnets(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """Objects of subnet_id, ip_address and port_id with each in canonical form."""
    return tuple(
        msgspec.structs.replace(
            one,
            subnet_id=uuid_text(one.subnet_id),
            ip_address=one.ip_address and ip_text(one.ip_address),
            port_id=one.port_id and uuid_text(one.port_id),
        )
        for one in value
    )


def cidrs(value: tuple[str, ...]) -> tuple[str, ...]:
    """Networks with their host bits cut, without repetition, in the order given."""
    found = []
    for item in value:
        try:
            found.append(str(ipaddress.ip_network(item, strict=False)))
        except ValueError:
            raise ValueError("Value should be a list of IPv4 or IPv6 CIDRs") from None
    return tuple(dict.fromkeys(found))


def path_segment(value: str) -> str:
    """Text that a URL can address as one part of its path."""
    if "/" in value or value in (".", "..") or _CONTROL.search(value):
        raise ValueError("Value should not be '.' or '..' nor contain '/' or control characters")
    return value


_URL = re.compile(r"https?://[^\s/?#\x00-\x1f\x7f]+[^\s\x00-\x1f\x7f]*", re.ASCII | re.IGNORECASE)
_PATH = re.compile(r"/[!-~]*")
_CODES = re.compile(r"[1-5]\d\d(-[1-5]\d\d|(, ?[1-5]\d\d)*)", re.ASCII)
_HOST = re.compile(
    r"(?=.{1,255}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,62})?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,62})?)*\.?"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def url(value: str) -> str:
    """An http or https URL without blanks or control characters."""
    if not _URL.fullmatch(value):
        raise ValueError("Value should be an http or https URL without blanks")
    return value


def url_path(value: str) -> str:
    """An absolute path of printable ASCII, without scheme, host or blank."""
    if not _PATH.fullmatch(value) or value.startswith("//"):
        raise ValueError("Value should be an absolute URL path without blanks")
    return value


def expected_codes(value: str) -> str:
    """One HTTP status, a comma-separated list, or a range; blanks are cut."""
    if not _CODES.fullmatch(value):
        raise ValueError("Value should be like '200', '200,202' or '200-204'")
    plain = value.replace(" ", "")
    low, dash, high = plain.partition("-")
    if dash and int(low) > int(high):
        raise ValueError("The first status of a range should not exceed the last")
    return plain


def host_name(value: str) -> str:
    """A DNS host name of at most 255 characters."""
    if not _HOST.fullmatch(value):
        raise ValueError("Value should be a host name")
    return value


def one_line(value: str) -> str:
    """Text without control characters."""
    if _CONTROL.search(value):
        raise ValueError("Value should not contain control characters")
    return value


def http_version(value: float) -> float:
    """1.0 or 1.1."""
    if value not in (1.0, 1.1):
        raise ValueError("Value should be one of: 1.0, 1.1")
    return value


def tag_list(value: tuple[str, ...]) -> tuple[str, ...]:
    """Tags of at most 255 characters, without repetition."""
    if any(len(tag) > 255 for tag in value):
        raise ValueError("A tag should have at most 255 characters")
    return tuple(dict.fromkeys(value))


_MOST_REFERENCES = 250
_CIPHERS = re.compile(r"[A-Za-z0-9+!:@=_.-]+")


def reference(value: str) -> str:
    """The URL of a secret: one word of printable characters."""
    if not value or not value.isprintable() or " " in value:
        raise ValueError("Value should be the URL of a secret")
    return value


def references(value: tuple[str, ...]) -> tuple[str, ...]:
    """URLs of secrets, of at most 255 characters each, without repetition."""
    if len(value) > _MOST_REFERENCES:
        raise ValueError(f"Value should have at most {_MOST_REFERENCES} references")
    if any(len(item) > 255 for item in value):
        raise ValueError("A reference should have at most 255 characters")
    return tuple(dict.fromkeys(map(reference, value)))


def cipher_list(value: str) -> str:
    """An OpenSSL cipher list; whether OpenSSL knows the ciphers is for tls.py."""
    if not _CIPHERS.fullmatch(value):
        raise ValueError("Value should be ciphers in OpenSSL's form, joined by ':'")
    return value


def some(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """At least one choice, without repetition."""
    if not value:
        raise ValueError("Value should name at least one; leave it out for the default")
    return tuple(dict.fromkeys(value))


_EXAMPLES: dict[Check, Any] = {
    uuid_text: "607226db-27ef-4d41-ae89-f2a800e9c2db",
    ip_text: "192.0.2.10",
    cidrs: ("198.51.100.0/24",),
    url: "https://www.example.org/",
    url_path: "/health",
    expected_codes: "200-204",
    host_name: "www.example.org",
    http_version: 1.1,
    tag_list: ("shop",),
    reference: "http://127.0.0.1:9876/v1/containers/607226db-27ef-4d41-ae89-f2a800e9c2db",
    references: ("http://127.0.0.1:9876/v1/containers/607226db-27ef-4d41-ae89-f2a800e9c2db",),
    cipher_list: "TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256",
}
