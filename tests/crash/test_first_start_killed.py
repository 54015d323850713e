"""kill -9 in the middle of the very first start: the next one makes good whatever is missing."""

import os
import random
import stat
import time

import pytest

from tests.crash.place import Place, eventually
from tests.crash.remains import Remains, bridges

ATTEMPTS = 6
MOMENTS = (0.0, 0.5)  # seconds after the state directory is locked, which is done first

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


def await_lock(place: Place) -> None:
    """Wait until the process that was launched last has begun to work."""
    since = time.time()
    lock = place.state_dir / "lock"
    eventually(lambda: [] if lock.exists() and lock.stat().st_mtime >= since else ["idle"], 15)


def test_the_start_after_a_start_that_was_cut_short(place: Place) -> None:
    """Every attempt begins with an empty directory, or with what the kills before it left."""
    seed = int(os.environ.get("FAIRLEAD_CRASH_SEED") or random.randrange(1 << 32))
    print(f"FAIRLEAD_CRASH_SEED={seed}")
    chance = random.Random(seed)
    for _ in range(ATTEMPTS):
        for _ in range(chance.randint(1, 2)):
            moment = chance.uniform(*MOMENTS)
            place.service.launch()
            await_lock(place)
            time.sleep(moment)
            place.service.kill()
        made = sorted(file.name for file in place.state_dir.iterdir())
        print(f"killed after {moment:.3f} s: {made}")
        place.service.start()
        check_whole(place)
        place.service.kill()
        place.start_over()
