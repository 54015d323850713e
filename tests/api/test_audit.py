"""Audit events: one for each change that is asked for, with nothing in it that is secret."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pycadf import cadftaxonomy
from structlog.testing import capture_logs

from fairlead.api.audit import Audit
from fairlead.domain.model import KINDS
from fairlead.drivers import audit_lines
from tests.api.conftest import LB, SUBNET, Desk, House
from tests.api.test_isolation import OPERATIONS, Books
from tests.api.test_resources import UNKNOWN, build

SECRET = "hunter2"


class Office:
    """The service with an auditor."""

    def __init__(self, house: House, client: Any, audit: Audit, file: Path) -> None:
        self.house, self.client, self.audit, self.file = house, client, audit, file

    def desk(self, user: str) -> Desk:
        return Desk(self.client, user, self.house)

    async def events(self) -> list[Any]:
        """What was noted since the last time."""
        assert await self.audit.flush()
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.file.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]


@pytest.fixture
async def office(house: House, tmp_path: Path) -> AsyncIterator[Office]:
    file = tmp_path / "audit.log"
    audit = Audit(partial(audit_lines.to_file, file))
    async with house.serving(replace(house.services, audit=audit)) as client:
        yield Office(house, client, audit, file)


async def test_a_life_is_noted(office: Office) -> None:
    mary = office.desk("mary p1 member")
    fleet = await build(mary)
    for kind in KINDS:
        await mary.put(fleet.path(kind), {KINDS[kind].wrapper: {"admin_state_up": False}})
    await mary.get(LB)
    await mary.call("DELETE", fleet.path("loadbalancer"), status=204, params={"cascade": "true"})
    events = await office.events()
    said = [(e["action"], e["name"], e["target"]["id"], e["outcome"]) for e in events]
    assert said == [
        *(("create", f"{kind}:post", fleet.ids[kind], "success") for kind in KINDS),
        *(("update", f"{kind}:put", fleet.ids[kind], "success") for kind in KINDS),
        ("delete", "loadbalancer:delete", fleet.ids["loadbalancer"], "success"),
    ]
    assert {e["target"]["project_id"] for e in events} == {"p1"}


async def test_an_event_says_who_what_and_how(office: Office) -> None:
    mary, eve = office.desk("mary p1 member"), office.desk("eve p2 member")
    made = await mary.balancer(name=SECRET)
    answer = await eve.call(
        "PUT", f"{LB}/{made['id']}?password={SECRET}", {"loadbalancer": {"name": SECRET}}, None
    )
    created, refused = await office.events()
    assert SECRET not in str((created, refused))
    assert created["target"]["typeURI"] == "service/network/load-balancer/loadbalancer"
    assert cadftaxonomy.is_valid_resource(created["target"]["typeURI"])
    assert created["reason"] == {"reasonType": "HTTP", "reasonCode": "201"}
    assert created["initiator"]["name"] == "mary"
    assert created["initiator"]["project_id"] == "p1"
    assert created["initiator"]["roles"] == ["member", "reader"]
    assert created["initiator"]["host"]["address"] == "127.0.0.1"
    assert (refused["action"], refused["outcome"]) == ("update", "failure")
    assert refused["reason"]["reasonCode"] == "403"
    assert refused["initiator"]["project_id"] == "p2"
    assert refused["target"]["id"] == made["id"]
    assert refused["target"]["project_id"] == "p1"
    assert refused["requestPath"] == f"{LB}/{made['id']}"
    assert refused["request_id"] == answer.headers["x-openstack-request-id"]
    assert refused["eventType"] == "activity"
    assert refused["id"] != created["id"]


async def test_every_change_is_noted_once_whatever_becomes_of_it(office: Office) -> None:
    mary = office.desk("mary p1 member")
    books = Books(await build(mary))
    await office.events()
    changes = [one for one in OPERATIONS.values() if one.method != "GET"]
    for user in ("eve p2 member", "rita p1 reader", "mary p1 member", "root ops admin"):
        for operation in sorted(changes, key=lambda one: one.method == "DELETE"):
            await office.desk(user).call(
                operation.method, books.path(operation), books.body(operation), None
            )
        found = [event["name"] for event in await office.events()]
        assert sorted(found) == sorted(f"{one.resource}:{one.rule}" for one in changes)


@pytest.mark.parametrize("body", [None, "", {}, {"loadbalancer": 7}, []])
async def test_nonsense_is_noted_as_refused(office: Office, body: Any) -> None:
    await office.desk("mary p1 member").call("POST", LB, body, 400)
    (event,) = await office.events()
    assert (event["outcome"], event["target"]["id"]) == ("failure", "unknown")


async def test_reading_and_strangers_are_not_noted(office: Office) -> None:
    mary = office.desk("mary p1 member")
    await mary.get(LB)
    await mary.get(f"{LB}/{UNKNOWN}", 404)
    await office.desk("").call("POST", LB, {"loadbalancer": {"vip_subnet_id": SUBNET}}, 401)
    assert await office.events() == []


async def test_events_wait_while_they_cannot_be_written(office: Office, tmp_path: Path) -> None:
    office.file.mkdir()
    mary = office.desk("mary p1 member")
    made = [await mary.balancer(), await mary.balancer()]
    with capture_logs() as logs:
        assert not await office.audit.flush()
    assert [entry["event"] for entry in logs] == ["audit events not written"]
    made.append(await mary.balancer())
    office.file.rmdir()
    assert [e["target"]["id"] for e in await office.events()] == [one["id"] for one in made]


async def test_what_waits_is_bounded_and_what_is_lost_is_said() -> None:
    written: list[bytes] = []

    def write(lines: Sequence[bytes]) -> None:
        written.extend(lines)

    audit = Audit(write)
    for _ in range(10_003):
        audit.put(b"{}")
    with capture_logs() as logs:
        assert await audit.flush()
    assert len(written) == 10_000
    assert next(entry for entry in logs if entry["event"] == "audit events lost")["events"] == 3


async def test_what_comes_during_a_write_that_fails_is_bounded_too() -> None:
    def write(lines: Sequence[bytes]) -> None:
        audit.put(b"late")
        raise OSError("no place")

    audit = Audit(write)
    for _ in range(10_000):
        audit.put(b"{}")
    with capture_logs() as logs:
        assert not await audit.flush()
    assert logs[0]["waiting"] == 10_000


async def test_the_writer_runs_beside_the_requests(office: Office) -> None:
    running = asyncio.create_task(office.audit.run())
    made = await office.desk("mary p1 member").balancer()
    while not office.file.exists() or made["id"] not in office.file.read_text():
        await asyncio.sleep(0.01)
    assert stat.S_IMODE(office.file.stat().st_mode) == 0o600
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_the_log_takes_events_too(capsys: pytest.CaptureFixture[str]) -> None:
    audit_lines.to_log([b'{"a":1}', b'{"b":2}'])
    assert capsys.readouterr().err == 'AUDIT {"a":1}\nAUDIT {"b":2}\n'
