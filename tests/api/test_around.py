"""What is around every request: its id, its line in the log, and the health check."""

import asyncio
import re

import httpx
import pytest
import structlog
from msgspec.structs import replace
from structlog.testing import capture_logs

from fairlead.api.health_check import HealthCheck
from fairlead.errors import Retryable
from tests.api.conftest import LB, Desk, House
from tests.api.test_resources import UNKNOWN

GLOBAL = "req-0a1b2c3d-0000-4000-8000-00000000beef"


async def answered(desk: Desk, path: str, **headers: str) -> tuple[httpx.Response, dict[str, str]]:
    """An answer and its line in the log."""
    structlog.contextvars.clear_contextvars()
    processors = [structlog.contextvars.merge_contextvars]
    with capture_logs(processors=processors) as logs:
        given = {"x-test-user": desk.user} if desk.user else {}
        answer = await desk.client.get(path, headers=given | headers)
    return answer, next(line for line in logs if line["event"] == "answered")


@pytest.mark.parametrize(
    ("user", "path", "status"),
    [
        ("mary p1 member", LB, 200),
        ("mary p1 member", f"{LB}/{UNKNOWN}", 404),
        ("mary p1", LB, 403),
        ("", LB, 401),
        ("mary p1 member", "/nowhere", 404),
        ("", "/", 200),
        ("", "/healthcheck", 200),
    ],
)
async def test_every_request_has_an_id_and_a_line(
    house: House, user: str, path: str, status: int
) -> None:
    answer, line = await answered(house.desk(user), path)
    given = answer.headers["x-openstack-request-id"]
    assert re.fullmatch(r"req-[0-9a-f-]{36}", given)
    assert answer.status_code == status
    assert (line["request_id"], line["method"], line["path"]) == (given, "GET", path)
    assert (line["status"], line["log_level"]) == (status, "info")
    assert line.get("user") == (user.split()[0] if user and path.startswith(LB) else None)
    assert "global_request_id" not in line


async def test_a_callers_own_id_is_logged(desk: Desk) -> None:
    answer, line = await answered(desk, LB, **{"X-Openstack-Request-Id": GLOBAL})
    assert line["global_request_id"] == GLOBAL
    assert answer.headers["x-openstack-request-id"] not in ("", GLOBAL)


@pytest.mark.parametrize("given", ["", "req-1", GLOBAL + "x", GLOBAL.upper(), "a" * 5000, "req-\t"])
async def test_what_is_no_id_is_not_logged(desk: Desk, given: str) -> None:
    _, line = await answered(desk, LB, **{"X-Openstack-Request-Id": given})
    assert "global_request_id" not in line


async def test_a_path_makes_one_line(desk: Desk) -> None:
    _, line = await answered(desk, "/a%0Alevel=error%20event=x?name=secret")
    assert line["path"] == "/a%0Alevel=error%20event=x"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain"), ("*/*", "text/plain"), ("text/plain", "text/plain"),
        ("application/json", "application/json"),
        ("application/json;q=0.9, text/html", "application/json"),
        ("text/plain, application/json", "text/plain"), ("image/png", "text/plain"),
    ],
)  # fmt: skip
async def test_health_is_told_in_two_forms(house: House, accept: str, kind: str) -> None:
    answer = await house.client.get("/healthcheck", headers={"accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == kind
    said = {"text/plain": "OK", "application/json": '{"reasons":["OK"],"detailed":false}'}
    assert answer.text == said[kind]


async def test_health_may_be_asked_without_a_body(house: House) -> None:
    answer = await house.client.head("/healthcheck")
    assert (answer.status_code, answer.content) == (204, b"")


async def test_without_its_database_it_is_not_well(house: House) -> None:
    async with house.store.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE trees RENAME TO gone")
    answer = await house.client.get("/healthcheck")
    assert (answer.status_code, answer.text) == (503, "The database does not answer.")
    answer = await house.client.get("/healthcheck", headers={"accept": "application/json"})
    assert answer.status_code == 503
    assert answer.json() == {"reasons": ["The database does not answer."], "detailed": False}
    assert (await house.client.head("/healthcheck")).status_code == 503


async def test_health_can_be_nobodys_business(house: House) -> None:
    async with house.serving(replace(house.services, health_check=False)) as client:
        assert (await client.get("/healthcheck")).status_code == 404


async def test_a_crowd_asks_the_database_once_and_waits_in_bounds() -> None:
    asked: list[asyncio.Event] = []

    async def hangs() -> None:
        asked.append(asyncio.Event())
        await asked[-1].wait()

    check = HealthCheck(hangs, seconds=0.05)
    assert set(await asyncio.gather(*(check.healthy() for _ in range(50)))) == {False}
    assert len(asked) == 1, "while one question hangs there is no second"
    asked[0].set()
    assert await check.healthy()

    async def fails() -> None:
        raise Retryable("The database does not answer.")

    assert not await HealthCheck(fails).healthy()
