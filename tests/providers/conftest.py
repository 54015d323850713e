"""A real `fairlead serve` with a third party's driver enabled, and that driver's own view of it.

`Workshop` is both: requests of the first user, the calls that arrived at the driver, the faults it
is told to have, and octavia-lib's DriverLibrary, which is how drivers report.
"""

import json
import shutil
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from octavia_lib.api.drivers.driver_lib import DriverLibrary

from tests.live_service import LiveService

DRIVER = Path(__file__).parents[1] / "third_party_driver"
LB = "/v2/lbaas/loadbalancers"
SETTINGS = """
[providers]
default = "thirdparty"
call_seconds = 3.0
{more}
[providers.enabled]
amphora = "Our own."
thirdparty = "Somebody else's."
thirdparty-bare = "Somebody who does nothing."
thirdparty-broken = "Somebody who cannot be loaded."
thirdparty-absent = "Somebody who is not there."
"""


class Workshop:
    """One service with its driver."""

    def __init__(self, directory: Path, more: str = "") -> None:
        self.home = directory / "driver"
        self.home.mkdir()
        state = directory / "state"
        state.mkdir(mode=0o700)
        (state / "fairlead.toml").write_text(SETTINGS.format(more=more))
        self.sockets = {
            f"{name}_socket": str(state / f"{name}.sock") for name in ("status", "stats", "get")
        }
        (self.home / "sockets").write_text(json.dumps(self.sockets))
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            listen = f"127.0.0.1:{one.getsockname()[1]}"
        self.service = LiveService(
            state, "--drivers", "fake", listen=listen,
            prefix=("env", f"PYTHONPATH={DRIVER}", f"THIRDPARTY_HOME={self.home}"),
        )  # fmt: skip
        self.client: Any = None

    def start(self) -> None:
        """Start it, and the first user."""
        self.dismiss()
        self.service.start()
        self.client = httpx.Client(
            base_url=self.service.url, auth=self.service.credentials(), timeout=20,
            trust_env=False,
        )  # fmt: skip

    @property
    def library(self) -> DriverLibrary:
        """What a driver speaks through."""
        return DriverLibrary(**self.sockets)

    def call(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """A request; what it answers, below the wrapper."""
        answer = self.client.request(method, path, json=body)
        assert answer.status_code == status, answer.text
        decoded = answer.json() if answer.content else {}
        return next(iter(decoded.values())) if len(decoded) == 1 else decoded

    def post(self, path: str, body: Any) -> Any:
        return self.call("POST", path, body, 201)

    def fault(self, method: str, path: str, body: Any, status: int) -> str:
        """What a request that fails says."""
        return str(self.call(method, path, body, status)["faultstring"])

    def balancer(self, **values: Any) -> Any:
        given = {"name": "web", "vip_subnet_id": str(uuid.uuid4())} | values
        return self.post(LB, {"loadbalancer": given})

    def planted(self) -> Any:
        """A load balancer with one of everything, that works."""
        member = {"address": "198.51.100.1", "protocol_port": 80}
        monitor = {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2}
        pool = {"name": "web", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
                "members": [member], "healthmonitor": monitor}  # fmt: skip
        rule = {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/x"}
        policy = {"action": "REJECT", "rules": [rule]}
        listener = {"name": "front", "protocol": "HTTP", "protocol_port": 80,
                    "default_pool": pool, "l7policies": [policy]}  # fmt: skip
        made = self.balancer(listeners=[listener])
        self.works(made["id"])
        self.heard()
        return made

    def works(self, lb_id: str) -> None:
        """The driver reports that all of it works."""
        statuses: dict[str, list[dict[str, str]]] = {}
        for plural, object_id in self.objects(lb_id):
            one = {"id": object_id, "provisioning_status": "ACTIVE", "operating_status": "ONLINE"}
            statuses.setdefault(plural, []).append(one)
        self.library.update_loadbalancer_status(statuses)

    def objects(self, lb_id: str) -> list[tuple[str, str]]:
        """Everything of a load balancer, as drivers call its kinds, by what they can ask."""
        found = [("loadbalancers", lb_id)]
        tree = self.library.get_loadbalancer(lb_id)
        for listener in tree.listeners:
            found.append(("listeners", listener["listener_id"]))
            for policy in listener["l7policies"]:
                found.append(("l7policies", policy["l7policy_id"]))
                found += [("l7rules", rule["l7rule_id"]) for rule in policy["rules"]]
        for pool in tree.pools:
            found.append(("pools", pool["pool_id"]))
            found += [("members", member["member_id"]) for member in pool["members"]]
            if pool["healthmonitor"]:
                found.append(("healthmonitors", pool["healthmonitor"]["healthmonitor_id"]))
        return found

    def heard(self) -> list[dict[str, Any]]:
        """The calls that arrived at the driver since it was asked last."""
        calls = self.home / "calls"
        if not calls.exists():
            return []
        found = [json.loads(line) for line in calls.read_text().splitlines()]
        calls.unlink()
        return found

    def fails(self, function: str, fault: str, user: str = "No.") -> None:
        """From now on the driver raises that."""
        plan = {"raise": fault, "user": user, "operator": "the operator knows why"}
        (self.home / function).write_text(json.dumps(plan))

    def takes(self, function: str, seconds: float) -> None:
        (self.home / function).write_text(json.dumps({"seconds": seconds}))

    def behaves(self) -> None:
        """From now on the driver does what it is asked for."""
        for plan in self.home.iterdir():
            if plan.name not in ("sockets", "agent"):
                plan.unlink()

    def status(self, path: str) -> str | None:
        """An object's provisioning status; None when it is gone."""
        answer = self.client.get(path)
        if answer.status_code == 404:
            return None
        return str(next(iter(answer.json().values()))["provisioning_status"])

    def dismiss(self) -> None:
        """End the conversation of the first user."""
        if self.client is not None:
            self.client.close()

    def close(self) -> None:
        self.dismiss()
        self.service.kill()


@pytest.fixture(scope="package")
def building() -> Iterator[Callable[..., Workshop]]:
    """Makes workshops that go with the tests."""
    made: list[Workshop] = []
    directories: list[Path] = []

    def build(more: str = "") -> Workshop:
        directories.append(Path(tempfile.mkdtemp(prefix="fltest-provider-")))
        made.append(Workshop(directories[-1], more))
        return made[-1]

    yield build
    for one in made:
        one.close()
    for directory in directories:
        shutil.rmtree(directory)


@pytest.fixture(scope="package")
def shared(building: Callable[..., Workshop]) -> Workshop:
    one = building()
    one.start()
    return one


@pytest.fixture
def shop(shared: Workshop) -> Iterator[Workshop]:
    """The one service of all tests, with a driver that behaves."""
    shared.heard()
    yield shared
    shared.behaves()
