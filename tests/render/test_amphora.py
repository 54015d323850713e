"""The configuration of an amphora as a whole: revisions, cards, addresses and routes."""

import ipaddress
import uuid
from typing import Any

import pytest
from msgspec.structs import replace

from fairlead.domain import edits
from fairlead.domain.observed import FixedIp, Port
from fairlead.domain.tree import Tree
from fairlead.render.amphora import amphora_config
from fairlead.wire.amphora import (
    AmphoraConfig,
    File,
    Interface,
    Route,
    revision_of,
    without_contents,
)
from tests.render.scenarios import SCENARIOS
from tests.strategies import NOW, VIP4, VIP6, planted

VIP_NETWORK, OTHER = "net-b", "net-a"


def port(network: str, *addresses: str, gateway: str | None = None) -> Port:
    """Addresses in prefix form; the gateway serves the first one's subnet."""
    fixed = []
    for place, address in enumerate(addresses):
        card = ipaddress.ip_interface(address)
        fixed.append(
            FixedIp(
                subnet_id=f"{network}-{place}", address=str(card.ip), cidr=str(card.network),
                gateway=gateway if place == 0 else None,
            )
        )  # fmt: skip
    return Port(
        id=f"port-{network}", name=network, owner="lb", network_id=network, mac=f"mac-{network}",
        mtu=1400, fixed_ips=tuple(fixed), segment="",
    )  # fmt: skip


def configured(
    tree: Tree, *, vip: Port | None = None, ports: dict[str, Port] | None = None, epoch: int = 1
) -> AmphoraConfig:
    return amphora_config(
        tree,
        ports or {VIP_NETWORK: port(VIP_NETWORK, "192.0.2.20/24")},
        vip or port(VIP_NETWORK, f"{VIP4}/24", gateway="192.0.2.1"),
        epoch=epoch,
        maxconn=1000,
        ping_command="/ping",
    )


SIMPLE = planted(SCENARIOS["simple"])


def test_the_card_of_the_vip_has_its_own_address_first_and_the_default_route() -> None:
    ports = {
        OTHER: port(OTHER, "10.0.0.5/16", "2001:db8:1::5/64", gateway="10.0.0.1"),
        VIP_NETWORK: port(VIP_NETWORK, "192.0.2.20/24"),
    }
    assert configured(SIMPLE, ports=ports).interfaces == (
        Interface(
            mac="mac-net-b",
            addresses=("192.0.2.20/24", "192.0.2.10/24"),
            virtual=("192.0.2.10/24",),
            routes=(Route(destination="0.0.0.0/0", via="192.0.2.1"),),
            mtu=1400,
        ),
        Interface(mac="mac-net-a", addresses=("10.0.0.5/16", "2001:db8:1::5/64"), mtu=1400),
    )


def test_an_ipv6_vip_has_an_ipv6_default_route() -> None:
    tree = planted(SCENARIOS["ipv6"])
    vip = port(VIP_NETWORK, f"{VIP6}/64", gateway="2001:db8::1")
    ports = {VIP_NETWORK: port(VIP_NETWORK, "2001:db8::20/64")}
    (card,) = configured(tree, vip=vip, ports=ports).interfaces
    assert card.addresses == ("2001:db8::20/64", "2001:db8::10/64")
    assert card.routes == (Route(destination="::/0", via="2001:db8::1"),)


def test_without_a_gateway_there_is_no_route() -> None:
    (card,) = configured(SIMPLE, vip=port(VIP_NETWORK, f"{VIP4}/24")).interfaces
    assert card.routes == ()


def test_only_the_vip_is_taken_from_a_port_with_more_addresses() -> None:
    vip = port(VIP_NETWORK, "192.0.2.99/24", f"{VIP4}/24", gateway="192.0.2.1")
    (card,) = configured(SIMPLE, vip=vip).interfaces
    assert card.addresses == ("192.0.2.20/24", f"{VIP4}/24")


def test_additional_vips_are_last_and_each_family_has_its_default_route() -> None:
    tree = planted(SCENARIOS["additional_vips"])
    (second,) = port(VIP_NETWORK, "2001:db8::11/64", gateway="2001:db8::1").fixed_ips
    vip = port(VIP_NETWORK, f"{VIP4}/24", gateway="192.0.2.1")
    vip = replace(vip, fixed_ips=(second, *vip.fixed_ips))
    ports = {VIP_NETWORK: port(VIP_NETWORK, "192.0.2.20/24", "2001:db8::20/64")}
    (card,) = configured(tree, vip=vip, ports=ports).interfaces
    assert card.addresses == (
        "192.0.2.20/24", "2001:db8::20/64", f"{VIP4}/24", "2001:db8::11/64",
    )  # fmt: skip
    assert card.routes == (
        Route(destination="0.0.0.0/0", via="192.0.2.1"),
        Route(destination="::/0", via="2001:db8::1"),
    )


def test_the_first_subnet_with_a_gateway_gives_the_default_route() -> None:
    more = [{"subnet_id": str(uuid.UUID(int=n)), "ip_address": f"10.{n}.0.9"} for n in (7, 8)]
    tree = planted(SCENARIOS["simple"] | {"additional_vips": more})
    vip = port(VIP_NETWORK, "10.8.0.9/24", "10.7.0.9/24", f"{VIP4}/24", gateway="10.8.0.1")
    (card,) = configured(tree, vip=vip).interfaces
    assert card.routes == (Route(destination="0.0.0.0/0", via="10.8.0.1"),)


def test_what_is_missing_is_an_error() -> None:
    with pytest.raises(ValueError, match=VIP4):
        configured(SIMPLE, vip=port(VIP_NETWORK, "192.0.2.11/24"))
    with pytest.raises(KeyError):
        configured(SIMPLE, ports={OTHER: port(OTHER, "10.0.0.5/16")})


@pytest.mark.parametrize(
    ("flavor", "maxconn", "threads"),
    [
        ({}, 1000, 3),
        ({"connection_limit": 50}, 50, 3),
        ({"connection_limit": 5000}, 1000, 3),
        ({"amphora_cpus": 0.5}, 1000, 1),
        ({"amphora_cpus": 3.5}, 1000, 4),
        ({"amphora_cpus": 64, "loadbalancer_topology": "SINGLE"}, 1000, 8),
    ],
)
def test_a_flavor_asks_for_less_than_there_is(
    flavor: dict[str, Any], maxconn: int, threads: int
) -> None:
    root = replace(SIMPLE.root, flavor_data=flavor)
    text = amphora_config(
        replace(SIMPLE, root=root),
        {VIP_NETWORK: port(VIP_NETWORK, "192.0.2.20/24")},
        port(VIP_NETWORK, f"{VIP4}/24", gateway="192.0.2.1"),
        epoch=1, maxconn=1000, ping_command="/ping", threads=3, processors=8,
    ).haproxy_cfg  # fmt: skip
    assert text.split("\n")[1:3] == [f"    maxconn {maxconn}", f"    nbthread {threads}"]


def test_equal_content_has_an_equal_revision() -> None:
    first, second = configured(SIMPLE, epoch=1), configured(SIMPLE, epoch=2)
    assert first.revision == second.revision == revision_of(first)
    assert (first.epoch, second.epoch) == (1, 2)


def test_a_change_of_names_alone_changes_nothing() -> None:
    renamed = edits.change("pool", SIMPLE.pools[0].id, {"name": "z", "tags": ("a",)}, now=NOW)
    assert configured(renamed(SIMPLE)).revision == configured(SIMPLE).revision


def test_members_change_the_servers_and_leave_the_skeleton() -> None:
    pool = SIMPLE.pools[0]
    member = SIMPLE.members(pool.id)[0]
    before = configured(SIMPLE)
    new = {"pool_id": pool.id, "address": "198.51.100.9", "protocol_port": 1}
    for edit in (
        edits.change("member", member.id, {"weight": 9}, now=NOW),
        edits.change("member", member.id, {"admin_state_up": False}, now=NOW),
        edits.remove("member", member.id),
        edits.add("member", new, new_id="new", now=NOW),
    ):
        after = configured(edit(SIMPLE))
        assert after.revision != before.revision
        assert after.servers != before.servers
        assert after.skeleton == before.skeleton


def test_anything_else_changes_the_skeleton() -> None:
    listener = SIMPLE.listeners[0]
    edit = edits.change("listener", listener.id, {"connection_limit": 5}, now=NOW)
    assert configured(edit(SIMPLE)).skeleton != configured(SIMPLE).skeleton


@pytest.mark.parametrize(("kind", "field"), [("loadbalancer", "root"), ("listener", "listeners")])
def test_nothing_in_service_is_an_empty_file(kind: str, field: str) -> None:
    found = getattr(SIMPLE, field)
    one = found if kind == "loadbalancer" else found[0]
    off = edits.change(kind, one.id, {"admin_state_up": False}, now=NOW)(SIMPLE)
    config = configured(off)
    assert (config.haproxy_cfg, config.servers) == ("", ())
    assert config.interfaces == configured(SIMPLE).interfaces


def test_a_file_that_is_held_already_makes_no_other_revision() -> None:
    file = File(name="one.pem", content="a key")
    sent = replace(configured(SIMPLE), files=(file,))
    assert revision_of(sent) == revision_of(without_contents(sent))
    assert revision_of(sent) != revision_of(replace(sent, files=(replace(file, name="two.pem"),)))


def test_removed_objects_are_not_rendered() -> None:
    member = SIMPLE.members(SIMPLE.pools[0].id)[0]
    assert member.id in configured(SIMPLE).haproxy_cfg
    assert member.id not in configured(edits.remove("member", member.id)(SIMPLE)).haproxy_cfg
    gone = edits.remove("listener", SIMPLE.listeners[0].id)(SIMPLE)
    assert configured(gone).haproxy_cfg == ""


def test_hash_ids_do_not_move_when_another_member_goes() -> None:
    tree = planted(SCENARIOS["algorithms"])
    pool = tree.pools[1]
    first, second = tree.members(pool.id)
    options = {s.name: s.options for s in configured(tree).servers}
    left = {s.name: s for s in configured(edits.remove("member", first.id)(tree)).servers}
    assert left[second.id].options == options[second.id]
    assert len(set(options.values())) == len(options)


def test_servers_with_cookies_or_pings_are_not_dynamic() -> None:
    for name, dynamic in [("persistence", {True, False}), ("cookies_without_http", {True})]:
        assert {s.dynamic for s in configured(planted(SCENARIOS[name])).servers} == dynamic
    tree = planted(SCENARIOS["monitors"])
    pinged = next(p.id for p in tree.pools if p.name == "ping")
    for server in configured(tree).servers:
        assert server.dynamic is not server.backend.startswith(pinged)
