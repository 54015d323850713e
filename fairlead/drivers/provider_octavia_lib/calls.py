"""Calls of plan/telling.py as functions of a driver with their arguments.

The certificates that references lead to are fetched before: a driver is never called with a part
of what it needs. An object that goes, or is the old one of an update, comes with its references
alone: nobody shall be kept from deleting by a certificate that is gone. Called by provider.py.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID
from msgspec import Struct

from fairlead.domain.tree import Tree
from fairlead.drivers.provider_octavia_lib.models import (
    changed,
    complete,
    references,
    references_of,
)
from fairlead.errors import FairleadError
from fairlead.plan.telling import Told, changed_fields
from fairlead.ports import Bundle, Vault

_PREFIX = {"healthmonitor": "health_monitor"}


class DriverCall(Struct, frozen=True, kw_only=True):
    """A function of a driver, by name, with its arguments."""

    function: str
    arguments: tuple[Any, ...]
    named: dict[str, Any] = {}


async def driver_call(call: Told, old: Tree, new: Tree, vault: Vault) -> DriverCall:
    """What to call; `old` and `new` are the trees in which `before` and `after` stand."""
    function = f"{_PREFIX.get(call.kind, call.kind)}_{call.verb}"
    if call.verb == "batch":
        members = [complete(new, one, {}) for one in new.members(call.object_id)]
        return DriverCall(function="member_batch_update", arguments=(call.object_id, members))
    if call.verb == "failover":
        return DriverCall(function=function, arguments=(call.object_id,))
    models: list[Any] = []
    if call.before is not None:
        models.append(complete(old, call.before, {}))
    if call.after is not None and call.before is not None:
        named = references_of(call.after, changed_fields(call.before, call.after))
        secrets = await fetched(named, new, vault, strict=True)
        models.append(changed(call.before, call.after, secrets))
    elif call.after is not None:
        secrets = await fetched(references(new, call.after), new, vault, strict=True)
        models.append(complete(new, call.after, secrets))
    deleted = call.kind == "loadbalancer" and call.verb == "delete"
    return DriverCall(
        function=function,
        arguments=tuple(models),
        named={"cascade": call.cascade} if deleted else {},
    )


async def fetched(
    wanted: Iterable[tuple[str, bool]], tree: Tree, vault: Vault, *, strict: bool
) -> dict[str, Any]:
    """What references lead to; what cannot be had is missing, or raised when `strict`."""
    found: dict[str, Any] = {}
    for reference, with_key in dict(wanted).items():
        try:
            found[reference] = (
                _container(await vault.bundle(reference, tree.root.project_id))
                if with_key
                else await vault.text(reference, tree.root.project_id)
            )
        except FairleadError:
            if strict:
                raise
    return found


def _container(bundle: Bundle) -> dict[str, Any]:
    """A certificate as the models have it."""
    certificate = x509.load_pem_x509_certificate(bundle.certificate.encode())
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return {
        "id": hashlib.sha256(bundle.certificate.encode()).hexdigest(),
        "primary_cn": str(names[0].value) if names else None,
        "certificate": bundle.certificate,
        "private_key": bundle.private_key,
        "passphrase": None,
        "intermediates": list(bundle.intermediates),
    }
