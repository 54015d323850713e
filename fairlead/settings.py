"""Every setting of the service, in one frozen tree.

Read once at start from a TOML file (`fairlead.toml` in the state directory, or --config), with
command line options on top. Unknown names and wrong types are refused by name. Only wiring.py
and cli.py read this; everything else gets plain arguments.
"""

import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct

from fairlead.domain.quota import Quota
from fairlead.domain.tls import TlsPolicy
from fairlead.domain.tls_fields import AlpnProtocol, TlsVersion
from fairlead.errors import Refused

_TLS = TlsPolicy()
Seconds = Annotated[float, Meta(ge=0)]
Life = Annotated[float, Meta(gt=0, le=3.2e9)]


class ApiSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The HTTP side."""

    listen: str = "127.0.0.1:9876"
    """Address and port the API answers on; IPv6 in brackets."""

    public_url: str | None = None
    """What links in answers begin with (`https://lb.example`); none: as the request was sent."""

    auth_strategy: Literal["http_basic", "keystone", "noauth"] = "http_basic"
    """Who is let in. `noauth` lets in everybody as an administrator: for tests only."""

    noauth_anywhere: bool = False
    """Whether `noauth` may listen where other hosts reach it."""

    policy_file: str | None = None
    """An oslo.policy file (YAML or JSON) whose rules go before the defaults."""

    policy_new_defaults: bool = True
    """Whether Keystone's default roles count alone; if not, the load-balancer_* roles do, too."""

    policy_enforce_scope: bool = True
    """Whether only tokens for a project are let in, and not those for the system or a domain."""

    page_limit: Annotated[int, Meta(ge=1)] = 1000
    """The most objects a list answers at once."""

    health_check: bool = True
    """Whether `/healthcheck` answers, to everybody, if the service works."""

    allow_prometheus_listeners: bool = True
    """Whether users may have listeners of protocol PROMETHEUS."""

    allow_ping_health_monitors: bool = True
    """Whether users may have health monitors of type PING."""


class KeystoneSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keystone, for `auth_strategy = "keystone"`, and who the service is to it."""

    auth_url: str = ""
    """Where Keystone is, such as `https://keystone:5000/v3`."""

    public_url: str | None = None
    """Where clients without a token are sent to, if not to `auth_url`."""

    username: str = "octavia"
    """A user with the role service, who may validate tokens."""

    password: str | None = None
    """The user's password; or `password_file`."""

    password_file: str | None = None
    """A file with the password, read again at each login."""

    project: str = "service"
    """The user's project."""

    user_domain: str = "Default"
    """The domain of the user, by name."""

    project_domain: str = "Default"
    """The domain of the project, by name."""

    cafile: str | None = None
    """Authorities (PEM) that Keystone's certificate is verified by, if not the host's."""

    insecure: bool = False
    """Whether Keystone's certificate is not verified at all: for tests only."""

    cache_seconds: Seconds = 60.0
    """How long a valid token is remembered; until then a revoked one still counts."""

    timeout_seconds: Annotated[float, Meta(gt=0)] = 10.0
    """How long an answer of Keystone may take."""


class AuditSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Audit events (CADF)."""

    enabled: bool = False
    """Whether every change that somebody asks for is noted: who, what, when, how it ended."""

    destination: str = "log"
    """`log`, or the file that events are appended to, a line of JSON each."""


class ProviderSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who provides load balancers. Drivers of third parties are octavia-lib's."""

    enabled: dict[str, str] = msgspec.field(
        default_factory=lambda: {
            "amphora": "Amphorae of Fairlead itself.",
            "octavia": "The same as amphora.",
        }
    )
    """The providers that can be asked for, with descriptions; but for `amphora` and `octavia` they
    are names of entry points in the group `octavia.api.drivers`."""

    default: str = "amphora"
    """The provider of load balancers whose request names none."""

    call_seconds: Annotated[float, Meta(gt=0)] = 30.0
    """How long a call of a third party's driver may take."""

    status_socket: str | None = None
    """Where third parties' drivers report statuses; none: `status.sock` in the state directory."""

    stats_socket: str | None = None
    """Where they report statistics; none: `stats.sock` in the state directory."""

    get_socket: str | None = None
    """Where they ask for objects; none: `get.sock` in the state directory."""

    agents: tuple[str, ...] = ()
    """Their long-running processes: entry points in the group
    `octavia.driver_agent.provider_agents`."""

    def __post_init__(self) -> None:
        if self.default not in self.enabled:
            raise ValueError(f"default: '{self.default}' is not one of the enabled providers")


class ControllerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The reconcile loop."""

    runners: Annotated[int, Meta(ge=1)] = 8
    """How many load balancers are worked on at once; at most half of them are under repair."""

    step_seconds: Seconds = 30.0
    """How long one step may take before it counts as failed and is tried again."""

    retries: Annotated[int, Meta(ge=0)] = 5
    """Quick tries, with growing pauses, before a generation is given up on (ERROR)."""

    first_pause: Seconds = 0.2
    """The pause before the first quick retry; each further one doubles, up to 10 seconds."""

    slow_retry: Seconds = 60.0
    """The pause between tries after giving up; they go on until one works."""

    resync: Seconds = 300.0
    """How often every load balancer is compared with the world although nothing was asked."""


class HealthSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Heartbeats of amphorae."""

    port: Annotated[int, Meta(ge=0, le=65535)] = 5555
    """UDP port on the management network where heartbeats arrive."""

    interval: Annotated[float, Meta(gt=0)] = 5.0
    """Seconds between heartbeats of an amphora; changes are reported at once."""

    silence: Seconds = 16.0
    """Seconds without a heartbeat (three are missing) after which the amphora itself is asked."""

    silent_share: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """When more than this share of the amphorae are silent without proof, nothing is repaired."""

    silent_least: Annotated[int, Meta(ge=0)] = 3
    """As many may be silent without proof, whatever their share, and are repaired."""

    repairs_per_minute: Annotated[int, Meta(ge=1)] = 30
    """How many repairs of silent amphorae are begun in a minute at most."""

    clock_skew: Seconds = 60.0
    """Heartbeats count when their time is at most this and one interval away from now."""


class NetworkSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The local networks. CIDRs are used at the first start only; None picks free ones."""

    management_cidr: str | None = None
    """Range of the network that only controllers and amphorae use."""

    default_cidrs: tuple[str, ...] | None = None
    """Ranges of the default network, IPv4 and IPv6, whose addresses this host reaches."""

    def __post_init__(self) -> None:
        if self.management_cidr is not None:
            _check_range("management_cidr", self.management_cidr, least=256)
        for cidr in self.default_cidrs or ():
            _check_range("default_cidrs", cidr, least=8)


class VipSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What users may ask of VIPs."""

    allow_network_id: bool = True
    """Whether a load balancer may name the network of its VIP."""

    allow_subnet_id: bool = True
    """Whether a load balancer may name the subnet of its VIP."""

    allow_port_id: bool = True
    """Whether a load balancer may name the port of its VIP."""

    valid_networks: tuple[str, ...] = ()
    """Ids of the networks that VIPs may be on; none is all."""

    denied_networks: tuple[str, ...] = ()
    """Ids of networks that no VIP may be on."""


class AmphoraSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One amphora."""

    maxconn: Annotated[int, Meta(ge=10)] = 8000
    """Connections haproxy holds at once; two file descriptors each."""

    memory_bytes: Annotated[int, Meta(ge=32 * 1024 * 1024)] = 512 * 1024 * 1024
    """Memory limit, where the host has cgroups to enforce it."""

    cpu_share: Annotated[float, Meta(gt=0)] = 2.0
    """CPU limit in cores, where the host has cgroups to enforce it."""

    pids: Annotated[int, Meta(ge=16)] = 256
    """Most processes, where the host has cgroups to enforce it."""


class TlsSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS of users' listeners and pools."""

    allow_tls_terminated_listeners: bool = _TLS.allow_tls_terminated_listeners
    """Whether users may have TERMINATED_HTTPS listeners."""

    default_listener_ciphers: str = _TLS.default_listener_ciphers
    """Ciphers of listeners whose users name none, in OpenSSL's form."""

    default_pool_ciphers: str = _TLS.default_pool_ciphers
    """Ciphers of pools whose users name none."""

    prohibited_ciphers: tuple[str, ...] = _TLS.prohibited_ciphers
    """Ciphers that nobody may use."""

    default_listener_versions: tuple[TlsVersion, ...] = _TLS.default_listener_versions
    """TLS versions of listeners whose users name none."""

    default_pool_versions: tuple[TlsVersion, ...] = _TLS.default_pool_versions
    """TLS versions of pools whose users name none."""

    minimum_version: TlsVersion | None = _TLS.minimum_version
    """The oldest TLS version that users may ask for."""

    default_listener_alpn_protocols: tuple[AlpnProtocol, ...] = _TLS.default_listener_alpn_protocols
    """ALPN protocols of listeners whose users name none."""

    default_pool_alpn_protocols: tuple[AlpnProtocol, ...] = _TLS.default_pool_alpn_protocols
    """ALPN protocols of pools whose users name none."""

    def __post_init__(self) -> None:
        policy = self.policy()
        for kind in ("listener", "pool"):
            try:
                policy.check(policy.defaults(kind))
            except Refused as error:
                raise ValueError(f"defaults of a {kind}: {error}") from None

    def policy(self) -> TlsPolicy:
        """The same, for the core."""
        return TlsPolicy(**msgspec.structs.asdict(self))


class SecretSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Certificates and keys of users."""

    store: Literal["local", "barbican"] = "local"
    """Where they are kept: `local` is this service, which then has Barbican's API under `/v1`."""

    barbican_url: str | None = None
    """Barbican's address, such as `https://barbican:9311`; nothing is ever read anywhere else."""

    barbican_auth: Literal["keystone", "noauth"] = "keystone"
    """Whether the user of `[keystone]` logs in for that, to the project that is being read for."""

    key_file: str | None = None
    """The keys that seal stored secrets; none is the file `vault.keys` in the state directory."""

    per_project: Annotated[int, Meta(ge=0)] = 1000
    """The most secrets, and the most containers, that a project can have."""


class TrustSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Certificates of Fairlead's own, between its parts."""

    certificate_life: Life = 31536000.0
    """Seconds that certificates of amphorae and controller are good; renewed at two thirds."""

    authority_life: Life = 315619200.0
    """Seconds that the authority which signs them is good; counts when it is made."""


class FakeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The in-memory world of `--drivers fake`."""

    step_seconds: Seconds = 0.0
    """How long every step of the fake world takes."""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole tree."""

    state_dir: str = ""
    """Where everything is kept: database, keys, amphorae, clouds.yaml."""

    drivers: Literal["host", "fake"] = "host"
    """`host` runs real amphorae on this machine and needs root; `fake` is an in-memory world."""

    api: ApiSettings = ApiSettings()
    keystone: KeystoneSettings = KeystoneSettings()
    audit: AuditSettings = AuditSettings()
    providers: ProviderSettings = ProviderSettings()
    controller: ControllerSettings = ControllerSettings()
    health: HealthSettings = HealthSettings()
    network: NetworkSettings = NetworkSettings()
    vip: VipSettings = VipSettings()
    amphora: AmphoraSettings = AmphoraSettings()
    quota: Quota = Quota()
    tls: TlsSettings = TlsSettings()
    secrets: SecretSettings = SecretSettings()
    trust: TrustSettings = TrustSettings()
    fake: FakeSettings = FakeSettings()


def default_state_dir(drivers: str = "host") -> Path:
    """/var/lib/fairlead for root, ~/.local/state/fairlead for others; beside it for the fake."""
    name = "fairlead" if drivers == "host" else f"fairlead-{drivers}"
    if os.geteuid() == 0:
        return Path("/var/lib") / name
    return Path.home() / ".local" / "state" / name


def load(state_dir: Path, config: Path | None = None) -> Settings:
    """Settings of the file, or the defaults; `Refused` names what is wrong in it."""
    path = config or state_dir / "fairlead.toml"
    try:
        read = msgspec.toml.decode(path.read_bytes(), type=Settings)
    except FileNotFoundError:
        if config is not None:
            raise Refused(f"Configuration file {config} does not exist.") from None
        return Settings(state_dir=str(state_dir))
    except OSError as error:
        raise Refused(f"Configuration file {path}: {error.strerror}.") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise Refused(f"Configuration file {path}: {error}{_valid_values(str(error))}") from None
    return msgspec.structs.replace(read, state_dir=read.state_dir or str(state_dir))


def _check_range(name: str, text: str, *, least: int) -> None:
    """`ValueError` names the setting unless `text` is a range of at least that many addresses."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{name}: '{text}' should be a range such as 172.30.0.0/24") from None
    if network.num_addresses < least:
        raise ValueError(f"{name}: '{text}' is too small; it should hold {least} addresses or more")
    kinds = (network.is_multicast, network.is_loopback, network.is_link_local)
    if any(kinds) or network.network_address.is_unspecified:
        raise ValueError(f"{name}: '{text}' is a range that no network can use")


def _valid_values(said: str) -> str:
    """What the setting that msgspec's message is about may be, when it is one of some words."""
    found = re.fullmatch(r"Invalid enum value .* - at `\$\.(.+)`", said)
    if found is None:
        return ""
    kind: Any = Settings
    for name in found[1].split("."):
        kind = get_type_hints(kind)[name]
    return f": it should be {' or '.join(map(repr, get_args(kind)))}"
