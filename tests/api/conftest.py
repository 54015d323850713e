"""The API on the real store and queue, with the in-memory network, over ASGI.

`Desk` is one user's view of it: a transcript of a test is `desk.post(...)`, `desk.get(...)`,
each naming the status it expects. Nothing runs a controller: `settled` plays its part.
"""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from fairlead.api.access import Caller, with_implied
from fairlead.api.app import create_app
from fairlead.api.policy import Policy
from fairlead.api.services import Services
from fairlead.domain.observed import Subnet
from fairlead.drivers.cabinet_local import LocalCabinet
from fairlead.drivers.cabinet_local.keyring import Keyring
from fairlead.drivers.clock import SystemClock
from fairlead.drivers.fake import FakeNetwork, FakeVault, FakeWorld
from fairlead.drivers.provider_amphora import AmphoraProvider, Registry
from fairlead.drivers.queue_memory import MemoryQueue
from fairlead.errors import NotFound, Unauthorized
from fairlead.store import SqlStore

SUBNET = "5d8a3fb2-8c5e-4f0a-9b9c-0d5c6d1f7a01"
NO_SUBNET = "00000000-dead-4000-8000-000000000000"
LB = "/v2/lbaas/loadbalancers"
# SUBNET, with room for every address that tests think of.
WIDE = Subnet(
    id=SUBNET, network_id="5d8a3fb2-8c5e-4f0a-9b9c-0d5c6d1f7a02", name="", cidr="10.0.0.0/8",
    gateway="10.255.255.254",
)  # fmt: skip


class Names:
    """Authentication by a header: "user project role,role"; system and domain are no projects."""

    own_projects = True

    async def authenticate(self, headers: Any) -> Caller:
        said = headers.get("x-test-user", "").split()
        if not said:
            raise Unauthorized("Who are you?")
        roles = with_implied(said[2].split(",") if len(said) > 2 else ())
        project, scope = (None, said[1]) if said[1] in ("system", "domain") else (said[1], "")
        return Caller(
            user=said[0], project_id=project, roles=roles,
            system=scope == "system", domain_id="d1" if scope == "domain" else None,
        )  # fmt: skip


class SomeSubnets(FakeNetwork):
    """The in-memory network, but one subnet is known to be missing."""

    async def subnet(self, subnet_id: str, project_id: str | None = None) -> Any:
        if subnet_id == NO_SUBNET:
            raise NotFound("Subnet", subnet_id)
        return await super().subnet(subnet_id, project_id)


class Desk:
    """One user at work."""

    def __init__(self, client: httpx.AsyncClient, user: str, house: "House") -> None:
        self.client = client
        self.user = user
        self.house = house

    async def call(
        self, method: str, path: str, body: Any = None, status: int | None = 200, **more: Any
    ) -> Any:
        """Send, check the status, give the decoded answer."""
        content = None if body is None else msgspec.json.encode(body)
        answer = await self.client.request(
            method, path, content=content, headers={"x-test-user": self.user}, **more
        )
        assert status in (None, answer.status_code), f"{method} {path}: {answer.text}"
        assert answer.headers["x-openstack-request-id"].startswith("req-")
        return answer if status is None else answer.json() if answer.content else None

    async def get(self, path: str, status: int = 200, **parameters: Any) -> Any:
        return await self.call("GET", path, status=status, params=parameters or None)

    async def post(self, path: str, body: Any, status: int = 201) -> Any:
        return await self.call("POST", path, body, status)

    async def put(self, path: str, body: Any, status: int = 200) -> Any:
        return await self.call("PUT", path, body, status)

    async def delete(self, path: str, status: int = 204) -> Any:
        return await self.call("DELETE", path, status=status)

    async def balancer(self, **values: Any) -> Any:
        given = {"vip_subnet_id": SUBNET} | values
        return (await self.post(LB, {"loadbalancer": given}))["loadbalancer"]

    async def listener(self, lb_id: str, port: int = 80, **values: Any) -> Any:
        given = {"loadbalancer_id": lb_id, "protocol": "HTTP", "protocol_port": port} | values
        return (await self.post("/v2/lbaas/listeners", {"listener": given}))["listener"]

    async def pool(self, **values: Any) -> Any:
        given = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"} | values
        return (await self.post("/v2/lbaas/pools", {"pool": given}))["pool"]

    async def member(self, pool_id: str, address: str = "10.0.0.1", **values: Any) -> Any:
        given = {"address": address, "protocol_port": 80} | values
        path = f"/v2/lbaas/pools/{pool_id}/members"
        return (await self.post(path, {"member": given}))["member"]

    async def monitor(self, pool_id: str, **values: Any) -> Any:
        given = {"pool_id": pool_id, "type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2}
        body = {"healthmonitor": given | values}
        return (await self.post("/v2/lbaas/healthmonitors", body))["healthmonitor"]

    async def policy(self, listener_id: str, **values: Any) -> Any:
        given = {"listener_id": listener_id, "action": "REJECT"} | values
        return (await self.post("/v2/lbaas/l7policies", {"l7policy": given}))["l7policy"]

    async def rule(self, policy_id: str, **values: Any) -> Any:
        given = {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/api"} | values
        return (await self.post(f"/v2/lbaas/l7policies/{policy_id}/rules", {"rule": given}))["rule"]


class House:
    """The service and what stands behind it."""

    def __init__(self, store: SqlStore) -> None:
        self.store = store
        self.queue = MemoryQueue()
        self.world = FakeWorld()
        self.world.subnets[SUBNET] = WIDE
        self.services = Services(
            store=store,
            catalog=store.catalog,
            quotas=store.quotas,
            queue=self.queue,
            network=SomeSubnets(self.world),
            network_admin=None,
            vault=FakeVault(),
            secret_admin=LocalCabinet(store.secrets, Keyring((bytes(32),)), SystemClock()),
            providers=Registry(AmphoraProvider(), AmphoraProvider("octavia")),
            clock=SystemClock(),
            new_id=lambda: str(uuid.uuid4()),
            authenticator=Names(),
            policy=Policy(),
            body_maximum=1024 * 1024,
        )
        self.client = self.serving(self.services)

    def serving(self, services: Services) -> httpx.AsyncClient:
        """A client of an application made from these services."""
        app: Any = create_app(services)
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://fairlead.test"
        )

    def desk(self, user: str) -> Desk:
        return Desk(self.client, user, self)

    async def settled(self, lb_id: str) -> None:
        """As if the controller had done its work."""
        tree = await self.store.tree(lb_id)
        await self.store.settle(lb_id, tree.generation, epoch=1)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = SqlStore(f"sqlite+aiosqlite:///{tmp_path}/fairlead.sqlite")
    await store.start()
    made = House(store)
    try:
        yield made
    finally:
        await made.client.aclose()
        await store.close()


@pytest.fixture
def desk(house: House) -> Desk:
    """A member of project p1."""
    return house.desk("mary p1 member")


@pytest.fixture
def admin(house: House) -> Desk:
    return house.desk("root ops admin")
