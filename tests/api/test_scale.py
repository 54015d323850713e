"""Lists over ten thousand load balancers: the cost of a page grows with neither."""

import itertools
import tracemalloc
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fairlead.domain.model import HealthMonitor, L7Policy, Listener, LoadBalancer, Member, Pool
from fairlead.store import SqlStore, documents
from fairlead.store.schema import resources, trees
from tests.api.conftest import SUBNET, Desk, House
from tests.api.test_cost import READ, cost

BALANCERS = 10_000
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
COLLECTIONS = {
    "loadbalancers": "created_at", "listeners": "protocol_port", "pools": "lb_algorithm",
    "healthmonitors": "delay", "l7policies": "position",
}  # fmt: skip


def balancer(number: int) -> list[Any]:
    """A load balancer with one of each kind below it; times and names are in no common order."""

    def name(kind: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {number}"))

    every: Any = {
        "project_id": f"p{number % 2}", "created_at": EPOCH + timedelta(minutes=number * 7 % 9973),
        "created_gen": 1, "changed_gen": 1,
    }  # fmt: skip
    lb, listener, pool = name("lb"), name("listener"), name("pool")
    said = f"number {number * 31 % BALANCERS:05}"
    return [
        LoadBalancer(id=lb, name=said, description=said * 5, vip_subnet_id=SUBNET, **every),
        Listener(id=listener, loadbalancer_id=lb, protocol="HTTP", protocol_port=80,
                 default_pool_id=pool, name=said, **every),
        Pool(id=pool, loadbalancer_id=lb, protocol="HTTP", lb_algorithm="ROUND_ROBIN", **every),
        Member(id=name("member"), pool_id=pool, address="192.0.2.1", protocol_port=80, **every),
        HealthMonitor(id=name("monitor"), pool_id=pool, type="TCP", delay=1 + number % 50,
                      timeout=1, max_retries=1, **every),
        L7Policy(id=name("policy"), listener_id=listener, action="REJECT", position=1, **every),
    ]  # fmt: skip


def rows() -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    for number in range(BALANCERS):
        objects = balancer(number)
        lb_id = objects[0].id
        tree = {"lb_id": lb_id, "generation": 1, "applied": 1, "failed": 0, "epoch": 0}
        yield tree, [documents.row(one, lb_id, n) for n, one in enumerate(objects)]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with all of them, written in bulk once."""
    return tmp_path_factory.mktemp("scale") / "fairlead.sqlite"


@pytest.fixture
async def root(filled: Path) -> AsyncIterator[Desk]:
    """An operator, who sees all projects."""
    fresh = not filled.exists()
    store = SqlStore(f"sqlite+aiosqlite:///{filled}")
    await store.start()
    if fresh:
        await fill(store)
    house = House(store)
    try:
        yield house.desk("root ops admin")
    finally:
        await house.client.aclose()
        await store.close()


async def fill(store: SqlStore) -> None:
    remaining = rows()
    while batch := list(itertools.islice(remaining, 1000)):
        async with store.engine.begin() as connection:
            await connection.execute(sa.insert(trees), [tree for tree, _ in batch])
            objects = [row for _, below in batch for row in below]
            await connection.execute(sa.insert(resources), objects)


@pytest.mark.parametrize("plural", COLLECTIONS)
async def test_a_page_takes_as_many_statements_however_long_it_is(root: Desk, plural: str) -> None:
    ways = ["", f"&sort={COLLECTIONS[plural]}:desc,name", "&name=number 00042",
            "&provisioning_status=ACTIVE&project_id=p1&page_reverse=true",
            "&tags=none"]  # fmt: skip
    for way in ways:
        found = (await root.get(f"/v2/lbaas/{plural}?limit=1{way}"))[plural]
        after = [f"&marker={found[0]['id']}"] if found else []
        for more in ("", *after):
            path = f"/v2/lbaas/{plural}?limit={{}}{way}{more}"
            costs = [await cost(root, "GET", path.format(limit)) for limit in (1, 500)]
            assert len(set(costs)) == 1, (path, costs)
            assert costs[0] <= READ, (path, costs)


async def test_fields_cost_less_than_everything(root: Desk) -> None:
    for plural in COLLECTIONS:
        path = f"/v2/lbaas/{plural}?limit=100"
        assert await cost(root, "GET", f"{path}&fields=id&fields=name") == 1
        assert set((await root.get(f"{path}&fields=id"))[plural][0]) == {"id"}
    pools = "/v2/lbaas/pools?limit=100"
    everything = await cost(root, "GET", pools)
    assert await cost(root, "GET", f"{pools}&fields=members") == everything - 1
    pool = (await root.get(f"{pools}&fields=id"))["pools"][0]["id"]
    assert await cost(root, "GET", f"/v2/lbaas/pools/{pool}?fields=id") == 1


async def test_what_has_no_path_of_its_own_costs_as_little(root: Desk) -> None:
    pool = (await root.get("/v2/lbaas/pools?limit=1"))["pools"][0]
    lb, members = pool["loadbalancers"][0]["id"], f"/v2/lbaas/pools/{pool['id']}/members"
    member = f"{members}/{pool['members'][0]['id']}"
    for path in (members, member, f"/v2/lbaas/loadbalancers/{lb}/status",
                 f"/v2/lbaas/loadbalancers/{lb}/stats"):  # fmt: skip
        assert await cost(root, "GET", path) <= 2, path


@pytest.mark.parametrize("sort", ["", "&sort=description:desc"])
async def test_walking_through_all_of_them_meets_each_once_and_keeps_nothing(
    root: Desk, sort: str
) -> None:
    path: str | None = f"/v2/lbaas/loadbalancers?limit=1000&fields=id{sort}"
    seen: list[str] = []
    peaks = []
    while path:
        tracemalloc.start()
        page = await root.get(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        seen += [one["id"] for one in page["loadbalancers"]]
        path = next((x["href"] for x in page["loadbalancers_links"] if x["rel"] == "next"), None)
    assert len(seen) == len(set(seen)) == BALANCERS
    assert max(peaks) < 6_000_000, peaks


@pytest.mark.parametrize(
    ("narrowed", "index"),
    [
        ("", "resources_kind_ix (kind=? AND created_at>?)"),
        ("&project_id=p1", "resources_project_ix (kind=? AND project_id=? AND created_at>?)"),
    ],
)
async def test_a_later_page_begins_in_the_index_where_the_one_before_ended(
    root: Desk, narrowed: str, index: str
) -> None:
    path = f"/v2/lbaas/loadbalancers?limit=100{narrowed}"
    first = await root.get(path)
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    engine = root.house.store.engine
    sa.event.listen(engine.sync_engine, "before_cursor_execute", note)
    await root.get(f"{path}&marker={first['loadbalancers'][-1]['id']}")
    sa.event.remove(engine.sync_engine, "before_cursor_execute", note)
    statement, parameters = next(one for one in asked if "LIMIT" in one[0])
    async with engine.connect() as connection:
        found = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        plan = [row[3] for row in found]
    assert f"SEARCH resources USING INDEX {index}" in plan
    assert not [line for line in plan if "TEMP B-TREE" in line], plan
