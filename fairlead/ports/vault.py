"""Secrets of users: reading certificates by reference, and keeping them.

`Vault` is what the rest of the service asks; it follows references into a `Cabinet`, this
service's own or Barbican. `SecretAdmin` is a cabinet that users fill by this service's API,
`SecretRows` where it keeps what it has sealed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct

from fairlead.domain.secrets import Container, Secret, SecretKind, SecretQuery

T = TypeVar("T", Secret, Container)


class Bundle(Struct, frozen=True, kw_only=True):
    """A certificate with its key and intermediates, as PEM texts; the leaf comes first.

    The key is not encrypted and belongs to the certificate.
    """

    certificate: str
    private_key: str
    intermediates: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Bundle(...)"  # so that no key gets into a log by accident


class Vault(Protocol):
    """Reads what references lead to; a reference is an absolute URL of the secret store.

    `Refused` when a reference leads to nothing that the project may read, or to something that is
    broken; the message is Octavia's "Could not retrieve certificate: ['REF']" or says what is
    wrong. `Retryable` when the secret store does not answer. Never a key in a message.
    """

    async def bundle(self, reference: str, project_id: str | None) -> Bundle:
        """A container of certificate, key and intermediates, or a secret that holds a PKCS12."""
        ...

    async def text(self, reference: str, project_id: str | None) -> str:
        """A secret that holds PEM text: authorities, or a revocation list."""
        ...


class Cabinet(Protocol):
    """Where secrets lie. `NotFound` for what the project has not; `Retryable`."""

    async def payload(self, secret_id: str, project_id: str) -> bytes:
        """What a secret holds; `NotFound` also when it holds nothing yet."""
        ...

    async def parts(self, container_id: str, project_id: str) -> Mapping[str, str]:
        """The ids of a container's secrets by name."""
        ...


class SecretAdmin(Cabinet, Protocol):
    """What users do with secrets themselves. Objects of other projects are `NotFound`."""

    async def create(self, secret: Secret, payload: bytes | None) -> None:
        """Keep a new secret, with its payload or without; `QuotaMet`."""
        ...

    async def fill(self, secret_id: str, project_id: str, content_type: str, data: bytes) -> None:
        """Give a secret its payload; `Conflict` when it has one."""
        ...

    async def create_container(self, container: Container) -> None:
        """Keep a new container; `NotFound` names a secret that is not there; `QuotaMet`."""
        ...

    async def secret(self, secret_id: str, project_id: str) -> Secret:
        """One secret."""
        ...

    async def container(self, container_id: str, project_id: str) -> Container:
        """One container."""
        ...

    async def page(self, query: SecretQuery) -> tuple[Sequence[Secret | Container], int]:
        """A page, and how many there are on all pages."""
        ...

    async def delete(self, kind: SecretKind, object_id: str, project_id: str) -> None:
        """Remove a secret or a container, whoever names it."""
        ...


class SecretRows(Protocol):
    """Secrets and containers as they are stored: payloads sealed."""

    async def add(self, row: Secret | Container, sealed: bytes | None, *, most: int) -> None:
        """Store; `QuotaMet` when the project has `most` of the kind."""
        ...

    async def fill(self, secret: Secret, sealed: bytes) -> bool:
        """Store the payload of a secret that has none, and what is known of it; else False."""
        ...

    async def get(self, type_: type[T], object_id: str, project_id: str) -> T:
        """One; `NotFound`."""
        ...

    async def sealed(self, secret_id: str, project_id: str) -> tuple[Secret, bytes | None]:
        """A secret and its sealed payload; `NotFound`."""
        ...

    async def page(self, query: SecretQuery) -> tuple[Sequence[Secret | Container], int]:
        """As `SecretAdmin`."""
        ...

    async def delete(self, kind: SecretKind, object_id: str, project_id: str) -> None:
        """Remove; `NotFound`."""
        ...

    async def any_sealed(self) -> bool:
        """Whether there is any sealed payload."""
        ...

    async def reseal(self, again: Callable[[Secret, bytes], bytes]) -> int:
        """Replace every sealed payload by what `again` makes of it, all or none; how many."""
        ...
