"""Tokens of a real Keystone: who their owners are, and what happens when it or they go."""

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from fairlead.api.access import Caller
from fairlead.api.keystone import Keystone
from fairlead.api.keystone_client import KeystoneClient, ServiceUser
from fairlead.api.services import Services
from fairlead.errors import Retryable, Unauthorized
from tests.api.conftest import LB, SUBNET, House, house
from tests.keystone_service import KeystoneService

__all__ = ["house"]  # a fixture
PASSWORD = "service-secret"


class Now:
    """The time, which a test may move on."""

    ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Door:
    """The authenticator on a real Keystone, with every request to it counted."""

    def __init__(self, keystone: KeystoneService, **changes: Any) -> None:
        self.now = Now()
        self.asked: list[str] = []
        cache_seconds = changes.pop("cache_seconds", 60.0)
        settings = {
            "name": "octavia", "password": lambda: PASSWORD, "project": "service",
            "user_domain": "Default", "project_domain": "Default",
        }  # fmt: skip
        self.http = httpx.AsyncClient(
            base_url=changes.pop("url", keystone.url), trust_env=False,
            timeout=changes.pop("timeout", 60.0), event_hooks={"request": [self._see]},
        )  # fmt: skip
        client = KeystoneClient(self.http, ServiceUser(**settings | changes), now=self.now)
        self.keystone = Keystone(
            client, uri=keystone.url, cache_seconds=cache_seconds, now=self.now
        )

    async def _see(self, request: httpx.Request) -> None:
        self.asked.append(request.method)

    async def enter(self, token: str, **headers: str) -> Caller:
        return await self.keystone.authenticate({"x-auth-token": token, **headers})

    async def refuses(self, token: str, **headers: str) -> None:
        with pytest.raises(Unauthorized) as refusal:
            await self.enter(token, **headers)
        assert refusal.value.challenge.startswith('Keystone uri="http://127.0.0.1:')


async def enters(door: Door, token: str) -> bool:
    try:
        await door.enter(token)
    except (Unauthorized, Retryable):
        return False
    return True


class People(dict[str, str]):
    """Ids of the projects shop and farm, and of the users in them."""


@pytest.fixture(scope="module")
def people(keystone: KeystoneService) -> People:
    found = People(shop=keystone.project("shop"), farm=keystone.project("farm"))
    keystone.project("service")
    keystone.user("octavia", "service", project="service", password=PASSWORD)
    keystone.user("plain", "member", project="service", password=PASSWORD)
    found["mary"] = keystone.user("mary", "member", project="shop")
    found["eve"] = keystone.user("eve", "member", project="farm")
    keystone.user("rita", "reader", project="shop")
    keystone.user("otto", "load-balancer_member", project="shop")
    keystone.user("sys", "admin")
    return found


@pytest.fixture
async def door(keystone: KeystoneService, people: People) -> AsyncIterator[Door]:
    made = Door(keystone)
    yield made
    await made.http.aclose()


async def test_a_token_says_who_and_where(
    keystone: KeystoneService, people: People, door: Door
) -> None:
    mary = await door.enter(keystone.token("mary", project="shop"))
    assert (mary.user, mary.user_id) == ("mary", people["mary"])
    assert (mary.project_id, mary.project_domain_id) == (people["shop"], "default")
    assert mary.roles == {"member", "reader"}, "those that Keystone implies"
    assert not mary.system
    assert not mary.everything
    otto = await door.enter(keystone.token("otto", project="shop"))
    assert otto.roles == {"load-balancer_member"}
    system = await door.enter(keystone.token("sys", system=True))
    assert (system.system, system.project_id, system.domain_id) == (True, None, None)
    assert "admin" in system.roles
    nowhere = await door.enter(keystone.token("mary", unscoped=True))
    assert (nowhere.project_id, nowhere.roles) == (None, frozenset())


@pytest.mark.parametrize("token", ["", "bad", "gAAAAA" + "x" * 200, "x" * 9000, "é", "a\nb", "a b"])
async def test_what_is_no_token_is_refused(door: Door, token: str) -> None:
    await door.refuses(token)


async def test_a_token_is_asked_about_once(
    keystone: KeystoneService, people: People, door: Door
) -> None:
    token = keystone.token("mary", project="shop")
    await asyncio.gather(*(door.enter(token) for _ in range(20)))
    await door.enter(token)
    assert door.asked == ["POST", "GET"]
    for _ in range(3):
        await door.refuses("nonsense")
    assert door.asked == ["POST", "GET", "GET"], "also of what is none"
    assert token not in repr(vars(door.keystone)), "only its digest is kept"


async def test_who_gives_up_takes_nothing_from_the_others(
    keystone: KeystoneService, people: People, door: Door
) -> None:
    token = keystone.token("mary", project="shop")
    first = asyncio.create_task(door.enter(token))
    second = asyncio.create_task(door.enter(token))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).user == "mary"
    assert len(door.asked) == 2


async def test_a_revoked_token_ends_with_the_cache(
    keystone: KeystoneService, people: People
) -> None:
    door = Door(keystone, cache_seconds=0.3)
    token = keystone.token("mary", project="shop")
    await door.enter(token)
    keystone.revoke(token)
    while await enters(door, token):
        await asyncio.sleep(0.05)
    await door.http.aclose()


async def test_a_token_ends_when_it_says_also_while_remembered(
    keystone: KeystoneService, people: People, door: Door
) -> None:
    token = keystone.token("mary", project="shop")
    await door.enter(token)
    door.now.ahead = timedelta(minutes=59)
    await door.enter(token)
    door.now.ahead = timedelta(minutes=61)
    await door.refuses(token)


async def test_the_own_token_is_renewed(
    keystone: KeystoneService, people: People, door: Door
) -> None:
    await door.enter(keystone.token("mary", project="shop"))
    door.now.ahead = timedelta(minutes=59, seconds=30)
    await door.enter(keystone.token("rita", project="shop"))
    assert door.asked == ["POST", "GET", "POST", "GET"]


async def test_the_own_token_may_be_revoked(
    keystone: KeystoneService, people: People, door: Door
) -> None:
    await door.enter(keystone.token("mary", project="shop"))
    user = keystone.call("GET", "/users?name=octavia")["users"][0]["id"]
    change = {"user": {"enabled": False}}
    keystone.call("PATCH", f"/users/{user}", change)  # which ends all of its tokens
    keystone.call("PATCH", f"/users/{user}", {"user": {"enabled": True}})
    eve = keystone.token("eve", project="farm")
    # Keystone revokes by the second: what it gives in the same one is worthless, too.
    while not await enters(door, eve):
        await asyncio.sleep(0.2)
    assert door.asked[:5] == ["POST", "GET", "GET", "POST", "GET"]


async def test_a_service_passes_on_a_request(
    keystone: KeystoneService, people: People, door: Door
) -> None:
    mary, service = keystone.token("mary", project="shop"), {
        "x-service-token": keystone.token("octavia", PASSWORD, project="service")
    }  # fmt: skip
    caller = await door.enter(mary, **service)
    assert (caller.user, caller.service_roles) == ("mary", {"service"})
    await door.refuses(mary, **{"x-service-token": "bad"})
    door.now.ahead = timedelta(minutes=61)
    await door.refuses(mary, **service)  # the service's own has ended as well
    plain = {"x-service-token": keystone.token("plain", PASSWORD, project="service")}
    door.now.ahead = timedelta(0)
    assert "service" not in (await door.enter(mary, **plain)).service_roles


async def test_keystone_away_refuses_nobody(
    keystone: KeystoneService, people: People, door: Door
) -> None:
    known, new = (keystone.token(user, project="shop") for user in ("mary", "rita"))
    await door.enter(known)
    door.http.timeout = httpx.Timeout(0.2)
    with keystone.silent(), capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(Retryable) as failure:
                await door.enter(new)
        assert failure.value.after
        assert [entry["event"] for entry in logs] == ["keystone cannot be asked"]
        assert (await door.enter(known)).user == "mary"
    door.http.timeout = httpx.Timeout(60)
    with capture_logs() as logs:
        assert (await door.enter(new)).user == "rita"
    assert [entry["event"] for entry in logs] == ["keystone answers again"]


async def test_a_crowd_does_not_wait_in_turn_for_a_silent_keystone(
    keystone: KeystoneService, people: People
) -> None:
    tokens = [keystone.token(user, project="shop") for user in ("mary", "rita", "otto")]
    door = Door(keystone, timeout=0.3)
    with keystone.silent():
        said = await asyncio.gather(*map(door.enter, tokens), return_exceptions=True)
    assert [type(one) for one in said] == [Retryable] * 3
    assert door.asked == ["POST"]
    await door.http.aclose()


async def test_nobody_where_keystone_should_be(keystone: KeystoneService, people: People) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v3"
    door = Door(keystone, url=url)
    with pytest.raises(Retryable):
        await door.enter(keystone.token("mary", project="shop"))
    await door.http.aclose()


@pytest.mark.parametrize("wrong", [{"password": lambda: "guess"}, {"name": "plain"}])
async def test_a_service_user_that_may_not_ask(
    keystone: KeystoneService, people: People, wrong: dict[str, Any]
) -> None:
    door = Door(keystone, **wrong)
    token = keystone.token("mary", project="shop")
    with capture_logs() as logs:
        for _ in range(5):
            with pytest.raises(Retryable):
                await door.enter(token)
    assert [entry["log_level"] for entry in logs] == ["error"]
    assert not any(secret in str(logs) for secret in ("guess", PASSWORD, token))
    if "password" in wrong:
        assert door.asked == ["POST"], "not again at once, lest the user be locked out"
    await door.http.aclose()


def speaking(house: House, door: Door) -> httpx.AsyncClient:
    services: Services = replace(house.services, authenticator=door.keystone)
    return house.serving(services)


async def test_the_api_with_tokens(
    keystone: KeystoneService, people: People, door: Door, house: House
) -> None:
    tokens = {
        name: {"X-Auth-Token": keystone.token(name, project=project)}
        for name, project in (("mary", "shop"), ("eve", "farm"), ("rita", "shop"), ("otto", "shop"))
    }
    tokens["admin"] = {"X-Auth-Token": keystone.token()}
    tokens["sys"] = {"X-Auth-Token": keystone.token("sys", system=True)}
    tokens["domain"] = {"X-Auth-Token": keystone.token("mary", unscoped=True)}
    async with speaking(house, door) as api:
        body = {"loadbalancer": {"vip_subnet_id": SUBNET}}
        made = (await api.post(LB, json=body, headers=tokens["mary"])).json()["loadbalancer"]
        assert made["project_id"] == people["shop"]
        statuses = {
            name: (await api.get(f"{LB}/{made['id']}", headers=headers)).status_code
            for name, headers in tokens.items()
        }
        assert statuses == {
            "mary": 200, "rita": 200, "admin": 200, "eve": 403, "otto": 403, "sys": 403,
            "domain": 403,
        }  # fmt: skip
        refused = await api.get(LB, headers={"X-Auth-Token": "bad"})
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == f'Keystone uri="{keystone.url}"'
        assert refused.json()["error"]["code"] == 401
        door.http.timeout = httpx.Timeout(0.2)
        with keystone.silent():
            away = await api.get(LB, headers={"X-Auth-Token": "another"})
            assert away.status_code == 503
            assert int(away.headers["retry-after"]) > 0
            assert (await api.get(LB, headers=tokens["mary"])).status_code == 200
