"""Secrets and containers in Barbican's shapes, on the real store."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from fairlead.api.secret_bodies import LARGEST_PAYLOAD
from fairlead.drivers.cabinet_local import LocalCabinet
from fairlead.drivers.cabinet_local.keyring import Keyring
from fairlead.store.schema import secrets
from tests import certificates as c
from tests.api.conftest import Desk, House
from tests.api.test_resources import UNKNOWN

SECRETS, CONTAINERS = "/v1/secrets", "/v1/containers"
TEXT, OCTETS = "text/plain", "application/octet-stream"


def path(reference: str) -> str:
    """What of a URL stands behind the host."""
    assert reference.startswith("http://fairlead.test/v1/")
    return reference.removeprefix("http://fairlead.test")


async def store(desk: Desk, payload: str | bytes | None = "a secret", **more: Any) -> str:
    """Store a secret in one step; its path."""
    body: dict[str, Any] = {}
    if isinstance(payload, str):
        body = {"payload": payload, "payload_content_type": TEXT}
    elif payload is not None:
        body = {"payload": base64.b64encode(payload).decode(), "payload_content_type": OCTETS,
                "payload_content_encoding": "base64"}  # fmt: skip
    return path((await desk.post(SECRETS, body | more))["secret_ref"])


async def payload(desk: Desk, secret: str, status: int = 200, **headers: str) -> httpx.Response:
    answer = await desk.client.get(
        f"{secret}/payload", headers={"x-test-user": desk.user, **headers}
    )
    assert answer.status_code == status, answer.text
    return answer


async def put(desk: Desk, secret: str, data: bytes, status: int, **headers: str) -> httpx.Response:
    answer = await desk.client.put(
        secret, content=data, headers={"x-test-user": desk.user, **headers}
    )
    assert answer.status_code == status, answer.text
    return answer


async def test_a_secret_from_its_creation_to_its_end(desk: Desk) -> None:
    later = (datetime.now(UTC) + timedelta(days=9)).strftime("%Y-%m-%dT%H:%M:%S")
    secret = await store(
        desk, name="key", secret_type="private", algorithm="RSA", bit_length=2048, mode="cbc",
        expiration=later,
    )  # fmt: skip
    shown = await desk.get(secret)
    assert shown.pop("created") == shown.pop("updated")
    assert shown == {
        "secret_ref": f"http://fairlead.test{secret}", "name": "key", "status": "ACTIVE",
        "secret_type": "private", "algorithm": "RSA", "bit_length": 2048, "mode": "cbc",
        "expiration": f"{later}.000000", "creator_id": "mary", "content_types": {"default": TEXT},
    }  # fmt: skip
    answer = await payload(desk, secret, accept=TEXT)
    assert (answer.text, answer.headers["content-type"]) == (
        "a secret",
        "text/plain; charset=utf-8",
    )
    assert answer.headers["cache-control"] == "no-store"
    await desk.delete(secret)
    for below in ("", "/payload"):
        fault = await desk.get(secret + below, 404)
        assert (fault["code"], fault["title"]) == (404, "Not Found")
    await desk.delete(secret, 404)


async def test_octets_come_back_as_they_were(desk: Desk) -> None:
    bag = c.bag(c.server(), c.middle())
    secret = await store(desk, bag)
    for accept in (OCTETS, "*/*", "application/*", f"{TEXT}, {OCTETS};q=0.5"):
        answer = await payload(desk, secret, accept=accept)
        assert (answer.content, answer.headers["content-type"]) == (bag, OCTETS)
    fault = (await payload(desk, secret, 406, accept=TEXT)).json()
    assert fault["code"] == 406
    assert (await desk.get(secret))["name"] == secret.rpartition("/")[2], "as Barbican names it"


async def test_a_payload_can_come_later_and_once(desk: Desk) -> None:
    secret = await store(desk, None, name="empty")
    assert "content_types" not in await desk.get(secret)
    await payload(desk, secret, 404)
    await put(desk, secret, b"{}", 415, **{"content-type": "application/json"})
    await put(desk, secret, b"x", 400)
    await put(desk, secret, b"", 400, **{"content-type": OCTETS})
    await put(desk, secret, b"\xff", 400, **{"content-type": TEXT})
    await put(desk, secret, b"!", 400, **{"content-type": OCTETS, "content-encoding": "base64"})
    await put(desk, secret, b"AP8=", 204, **{"content-type": OCTETS, "content-encoding": "base64"})
    assert (await payload(desk, secret)).content == b"\x00\xff"
    fault = (await put(desk, secret, b"other", 409, **{"content-type": TEXT})).json()
    assert "already has data" in fault["description"]
    assert (await payload(desk, secret)).content == b"\x00\xff"
    assert (await desk.get(secret))["content_types"] == {"default": OCTETS}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"payload": "x"}, "payload_content_type"),
        ({"payload_content_type": TEXT}, "payload"),
        ({"payload": "", "payload_content_type": TEXT}, "payload"),
        ({"payload": "x", "payload_content_type": OCTETS}, "payload_content_encoding"),
        ({"payload": "x", "payload_content_type": "image/png"}, "payload_content_type"),
        ({"payload": "x", "payload_content_type": TEXT, "payload_content_encoding": "base64"},
         "payload_content_encoding"),
        ({"payload": "?", "payload_content_type": OCTETS, "payload_content_encoding": "base64"},
         "base64"),
        ({"payload": "x" * (LARGEST_PAYLOAD + 1), "payload_content_type": TEXT}, "payload"),
        ({"payload": 7}, "payload"),
        ({"name": "x" * 256}, "name"),
        ({"secret_type": "x"}, "secret_type"),
        ({"bit_length": 0}, "bit_length"),
        ({"bit_length": "x"}, "bit_length"),
        ({"expiration": "soon"}, "expiration"),
        ({"expiration": "2020-01-01T00:00:00"}, "expiration"),
        ({"expiration": "9999-12-31T23:59:59-14:00"}, "expiration"),
        ({"bogus": 1}, "bogus"),
        ([], "object"),
    ],
)  # fmt: skip
async def test_refusals_name_what_is_wrong(desk: Desk, body: Any, named: str) -> None:
    fault = await desk.post(SECRETS, body, 400)
    assert (fault["code"], fault["title"]) == (400, "Bad Request")
    assert named in fault["description"]
    assert (await desk.get(SECRETS))["total"] == 0


async def test_pages_and_filters(desk: Desk) -> None:
    for n in range(12):
        await store(desk, name=f"s{n % 3}", algorithm="aes", bit_length=128 + n % 2)
    await store(desk, name="other", secret_type="passphrase", mode="gcm")
    first = await desk.get(SECRETS)
    assert (len(first["secrets"]), first["total"]) == (10, 13)
    second = await desk.get(path(first["next"]))
    assert (len(second["secrets"]), "next" in second) == (3, False)
    assert (await desk.get(path(second["previous"])))["secrets"] == first["secrets"]
    assert len({s["secret_ref"] for s in first["secrets"] + second["secrets"]}) == 13
    for filters, total in (
        ({"name": "s1"}, 4),
        ({"name": "s1", "bits": "129"}, 2),
        ({"alg": "aes"}, 12),
        ({"mode": "gcm"}, 1),
        ({"secret_type": "passphrase"}, 1),
        ({"name": "x' OR 1=1"}, 0),
    ):
        found = await desk.get(SECRETS, limit="3", **filters)
        assert found["total"] == total
        assert len(found["secrets"]) == min(3, total)
        if total > 3:
            assert (await desk.get(path(found["next"])))["total"] == total
    assert (await desk.get(SECRETS, limit="0"))["secrets"] == []
    assert len((await desk.get(SECRETS, limit="1000"))["secrets"]) == 13
    assert len((await desk.get(SECRETS, limit="x", offset="y"))["secrets"]) == 10
    await desk.get(SECRETS, 400, bits="x")


async def test_what_has_expired_is_gone(desk: Desk, house: House) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    secret = await store(desk, expiration=later.isoformat())
    await store(desk)

    class Tomorrow:
        def now(self) -> datetime:
            return later + timedelta(days=1)

        async def sleep(self, seconds: float) -> None:
            raise NotImplementedError

        def monotonic(self) -> float:
            raise NotImplementedError

    clock: Any = Tomorrow()
    cabinet = LocalCabinet(house.store.secrets, Keyring((bytes(32),)), clock)
    async with house.serving(replace(house.services, clock=clock, secret_admin=cabinet)) as client:
        late = Desk(client, desk.user, house)
        for below in ("", "/payload"):
            await late.get(secret + below, 404)
        assert (await late.get(SECRETS))["total"] == 1
        await late.post(CONTAINERS, named(certificate=secret), 404)
        await late.delete(secret)


def named(kind: str = "certificate", **paths: str) -> dict[str, Any]:
    """The body of a container."""
    refs = [{"name": n, "secret_ref": f"http://fairlead.test{p}"} for n, p in paths.items()]
    return {"name": "tls", "type": kind, "secret_refs": refs}


async def test_a_container_from_its_creation_to_its_end(desk: Desk) -> None:
    certificate, key = await store(desk, c.server().pem), await store(desk, c.server().key_pem())
    body = named(certificate=certificate, private_key=key)
    container = path((await desk.post(CONTAINERS, body))["container_ref"])
    shown = await desk.get(container)
    assert shown.pop("created") == shown.pop("updated")
    assert shown == body | {
        "container_ref": f"http://fairlead.test{container}", "status": "ACTIVE", "consumers": [],
        "creator_id": "mary",
    }  # fmt: skip
    found = await desk.get(CONTAINERS, name="tls", type="certificate")
    assert [one["container_ref"] for one in found["containers"]] == [shown["container_ref"]]
    assert (await desk.get(CONTAINERS, type="rsa"))["total"] == 0
    await desk.delete(key)
    assert (await desk.get(container))["secret_refs"] == body["secret_refs"]
    await desk.delete(container)
    await desk.get(container, 404)
    assert (await payload(desk, certificate)).status_code == 200, "secrets stay"


async def test_containers_that_make_no_sense(desk: Desk) -> None:
    secret = await store(desk)
    for body, status in (
        (named("bogus"), 400),
        (named("certificate", private_key=secret), 400),
        (named("certificate", certificate=secret, bogus=secret), 400),
        (named("rsa", public_key=secret), 400),
        (named("certificate", certificate="/v1/secrets/x"), 400),
        (named("certificate", certificate=f"{CONTAINERS}/{UNKNOWN}"), 400),
        (named("certificate", certificate=f"{SECRETS}/{UNKNOWN}"), 404),
        ({"type": "generic", "secret_refs": [{"name": "a", "secret_ref": secret}] * 2}, 400),
    ):
        assert (await desk.post(CONTAINERS, body, status))["description"]
    assert (await desk.get(CONTAINERS))["total"] == 0
    await desk.post(CONTAINERS, named("generic", anything=secret))
    await desk.post(CONTAINERS, named("rsa", public_key=secret, private_key=secret))
    await desk.post(CONTAINERS, {"type": "generic"})


async def test_projects_do_not_meet(house: House, desk: Desk) -> None:
    """Another project, an administrator of another one included, learns nothing at all."""
    secret = await store(desk)
    container = path((await desk.post(CONTAINERS, named("generic", it=secret)))["container_ref"])
    for user in ("eve p2 member", "root ops admin"):
        stranger = house.desk(user)
        for theirs, place in ((secret, SECRETS), (container, CONTAINERS)):
            missing = f"{place}/{UNKNOWN}"
            for method, below in (("GET", ""), ("DELETE", ""), ("GET", "/payload"), ("PUT", "")):
                if place == CONTAINERS and (below or method == "PUT"):
                    continue
                told = [
                    await stranger.client.request(
                        method, one + below, content=b"x" if method == "PUT" else None,
                        headers={"x-test-user": user, "content-type": TEXT},
                    )
                    for one in (theirs, missing)
                ]  # fmt: skip
                assert [answer.status_code for answer in told] == [404, 404]
                ids = (theirs.rpartition("/")[2], UNKNOWN)
                texts = {a.text.replace(i, "ID") for a, i in zip(told, ids, strict=True)}
                assert len(texts) == 1
        assert (await stranger.get(SECRETS)) == {"secrets": [], "total": 0}
        assert (await stranger.get(CONTAINERS)) == {"containers": [], "total": 0}
        await stranger.post(CONTAINERS, named("generic", it=secret), 404)
    assert (await payload(desk, secret)).text == "a secret"


async def test_roles(house: House, desk: Desk) -> None:
    secret = await store(desk)
    reader, nobody = house.desk("rita p1 reader"), house.desk("norman p1")
    assert (await reader.get(SECRETS))["total"] == 1
    await reader.get(secret)
    for one, statuses in ((reader, (403, 403, 403)), (nobody, (403, 403, 403))):
        for status, below in zip(statuses, ("/payload", "", ""), strict=True):
            await one.call("DELETE" if not below else "GET", secret + below, status=status)
        await one.post(SECRETS, {}, 403)
        await one.post(CONTAINERS, {"type": "generic"}, 403)
    await nobody.get(SECRETS, 403)
    for place in (SECRETS, CONTAINERS, secret, f"{secret}/payload"):
        await house.desk("").get(place, 401)


async def test_a_project_can_have_only_so_many(house: House) -> None:
    class Clock:
        def now(self) -> datetime:
            return datetime.now(UTC)

    cabinet = LocalCabinet(house.store.secrets, Keyring((bytes(32),)), Clock(), most=2)
    async with house.serving(replace(house.services, secret_admin=cabinet)) as client:
        desk, other = Desk(client, "mary p1 member", house), Desk(client, "eve p2 member", house)
        secret = await store(desk)
        await store(desk)
        fault = await desk.post(SECRETS, {}, 403)
        assert fault["description"] == "Quota has been met for resources: Secret"
        await store(other)
        await desk.delete(secret)
        await store(desk)


async def test_what_is_stored_is_sealed(house: House, desk: Desk) -> None:
    await store(desk, "find me if you can")
    async with house.store.engine.connect() as connection:
        rows = (await connection.execute(sa.select(secrets))).all()
    assert len(rows) == 1
    assert b"find me" not in rows[0].sealed
    assert "find me" not in str(rows)


async def test_where_it_is_found(house: House, desk: Desk) -> None:
    """With the version and without, and under the host's name or the one that is configured."""
    nobody = house.desk("")
    version = (await nobody.get("/v1"))["version"]
    assert (version["id"], version["status"]) == ("v1", "stable")
    headers = {"openstack-api-version": "key-manager 1.1"}
    found = (await nobody.client.get("/", headers=headers)).json()["versions"]
    assert found == [version]
    assert (await nobody.get("/"))["versions"][0]["id"] == "v2.0"
    secret = await store(desk)
    assert await desk.get(secret.removeprefix("/v1")) == await desk.get(secret)
    assert (await desk.get("/secrets/"))["total"] == 1
    services = replace(house.services, public_url="https://lb.example.com")
    async with house.serving(services) as client:
        shown = await Desk(client, desk.user, house).get(secret)
    assert shown["secret_ref"] == f"https://lb.example.com{secret}"
    async with house.serving(replace(house.services, secret_admin=None)) as client:
        for place in (SECRETS, secret, CONTAINERS):
            await Desk(client, desk.user, house).get(place, 404)
