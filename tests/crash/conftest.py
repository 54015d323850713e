"""A place to crash in: a network namespace of the test's own, and a service to be killed."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.place import Place
from tests.live_amphora import network_of_its_own


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    if os.geteuid() != 0:
        pytest.skip("needs root to make network namespaces")
    with network_of_its_own():
        made = Place(tmp_path / "state")
        try:
            yield made
        finally:
            made.close()
