"""A live amphora, with root's help: see tests/live_amphora.py."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.live_amphora import LiveAmphora, live_amphora, network_of_its_own


@pytest.fixture
def own_network() -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("needs root to make network namespaces")
    with network_of_its_own():
        yield


@pytest.fixture
async def amphora(own_network: None) -> AsyncIterator[LiveAmphora]:
    """An amphora whose agent is not started yet."""
    async with live_amphora() as made:
        yield made
