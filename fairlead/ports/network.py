"""Networks, subnets and ports."""

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from fairlead.domain.model import AdditionalVip, LoadBalancer
from fairlead.domain.observed import NetworkInfo, Port, Subnet, Vip

Capability = Literal["qos_policy", "security_group"]
"""What a VIP's port can carry, where the network service has such a thing."""


class VipRequest(Struct, frozen=True, kw_only=True):
    """What a load balancer shall have; at least one of the first three is set."""

    vip_port_id: str | None = None
    vip_network_id: str | None = None
    vip_subnet_id: str | None = None
    vip_address: str | None = None
    additional_vips: tuple[AdditionalVip, ...] = ()
    qos_policy_id: str | None = None
    sg_ids: tuple[str, ...] = ()

    @classmethod
    def of(cls, root: LoadBalancer) -> "VipRequest":
        """What its fields say."""
        return cls(
            vip_port_id=root.vip_port_id,
            vip_network_id=root.vip_network_id,
            vip_subnet_id=root.vip_subnet_id,
            vip_address=root.vip_address,
            additional_vips=root.additional_vips,
            qos_policy_id=root.vip_qos_policy_id,
            sg_ids=root.vip_sg_ids,
        )


Thing = NetworkInfo | Subnet | Port


class WantedIp(Struct, frozen=True, kw_only=True):
    """Which address a port shall have; what is left out is chosen."""

    subnet_id: str | None = None
    address: str | None = None


class Network(Protocol):
    """Networks, subnets and ports. Ports have unique deterministic names."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What VIP ports can have here; the rest is refused."""
        ...

    async def knows(self, what: Capability, object_id: str, project_id: str) -> bool:
        """Whether there is such a QoS policy or security group, which the project may use."""
        ...

    async def allocate_vip(self, lb_id: str, project_id: str, request: VipRequest) -> Vip:
        """Find or create the VIP port (name "vip:{lb_id}", owner lb_id) the request describes.

        A port the user brings keeps its name and is only marked with the owner; it must be
        free, and have every address. `Refused` names the field that is wrong or unknown;
        `Conflict` when the address or port is taken. Without a subnet: the one that contains
        the address, else the first of the network with two free addresses, IPv4 preferred,
        which no additional VIP names. Asked again, the VIP stays what it was, while addresses that
        are missing are added, and QoS policy and security groups become those of the request.
        """
        ...

    async def subnet(self, subnet_id: str, project_id: str | None = None) -> Subnet:
        """A subnet; `NotFound` also when `project_id` is given and may not use it."""
        ...

    def is_management(self, address: str) -> bool:
        """Whether an address is on the management network, where no member may be."""
        ...

    async def ensure_port(
        self, name: str, *, owner: str, network_id: str, subnet_ids: Sequence[str]
    ) -> Port:
        """Find or create a port with one address on each subnet (added where missing)."""
        ...

    async def management_port(self, name: str, *, owner: str) -> Port:
        """Find or create a port on the management network."""
        ...

    async def ports(self, owner: str) -> Sequence[Port]:
        """All ports of an owner."""
        ...

    async def owners(self) -> frozenset[str]:
        """Every owner that has ports."""
        ...

    async def release(self, port_id: str) -> None:
        """Give a port's addresses back. A port that a user brought only loses its owner."""
        ...


class NetworkAdmin(Protocol):
    """What users do with networks themselves; a network driver may offer it."""

    async def networks(self) -> Sequence[NetworkInfo]:
        """Every network with its subnets; the management network is not listed."""
        ...

    async def create_network(
        self, name: str, *, project_id: str, shared: bool, note: str = ""
    ) -> NetworkInfo:
        """A new layer 2 segment that the host itself has no address on."""
        ...

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
        """A new address range; `gateway` may be None. `Refused` on overlap in the network."""
        ...

    async def create_port(
        self,
        network_id: str,
        *,
        name: str,
        fixed_ips: Sequence[WantedIp] = (),
        project_id: str,
        note: str = "",
    ) -> Port:
        """A port of the user's own: an address for each one wanted, else one, IPv4 preferred.

        `Refused` when two of them are on one subnet.
        """
        ...

    async def change(self, after: Thing) -> Thing:
        """Store the name and note, a network's `shared` and a subnet's `gateway` as they are here.

        `NotFound` when it is gone. `Conflict` when other projects use a network that is not to be
        shared any more, when a port has the gateway's address, and for what is the host's own.
        """
        ...

    async def all_ports(self) -> Sequence[Port]:
        """Every port outside the management network."""
        ...

    async def delete_network(self, network_id: str) -> None:
        """`Conflict` while ports exist on it; its subnets go with it."""
        ...

    async def delete_subnet(self, subnet_id: str) -> None:
        """`Conflict` while ports have addresses on it."""
        ...

    async def delete_port(self, port_id: str) -> None:
        """`Conflict` while a load balancer owns it."""
        ...
