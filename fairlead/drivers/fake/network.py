"""Networks of the in-memory world: every id exists, and what it names follows from the id.

Only what users deleted does not exist, and what they made is for whom it is meant.

What users make themselves (`NetworkAdmin`) is remembered beside it. Every change happens between
two awaits, so that callers never meet half of one.
"""

import hashlib
import uuid
from collections.abc import Collection, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from msgspec.structs import replace

from fairlead.domain.observed import FixedIp, NetworkInfo, Port, Subnet, Vip
from fairlead.drivers.fake.world import FakeWorld
from fairlead.errors import Conflict, NotFound, Refused
from fairlead.ports import Capability, VipRequest, WantedIp

_SPACE = uuid.UUID("3d2f3a7c-93f6-4e65-b9b2-3f0a3a6d2b11")
_MTU = 1500
MANAGEMENT_NETWORK = str(uuid.uuid5(_SPACE, "management"))
# No member of anybody's is in a range that is reserved for ever; as large as the real driver's.
_MANAGEMENT_RANGE = "240.0.0.0/16"


class FakeNetwork:
    """Ports in a dict; subnets made up as they are named."""

    def __init__(self, world: FakeWorld) -> None:
        self._world = world
        self._networks: dict[str, NetworkInfo] = {}

    async def subnet(self, subnet_id: str, project_id: str | None = None) -> Subnet:
        """As the port; `NotFound` of what nobody made only once it was deleted."""
        await self._world.look("subnet")
        self._check_exists(subnet_id)
        found = self._world.subnets.get(subnet_id) or _made_up(subnet_id)
        if project_id is not None and not self._may_use(found.network_id, project_id):
            raise NotFound("Subnet", subnet_id)
        return found

    def is_management(self, address: str) -> bool:
        """Whether an address is in the management network's range."""
        return ip_address(address) in ip_network(_MANAGEMENT_RANGE)

    async def allocate_vip(self, lb_id: str, project_id: str, request: VipRequest) -> Vip:
        """As the port; what does not exist is made up."""
        await self._world.step("allocate_vip")
        self._check_capabilities(request)
        port = self._named(f"vip:{lb_id}") or self._claimed_by(lb_id)
        if port is None and request.vip_port_id is not None:
            port = self._claimable(request.vip_port_id, lb_id, project_id, request)
        port = port or self._vip_port(lb_id, project_id, request)
        port = self._put(self._completed(port, request))
        others = {one.subnet_id for one in request.additional_vips}
        own = [ip for ip in port.fixed_ips if ip.subnet_id not in others] or port.fixed_ips
        first = next((ip for ip in own if _fits(ip, request)), own[0])
        on = {ip.subnet_id: ip.address for ip in port.fixed_ips}
        return Vip(
            vip_address=first.address,
            vip_port_id=port.id,
            vip_subnet_id=first.subnet_id,
            vip_network_id=port.network_id,
            additional_vips=tuple(
                replace(one, ip_address=on[one.subnet_id], port_id=port.id)
                for one in request.additional_vips
            ),
        )

    @property
    def capabilities(self) -> frozenset[Capability]:
        """As the world says."""
        return frozenset(self._world.capabilities)

    async def knows(self, what: Capability, object_id: str, project_id: str) -> bool:
        """Every id, but those that the world names."""
        return what in self._world.capabilities and object_id not in self._world.unknown_ids

    async def ensure_port(
        self, name: str, *, owner: str, network_id: str, subnet_ids: Sequence[str]
    ) -> Port:
        """As the port; addresses on other subnets are given back."""
        await self._world.step("ensure_port")
        found = self._named(name) or self._new(name, owner, network_id)
        kept = tuple(ip for ip in found.fixed_ips if ip.subnet_id in subnet_ids)
        missing = [s for s in subnet_ids if s not in {ip.subnet_id for ip in kept}]
        added = tuple(self._address(network_id, s, None) for s in missing)
        return self._put(replace(found, fixed_ips=kept + added))

    async def management_port(self, name: str, *, owner: str) -> Port:
        """As the port."""
        await self._world.step("management_port")
        found = self._named(name)
        if found is not None:
            return found
        address = self._address(MANAGEMENT_NETWORK, MANAGEMENT_NETWORK, None)
        return self._put(replace(self._new(name, owner, MANAGEMENT_NETWORK), fixed_ips=(address,)))

    async def ports(self, owner: str) -> Sequence[Port]:
        """As the port."""
        await self._world.look("ports")
        return [p for p in self._world.ports.values() if p.owner == owner]

    async def owners(self) -> frozenset[str]:
        """As the port."""
        return frozenset(p.owner for p in self._world.ports.values() if p.owner)

    async def release(self, port_id: str) -> None:
        """As the port."""
        await self._world.step("release")
        port = self._world.ports.get(port_id)
        if port is not None and port_id in self._world.users_ports:
            self._put(replace(port, owner=""))
        else:
            self._world.ports.pop(port_id, None)

    async def networks(self) -> Sequence[NetworkInfo]:
        """Those that users made."""
        return [
            replace(n, subnets=tuple(s for s in self._world.subnets.values() if s.network_id == i))
            for i, n in self._networks.items()
        ]

    async def create_network(
        self, name: str, *, project_id: str, shared: bool, note: str = ""
    ) -> NetworkInfo:
        """As the port."""
        made = NetworkInfo(
            id=str(uuid.uuid4()), name=name, project_id=project_id, shared=shared, note=note
        )
        self._networks[made.id] = made
        return made

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
        """As the port."""
        for other in self._world.subnets.values():
            if other.network_id == network_id and _overlap(other.cidr, cidr):
                raise Refused(f"cidr {cidr} overlaps {other.cidr} of the same network.")
        made = Subnet(
            id=str(uuid.uuid4()), network_id=network_id, name=name, cidr=cidr, gateway=gateway,
            project_id=project_id, note=note,
        )  # fmt: skip
        self._world.subnets[made.id] = made
        return made

    async def create_port(
        self,
        network_id: str,
        *,
        name: str,
        fixed_ips: Sequence[WantedIp] = (),
        project_id: str,
        note: str = "",
    ) -> Port:
        """As the port; without a subnet the network's first one."""
        found = tuple(
            self._address(network_id, one.subnet_id or self._first_subnet(network_id), one.address)
            for one in fixed_ips or (WantedIp(),)
        )
        if len({ip.subnet_id for ip in found}) < len(found):
            raise Refused("fixed_ips: a port has one address on a subnet.")
        made = replace(
            self._new(name, "", network_id), fixed_ips=found, project_id=project_id, note=note
        )
        self._world.users_ports.add(made.id)
        return self._put(made)

    async def change(self, after: NetworkInfo | Subnet | Port) -> NetworkInfo | Subnet | Port:
        """As the port."""
        match after:
            case NetworkInfo():
                known: dict[str, Any] = self._networks
                if not after.shared and any(
                    p.project_id not in (None, after.project_id) for p in self._on(after.id)
                ):
                    raise Conflict(f"Network {after.id} is in use by other projects.")
            case Subnet():
                known = self._world.subnets
                if after.gateway in self._used(after.network_id):
                    raise Conflict(f"gateway_ip {after.gateway} is in use by a port.")
                if after.gateway and ip_address(after.gateway) not in ip_network(after.cidr):
                    raise Refused(f"gateway_ip {after.gateway} is outside {after.cidr}.")
            case Port():
                known = self._world.ports
        if after.id not in known:
            raise NotFound(type(after).__name__.removesuffix("Info"), after.id)
        known[after.id] = after
        return after

    async def all_ports(self) -> Sequence[Port]:
        """As the port."""
        return [p for p in self._world.ports.values() if p.network_id != MANAGEMENT_NETWORK]

    async def delete_network(self, network_id: str) -> None:
        """As the port."""
        if self._on(network_id):
            raise Conflict(f"Network {network_id} has ports.")
        self._networks.pop(network_id, None)
        for subnet in [s for s in self._world.subnets.values() if s.network_id == network_id]:
            del self._world.subnets[subnet.id]
            self._world.deleted_subnets.add(subnet.id)

    async def delete_subnet(self, subnet_id: str) -> None:
        """As the port."""
        ports = self._world.ports.values()
        if any(ip.subnet_id == subnet_id for port in ports for ip in port.fixed_ips):
            raise Conflict(f"Subnet {subnet_id} has ports.")
        if self._world.subnets.pop(subnet_id, None) is not None:
            self._world.deleted_subnets.add(subnet_id)

    async def delete_port(self, port_id: str) -> None:
        """As the port."""
        port = self._world.ports.get(port_id)
        if port is not None and port.owner:
            raise Conflict(f"Port {port_id} is in use by {port.owner}.")
        self._world.ports.pop(port_id, None)
        self._world.users_ports.discard(port_id)

    def _check_capabilities(self, request: VipRequest) -> None:
        given = {"qos_policy": request.qos_policy_id, "security_group": request.sg_ids}
        missing = [what for what, value in given.items() if value and what not in self.capabilities]
        if missing:
            raise Refused(f"This network has no {missing[0]}.")

    def _completed(self, port: Port, request: VipRequest) -> Port:
        """The VIP's port with everything that is asked for."""
        wanted = {one.subnet_id: one.ip_address for one in request.additional_vips}
        fixed_ips = {ip.subnet_id: ip for ip in port.fixed_ips}
        subnet_id, address = request.vip_subnet_id, request.vip_address
        if subnet_id and address and subnet_id not in fixed_ips:  # it was lost
            fixed_ips[subnet_id] = self._address(port.network_id, subnet_id, address)
        if set(wanted) >= set(fixed_ips):
            raise Refused("additional_vips: the VIP's own subnet has its address already.")
        for subnet_id, address in wanted.items():
            held = fixed_ips.get(subnet_id)
            if held is not None and address in (None, held.address):
                continue
            if port.id in self._world.users_ports:
                raise Refused(f"additional_vips: port {port.id} has no such address.")
            fixed_ips[subnet_id] = self._address(port.network_id, subnet_id, address)
        return replace(
            port,
            fixed_ips=tuple(fixed_ips.values()),
            qos_policy_id=request.qos_policy_id,
            sg_ids=request.sg_ids,
        )

    def _claimed_by(self, lb_id: str) -> Port | None:
        ports = (self._world.ports.get(port_id) for port_id in self._world.users_ports)
        return next((port for port in ports if port is not None and port.owner == lb_id), None)

    def _may_use(self, network_id: str, project_id: str) -> bool:
        """Whether a project may have ports there: what nobody made is everybody's."""
        made = self._networks.get(network_id)
        return made is None or made.shared or made.project_id == project_id

    def _claimable(self, port_id: str, lb_id: str, project_id: str, request: VipRequest) -> Port:
        """A port the user brings, made up when nobody made it."""
        port = self._world.ports.get(port_id)
        if port is None:
            network_id = request.vip_network_id or str(uuid.uuid5(_SPACE, port_id))
            subnet_id = request.vip_subnet_id or self._first_subnet(network_id)
            ip = self._address(network_id, subnet_id, request.vip_address)
            made = self._new("", "", network_id)
            port = replace(made, id=port_id, fixed_ips=(ip,), project_id=project_id)
            self._world.users_ports.add(port_id)
        if port.project_id != project_id:
            raise Refused(f"Port {port_id} not found.")
        others = {one.subnet_id for one in request.additional_vips}
        own = [ip for ip in port.fixed_ips if ip.subnet_id not in others]
        complete = len(own) + len(others) == len(port.fixed_ips)
        if complete and sum(_fits(ip, request) for ip in own) != 1:
            raise Refused("The VIP's address on the specified VIP port could not be determined.")
        if port.owner not in ("", lb_id):
            raise Conflict(f"vip_port_id {port_id} is already in use.")
        return replace(port, owner=lb_id)

    def _vip_port(self, lb_id: str, project_id: str, request: VipRequest) -> Port:
        if not (request.vip_network_id or request.vip_subnet_id):
            raise Refused("VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id.")
        others = {one.subnet_id for one in request.additional_vips}
        subnet_id = request.vip_subnet_id or self._subnet_for(request, others)
        if subnet_id in self._world.deleted_subnets:
            raise Refused(f"Subnet {subnet_id} not found.")
        known = self._world.subnets.get(subnet_id) or _made_up(subnet_id)
        network_id = request.vip_network_id or known.network_id
        if not self._may_use(network_id, project_id):
            raise Refused(f"Network {network_id} not found." if request.vip_network_id
                          else f"Subnet {subnet_id} not found.")  # fmt: skip
        ip = self._address(network_id, subnet_id, request.vip_address, "vip_address")
        made = self._new(f"vip:{lb_id}", lb_id, network_id)
        return replace(made, fixed_ips=(ip,), project_id=project_id)

    def _first_subnet(self, network_id: str, without: Collection[str] = ()) -> str:
        theirs = [s.id for s in self._world.subnets.values() if s.network_id == network_id]
        free = [one for one in theirs if one not in without]
        return free[0] if free else str(uuid.uuid5(_SPACE, f"subnet:{network_id}"))

    def _subnet_for(self, request: VipRequest, others: Collection[str]) -> str:
        """The network's subnet around the address, or its first one."""
        network_id, address = str(request.vip_network_id), request.vip_address
        for subnet in self._world.subnets.values():
            here = subnet.network_id == network_id
            if address and here and ip_address(address) in ip_network(subnet.cidr):
                return subnet.id
        return self._first_subnet(network_id, others)

    def _address(
        self, network_id: str, subnet_id: str, address: str | None, field: str = "ip_address"
    ) -> FixedIp:
        """A free address; the first one asked for decides where a made-up subnet lies."""
        self._check_exists(subnet_id)
        subnet = self._world.subnets.get(subnet_id)
        if subnet is None:
            subnet = replace(_made_up(subnet_id, address), network_id=network_id)
            self._world.subnets[subnet_id] = subnet
        if subnet.network_id != network_id:
            raise Refused(f"Subnet {subnet_id} not found on network {network_id}.")
        if address and address in self._used(network_id):
            raise Conflict(f"{field} {address} is already in use on the network.")
        if address and ip_address(address) not in ip_network(subnet.cidr):
            raise Refused(f"{field} {address} is outside the subnet's range {subnet.cidr}.")
        used = self._used(network_id) | {subnet.gateway}
        base = ip_network(subnet.cidr)
        free = (str(base[n]) for n in range(1, base.num_addresses - 1))
        chosen = address or next((a for a in free if a not in used), None)
        if chosen is None:
            raise Refused(f"Subnet {subnet_id} has no free address.")
        return FixedIp(
            subnet_id=subnet_id, address=chosen, cidr=subnet.cidr, gateway=subnet.gateway
        )

    def _check_exists(self, subnet_id: str) -> None:
        if subnet_id in self._world.deleted_subnets:
            raise NotFound("Subnet", subnet_id)

    def _used(self, network_id: str) -> set[str | None]:
        return {ip.address for port in self._on(network_id) for ip in port.fixed_ips}

    def _named(self, name: str) -> Port | None:
        ports = self._world.ports.values()
        return next((p for p in ports if p.name == name and p.owner), None)

    def _on(self, network_id: str) -> list[Port]:
        return [p for p in self._world.ports.values() if p.network_id == network_id]

    def _new(self, name: str, owner: str, network_id: str) -> Port:
        port_id = str(uuid.uuid4())
        return Port(
            id=port_id,
            name=name,
            owner=owner,
            network_id=network_id,
            mac="02:" + ":".join(port_id[i : i + 2] for i in (0, 2, 4, 6, 9)),
            mtu=_MTU,
            fixed_ips=(),
            segment=f"fake-{network_id[:8]}",
        )

    def _put(self, port: Port) -> Port:
        self._world.ports[port.id] = port
        return port


def _fits(ip: FixedIp, request: VipRequest) -> bool:
    """Whether an address of a port is one that the request may mean."""
    subnet_id, address = request.vip_subnet_id, request.vip_address
    return subnet_id in (None, ip.subnet_id) and address in (None, ip.address)


def _made_up(subnet_id: str, address: str | None = None) -> Subnet:
    """A subnet around `address`, or wherever its id says."""
    digest = hashlib.sha256(subnet_id.encode()).digest()
    around = ip_address(address or f"10.{digest[0]}.{digest[1]}.0")
    base = ip_network(f"{around}/{20 if around.version == 4 else 64}", strict=False)
    if subnet_id == MANAGEMENT_NETWORK:
        base = ip_network(_MANAGEMENT_RANGE)
    return Subnet(
        id=subnet_id, network_id=str(uuid.uuid5(_SPACE, subnet_id)), name="", cidr=str(base),
        gateway=str(base[1]),
    )  # fmt: skip


def _overlap(one: str, other: str) -> bool:
    first, second = ip_network(one), ip_network(other)
    return first.version == second.version and first.overlaps(second)
