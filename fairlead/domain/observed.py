"""The world as it was found: networks, ports, instances, amphorae.

PURE data. Drivers make these, the planner compares them with the tree. Nothing here is desired
state; all of it may be out of date the moment it is read.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Literal

from msgspec import Struct

from fairlead.domain.model import AdditionalVip
from fairlead.domain.types import Access, field, ip_text, uuid_text


class Subnet(Struct, frozen=True, kw_only=True):
    """An address range of a network; `gateway` is None where nothing routes for it.

    `note` here and below is what users say of it, kept by drivers as it is.
    """

    id: str
    network_id: str
    name: str
    cidr: str
    gateway: str | None
    project_id: str | None = None
    note: str = ""


class NetworkInfo(Struct, frozen=True, kw_only=True):
    """A layer 2 segment. `shared` networks may be used by every project."""

    id: str
    name: str
    project_id: str | None
    shared: bool
    subnets: tuple[Subnet, ...] = ()
    note: str = ""


class FixedIp(Struct, frozen=True, kw_only=True):
    """An address on a subnet, with what an interface needs to use it."""

    subnet_id: str
    address: str
    cidr: str
    gateway: str | None

    @property
    def prefixed(self) -> str:
        """The address with the prefix length of its subnet: "192.0.2.10/24"."""
        return f"{self.address}/{self.cidr.rsplit('/', 1)[1]}"


class Port(Struct, frozen=True, kw_only=True):
    """An attachment point with a MAC address and addresses.

    `name` is unique and deterministic; `owner` is what the port exists for (a load balancer's
    id), or "" for a port that a user made. `segment` is the network driver's handle for
    plugging it in: for the local driver the name of a bridge. `qos_policy_id` and `sg_ids` (its
    security groups) stay empty where the driver has no such thing.
    """

    id: str
    name: str
    owner: str
    network_id: str
    mac: str
    mtu: int
    fixed_ips: tuple[FixedIp, ...]
    segment: str
    project_id: str | None = None
    qos_policy_id: str | None = None
    sg_ids: tuple[str, ...] = ()
    note: str = ""


class Vip(Struct, frozen=True, kw_only=True):
    """Where a load balancer answers: four vip_* fields of the API and its additional VIPs."""

    vip_address: str
    vip_port_id: str
    vip_subnet_id: str | None
    vip_network_id: str
    additional_vips: tuple[AdditionalVip, ...] = ()


class Instance(Struct, frozen=True, kw_only=True):
    """An amphora's machine: `running` is false when it exists but its processes do not.

    `macs` are the plugged cards without the management card.
    """

    amphora_id: str
    running: bool
    macs: frozenset[str]


AmphoraStatus = Literal["BOOTING", "ALLOCATED", "PENDING_DELETE", "ERROR"]
AmphoraRole = Literal["STANDALONE", "MASTER", "BACKUP"]

_READ, _HIDDEN = Access.READ, Access.HIDDEN
_SOON = "2026-12-24T12:00:00"


class Amphora(Struct, frozen=True, kw_only=True):
    """A haproxy with its agent, which serves one load balancer; only operators see them.

    BOOTING until it serves for the first time, ERROR while it is found dead, PENDING_DELETE once
    it is taken away.
    """

    id: Annotated[str, field("Identifier.", access=_READ, check=uuid_text)]
    loadbalancer_id: Annotated[
        str, field("The load balancer it serves.", access=_READ, check=uuid_text)
    ]
    slot: Annotated[int, field("Place in the topology, 0 for SINGLE.", access=_HIDDEN)]
    compute_id: Annotated[
        str | None, field("Its machine's identifier.", access=_READ, check=uuid_text)
    ] = None
    lb_network_ip: Annotated[
        str | None, field("Address on the management network.", access=_READ, check=ip_text)
    ] = None
    vrrp_ip: Annotated[
        str | None, field("Its own address on the VIP's network.", access=_READ, check=ip_text)
    ] = None
    ha_ip: Annotated[str | None, field("The VIP.", access=_READ, check=ip_text)] = None
    vrrp_port_id: Annotated[
        str | None, field("Its port on the VIP's network.", access=_READ, check=uuid_text)
    ] = None
    ha_port_id: Annotated[str | None, field("The VIP's port.", access=_READ, check=uuid_text)] = (
        None
    )
    cert_expiration: Annotated[
        datetime | None, field("When its certificate ends, UTC.", access=_READ, example=_SOON)
    ] = None
    cert_busy: Annotated[
        bool, field("Its certificate is being replaced.", access=_READ, example=False)
    ] = False
    role: Annotated[AmphoraRole, field("Role in the topology.", access=_READ, example="STANDALONE")]
    status: Annotated[AmphoraStatus, field("What is the case with it.", access=_READ)]
    vrrp_interface: Annotated[
        str | None, field("Card that VRRP runs on.", access=_READ, example=None)
    ] = None
    vrrp_id: Annotated[int | None, field("VRRP group.", access=_READ, example=None)] = None
    vrrp_priority: Annotated[int | None, field("VRRP priority.", access=_READ, example=None)] = None
    cached_zone: Annotated[
        str | None, field("Availability zone of its machine.", access=_READ, example=None)
    ] = None
    created_at: Annotated[datetime, field("When it was made, UTC.", access=_READ)]
    updated_at: Annotated[
        datetime | None, field("When its record last changed, UTC.", access=_READ, example=None)
    ] = None
    image_id: Annotated[
        str | None, field("Image of its machine.", access=_READ, check=uuid_text, example=None)
    ] = None
    compute_flavor: Annotated[
        str | None, field("Size of its machine.", access=_READ, example=None)
    ] = None


def serving(records: Iterable["Amphora"], current: Collection[str]) -> frozenset[str]:
    """Ids of the amphorae whose word counts: those asked for (`current`), once they serve.

    Until then it is the ones that they replace.
    """
    known = list(records)
    ready = {a.id for a in known if a.id in current and a.status in ("ALLOCATED", "ERROR")}
    old = {a.id for a in known if a.id not in current and a.status == "ALLOCATED"}
    return frozenset(ready or old or current)


class AmphoraSeen(Struct, frozen=True, kw_only=True):
    """One amphora as observed: its record, its machine, its ports, what its agent runs.

    `ports` are by network id, the management port excluded. `revision` is None while the agent
    does not answer or has no configuration yet; `wanted` is the revision the tree asks for, None
    while it cannot be rendered because ports or certificates are missing. `held` are the
    certificates that the amphora has, file names by source; `not_after` is when the agent's own
    certificate ends, None while it does not say so.
    """

    id: str
    record: Amphora | None = None
    instance: Instance | None = None
    management: Port | None = None
    ports: Mapping[str, Port] = {}
    reachable: bool = False
    revision: str | None = None
    wanted: str | None = None
    held: Mapping[str, str] = {}
    not_after: datetime | None = None

    @property
    def certificate_ends(self) -> datetime | None:
        """When its certificate ends: by the agent's word, or else by the record's."""
        recorded = self.record.cert_expiration if self.record else None
        return self.not_after or recorded


class World(Struct, frozen=True, kw_only=True):
    """All that exists on behalf of one load balancer.

    `vip_port` is None when it is gone or was never made; `stray_ports` are ports owned by the
    load balancer that belong to none of the amphorae here. `networks` maps the subnets that
    members name to their networks; a subnet that does not exist any more is missing in it.
    `unread` are the certificates that an amphora lacks and the secret store does not give: kind
    and reference of each. `life` is how long a new certificate of an agent is good.
    """

    vip_port: Port | None = None
    amphorae: tuple[AmphoraSeen, ...] = ()
    stray_ports: tuple[Port, ...] = ()
    networks: Mapping[str, str] = {}
    unread: tuple[tuple[str, str], ...] = ()
    life: timedelta = timedelta(days=365)
