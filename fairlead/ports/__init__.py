"""The ports: what the core needs from the outside, as small protocols.

Every port has a fake, at least one real driver and one contract suite in tests/contract that
both pass. All calls are idempotent: ensure_* and create find or create, release_* and delete
succeed when there is nothing to do. Drivers raise only the exceptions of `fairlead.errors`:
`NotFound`, `Refused` and `Conflict` for what the caller asked, `Retryable` and `Permanent` for
what went wrong. Identifiers are UUID strings; times are aware datetimes in UTC; durations
are seconds.
"""

from fairlead.ports.catalog import Catalog
from fairlead.ports.machines import Amphorae, AmphoraSpec, Compute, Heard, Heartbeats
from fairlead.ports.network import Capability, Network, NetworkAdmin, VipRequest, WantedIp
from fairlead.ports.providers import DriverReports, Provider, Providers
from fairlead.ports.quotas import Quotas
from fairlead.ports.store import Store
from fairlead.ports.trust import Credentials, Secrets
from fairlead.ports.vault import Bundle, Cabinet, SecretAdmin, SecretRows, Vault
from fairlead.ports.work import Clock, WallClock, WorkQueue

__all__ = [
    "AmphoraSpec",
    "Amphorae",
    "Bundle",
    "Cabinet",
    "Capability",
    "Catalog",
    "Clock",
    "Compute",
    "Credentials",
    "DriverReports",
    "Heard",
    "Heartbeats",
    "Network",
    "NetworkAdmin",
    "Provider",
    "Providers",
    "Quotas",
    "SecretAdmin",
    "SecretRows",
    "Secrets",
    "Store",
    "Vault",
    "VipRequest",
    "WallClock",
    "WantedIp",
    "WorkQueue",
]
