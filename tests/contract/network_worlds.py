"""Drivers that the contract of `ports.Network` and `ports.NetworkAdmin` is tried on.

A driver joins by one line in `DRIVERS`, or in `REAL_DRIVERS` if it knows which networks exist: the
in-memory world accepts any id. `ABLE_DRIVERS` are those whose ports carry QoS policies and security
groups.
"""

import json
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from machines import ip
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from fairlead.drivers.fake import FakeNetwork, FakeWorld
from fairlead.drivers.network_local import NetworkLocal
from fairlead.ports import Capability

INSTANCE = "c0ffee"


class World(Struct):
    """A driver under test, with a shared network that has an IPv4 and an IPv6 subnet."""

    network: Any
    network_id: str
    subnet_ids: Sequence[str]


@asynccontextmanager
async def local(request: pytest.FixtureRequest, directory: Path) -> AsyncIterator[World]:
    request.getfixturevalue("own_network")
    engine = create_async_engine(f"sqlite+aiosqlite:///{directory}/network.sqlite")
    driver = NetworkLocal(
        engine,
        INSTANCE,
        management_cidr="100.127.0.0/24",
        default_cidrs=["172.30.0.0/24", "fd00:1::/64"],
    )
    try:
        await driver.start()
        yield World(driver, driver.default_network_id, driver.default_subnet_ids)
    finally:
        await engine.dispose()


@asynccontextmanager
async def able(request: pytest.FixtureRequest, directory: Path) -> AsyncIterator[World]:
    async with fake(request, directory, {"qos_policy", "security_group"}) as made:
        yield made


@asynccontextmanager
async def fake(
    request: pytest.FixtureRequest, directory: Path, capabilities: Collection[Capability] = ()
) -> AsyncIterator[World]:
    world = FakeWorld()
    world.capabilities |= set(capabilities)
    network = FakeNetwork(world)
    made = await network.create_network("default", project_id="", shared=True)
    subnets = [
        await network.create_subnet(made.id, cidr=cidr, name="", gateway=None, project_id="")
        for cidr in ("172.30.0.0/24", "fd00:1::/64")
    ]
    yield World(network, made.id, [subnet.id for subnet in subnets])


REAL_DRIVERS = [pytest.param(local, id="local", marks=pytest.mark.root)]
DRIVERS = [*REAL_DRIVERS, pytest.param(fake, id="fake")]
ABLE_DRIVERS = [pytest.param(able, id="able-fake")]


class Host:
    """A host whose network driver can be started again, with the same database."""

    def __init__(self, directory: Path) -> None:
        self.url = f"sqlite+aiosqlite:///{directory}/network.sqlite"
        self.file = directory / "network.sqlite"
        self._engines: list[AsyncEngine] = []

    @property
    def engine(self) -> AsyncEngine:
        """The engine of the driver started last."""
        return self._engines[-1]

    async def started(
        self, management: str | None = "100.127.0.0/24", default: list[str] | None = None
    ) -> NetworkLocal:
        """A new driver, as after a restart of the service."""
        self._engines.append(create_async_engine(self.url))
        driver = NetworkLocal(
            self.engine, INSTANCE, management_cidr=management, default_cidrs=default
        )
        await driver.start()
        return driver

    async def dispose(self) -> None:
        for engine in self._engines:
            await engine.dispose()


def bridges() -> dict[str, dict]:
    """What the kernel says about the bridges of this namespace."""
    found = json.loads(ip("-j", "-d", "address", "show", "type", "bridge"))
    return {link["ifname"]: link for link in found if link.get("ifname")}
