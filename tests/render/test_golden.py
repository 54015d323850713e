"""What the renderer writes, as people can read it. GOLDEN=write makes the files anew."""

import os
from pathlib import Path

import pytest

from tests.render.checking import complaints, rendered
from tests.render.scenarios import SCENARIOS
from tests.strategies import planted

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_is_rendered_as_its_golden_file(name: str) -> None:
    text = rendered(planted(SCENARIOS[name])).text
    path = GOLDEN / f"{name}.cfg"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.cfg")), ids=lambda p: p.stem)
def test_haproxy_accepts_the_golden_file(path: Path) -> None:
    assert path.stem in SCENARIOS
    assert complaints(path.read_text()) == ""
