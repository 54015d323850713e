"""Fairlead's own certificates and keys."""

from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct


class Credentials(Struct, frozen=True, kw_only=True):
    """A certificate with its key and the authority that signs both sides; PEM texts."""

    certificate: str
    private_key: str
    authority: str
    not_after: datetime


class Secrets(Protocol):
    """The local certificate authority and the heartbeat master key."""

    @property
    def life(self) -> timedelta:
        """How long a new certificate is good."""
        ...

    async def issue(self, amphora_id: str, address: str) -> Credentials:
        """A new certificate each call: common name = amphora id, `address` as IP SAN."""
        ...

    async def controller(self) -> Credentials:
        """The controller's client certificate, another one when two thirds of its life are over.

        While that fails, it is the one there is.
        """
        ...

    def late(self) -> tuple[str, ...]:
        """What of its own nears its end, the authority or a certificate not renewed: sentences."""
        ...

    def heartbeat_key(self, amphora_id: str) -> bytes:
        """The key an amphora signs heartbeats with."""
        ...
