"""The amphora's cards: addresses, routes and rules become exactly what is listed."""

import asyncio
import json
import socket
import subprocess
from typing import Any

import pytest
from msgspec.structs import replace

from fairlead.agent import cards
from fairlead.errors import Retryable
from fairlead.wire.amphora import AmphoraConfig, Interface, Route
from tests.live_amphora import LiveAmphora, server, stamped

pytestmark = pytest.mark.root
MAC, OTHER_MAC = "fa:16:3e:00:00:01", "fa:16:3e:00:00:02"


def ip(*words: str) -> Any:
    done = subprocess.run(["ip", "-j", *words], check=True, capture_output=True, text=True)
    return json.loads(done.stdout or "[]")


@pytest.fixture
def two_cards(own_network: None) -> None:
    for name, mac in (("card0", MAC), ("card1", OTHER_MAC), ("mgmt0", "fa:16:3e:00:00:09")):
        ip("link", "add", name, "address", mac, "type", "veth", "peer", "name", f"far-{name}")
        ip("link", "set", f"far-{name}", "up")
    ip("addr", "add", "10.9.9.9/24", "dev", "mgmt0")
    ip("link", "set", "mgmt0", "up")
    ip("route", "add", "203.0.113.0/24", "via", "10.9.9.1")


async def settle(*interfaces: Interface) -> None:
    await cards.settle(await cards.observe(), interfaces, prune=True)


def addresses(name: str) -> list[str]:
    [link] = ip("addr", "show", "dev", name)
    return [f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["scope"] == "global"]


def routes(*words: str) -> set[tuple[str, str]]:
    return {(r["dst"], r["gateway"]) for r in ip(*words) if "gateway" in r}


async def test_card_becomes_what_is_listed(two_cards: None) -> None:
    card = Interface(
        mac=MAC, mtu=1400,
        addresses=("192.0.2.10/24", "192.0.2.99/24", "2001:db8::10/64", "2001:db8::99/64"),
        routes=(Route(destination="0.0.0.0/0", via="192.0.2.1"),
                Route(destination="::/0", via="2001:db8::1"),
                Route(destination="198.51.100.0/24", via="192.0.2.2")),
    )  # fmt: skip
    await settle(card)
    [link] = ip("addr", "show", "dev", "card0")
    assert (link["mtu"], "UP" in link["flags"]) == (1400, True)
    assert set(addresses("card0")) == set(card.addresses)
    assert not any(a.get("tentative") for a in link["addr_info"] if a["scope"] == "global")
    assert routes("route", "show", "dev", "card0") == {
        ("default", "192.0.2.1"), ("198.51.100.0/24", "192.0.2.2")
    }  # fmt: skip
    assert routes("-6", "route", "show", "dev", "card0") == {("default", "2001:db8::1")}
    assert await again_changes_nothing(card)


async def test_what_is_no_longer_listed_goes(two_cards: None) -> None:
    full = Interface(
        mac=MAC,
        addresses=("192.0.2.10/24", "192.0.2.99/24", "2001:db8::10/64"),
        routes=(
            Route(destination="0.0.0.0/0", via="192.0.2.1"),
            Route(destination="::/0", via="2001:db8::1"),
        ),
    )
    await settle(full)
    ip("addr", "add", "172.16.0.1/30", "dev", "card0")
    ip("route", "add", "172.17.0.0/16", "via", "192.0.2.7")
    less = Interface(mac=MAC, addresses=("192.0.2.99/24",))
    await settle(less)
    assert addresses("card0") == ["192.0.2.99/24"]
    assert routes("route", "show", "dev", "card0") == set()
    assert routes("-6", "route", "show", "dev", "card0") == set()
    assert [r for f in ("-4", "-6") for r in ip(f, "rule", "show") if r["priority"] == 10000] == []
    assert await again_changes_nothing(less)


async def test_first_address_becomes_the_source(two_cards: None) -> None:
    vip, own = "192.0.2.99/24", "192.0.2.10/24"
    six = ("2001:db8::10/64", "2001:db8::99/64")
    route = (Route(destination="0.0.0.0/0", via="192.0.2.1"),)
    await settle(Interface(mac=MAC, addresses=(vip, own, *reversed(six)), routes=route))
    await settle(Interface(mac=MAC, addresses=(own, vip, *six), routes=route))
    for target in ("192.0.2.50", "198.18.0.1"):
        assert ip("route", "get", target)[0]["prefsrc"] == "192.0.2.10"
    assert ip("route", "get", "2001:db8::50")[0]["prefsrc"] == "2001:db8::10"


async def test_replies_leave_by_the_card_of_their_address(two_cards: None) -> None:
    await settle(
        Interface(mac=MAC, addresses=("192.0.2.10/24",),
                  routes=(Route(destination="0.0.0.0/0", via="192.0.2.1"),)),
        Interface(mac=OTHER_MAC, addresses=("198.51.100.10/24", "2001:db8:1::10/64"),
                  routes=(Route(destination="0.0.0.0/0", via="198.51.100.1"),
                          Route(destination="::/0", via="2001:db8:1::1"))),
    )  # fmt: skip
    assert ip("route", "get", "8.8.8.8")[0]["dev"] == "card0", "the first card is preferred"
    for source, device in (("192.0.2.10", "card0"), ("198.51.100.10", "card1")):
        assert ip("route", "get", "8.8.8.8", "from", source)[0]["dev"] == device
    assert ip("route", "get", "192.0.2.77", "from", "198.51.100.10")[0]["dev"] == "card1"


async def test_management_card_and_its_routes_are_left_alone(two_cards: None) -> None:
    await settle(Interface(mac=MAC, addresses=("192.0.2.10/24",)))
    await settle(Interface(mac=MAC, addresses=()))
    assert addresses("mgmt0") == ["10.9.9.9/24"]
    assert routes("route", "show", "dev", "mgmt0") == {("203.0.113.0/24", "10.9.9.1")}
    with pytest.raises(Retryable, match="fa:16:3e:00:00:09"):
        await settle(Interface(mac="fa:16:3e:00:00:09", addresses=()))
    assert addresses("mgmt0") == ["10.9.9.9/24"]


async def test_added_addresses_are_announced(two_cards: None) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as far:
        far.setblocking(False)
        far.bind(("far-card0", 3))
        await settle(Interface(mac=MAC, addresses=("192.0.2.99/24", "2001:db8::99/64")))
        arp = bytes.fromhex("fa163e000001") + socket.inet_aton("192.0.2.99")
        six = bytes.fromhex("fa163e000001")
        wanted = {"arp request", "arp reply", "advertisement"}
        async with asyncio.timeout(3):
            while wanted:
                frame = await loop.sock_recv(far, 2048)
                if frame[12:14] == b"\x08\x06" and frame[22:32] == arp:
                    wanted.discard("arp request" if frame[21] == 1 else "arp reply")
                if frame[12:14] == b"\x86\xdd" and frame[54] == 136 and frame[-6:] == six:
                    assert frame[21] == 255
                    wanted.discard("advertisement")


async def test_agent_names_the_missing_card(amphora: LiveAmphora, two_cards: None) -> None:
    await amphora.boot()
    good = amphora.config(
        server("m1", 9001), interfaces=(Interface(mac=MAC, addresses=("192.0.2.10/24",)),)
    )
    await amphora.apply(good)
    assert addresses("card0") == ["192.0.2.10/24"]
    missing = Interface(mac="fa:16:3e:99:99:99", addresses=())
    extra = Interface(mac=MAC, addresses=("192.0.2.77/24",))
    with pytest.raises(Retryable, match="fa:16:3e:99:99:99"):
        await amphora.apply(stamped(replace(good, interfaces=(extra, missing))))
    assert addresses("card0") == ["192.0.2.10/24"]
    ip("addr", "flush", "dev", "card0")
    assert (await amphora.apply(good)).how == "unchanged"
    assert addresses("card0") == ["192.0.2.10/24"], "repaired"


async def test_address_and_listener_move_together(amphora: LiveAmphora, two_cards: None) -> None:
    """haproxy binds the new address, which exists before; a refused one leaves the cards alone."""
    await amphora.boot()

    def at(address: str, extra: str = "") -> Any:
        card = Interface(mac=MAC, addresses=(f"{address}/{'64' if ':' in address else '24'}",))
        bind = f"[{address}]:80" if ":" in address else f"{address}:80"
        return amphora.config(server("m1", 9001), bind=bind, interfaces=(card,), extra=extra)

    assert (await amphora.apply(at("192.0.2.10"))).how == "start"
    assert (await amphora.apply(at("192.0.2.11"))).how == "reload"
    assert addresses("card0") == ["192.0.2.11/24"]
    assert (await amphora.apply(at("2001:db8::11"))).how == "reload"
    assert addresses("card0") == ["2001:db8::11/64"]
    wrong = replace(
        amphora.config(server("m1", 9001), bind="192.0.2.250:80"),
        interfaces=at("192.0.2.9").interfaces,
    )
    with pytest.raises(Retryable, match="cannot bind"):
        await amphora.apply(stamped(wrong))
    assert addresses("card0") == ["2001:db8::11/64"]


async def test_a_vip_is_taken_when_haproxy_answers(amphora: LiveAmphora, two_cards: None) -> None:
    """Until then another amphora may have it."""
    await amphora.boot()
    card = Interface(
        mac=MAC, addresses=("192.0.2.10/24", "192.0.2.99/24"), virtual=("192.0.2.99/24",)
    )

    def at(place: str) -> AmphoraConfig:
        return amphora.config(server("m1", 9001), bind=f"{place}:80", interfaces=(card,))

    with pytest.raises(Retryable, match="cannot bind"):
        await amphora.apply(at("192.0.2.250"))
    assert addresses("card0") == ["192.0.2.10/24"]
    assert (await amphora.apply(at("192.0.2.10"))).how == "start"
    assert addresses("card0") == ["192.0.2.10/24", "192.0.2.99/24"]


async def test_a_vip_that_is_confirmed_is_announced_again(
    amphora: LiveAmphora, two_cards: None
) -> None:
    await amphora.boot()
    card = Interface(
        mac=MAC, addresses=("192.0.2.10/24", "192.0.2.99/24"), virtual=("192.0.2.99/24",)
    )
    config = amphora.config(server("m1", 9001), bind="192.0.2.10:80", interfaces=(card,))
    await amphora.apply(config)
    await asyncio.sleep(1.2)  # what is announced a second time at the start
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as far:
        far.setblocking(False)
        far.bind(("far-card0", 0x0806))
        assert (await amphora.apply(config)).how == "unchanged"
        vip = bytes.fromhex("fa163e000001") + socket.inet_aton("192.0.2.99")
        async with asyncio.timeout(3):
            frame = await asyncio.get_running_loop().sock_recv(far, 2048)
        assert frame[22:32] == vip


async def again_changes_nothing(*interfaces: Interface) -> bool:
    world = await cards.observe()
    return await cards.settle(world, interfaces, prune=True) is world
