"""The resources of the API, each declared once, in the API's own field names.

PURE. A load balancer and all that hangs below it form one tree (see tree.py). Statuses are not
here: they are derived (see status.py). `created_gen`, `changed_gen` and `deleted_gen` are the
tree generations in which an object was made, last asked to change, and asked to go.
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Struct

from fairlead.domain import types
from fairlead.domain.naming import Naming
from fairlead.domain.slots import Slot
from fairlead.domain.tls_fields import (
    AlpnProtocols,
    Authentication,
    Ciphers,
    Reference,
    TlsVersions,
)
from fairlead.domain.types import Access, field

ListenerProtocol = Literal["TCP", "HTTP", "HTTPS", "TERMINATED_HTTPS", "UDP", "SCTP", "PROMETHEUS"]
PoolProtocol = Literal["TCP", "HTTP", "HTTPS", "PROXY", "PROXYV2", "UDP", "SCTP"]
Algorithm = Literal["ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT"]
MonitorType = Literal["HTTP", "HTTPS", "PING", "TCP", "TLS-HELLO", "UDP-CONNECT", "SCTP"]
HttpMethod = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "OPTIONS", "CONNECT", "PATCH"]
PolicyAction = Literal["REJECT", "REDIRECT_TO_URL", "REDIRECT_TO_POOL", "REDIRECT_PREFIX"]
RuleType = Literal[
    "HOST_NAME", "PATH", "FILE_TYPE", "HEADER", "COOKIE",
    "SSL_CONN_HAS_CERT", "SSL_VERIFY_RESULT", "SSL_DN_FIELD",
]  # fmt: skip
CompareType = Literal["REGEX", "STARTS_WITH", "ENDS_WITH", "CONTAINS", "EQUAL_TO"]
PersistenceType = Literal["SOURCE_IP", "HTTP_COOKIE", "APP_COOKIE", "ONE_PACKET_SCHEDULING"]

_READ, _CREATE, _HIDDEN = Access.READ, Access.CREATE, Access.HIDDEN

Id = Annotated[str, field("Identifier.", access=_READ, check=types.uuid_text)]
Name = Annotated[str, field("Human-readable name.", max_length=255, example="web")]
Description = Annotated[str, field("Human-readable text.", max_length=255, example="Shop")]
AdminState = Annotated[bool, field("False takes the object out of service.")]
Tags = Annotated[tuple[str, ...], field("Labels to select by.", check=types.tag_list)]
Timeout = Annotated[int, field("Milliseconds.", ge=0, le=2073600000)]
PortNumber = Annotated[
    int, field("Port.", access=_CREATE, required=True, ge=1, le=65535, example=80)
]


class Resource(Struct, frozen=True, kw_only=True):
    """What every object of a tree has."""

    KIND: ClassVar[str]

    id: Id
    project_id: Annotated[
        str | None, field("Owner; a child has its load balancer's.", access=_READ, max_length=36)
    ] = None
    admin_state_up: AdminState = True
    tags: Tags = ()
    created_at: Annotated[datetime, field("When it was made, UTC.", access=_READ)]
    updated_at: Annotated[datetime | None, field("When it last changed, UTC.", access=_READ)] = None
    created_gen: Annotated[int, field("Generation of its creation.", access=_HIDDEN)] = 1
    changed_gen: Annotated[int, field("Generation of its last change.", access=_HIDDEN)] = 1
    deleted_gen: Annotated[int | None, field("Generation of its deletion.", access=_HIDDEN)] = None


class AdditionalVip(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One more address a load balancer answers on; `port_id` is the VIP's port."""

    subnet_id: str
    ip_address: str | None = None
    port_id: str | None = None


class LoadBalancer(Resource, frozen=True, kw_only=True):
    """A VIP, and the root of a tree."""

    KIND = "loadbalancer"

    name: Name = ""
    description: Description = ""
    project_id: Annotated[
        str | None, field("Owner; another than one's own needs admin.",
                          access=_CREATE, max_length=36)
    ] = None  # fmt: skip
    vip_subnet_id: Annotated[
        str | None, field("Subnet of the VIP.", access=_CREATE, check=types.uuid_text)
    ] = None
    vip_network_id: Annotated[
        str | None, field("Network of the VIP.", access=_CREATE, check=types.uuid_text)
    ] = None
    vip_port_id: Annotated[
        str | None, field("Port of the VIP.", access=_CREATE, check=types.uuid_text)
    ] = None
    vip_address: Annotated[
        str | None, field("Address of the VIP.", access=_CREATE, check=types.ip_text)
    ] = None
    vip_qos_policy_id: Annotated[
        str | None, field("QoS policy of the VIP port.", check=types.uuid_text)
    ] = None
    vip_sg_ids: Annotated[
        tuple[str, ...], field("Security groups of the VIP port.", check=types.uuid_list)
    ] = ()
    vip_vnic_type: Annotated[
        Literal["normal", "direct"], field("Kind of the VIP's port.", access=_READ)
    ] = "normal"
    additional_vips: Annotated[
        tuple[AdditionalVip, ...],
        field("More addresses on the VIP's network, each on a subnet of its own.",
              access=_CREATE, check=types.addresses_on_subnets),
    ] = ()  # fmt: skip
    provider: Annotated[str, field("Who provides the service.", access=_CREATE, max_length=64)] = (
        "amphora"
    )
    flavor_id: Annotated[str | None, field("Flavor.", access=_CREATE, check=types.uuid_text)] = None
    availability_zone: Annotated[
        str | None, field("Availability zone, by name.", access=_CREATE, max_length=255)
    ] = None
    slots: Annotated[tuple[Slot, ...], field("Places of its amphorae.", access=_HIDDEN)] = (Slot(),)
    flavor_data: Annotated[dict[str, Any], field("What the flavor says.", access=_HIDDEN)] = {}
    zone_data: Annotated[dict[str, Any], field("What the zone says.", access=_HIDDEN)] = {}

    @property
    def vip_addresses(self) -> tuple[str, ...]:
        """Every address it answers on, `vip_address` first; none before they are allocated."""
        found = (self.vip_address, *(vip.ip_address for vip in self.additional_vips))
        return tuple(address for address in found if address is not None)

    @property
    def vip_subnet_ids(self) -> tuple[str, ...]:
        """The subnets of those addresses."""
        first = (self.vip_subnet_id,) if self.vip_subnet_id else ()
        return (*first, *(vip.subnet_id for vip in self.additional_vips))


class Listener(Resource, frozen=True, kw_only=True):
    """A port that clients connect to."""

    KIND = "listener"

    name: Name = ""
    description: Description = ""
    loadbalancer_id: Annotated[
        str, field("Its load balancer.", access=_CREATE, required=True, check=types.uuid_text)
    ]
    protocol: Annotated[
        ListenerProtocol, field("Protocol clients speak.", access=_CREATE, required=True,
                                example="HTTP")
    ]  # fmt: skip
    protocol_port: PortNumber
    connection_limit: Annotated[
        int, field("Most connections at once; -1 is no limit.", ge=-1, le=2147483647, example=10000)
    ] = -1
    default_pool_id: Annotated[
        str | None, field("Pool for what no L7 policy takes.", check=types.uuid_text)
    ] = None
    insert_headers: Annotated[
        dict[str, str], field('Headers to add to requests: name to "true".')
    ] = {}
    timeout_client_data: Timeout = 50000
    timeout_member_connect: Timeout = 5000
    timeout_member_data: Timeout = 50000
    timeout_tcp_inspect: Timeout = 0
    default_tls_container_ref: Reference = None
    sni_container_refs: Annotated[
        tuple[str, ...], field("Certificates chosen by SNI.", check=types.references)
    ] = ()
    client_ca_tls_container_ref: Reference = None
    client_crl_container_ref: Reference = None
    client_authentication: Annotated[
        Authentication, field("Whether clients need a certificate.")
    ] = "NONE"
    allowed_cidrs: Annotated[
        tuple[str, ...], field("Clients that may connect; empty is everyone.", check=types.cidrs)
    ] = ()
    tls_ciphers: Ciphers = None
    tls_versions: TlsVersions = None
    alpn_protocols: AlpnProtocols = None
    hsts_max_age: Annotated[int | None, field("HSTS max-age in seconds.", ge=0, le=2147483647)] = (
        None
    )
    hsts_include_subdomains: Annotated[bool, field("HSTS includeSubDomains.")] = False
    hsts_preload: Annotated[bool, field("HSTS preload.")] = False


class SessionPersistence(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a client finds the member it had before."""

    type: PersistenceType | None = None
    cookie_name: Annotated[str | None, field("Cookie of the application.", max_length=255)] = None
    persistence_timeout: int | None = None
    persistence_granularity: str | None = None


class Pool(Resource, frozen=True, kw_only=True):
    """A group of members that share an algorithm."""

    KIND = "pool"

    name: Name = ""
    description: Description = ""
    loadbalancer_id: Annotated[
        str, field("Its load balancer.", access=_CREATE, check=types.uuid_text)
    ]
    protocol: Annotated[
        PoolProtocol, field("Protocol spoken to members.", access=_CREATE, required=True,
                            example="HTTP")
    ]  # fmt: skip
    lb_algorithm: Annotated[
        Algorithm, field("How a member is chosen.", required=True, nullable=False)
    ]
    session_persistence: Annotated[
        SessionPersistence | None, field("How a client finds its member again.")
    ] = None
    tls_enabled: Annotated[bool, field("Speak TLS to members.")] = False
    tls_container_ref: Reference = None
    ca_tls_container_ref: Reference = None
    crl_container_ref: Reference = None
    tls_ciphers: Ciphers = None
    tls_versions: TlsVersions = None
    alpn_protocols: AlpnProtocols = None


class Member(Resource, frozen=True, kw_only=True):
    """A server."""

    KIND = "member"

    name: Name = ""
    pool_id: Annotated[str, field("Its pool.", access=_HIDDEN)]
    address: Annotated[
        str, field("Address of the server.", access=_CREATE, required=True, check=types.ip_text)
    ]
    protocol_port: PortNumber
    weight: Annotated[int, field("Share of the traffic; 0 drains.", ge=0, le=256, example=10)] = 1
    backup: Annotated[bool, field("Used only when all others are down.")] = False
    subnet_id: Annotated[
        str | None, field("Subnet to reach it on directly; null is routed.",
                          access=_CREATE, check=types.uuid_text)
    ] = None  # fmt: skip
    monitor_address: Annotated[
        str | None, field("Address to check instead.", check=types.ip_text)
    ] = None
    monitor_port: Annotated[int | None, field("Port to check instead.", ge=1, le=65535)] = None
    request_sriov: Annotated[bool, field("Ask for an SR-IOV port.", access=_CREATE)] = False
    vnic_type: Annotated[
        Literal["normal", "direct"], field("Kind of the port it is reached by.", access=_READ)
    ] = "normal"


class HealthMonitor(Resource, frozen=True, kw_only=True):
    """How the members of a pool are checked. `http_*` and the like are null off HTTP."""

    KIND = "healthmonitor"

    name: Name = ""
    pool_id: Annotated[
        str, field("Its pool.", access=_CREATE, required=True, check=types.uuid_text)
    ]
    type: Annotated[
        MonitorType, field("Kind of check.", access=_CREATE, required=True, example="HTTP")
    ]
    delay: Annotated[
        int, field("Seconds between checks.", required=True, nullable=False, ge=0, le=2147483,
                   example=5)
    ]  # fmt: skip
    timeout: Annotated[
        int, field("Seconds a check may take.", required=True, nullable=False, ge=0, le=2147483,
                   example=3)
    ]  # fmt: skip
    max_retries: Annotated[
        int, field("Successes to be up.", required=True, nullable=False, ge=1, le=10, example=2)
    ]
    max_retries_down: Annotated[int, field("Failures to be down.", ge=1, le=10)] = 3
    http_method: Annotated[HttpMethod | None, field("Method of the check.")] = None
    url_path: Annotated[
        str | None, field("Path of the check.", check=types.url_path, max_length=2048)
    ] = None
    expected_codes: Annotated[
        str | None, field("Statuses that mean healthy.", check=types.expected_codes, max_length=64)
    ] = None
    http_version: Annotated[
        float | None, field("HTTP version of the check.", check=types.http_version)
    ] = None
    domain_name: Annotated[
        str | None, field("Host header of the check.", check=types.host_name, max_length=255)
    ] = None


class L7Policy(Resource, frozen=True, kw_only=True):
    """What happens to requests that match all of its rules."""

    KIND = "l7policy"

    name: Name = ""
    description: Description = ""
    listener_id: Annotated[
        str, field("Its listener.", access=_CREATE, required=True, check=types.uuid_text)
    ]
    action: Annotated[PolicyAction, field("What to do.", required=True, nullable=False,
                                          example="REDIRECT_TO_URL")]  # fmt: skip
    redirect_pool_id: Annotated[
        str | None, field("Pool of REDIRECT_TO_POOL.", check=types.uuid_text)
    ] = None
    redirect_url: Annotated[
        str | None, field("Target of REDIRECT_TO_URL.", check=types.url, max_length=255)
    ] = None
    redirect_prefix: Annotated[
        str | None, field("Prefix of REDIRECT_PREFIX.", check=types.url, max_length=255)
    ] = None
    redirect_http_code: Annotated[
        Literal[301, 302, 303, 307, 308] | None, field("Status of a redirect.")
    ] = None
    position: Annotated[int, field("Order of evaluation, from 1.", ge=1, le=2147483647)] = (
        2147483647
    )


class L7Rule(Resource, frozen=True, kw_only=True):
    """One condition of an L7 policy."""

    KIND = "l7rule"

    l7policy_id: Annotated[str, field("Its policy.", access=_HIDDEN)]
    type: Annotated[RuleType, field("What is compared.", required=True, nullable=False,
                                     example="PATH")]  # fmt: skip
    compare_type: Annotated[CompareType, field("How.", required=True, nullable=False,
                                               example="STARTS_WITH")]  # fmt: skip
    key: Annotated[str | None, field("Name of the header, cookie or field.", max_length=255)] = None
    value: Annotated[
        str, field("What to compare with.", required=True, nullable=False,
                   max_length=255, check=types.one_line, example="/shop")
    ]  # fmt: skip
    invert: Annotated[bool, field("Match when the comparison fails.")] = False


class Kind(Naming, frozen=True, kw_only=True):
    """A kind of the tree: `parent` is what it hangs below, `parent_field` names that."""

    type: type[Resource]
    parent: str | None
    parent_field: str | None


KINDS: dict[str, Kind] = {
    "loadbalancer": Kind(
        type=LoadBalancer, word="Load Balancer", wrapper="loadbalancer", argument="load_balancer",
        plural="loadbalancers", parent=None, parent_field=None,
    ),
    "listener": Kind(
        type=Listener, word="Listener", wrapper="listener",
        argument="listener_", plural="listeners",
        parent="loadbalancer", parent_field="loadbalancer_id",
    ),
    "pool": Kind(
        type=Pool, word="Pool", wrapper="pool",
        argument="pool_", plural="pools",
        parent="loadbalancer", parent_field="loadbalancer_id",
    ),
    "member": Kind(
        type=Member, word="Member", wrapper="member",
        argument="member_", plural="members",
        parent="pool", parent_field="pool_id",
    ),
    "healthmonitor": Kind(
        type=HealthMonitor, word="Health Monitor", wrapper="healthmonitor",
        argument="health_monitor_",
        plural="healthmonitors", parent="pool", parent_field="pool_id",
    ),
    "l7policy": Kind(
        type=L7Policy, word="L7Policy", wrapper="l7policy",
        argument="l7policy_", plural="l7policies",
        parent="listener", parent_field="listener_id",
    ),
    "l7rule": Kind(
        type=L7Rule, word="L7Rule", wrapper="rule",
        argument="rule_", plural="rules",
        parent="l7policy", parent_field="l7policy_id",
    ),
}  # fmt: skip
