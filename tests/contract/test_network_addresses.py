"""The pure choices of the local network driver, from any input."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.drivers.network_local import choose_free
from fairlead.drivers.network_local.addresses import (
    bridge_name,
    check_address,
    count_free,
    default_candidates,
    default_candidates_v6,
    first_host,
    free_address,
    mac_of,
    management_candidates,
    parse_cidr,
)
from fairlead.errors import Refused

small_ranges = st.one_of(
    st.builds(
        lambda base, length: str(ip_network((base, length), strict=False)),
        st.integers(0x0A000000, 0x0AFFFFFF),
        st.integers(26, 32),
    ),
    st.builds(
        lambda base, length: str(ip_network((base, length), strict=False)),
        st.integers(0xFD << 120, (0xFE << 120) - 1),
        st.integers(122, 128),
    ),
)


@given(small_ranges, st.booleans(), st.randoms(use_true_random=False))
def test_addresses_are_handed_out_until_none_is_left(cidr, routed, random):
    network = ip_network(cidr)
    gateway = first_host(cidr) if routed else None
    handed_out: list[str] = []
    while address := free_address(cidr, gateway, handed_out, str(random.random())):
        assert address not in handed_out
        assert check_address(address, "vip_address", cidr, gateway) == address
        handed_out.append(address)
        assert len(handed_out) <= network.num_addresses
    reserved = {gateway} - {None}
    if network.num_addresses > 2:
        reserved.add(str(network.network_address))
        if network.version == 4:
            reserved.add(str(network.broadcast_address))
    assert set(handed_out) == {str(address) for address in network} - reserved
    assert count_free(cidr, gateway, handed_out) == 0


@given(st.text())
def test_a_large_range_gives_the_same_name_the_same_address(seed):
    first = free_address("fd00::/64", "fd00::1", (), seed)
    assert first == free_address("fd00::/64", "fd00::1", (), seed)
    assert first is not None
    second = free_address("fd00::/64", "fd00::1", {first}, seed)
    assert second not in (None, first)


@given(st.lists(small_ranges, max_size=20))
def test_a_chosen_range_overlaps_nothing_in_use(in_use):
    candidates = list(default_candidates())
    chosen = ip_network(choose_free(candidates, in_use))
    others = [ip_network(cidr) for cidr in in_use]
    assert not any(chosen.overlaps(other) for other in others if other.version == chosen.version)


def test_every_range_in_use_is_refused_in_words():
    with pytest.raises(Refused, match="in use"):
        choose_free(["10.0.0.0/24", "10.1.0.0/24"], ["10.0.0.0/8"])


def test_candidates_are_private_and_apart():
    ranges = [
        ip_network(cidr)
        for cidr in (
            *management_candidates(),
            *default_candidates(),
            *default_candidates_v6("abc123"),
        )
    ]
    assert not any(network.is_global for network in ranges)
    assert len(set(ranges)) == len(ranges)


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("10.0.0.0", "network address"),
        ("10.0.0.255", "broadcast"),
        ("10.0.0.1", "gateway"),
        ("10.0.1.5", "outside"),
        ("fd00::5", "outside"),
        ("fe80::1%eth0", "zone"),
        ("10.0.0", "must be an IPv4 or IPv6 address"),
    ],
)
def test_addresses_nobody_may_have_are_refused_by_rule(address, rule):
    with pytest.raises(Refused, match=rule) as refusal:
        check_address(address, "vip_address", "10.0.0.0/24", "10.0.0.1")
    assert "vip_address" in str(refusal.value)
    assert address in str(refusal.value)


@pytest.mark.parametrize(
    "cidr", ["127.0.0.0/8", "224.0.0.0/4", "fe80::/64", "0.0.0.0/0", "::/0", "10.0.0.0/33", "x"]
)
def test_ranges_no_network_can_use_are_refused(cidr):
    with pytest.raises(Refused, match="cidr"):
        parse_cidr(cidr)


def test_host_bits_are_cut():
    assert str(parse_cidr("10.1.2.3/24")) == "10.1.2.0/24"


@given(st.uuids().map(str), st.integers(0, 3))
def test_names_fit_the_kernel_and_macs_are_local_unicast(thing_id, attempt):
    assert len(bridge_name("abc123", thing_id)) == 15
    mac = mac_of("abc123", thing_id, attempt)
    first = int(mac.split(":")[0], 16)
    assert first & 0b11 == 0b10
    assert mac != mac_of("abc123", thing_id, attempt + 1)
    assert mac != mac_of("abc124", thing_id, attempt)


def test_the_gateway_is_the_first_usable_address():
    assert first_host("10.0.0.0/24") == "10.0.0.1"
    assert ip_address(first_host("fd00::/64")) == ip_address("fd00::1")
