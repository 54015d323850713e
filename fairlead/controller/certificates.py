"""Users' certificates on their way from the secret store to the amphorae.

Everything that a tree in service names is read once per reconcile, a few at a time and within a
bound. What cannot be read is taken from the amphora that holds it already: a secret store that is
away, or a secret that was deleted, harms nobody who is served. Nothing is
kept beyond the reconcile here, and keys are in no error or event. Called by observer.py and
executor.py.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from fairlead.domain import certificates
from fairlead.domain.tls import Need
from fairlead.errors import FairleadError, Retryable
from fairlead.ports import Vault
from fairlead.wire.amphora import File

_AT_ONCE = 8
_SECONDS = 5.0
"""How long the secret store may take for all that one load balancer needs."""


class Material(Struct, frozen=True, kw_only=True):
    """What a reference leads to, as a file; `expires` is None for what has no such date."""

    file: File
    expires: datetime | None = None


class Certificates(Struct, frozen=True, kw_only=True):
    """What was found, and why not, both by source."""

    found: Mapping[str, Material]
    errors: Mapping[str, FairleadError]

    def files(self, held: Mapping[str, str]) -> dict[str, File]:
        """Files by source for an amphora that holds some: only what is new to it in full."""
        there = set(held.values())
        files = {
            source: File(name=one.file.name, content=None) if one.file.name in there else one.file
            for source, one in self.found.items()
        }
        kept = {s: File(name=held[s], content=None) for s in self.errors if s in held}
        return {**files, **kept}

    def notes(self, now: datetime, held: Mapping[str, str]) -> list[str]:
        """What an operator should know although everything is served."""
        told = [
            f"{error} It is served as the amphora has it."
            for source, error in self.errors.items() if source in held
        ]  # fmt: skip
        return told + [
            f"The certificate of {source.partition(' ')[2]} expired on {one.expires:%Y-%m-%d}; "
            "it is served on."
            for source, one in self.found.items() if one.expires is not None and one.expires <= now
        ]  # fmt: skip


async def read_all(
    needs: Iterable[Need], vault: Vault, project_id: str | None, known: dict[str, Material]
) -> Certificates:
    """Read what is not `known` from this reconcile already, and remember it there."""
    errors: dict[str, FairleadError] = {}
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(need: Need) -> None:
        try:
            async with places:
                known[need.source] = await read(need.kind, need.reference, vault, project_id)
        except FairleadError as error:
            errors[need.source] = error

    wanted = list(needs)
    tasks = [asyncio.ensure_future(one(n)) for n in wanted if n.source not in known]
    try:
        if tasks:
            await asyncio.wait(tasks, timeout=_SECONDS)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for need in wanted:
        if need.source not in known and need.source not in errors:
            errors[need.source] = _silent(need.reference)
    return Certificates(
        found={n.source: known[n.source] for n in wanted if n.source in known}, errors=errors
    )


async def read(kind: str, reference: str, vault: Vault, project_id: str | None) -> Material:
    """What one reference leads to; errors as `ports.Vault`, naming the reference."""
    if kind == "text":
        return Material(file=_file(await vault.text(reference, project_id)))
    bundle = await vault.bundle(reference, project_id)
    parts = [bundle.certificate, *bundle.intermediates, bundle.private_key]
    content = "".join(f"{part.strip()}\n" for part in parts)
    try:
        expires = certificates.expires(bundle.certificate)
    except ValueError:
        expires = None  # The amphora's own check will tell.
    return Material(file=_file(content), expires=expires)


def _silent(reference: str) -> Retryable:
    return Retryable(f"The secret store does not answer for {reference}.")


def _file(content: str) -> File:
    return File(name=f"{hashlib.sha256(content.encode()).hexdigest()[:32]}.pem", content=content)
