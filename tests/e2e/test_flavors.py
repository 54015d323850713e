"""What a flavor asks for is true of the amphora: its cgroup, and the haproxy that runs in it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.api import LBAAS, Api, Balancer
from tests.e2e.clients import ask
from tests.e2e.machines import Machine
from tests.e2e.site import Site
from tests.e2e.trees import listener, member, pool

CGROUPS = Path("/sys/fs/cgroup")
SMALL = {"amphora_memory_mib": 128, "amphora_cpus": 0.5, "connection_limit": 321}


@pytest.fixture
def flavor(api: Api) -> Iterator[str]:
    """The id of a small flavor."""
    profile = api.post(
        f"{LBAAS}/flavorprofiles", "flavorprofile",
        name="small", provider_name="amphora", flavor_data=json.dumps(SMALL),
    )  # fmt: skip
    made = api.post(f"{LBAAS}/flavors", "flavor", name="S", flavor_profile_id=profile["id"])
    yield made["id"]
    api.delete(f"{LBAAS}/flavors/{made['id']}")
    api.delete(f"{LBAAS}/flavorprofiles/{profile['id']}")


def limits(site: Site, lb_id: str) -> dict[str, str]:
    """What the files of an amphora's cgroups say, by name."""
    branch = f"fairlead/{site.instance}/{site.amphora(lb_id)}"
    groups = [*CGROUPS.glob(branch), *CGROUPS.glob(f"*/{branch}")]
    names = ("memory.limit_in_bytes", "memory.max", "cpu.cfs_quota_us", "cpu.max")
    found = [group / name for group in groups for name in names]
    return {file.name: file.read_text().strip() for file in found if file.exists()}


def configuration(site: Site, lb_id: str) -> list[str]:
    """Lines of the haproxy.cfg that the running haproxy was started with."""
    (master, *_) = sorted(site.haproxies(lb_id))
    (name,) = re.findall(r"-f (\S+)", site.processes(lb_id)[master])
    return Path(f"/proc/{master}/root{name}").read_text().split("\n")


def test_a_flavor_shapes_the_amphora(site: Site, farm: Machine, flavor: str) -> None:
    tree: dict[str, Any] = {
        "name": "small", "vip_subnet_id": site.subnet4["id"], "flavor_id": flavor,
        "listeners": [listener(80, pool("p", [member(farm, 8001)]), connection_limit=5000)],
    }  # fmt: skip
    lb = Balancer(site.api, site.api.post(f"{LBAAS}/loadbalancers", "loadbalancer", **tree))
    lb.settled()
    set_here = limits(site, lb.id)
    if not set_here:
        pytest.skip("this host offers no cgroup controllers")
    assert (set_here.get("memory.limit_in_bytes") or set_here["memory.max"]) == str(128 << 20)
    assert set_here.get("cpu.cfs_quota_us", set_here.get("cpu.max", "")).split()[0] == "50000"
    lines = [line.strip() for line in configuration(site, lb.id)]
    assert lines.count("maxconn 321") == 2, "of haproxy, and of a listener that asked for more"
    assert "nbthread 1" in lines
    for port in range(81, 86):
        lb.add("listener", f"l{port}", protocol="HTTP", protocol_port=port)
        lb.settled()
    assert ask(lb.vip, 80).status == 200, "it can live on that"
    assert "oom" not in lb.story()
    lb.delete()
