"""What the API needs from the outside, put together by the wiring."""

from collections.abc import Callable

from msgspec import Struct

from fairlead.api.access import Authenticator
from fairlead.api.audit import Audit
from fairlead.api.policy import Policy
from fairlead.api.vip_rules import VipRules
from fairlead.domain.tls import TlsPolicy
from fairlead.ports import (
    Catalog,
    Clock,
    Network,
    NetworkAdmin,
    Providers,
    Quotas,
    SecretAdmin,
    Store,
    Vault,
    WorkQueue,
)


class Services(Struct, frozen=True, kw_only=True):
    """Ports, and the little that operators may set.

    `network_admin` None leaves the network API out, `secret_admin` None the secret store's, `audit`
    None the audit events, `health_check` False that path. Links begin with `public_url`, or with
    the address that the request was sent to. `vips` is what a deployment allows of VIPs,
    `prometheus` whether listeners may be of that protocol, `ping` whether health monitors may be of
    that type. `page_maximum` is the longest page of a list; `body_maximum` the largest request
    body, in bytes.
    """

    store: Store
    catalog: Catalog
    quotas: Quotas
    queue: WorkQueue
    network: Network
    network_admin: NetworkAdmin | None
    vault: Vault
    providers: Providers
    clock: Clock
    new_id: Callable[[], str]
    authenticator: Authenticator
    policy: Policy
    audit: Audit | None = None
    health_check: bool = True
    vips: VipRules = VipRules()
    tls: TlsPolicy = TlsPolicy()
    prometheus: bool = True
    ping: bool = True
    secret_admin: SecretAdmin | None = None
    public_url: str | None = None
    page_maximum: int = 1000
    body_maximum: int = 4 * 1024 * 1024
