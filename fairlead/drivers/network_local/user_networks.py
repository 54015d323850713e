"""What users do with networks themselves: `ports.NetworkAdmin` of the local driver.

Invariants: the management network does not exist here; the default network's ranges are the
host's and stay as they are; a network of users has no host address. A bridge is made before its
row and removed after it, so that a crash leaves at most a bridge too many, which the next start
removes. `NetworkLocal` adds the controller's part.
"""

import re
import uuid
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_network
from typing import TypeVar

from msgspec.structs import replace
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from fairlead.domain.observed import FixedIp, NetworkInfo, Port, Subnet
from fairlead.drivers.network_local import links, placement
from fairlead.drivers.network_local.addresses import (
    IPNetwork,
    bridge_name,
    check_address,
    mac_of,
    overlaps,
    parse_cidr,
)
from fairlead.drivers.network_local.ledger import Ledger, Segment
from fairlead.errors import Conflict, Forbidden, NotFound, Refused, Retryable
from fairlead.ports import WantedIp

T = TypeVar("T")
_NAMESPACE = uuid.UUID("8c1f9d1e-6a3b-4b0e-9a57-2f6c0d4e7b13")
_LOOKS = 100
_WORDS: dict[type[NetworkInfo | Subnet | Port], str] = {
    NetworkInfo: "Network", Subnet: "Subnet", Port: "Port",
}  # fmt: skip


class UserNetworks:
    """Networks, subnets and ports as users make them.

    `instance` is six hexadecimal digits that tell this Fairlead's bridges from another's.
    """

    def __init__(self, engine: AsyncEngine, instance: str) -> None:
        if not re.fullmatch("[0-9a-f]{6}", instance):
            raise Refused(f"instance is '{instance}'; it must be six hexadecimal digits.")
        self.instance = instance
        self.management_network_id = self._fixed_id("network", "management")
        self.default_network_id = self._fixed_id("network", "default")
        self._ledger = Ledger(engine, instance)
        self._host_networks: dict[str, NetworkInfo] = {}

    async def networks(self) -> Sequence[NetworkInfo]:
        """Every network but the management network, in the order they were made."""
        found = await self._ledger.networks()
        return [network for network in found if network.id != self.management_network_id]

    async def create_network(
        self, name: str, *, project_id: str, shared: bool, note: str = ""
    ) -> NetworkInfo:
        """A new segment; names need not be unique."""
        network = NetworkInfo(
            id=str(uuid.uuid4()), name=name, project_id=project_id, shared=shared, note=note
        )
        await self._plug(network.id)
        await self._ledger.add_networks([network])
        return network

    async def create_subnet(
        self,
        network_id: str,
        *,
        cidr: str,
        name: str,
        gateway: str | None,
        project_id: str,
        note: str = "",
    ) -> Subnet:
        """A new range on a network of the project's own; `Refused` names `cidr` or `gateway`."""
        await self._own_network(network_id, project_id)
        network = parse_cidr(cidr)
        self._keep_clear_of_management(network)
        subnet = Subnet(
            id=str(uuid.uuid4()),
            network_id=network_id,
            name=name,
            cidr=str(network),
            gateway=gateway and check_address(gateway, "gateway", str(network), None),
            project_id=project_id,
            note=note,
        )
        async with self._ledger.locked_ranges(network_id) as ranges:
            if ranges is None:
                raise NotFound("Network", network_id)
            for other in ranges.cidrs:
                _refuse_overlap(network, other, f"network {network_id}")
            await ranges.add(subnet)
        return subnet

    async def create_port(
        self,
        network_id: str,
        *,
        name: str,
        fixed_ips: Sequence[WantedIp] = (),
        project_id: str,
        note: str = "",
    ) -> Port:
        """A port with the addresses asked for, or a free one (IPv4 preferred)."""
        port_id = str(uuid.uuid4())

        async def look(attempt: int) -> Port:
            segment = await self._segment(project_id, network_id=network_id)
            if segment is None:
                raise NotFound("Network", network_id)
            chosen = placement.addresses_of_user(segment, fixed_ips, f"{port_id}{attempt}")
            port = self._new_port(
                port_id,
                name,
                attempt,
                network_id=network_id,
                fixed_ips=chosen,
                project_id=project_id,
            )
            port = replace(port, note=note)
            await self._ledger.add_port(port, f"user:{port_id}", made_by_user=True)
            return port

        return await settle(look)

    async def change(self, after: NetworkInfo | Subnet | Port) -> NetworkInfo | Subnet | Port:
        """Store what users may change; the host's networks keep their gateways and sharing."""
        match after:
            case NetworkInfo():
                await self._check_sharing(after)
            case Subnet():
                after = await self._with_checked_gateway(after)
        if not await self._ledger.change(after):
            raise NotFound(_WORDS[type(after)], after.id)
        return after

    async def all_ports(self) -> Sequence[Port]:
        """Every port outside the management network."""
        return await self._ledger.ports_outside(self.management_network_id)

    async def delete_network(self, network_id: str) -> None:
        """`Conflict` while ports exist on it, and for the networks of the host."""
        if network_id in (self.management_network_id, self.default_network_id):
            raise Conflict(f"Network {network_id} belongs to this host and cannot be deleted.")
        try:
            await self._ledger.delete_network(network_id)
        except IntegrityError as error:
            raise Conflict(f"Network {network_id} has ports and cannot be deleted.") from error
        await links.remove_bridges(bridge_name(self.instance, network_id))

    async def delete_subnet(self, subnet_id: str) -> None:
        """`Conflict` while ports have addresses on it, and for the ranges of the host."""
        for network in self._host_networks.values():
            if any(subnet.id == subnet_id for subnet in network.subnets):
                raise Conflict(f"Subnet {subnet_id} belongs to this host and cannot be deleted.")
        try:
            await self._ledger.delete_subnet(subnet_id)
        except IntegrityError as error:
            raise Conflict(f"Subnet {subnet_id} has ports and cannot be deleted.") from error

    async def delete_port(self, port_id: str) -> None:
        """`Conflict` while a load balancer owns it; nothing to do when it is gone."""
        if await self._ledger.delete_free_port(port_id):
            return
        port = await self._ledger.port(port_id=port_id)
        if port is not None:
            raise Conflict(f"Port {port_id} is in use by {port.owner} and cannot be deleted.")

    async def _check_sharing(self, after: NetworkInfo) -> None:
        """`Conflict` when others have ports on a network that is not to be shared any more."""
        shared = after.id == self.default_network_id
        if after.id in self._host_networks and after.shared != shared:
            raise Conflict(f"Network {after.id} belongs to this host: its sharing stays.")
        if after.shared:
            return
        for port in await self.all_ports():
            if port.network_id == after.id and port.project_id not in (None, after.project_id):
                raise Conflict(f"Network {after.id} is in use by other projects: it stays shared.")

    async def _with_checked_gateway(self, after: Subnet) -> Subnet:
        """`Refused` where no gateway can be, `Conflict` when a port is there."""
        segment = await self._ledger.segment(network_id=None, subnet_id=after.id)
        before = segment and segment.subnet(after.id)
        if not segment or not before or after.gateway == before.gateway:
            return after
        if segment.network.id in self._host_networks:
            raise Conflict(f"Subnet {after.id} belongs to this host: its gateway stays.")
        if after.gateway is None:
            return after
        checked = check_address(after.gateway, "gateway_ip", after.cidr, None)
        if checked in segment.used[after.id]:
            raise Conflict(f"gateway_ip {checked} is in use by a port.")
        return replace(after, gateway=checked)

    async def _plug(self, network_id: str) -> None:
        """Make the network's bridge if it is not there."""
        if not links.exists(bridge_name(self.instance, network_id)):
            await links.ensure_bridges(dict([self._bridge(network_id)]))

    def _bridge(self, network_id: str) -> tuple[str, tuple[str, list[str]]]:
        """A bridge's name, its MAC and the addresses the host has on it."""
        network = self._host_networks.get(network_id)
        held = [
            f"{subnet.gateway}/{ip_network(subnet.cidr).prefixlen}"
            for subnet in (network.subnets if network else ())
        ]
        return bridge_name(self.instance, network_id), (mac_of(self.instance, network_id), held)

    async def _segment(
        self, project_id: str, *, network_id: str | None = None, subnet_id: str | None = None
    ) -> Segment | None:
        """A network that the project may use; None also when there is none."""
        segment = await self._ledger.segment(network_id=network_id, subnet_id=subnet_id)
        if segment is None:
            return None
        return segment if may_use(segment.network, project_id) else None

    async def _own_network(self, network_id: str, project_id: str) -> None:
        segment = await self._segment(project_id, network_id=network_id)
        if segment is None:
            raise NotFound("Network", network_id)
        if segment.network.project_id != project_id:
            raise Forbidden(f"Network {network_id} is shared; only its own project changes it.")

    def _keep_clear_of_management(self, network: IPNetwork) -> None:
        """An amphora has a card on both: equal ranges would cut it off from its controllers."""
        for subnet in self._host_networks[self.management_network_id].subnets:
            _refuse_overlap(network, subnet.cidr, "the management network")

    def _new_port(
        self,
        port_id: str,
        name: str,
        attempt: int,
        *,
        network_id: str,
        fixed_ips: Sequence[FixedIp],
        owner: str = "",
        project_id: str | None = None,
    ) -> Port:
        """A port not stored yet; each attempt has another MAC, in case it is taken."""
        return Port(
            id=port_id,
            name=name,
            owner=owner,
            network_id=network_id,
            mac=mac_of(self.instance, port_id, attempt),
            mtu=links.MTU,
            fixed_ips=tuple(fixed_ips),
            segment=bridge_name(self.instance, network_id),
            project_id=project_id,
        )

    def _fixed_id(self, *parts: str) -> str:
        """The same id in every run for the same thing of this instance."""
        return str(uuid.uuid5(_NAMESPACE, "/".join((self.instance, *parts))))


def may_use(network: NetworkInfo, project_id: str) -> bool:
    """Whether a project may have ports on a network."""
    return network.shared or network.project_id == project_id


async def settle(look: Callable[[int], Awaitable[T]]) -> T:
    """Look and write until no one else was faster; what stands in the way shows at a new look."""
    for attempt in range(_LOOKS):
        try:
            return await look(attempt)
        except IntegrityError:
            continue
    raise Retryable("Too many others took addresses of the same network at once.", after=0.1)


def _refuse_overlap(network: IPNetwork, cidr: str, where: str) -> None:
    if overlaps(network, ip_network(cidr)):
        raise Refused(
            f"Invalid input for field/attribute cidr. Value: '{network}'. "
            f"It overlaps {cidr} of {where}."
        )
