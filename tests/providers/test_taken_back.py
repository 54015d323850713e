"""An edit that could not be stored is taken back before the driver is told of the next one."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.domain.tree import Tree
from fairlead.drivers.fake import FakeVault
from fairlead.drivers.provider_octavia_lib import OctaviaLibProvider, Tellings
from fairlead.errors import Stale
from tests.domain.gardening import changed, grown, only
from tests.providers.conftest import DRIVER

TREE = grown()
POOL = only(TREE, "pool").id


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the driver writes down what it is told, in this process."""
    monkeypatch.setenv("THIRDPARTY_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(str(DRIVER))
    yield tmp_path
    sys.modules.pop("thirdparty_lb", None)


@pytest.fixture
async def provider(home: Path) -> OctaviaLibProvider:
    return OctaviaLibProvider(
        "thirdparty", "Somebody else's.", vault=FakeVault(), tellings=Tellings(), seconds=10.0
    )


def told(home: Path) -> list[str]:
    """The name that a pool was given by each call."""
    lines = (home / "calls").read_text().splitlines()
    return [json.loads(line)["arguments"][-1]["name"] for line in lines]


def renamed(name: str) -> Tree:
    return changed(TREE, "pool", POOL, name=name)


async def test_what_was_not_stored_is_taken_back_first(
    provider: OctaviaLibProvider, home: Path
) -> None:
    (home / "pool_update").write_text(json.dumps({"seconds": 0.2}))
    with pytest.raises(Stale, match="changed meanwhile"):
        async with provider.changing(TREE, renamed("lost")):
            raise Stale("It was changed meanwhile.")
    async with provider.changing(TREE, renamed("kept")):
        pass
    assert told(home) == ["lost", only(TREE, "pool").name, "kept"]
