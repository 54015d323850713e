"""Users' certificates, looked at when a request names them.

A reference must lead to something of the load balancer's project that can be put to use, before
anything is stored. Which references an object has in the end only the edit knows, for it is made
of what is stored and what is asked for: so `Reader` stands behind the edit, stops it when it comes
to references that were not read yet, reads them, and has the edit begin again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from fairlead.api.services import Services
from fairlead.domain import certificates, tls
from fairlead.domain.bodies import refused
from fairlead.domain.model import Resource
from fairlead.domain.tls import Need
from fairlead.domain.tree import Tree
from fairlead.errors import FairleadError, Retryable
from fairlead.ports import Bundle

T = TypeVar("T")
_AT_ONCE = 8
_SECONDS = 20.0


class _Unread(FairleadError):
    """The edit came to references that nobody has read yet."""

    def __init__(self, needs: tuple[Need, ...], project_id: str | None) -> None:
        super().__init__("Certificates were not read.")
        self.needs, self.project_id = needs, project_id


class Reader:
    """Reads the certificates of one request; `named` is an object whose are to be read anew."""

    def __init__(self, services: Services, named: str = "") -> None:
        self._services = services
        self._named = named
        self._read: set[tuple[Need, ...]] = set()

    async def behind(self, edit: Callable[[], Awaitable[T]]) -> T:
        """The edit's result, once all that it comes to was read; `Refused` says what is wrong."""
        while True:
            try:
                return await edit()
            except _Unread as error:
                await self._look(error.needs, error.project_id)

    def check(self, before: Tree, after: Tree) -> None:
        """Stop the edit when it changes an object's references to some that were not read."""
        for one in (*after.listeners, *after.pools):
            known = before.objects.get(one.id)
            if known is one:
                continue
            needs = tls.needs(one)
            same = known is not None and needs == tls.needs(known) and one.id != self._named
            if needs and not same and needs not in self._read:
                raise _Unread(needs, after.root.project_id)

    async def all_of(self, resources: Iterable[Resource], project_id: str | None) -> None:
        """Read what these objects need."""
        for one in resources:
            needs = tls.needs(one)
            if needs and needs not in self._read:
                await self._look(needs, project_id)

    async def _look(self, needs: tuple[Need, ...], project_id: str | None) -> None:
        places = asyncio.Semaphore(_AT_ONCE)
        vault = self._services.vault

        async def one(need: Need) -> Bundle | str:
            async with places:
                if need.kind == "bundle":
                    return await vault.bundle(need.reference, project_id)
                return await vault.text(need.reference, project_id)

        try:
            async with asyncio.timeout(_SECONDS):
                found = await asyncio.gather(*map(one, needs))
        except TimeoutError:
            raise Retryable("The secret store does not answer.", after=_SECONDS) from None
        self._check(dict(zip(needs, found, strict=True)))
        self._read.add(needs)

    def _check(self, found: dict[Need, Bundle | str]) -> None:
        """`Refused` names the field, the reference and what is wrong with what it leads to."""
        now = self._services.clock.now()
        texts = {need.field: text for need, text in found.items() if isinstance(text, str)}
        for need, material in found.items():
            try:
                if isinstance(material, Bundle):
                    certificates.check_bundle(
                        material.certificate, material.private_key, material.intermediates, now
                    )
                elif need.field in tls.AUTHORITY_OF:
                    authorities = texts[tls.AUTHORITY_OF[need.field]]
                    certificates.check_revocations(material, authorities, now)
                else:
                    certificates.check_authorities(material, now)
            except ValueError as error:
                raise refused(need.field, need.reference, f"{error}.") from None
