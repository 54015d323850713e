"""Which subnets and member addresses go together in one load balancer."""

import pytest

from fairlead.domain.observed import Subnet
from fairlead.domain.reach import check_apart, check_member_address
from fairlead.errors import Refused


def subnet(name: str, network: str, cidr: str) -> Subnet:
    return Subnet(id=name, network_id=network, name="", cidr=cidr, gateway=None)


VIP = subnet("vip", "front", "10.0.0.0/24")


@pytest.mark.parametrize(
    ("network", "cidr"),
    [("back", "10.0.0.0/24"), ("back", "10.0.0.128/25"), ("back", "10.0.0.0/8")],
)
def test_networks_that_share_addresses_are_refused(network: str, cidr: str) -> None:
    other = subnet("member", network, cidr)
    for subnets in ([VIP, other], [other, subnet("third", "more", "192.0.2.0/24"), VIP]):
        with pytest.raises(Refused, match="overlap") as error:
            check_apart(subnets)
        assert "vip (10.0.0.0/24)" in str(error.value)
        assert f"member ({cidr})" in str(error.value)


def test_subnets_apart_or_of_one_network_go_together() -> None:
    check_apart([])
    check_apart([VIP, VIP, subnet("a", "back", "10.0.1.0/24"), subnet("b", "v6", "fd00::/64")])
    check_apart([VIP, subnet("same", "front", "10.0.0.0/24")])


def test_a_member_is_in_its_subnet() -> None:
    check_member_address("10.0.0.7", VIP)
    for address in ("10.0.1.7", "fd00::7"):
        with pytest.raises(Refused, match=r"address.*subnet vip \(10\.0\.0\.0/24\)"):
            check_member_address(address, VIP)
