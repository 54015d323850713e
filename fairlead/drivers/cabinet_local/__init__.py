"""The service's own secret store: `ports.SecretAdmin` on sealed rows and a key file.

Invariants: a payload is sealed before it reaches the store and opened only to be answered; none is
in a message. What has expired is as if it were not there. Made by the wiring; called by the API
and, to follow references, by the vault.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from fairlead.domain.secrets import WORDS, Container, Secret, SecretKind, SecretQuery
from fairlead.drivers.cabinet_local.keyring import Keyring
from fairlead.errors import Conflict, NotFound
from fairlead.ports import SecretRows, WallClock

__all__ = ["LocalCabinet", "open_keyring", "renew_keys"]


class LocalCabinet:
    """As the port; `most` secrets, and as many containers, per project."""

    def __init__(
        self, rows: SecretRows, keyring: Keyring, clock: WallClock, *, most: int = 1000
    ) -> None:
        self._rows = rows
        self._keyring = keyring
        self._clock = clock
        self._most = most

    async def create(self, secret: Secret, payload: bytes | None) -> None:
        """As the port."""
        sealed = None if payload is None else self._keyring.seal(payload, _owner(secret))
        await self._rows.add(secret, sealed, most=self._most)

    async def fill(self, secret_id: str, project_id: str, content_type: str, data: bytes) -> None:
        """As the port."""
        known = await self.secret(secret_id, project_id)
        filled = replace(known, content_type=content_type, updated_at=self._clock.now())
        if not await self._rows.fill(filled, self._keyring.seal(data, _owner(filled))):
            raise Conflict("Secret already has data, cannot modify it.")

    async def create_container(self, container: Container) -> None:
        """As the port."""
        for secret_id in container.secrets.values():
            await self.secret(secret_id, container.project_id)
        await self._rows.add(container, None, most=self._most)

    async def secret(self, secret_id: str, project_id: str) -> Secret:
        """As the port."""
        return self._unless_expired(await self._rows.get(Secret, secret_id, project_id))

    async def container(self, container_id: str, project_id: str) -> Container:
        """As the port."""
        return await self._rows.get(Container, container_id, project_id)

    async def payload(self, secret_id: str, project_id: str) -> bytes:
        """As the port."""
        secret, sealed = await self._rows.sealed(secret_id, project_id)
        self._unless_expired(secret)
        if sealed is None:
            raise NotFound("Payload of secret", secret_id)
        return self._keyring.open(sealed, _owner(secret))

    async def parts(self, container_id: str, project_id: str) -> Mapping[str, str]:
        """As the port."""
        return (await self.container(container_id, project_id)).secrets

    async def page(self, query: SecretQuery) -> tuple[Sequence[Secret | Container], int]:
        """As the port."""
        return await self._rows.page(query)

    async def delete(self, kind: SecretKind, object_id: str, project_id: str) -> None:
        """As the port."""
        await self._rows.delete(kind, object_id, project_id)

    def _unless_expired(self, secret: Secret) -> Secret:
        if secret.expiration is not None and secret.expiration <= self._clock.now():
            raise NotFound(WORDS["secret"], secret.id)
        return secret


async def open_keyring(path: Path, rows: SecretRows) -> Keyring:
    """The keys, made at the first start; `Permanent` when secrets exist but their key is gone."""
    return Keyring.load(path, make=not await rows.any_sealed())


async def renew_keys(path: Path, rows: SecretRows) -> int:
    """Seal everything again with a new key and forget the old ones; how many secrets.

    Nobody may serve meanwhile. Cut short at any moment, all secrets can be read, and doing it
    again completes it.
    """
    keyring = (await open_keyring(path, rows)).renewed()
    keyring.save(path)

    def again(secret: Secret, sealed: bytes) -> bytes:
        return keyring.seal(keyring.open(sealed, _owner(secret)), _owner(secret))

    done = await rows.reseal(again)
    keyring.only_newest().save(path)
    return done


def _owner(secret: Secret) -> bytes:
    return f"{secret.project_id}\0{secret.id}".encode()
