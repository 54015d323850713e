"""The orderly end of a service: what amphorae said last is written."""

import asyncio
import uuid
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import asdict, replace

from fairlead.domain import edits
from fairlead.domain.model import LoadBalancer
from fairlead.domain.tree import Tree
from fairlead.drivers.fake.machines import FakeHeartbeats
from fairlead.plan.planner import amphora_id
from fairlead.ports import VipRequest
from fairlead.settings import Settings
from fairlead.store import SqlStore
from fairlead.wire.heartbeat import Counters
from fairlead.wiring import Service

PATIENCE = 30.0


async def with_a_listener(service: Service, listener_id: str) -> str:
    """A load balancer in force, whose amphora was heard."""
    lb_id, now = str(uuid.uuid4()), datetime.now(UTC)
    request = VipRequest(vip_subnet_id=str(uuid.uuid4()))
    vip = await service.outside.network.allocate_vip(lb_id, "p", request)
    root = LoadBalancer(id=lb_id, project_id="p", created_at=now, **asdict(vip))
    values = {"loadbalancer_id": lb_id, "protocol": "HTTP", "protocol_port": 80}
    tree = edits.add("listener", values, new_id=listener_id, now=now)(Tree(root=root))
    first = [replace(one, created_gen=1, changed_gen=1) for one in tree.everything()]
    await service.store.create(replace(tree.with_objects(*first), generation=1))
    await service.queue.put(lb_id)
    async with asyncio.timeout(PATIENCE):
        while (await service.store.tree(lb_id)).observed.get(lb_id) != "ONLINE":
            await asyncio.sleep(0.05)
    return lb_id


async def test_what_was_heard_last_is_not_lost(tmp_path: Path) -> None:
    listener = str(uuid.uuid4())
    async with Service(Settings(state_dir=str(tmp_path), drivers="fake")) as service:
        lb = await with_a_listener(service, listener)
        heartbeats = service.outside.heartbeats
        assert isinstance(heartbeats, FakeHeartbeats)
        world, amphora = heartbeats._world, amphora_id(lb, 0)
        world.machines[amphora].counters[listener] = Counters(bytes_in=5)
        world.beat(amphora)
        while not world.datagrams.empty():
            await asyncio.sleep(0)
        await asyncio.sleep(0)
    store = SqlStore(f"sqlite+aiosqlite:///{tmp_path}/fairlead.db")
    kept = await store.statistics(lb)
    await store.close()
    assert kept == {listener: Counters(bytes_in=5)}
