"""Drivers that the contract of `ports.Network` and `ports.NetworkAdmin` is tried on.

A driver joins by one line in `DRIVERS`, or in `REAL_DRIVERS` if it knows which networks exist: the
in-memory world accepts any id.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from sqlalchemy.ext.asyncio import create_async_engine

from fairlead.drivers.network_local import NetworkLocal


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
        "c0ffee",
        management_cidr="100.127.0.0/24",
        default_cidrs=["172.30.0.0/24", "fd00:1::/64"],
    )
    try:
        await driver.start()
        yield World(driver, driver.default_network_id, driver.default_subnet_ids)
    finally:
        await engine.dispose()


REAL_DRIVERS = [pytest.param(local, id="local", marks=pytest.mark.root)]
DRIVERS = [*REAL_DRIVERS]
