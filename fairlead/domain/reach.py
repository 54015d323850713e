"""Rules about the subnets that one load balancer reaches: its VIP's and its members'.

PURE. An amphora has a card on every network of these subnets and one routing table, so an address
must lead to one network only. Called by the API before it edits a tree.
"""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from itertools import combinations

from fairlead.domain.bodies import refused
from fairlead.domain.observed import Subnet
from fairlead.errors import Refused


def check_member_address(address: str, subnet: Subnet) -> None:
    """`Refused` when a member's address is not in the subnet that it names."""
    if ip_address(address) not in ip_network(subnet.cidr):
        raise refused(
            "address", address, f"The address is not in subnet {subnet.id} ({subnet.cidr})."
        )


def check_apart(subnets: Iterable[Subnet]) -> None:
    """`Refused` when subnets of different networks share addresses."""
    for one, other in combinations({subnet.id: subnet for subnet in subnets}.values(), 2):
        first, second = ip_network(one.cidr), ip_network(other.cidr)
        apart = one.network_id == other.network_id or first.version != second.version
        if not apart and first.overlaps(second):
            raise Refused(
                f"Subnets {one.id} ({one.cidr}) and {other.id} ({other.cidr}) overlap: a load "
                "balancer cannot tell such networks apart."
            )
