"""Scenario tests run on virtual time, each with a stage of its own."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.scenarios.stage import Stage
from tests.scenarios.virtual_time import VirtualLoop


def pytest_asyncio_loop_factories(config: Any, item: Any) -> dict[str, Any]:
    return {"virtual": VirtualLoop}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What fails here fails on purpose: nobody wants its tracebacks on the screen."""
    with capture_logs():
        yield


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage(tmp_path).open() as ready:
        yield ready
