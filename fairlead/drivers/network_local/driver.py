"""The local network driver: `ports.Network`, and the life of the networks it keeps.

Invariants: after `start` every stored network has its bridge, the host holds the gateway
addresses of the management and the default network, and nothing else of this instance is left on
the host. A port's id follows from its name, so a port made anew is the port it was. Everything
happens in the network namespace of the calling thread. Made by wiring; called by the controller
and, through `UserNetworks`, by the API.
"""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network

import structlog
from msgspec import structs
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from fairlead.domain.observed import FixedIp, NetworkInfo, Port, Subnet, Vip
from fairlead.drivers.network_local import firewall, links, placement
from fairlead.drivers.network_local.addresses import (
    IPNetwork,
    bridge_name,
    choose_free,
    default_candidates,
    default_candidates_v6,
    first_host,
    management_candidates,
    overlaps,
    parse_cidr,
)
from fairlead.drivers.network_local.ledger import Segment
from fairlead.drivers.network_local.user_networks import UserNetworks, may_use, settle
from fairlead.errors import Conflict, NotFound, Refused
from fairlead.ports import Capability, VipRequest

log = structlog.get_logger(__name__)

_MANAGEMENT, _DEFAULT = "[network] management_cidr", "[network] default_cidrs"


class NetworkLocal(UserNetworks):
    """Networks of one host. The CIDRs are for the first start only; None means: choose."""

    def __init__(
        self,
        engine: AsyncEngine,
        instance: str,
        *,
        management_cidr: str | None = None,
        default_cidrs: Sequence[str] | None = None,
    ) -> None:
        super().__init__(engine, instance)
        self._management_cidr = management_cidr
        self._default_cidrs = default_cidrs

    @property
    def management_gateway(self) -> str:
        """The host's address on the management network; known after `start`."""
        (subnet,) = self._host_networks[self.management_network_id].subnets
        return first_host(subnet.cidr)

    @property
    def default_subnet_ids(self) -> tuple[str, ...]:
        """The default network's subnets, IPv4 first; known after `start`."""
        subnets = self._host_networks[self.default_network_id].subnets
        return tuple(subnet.id for subnet in subnets)

    async def start(self) -> None:
        """Make everything stored exist on the host; repeat it at will."""
        await self._ledger.create_tables()
        stored = {network.id: network for network in await self._ledger.networks()}
        await self._sweep(stored)
        if self.default_network_id not in stored:
            await self._found()
            stored = {network.id: network for network in await self._ledger.networks()}
        fixed = (self.management_network_id, self.default_network_id)
        self._host_networks = {network_id: stored[network_id] for network_id in fixed}
        self._warn_of_ignored_settings()
        await links.ensure_bridges(dict(self._bridge(network_id) for network_id in stored))
        await self._guard()
        log.info("networks.ready", networks=len(stored), management=self.management_gateway)

    async def remove_everything(self) -> None:
        """Delete every bridge, rule and row of this instance."""
        await links.remove_bridges(f"fl{self.instance}")
        await firewall.remove(self.instance)
        await self._ledger.create_tables()
        await self._ledger.wipe()
        self._host_networks = {}

    async def allocate_vip(self, lb_id: str, project_id: str, request: VipRequest) -> Vip:
        """Find or create the VIP port; the VIP it found first stays, whatever is asked later."""
        name = f"vip:{lb_id}"
        if request.qos_policy_id or request.sg_ids:
            raise Refused("The local networks have neither QoS policies nor security groups.")

        async def look(attempt: int) -> Vip:
            port = await self._ledger.vip_port(lb_id, name)
            seed = f"{name}{attempt or ''}"
            if port is not None:
                port = await self._completed(port, request, seed)
                return placement.vip_of(port, placement.address_found(port, request), request)
            if request.vip_port_id:
                return await self._claim(lb_id, project_id, request)
            segment = await self._vip_segment(project_id, request)
            first = placement.address_on_segment(segment, request, seed)
            more = placement.additional_addresses(
                segment, request.additional_vips, [first.subnet_id], seed
            )
            port = self._driver_port(
                name, attempt, lb_id, segment.network.id, [first, *more], project_id
            )
            await self._ledger.add_port(port, name, made_by_user=False)
            return placement.vip_of(port, first, request)

        vip = await settle(look)
        await self._plug(vip.vip_network_id)
        return vip

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Bridges know neither QoS policies nor security groups."""
        return frozenset()

    async def knows(self, what: Capability, object_id: str, project_id: str) -> bool:
        """There are none."""
        return False

    async def subnet(self, subnet_id: str, project_id: str | None = None) -> Subnet:
        """A subnet; `NotFound` also for a project that may not use its network."""
        segment = await self._ledger.segment(network_id=None, subnet_id=subnet_id)
        found = segment and segment.subnet(subnet_id)
        if not segment or not found:
            raise NotFound("Subnet", subnet_id)
        if project_id is not None and not may_use(segment.network, project_id):
            raise NotFound("Subnet", subnet_id)
        return found

    def is_management(self, address: str) -> bool:
        """Whether an address is in the management network's range."""
        ranges = self._host_networks[self.management_network_id].subnets
        return any(ip_address(address) in ip_network(subnet.cidr) for subnet in ranges)

    async def ensure_port(
        self, name: str, *, owner: str, network_id: str, subnet_ids: Sequence[str]
    ) -> Port:
        """A port with one address on each of the subnets, and on no other."""

        async def look(attempt: int) -> Port:
            port = await self._ledger.port(handle=name)
            if port is not None and port.network_id != network_id:
                raise Conflict(f"Port {name} is on network {port.network_id}, not {network_id}.")
            present = {ip.subnet_id for ip in port.fixed_ips} if port else set()
            if port and port.owner == owner and present == set(subnet_ids):
                return port
            seed = f"{name}{attempt or ''}"
            missing = [wanted for wanted in subnet_ids if wanted not in present]
            if port is not None and not missing:
                return await self._change(port, owner, subnet_ids, [])
            added = await self._free_addresses(network_id, missing, seed)
            if port is not None:
                return await self._change(port, owner, subnet_ids, added)
            port = self._driver_port(name, attempt, owner, network_id, added)
            await self._ledger.add_port(port, name, made_by_user=False)
            return port

        port = await settle(look)
        await self._plug(network_id)
        return port

    async def management_port(self, name: str, *, owner: str) -> Port:
        """A port with an address on each subnet of the management network."""
        network = self._host_networks[self.management_network_id]
        subnet_ids = [subnet.id for subnet in network.subnets]
        return await self.ensure_port(
            name, owner=owner, network_id=network.id, subnet_ids=subnet_ids
        )

    async def ports(self, owner: str) -> Sequence[Port]:
        """All ports of an owner, in the order they were made."""
        return await self._ledger.ports_of(owner)

    async def owners(self) -> frozenset[str]:
        """Every owner that has ports."""
        return await self._ledger.owners()

    async def release(self, port_id: str) -> None:
        """Delete the port, or clear its owner if a user made it."""
        await self._ledger.release(port_id)

    async def _claim(self, lb_id: str, project_id: str, request: VipRequest) -> Vip:
        port_id = request.vip_port_id or ""
        port = await self._ledger.port(port_id=port_id)
        if port is None or port.project_id != project_id:
            raise Refused(f"Port {port_id} not found.")
        fixed_ip = placement.address_on_port(port, request)
        if not await self._ledger.claim(port_id, lb_id):
            raise Conflict(f"vip_port_id {port_id} is already in use.")
        return placement.vip_of(port, fixed_ip, request)

    async def _completed(self, port: Port, request: VipRequest, seed: str) -> Port:
        """The VIP's port with the addresses it lacks."""
        lost = placement.lost_from_port(port, request)
        if not lost:
            return port
        segment = await self._ledger.segment(network_id=port.network_id, subnet_id=None)
        if segment is None:
            raise NotFound("Network", port.network_id)
        renewed = {one.subnet_id for one in lost}
        kept = [ip.subnet_id for ip in port.fixed_ips if ip.subnet_id not in renewed]
        added = placement.additional_addresses(segment, lost, kept, seed)
        return await self._change(port, port.owner, kept, added)

    async def _vip_segment(self, project_id: str, request: VipRequest) -> Segment:
        """The network the VIP goes to, as far as the project may use it."""
        network_id, subnet_id = request.vip_network_id, request.vip_subnet_id
        if not network_id and not subnet_id:
            raise Refused(placement.NO_PLACE)
        segment = await self._segment(project_id, network_id=network_id, subnet_id=subnet_id)
        if segment is None:
            what = f"Network {network_id}" if network_id else f"Subnet {subnet_id}"
            raise Refused(f"{what} not found.")
        return segment

    async def _free_addresses(
        self, network_id: str, subnet_ids: Sequence[str], seed: str
    ) -> list[FixedIp]:
        """A free address on each of the subnets; `NotFound` for what is not there."""
        segment = await self._ledger.segment(network_id=network_id, subnet_id=None)
        if segment is None:
            raise NotFound("Network", network_id)
        chosen = []
        for subnet_id in subnet_ids:
            subnet = segment.subnet(subnet_id)
            if subnet is None:
                raise NotFound("Subnet", subnet_id)
            chosen.append(placement.any_address(segment, subnet, seed))
        return chosen

    async def _change(
        self, port: Port, owner: str, subnet_ids: Sequence[str], added: Sequence[FixedIp]
    ) -> Port:
        """Bring a stored port to the subnets wanted."""
        kept = [ip for ip in port.fixed_ips if ip.subnet_id in subnet_ids]
        gone = [ip.subnet_id for ip in port.fixed_ips if ip.subnet_id not in subnet_ids]
        await self._ledger.change_port(port, owner=owner, add=added, drop=gone)
        return structs.replace(port, owner=owner, fixed_ips=(*kept, *added))

    def _driver_port(
        self,
        name: str,
        attempt: int,
        owner: str,
        network_id: str,
        fixed_ips: Sequence[FixedIp],
        project_id: str | None = None,
    ) -> Port:
        return self._new_port(
            self._fixed_id("port", name),
            name,
            attempt,
            owner=owner,
            network_id=network_id,
            fixed_ips=fixed_ips,
            project_id=project_id,
        )

    async def _sweep(self, stored: Iterable[str]) -> None:
        """Remove bridges of this instance that no network has."""
        keep = frozenset(bridge_name(self.instance, network_id) for network_id in stored)
        await links.remove_bridges(f"fl{self.instance}", keep=keep)

    async def _found(self) -> None:
        """Store the management and the default network, unless another process is faster."""
        networks = await self._first_networks()
        try:
            await self._ledger.add_networks(networks)
        except IntegrityError:
            log.info("networks.founded_elsewhere")

    async def _first_networks(self) -> list[NetworkInfo]:
        in_use = await links.ranges_in_use()
        default = self._default_cidrs
        management = self._management_cidr or choose_free(
            management_candidates(), [*in_use, *(default or ())]
        )
        if default is None:
            default = [
                choose_free(default_candidates(), [*in_use, management]),
                choose_free(default_candidates_v6(self.instance), [*in_use, management]),
            ]
        ranges = [parse_cidr(cidr) for cidr in (management, *default)]
        _keep_clear(ranges, in_use)
        return [
            self._host_network(self.management_network_id, "management", ranges[:1]),
            self._host_network(self.default_network_id, "default", ranges[1:]),
        ]

    def _warn_of_ignored_settings(self) -> None:
        """The ranges stay what they were made with; who sets others should know."""
        management = (self._management_cidr,) if self._management_cidr else None
        for setting, network_id, wanted in (
            (_MANAGEMENT, self.management_network_id, management),
            (_DEFAULT, self.default_network_id, self._default_cidrs),
        ):
            kept = {subnet.cidr for subnet in self._host_networks[network_id].subnets}
            asked = kept if wanted is None else {str(parse_cidr(one)) for one in wanted}
            if asked != kept:
                log.warning(
                    "networks.setting_ignored", setting=setting, asked=sorted(asked),
                    kept=sorted(kept), why="read at the first start of a state directory only",
                )  # fmt: skip

    def _host_network(self, network_id: str, name: str, ranges: Sequence[IPNetwork]) -> NetworkInfo:
        subnets = tuple(
            Subnet(
                id=self._fixed_id("subnet", name, str(place)),
                network_id=network_id,
                name=f"{name}-ipv{network.version}",
                cidr=str(network),
                gateway=first_host(str(network)),
            )
            for place, network in enumerate(sorted(ranges, key=lambda one: one.version))
        )
        return NetworkInfo(
            id=network_id, name=name, project_id=None, shared=name == "default", subnets=subnets
        )

    async def _guard(self) -> None:
        """Keep the networks apart, and route for the default network."""
        default = self._host_networks[self.default_network_id]
        cidrs = [subnet.cidr for subnet in default.subnets]
        await firewall.install(
            self.instance,
            management=bridge_name(self.instance, self.management_network_id),
            gateway=self.management_gateway,
            default=bridge_name(self.instance, self.default_network_id),
            default_cidrs=cidrs,
        )
        links.allow_forwarding(frozenset(ip_network(cidr).version for cidr in cidrs))


def _keep_clear(ranges: Sequence[IPNetwork], in_use: Sequence[str]) -> None:
    """`Refused` when a range, the management network's first, is not for these networks alone.

    A bridge with an address that the host uses elsewhere could cut the host off.
    """
    for place, network in enumerate(ranges):
        setting = _DEFAULT if place else _MANAGEMENT
        for other in ranges[:place]:
            if overlaps(network, other):
                raise Refused(f"{setting}: the local networks {network} and {other} overlap.")
        for used in in_use:
            if overlaps(network, ip_network(used, strict=False)):
                raise Refused(
                    f"{setting}: {network} overlaps {used}, which this host has an address in or "
                    "a route to. Set another range, or none to have a free one chosen."
                )
