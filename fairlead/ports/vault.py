"""Certificates of users, which they keep in a secret store and name by its URLs."""

from typing import Protocol

from msgspec import Struct


class Bundle(Struct, frozen=True, kw_only=True):
    """A certificate with its key and intermediates, as PEM texts; the leaf comes first."""

    certificate: str
    private_key: str
    intermediates: tuple[str, ...] = ()


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
