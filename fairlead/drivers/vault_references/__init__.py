"""`ports.Vault` on a cabinet: follows references and makes one form of what they lead to.

Of a reference only the kind and the id count, not the host: nothing is ever fetched from an
address that a user wrote. Whatever cannot be found is told in the same words, whoever it belongs
to. Made by the wiring over the local cabinet or Barbican's.
"""

import re
from collections.abc import Mapping

from fairlead.drivers.vault_references.bundles import PARTS
from fairlead.drivers.vault_references.opening import Opener
from fairlead.errors import NotFound, Refused
from fairlead.ports import Bundle, Cabinet

_REFERENCE = re.compile(
    r"(?:\S*/)?(?P<place>secrets|containers)/"
    r"(?P<id>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})/?"
)


class ReferencedVault:
    """As the port, on what a cabinet holds."""

    def __init__(self, cabinet: Cabinet) -> None:
        self._cabinet = cabinet
        self._opener = Opener()

    async def bundle(self, reference: str, project_id: str | None) -> Bundle:
        """As the port."""
        place, object_id = _place(reference)
        read = self._parts if place == "containers" else self._payload
        try:
            found: bytes | Mapping[str, bytes] = await read(object_id, project_id)
        except NotFound:
            raise _lost(reference) from None
        return await self._opener.opened(reference, found)

    async def text(self, reference: str, project_id: str | None) -> str:
        """As the port."""
        place, secret_id = _place(reference)
        if place != "secrets":
            raise _lost(reference)
        try:
            payload = await self._payload(secret_id, project_id)
        except NotFound:
            raise _lost(reference) from None
        try:
            return payload.decode()
        except UnicodeDecodeError:
            raise Refused(f"What '{reference}' leads to should be PEM text.") from None

    async def _payload(self, secret_id: str, project_id: str | None) -> bytes:
        if project_id is None:
            raise NotFound("Secret", secret_id)
        return await self._cabinet.payload(secret_id, project_id)

    async def _parts(self, container_id: str, project_id: str | None) -> Mapping[str, bytes]:
        if project_id is None:
            raise NotFound("Container", container_id)
        named = await self._cabinet.parts(container_id, project_id)
        return {
            name: await self._payload(secret_id, project_id)
            for name, secret_id in named.items()
            if name in PARTS
        }


def _place(reference: str) -> tuple[str, str]:
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise _lost(reference)
    return found["place"], found["id"].lower()


def _lost(reference: str) -> Refused:
    return Refused(f"Could not retrieve certificate: ['{reference}']")
