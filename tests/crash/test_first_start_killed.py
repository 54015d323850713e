"""kill -9 in the middle of the very first start: the next one makes good whatever is missing."""

import os
import random
import stat
import time

import pytest

from tests.crash.place import Place, eventually
from tests.crash.remains import Remains, bridges
from tests.live_service import READY

ATTEMPTS = 8

pytestmark = pytest.mark.root


def check_whole(place: Place) -> None:
    """The service works, its first user gets in, and there is one installation."""
    with place.service.client() as client:
        assert client.get("/v2/lbaas/loadbalancers").json()["loadbalancers"] == []
        assert len(client.get("/v2.0/subnets").json()["subnets"]) == 2
    for file in place.state_dir.rglob("*"):
        mode = stat.S_IMODE(file.stat().st_mode)
        assert mode & 0o077 == 0 or file.name == "fairlead.toml", f"{file}: {mode:o}"
    assert len(bridges()) == 2
    assert all(name.startswith(f"fl{place.instance}") for name in bridges())
    assert list(Remains(place.state_dir, place.instance)) == []


def launch(place: Place) -> None:
    """Start the service; returns when it has begun to work, by locking its state directory."""
    since = time.time()
    lock = place.state_dir / "lock"
    place.service.launch()
    eventually(lambda: [] if lock.exists() and lock.stat().st_mtime >= since else ["idle"], 15)


def whole_start(place: Place) -> float:
    """How long the work of a first start takes."""
    launch(place)
    return eventually(lambda: [] if READY in place.service.said() else ["not ready"], 15)


def test_the_start_after_a_start_that_was_cut_short(place: Place) -> None:
    """Every attempt begins with an empty directory, or with what the kill before it left."""
    seed = int(os.environ.get("FAIRLEAD_CRASH_SEED") or random.randrange(1 << 32))
    chance, seconds = random.Random(seed), whole_start(place)
    print(f"FAIRLEAD_CRASH_SEED={seed}; a first start works for {seconds:.3f} s")
    for _ in range(ATTEMPTS):
        place.service.kill()
        place.start_over()
        for _ in range(chance.randint(1, 2)):
            moment = chance.uniform(0, seconds)
            launch(place)
            time.sleep(moment)
            place.service.kill()
            made = sorted(file.name for file in place.state_dir.iterdir())
            print(f"killed after {moment:.3f} s: {made}")
        place.service.start()
        check_whole(place)
