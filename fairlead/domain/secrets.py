"""Secrets of users, and containers that name secrets: what is known of them beside the payload.

PURE data, in Barbican's field names where it has them. Payloads are never in here.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from msgspec import Struct

SecretType = Literal["symmetric", "public", "private", "passphrase", "certificate", "opaque"]
ContainerType = Literal["generic", "rsa", "certificate"]
SecretKind = Literal["secret", "container"]

TEXT, OCTETS = "text/plain", "application/octet-stream"
WORDS: Mapping[str, str] = {"secret": "Secret", "container": "Container"}

# The names a container of that type may, and must, give to secrets; a generic one has any.
PARTS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "certificate": (
        frozenset({"certificate", "private_key", "private_key_passphrase", "intermediates"}),
        frozenset({"certificate"}),
    ),
    "rsa": (
        frozenset({"public_key", "private_key", "private_key_passphrase"}),
        frozenset({"public_key", "private_key"}),
    ),
}


class Secret(Struct, frozen=True, kw_only=True):
    """A secret; `content_type` is None until it has a payload.

    After `expiration` it is as if it were not there, but for deletion.
    """

    id: str
    project_id: str
    name: str | None = None
    creator_id: str = ""
    created_at: datetime
    updated_at: datetime
    secret_type: SecretType
    content_type: str | None = None
    algorithm: str | None = None
    bit_length: int | None = None
    mode: str | None = None
    expiration: datetime | None = None


class Container(Struct, frozen=True, kw_only=True):
    """Secrets with a role each: `secrets` has their ids by name."""

    id: str
    project_id: str
    name: str | None = None
    creator_id: str = ""
    created_at: datetime
    updated_at: datetime
    type: ContainerType
    secrets: Mapping[str, str]


class SecretQuery(Struct, frozen=True, kw_only=True):
    """A page of one project's secrets or containers, oldest first.

    `equal` has values of their fields; what has expired by `now` is left out.
    """

    kind: SecretKind
    project_id: str
    now: datetime
    offset: int = 0
    limit: int = 10
    equal: Mapping[str, str | int] = {}
