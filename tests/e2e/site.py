"""A place with Fairlead in it: a network namespace where the real service runs.

The tests' own thread enters the namespace, which is the service's host: it reaches the API and
the default network, and it has many addresses of its own to come from (`sources`). Machines are
plugged into networks of the service by ports that its API made. `close` leaves nothing, whatever
happened before.
"""

import asyncio
import ipaddress
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec

from fairlead.plan.planner import amphora_id
from fairlead.settings import Settings
from fairlead.wiring import instance_id, uninstall
from tests.e2e.api import Api
from tests.e2e.machines import Machine, enter, inside, namespace_path, run

URL = "http://127.0.0.1:9876"
SETTINGS = """
[controller]
first_pause = 0.1
slow_retry = 2.0

[health]
interval = 1.0
silence = 4.0
"""
_START_SECONDS = 30.0
_STOP_SECONDS = 20.0


class Site:
    """The service, its networks and the machines around it."""

    def __init__(self, directory: Path, settings: str = SETTINGS, name: str = "site") -> None:
        self.state_dir = directory / "state"
        self.state_dir.mkdir(mode=0o700)
        (self.state_dir / "fairlead.toml").write_text(settings)
        self.log = directory / "serve.log"
        self.certificate = directory / "servers.pem"
        self.instance = instance_id(self.state_dir)
        self.namespace = f"fltest-{os.getpid()}-{name}"
        self._before = Path("/proc/thread-self/ns/net").open("rb")  # noqa: SIM115 - closed by close
        self._service: subprocess.Popen[bytes] | None = None
        self._machines: list[Machine] = []
        self._client: httpx.Client | None = None
        run("ip", "netns", "add", self.namespace)

    def open(self) -> None:
        """Enter the namespace, start the service and meet its default network."""
        enter(namespace_path(self.namespace))
        run("ip", "link", "set", "lo", "up")
        run("ip", "address", "add", "10.50.0.1/24", "dev", "lo")
        for number in range(1, 9):
            run("ip", "address", "add", f"fd50::{number}/128", "dev", "lo", "nodad")
        self.start()
        self._client = httpx.Client(base_url=URL, auth=self.credentials(), timeout=30.0)
        self.api = Api(self._client)
        subnets = [s for s in self.api.list("/v2.0/subnets") if s["name"].startswith("default")]
        self.subnet4, self.subnet6 = sorted(subnets, key=lambda s: s["ip_version"])
        self.network_id: str = self.subnet4["network_id"]

    def source(self, number: int) -> str:
        """An IPv4 address of this host outside of every network of the service."""
        return f"10.50.0.{number}"

    def source6(self, number: int) -> str:
        """As `source`, 1 to 8."""
        return f"fd50::{number}"

    def credentials(self) -> tuple[str, str]:
        said = msgspec.yaml.decode((self.state_dir / "clouds.yaml").read_bytes())
        auth = said["clouds"]["fairlead"]["auth"]
        return auth["username"], auth["password"]

    def start(self) -> None:
        """Start the service; returns when it says that it is ready."""
        with self.log.open("ab") as log:
            begin = log.tell()
            self._service = subprocess.Popen(
                [sys.executable, "-m", "fairlead.cli", "serve", "--verbose",
                 "--state-dir", str(self.state_dir)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                cwd=Path(__file__).parents[2],
            )  # fmt: skip
        end = time.monotonic() + _START_SECONDS
        while b"Fairlead is ready" not in self.log.read_bytes()[begin:]:
            assert self._service.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < end, "the service is not ready"
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the service a signal and wait for its end; its exit status."""
        service, self._service = self._service, None
        assert service is not None
        service.send_signal(number)
        try:
            return service.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            service.kill()
            service.wait()
            raise

    def bridge_port(self, network_id: str, subnet_id: str, **fields: Any) -> tuple[str, str, str]:
        """A port made through the API: its id, its address with prefix, its bridge."""
        fixed = [{"subnet_id": subnet_id, **fields}]
        port = self.api.post("/v2.0/ports", "port", network_id=network_id, fixed_ips=fixed)
        subnet = self.api.get(f"/v2.0/subnets/{subnet_id}")
        prefix = ipaddress.ip_network(subnet["cidr"]).prefixlen
        address = f"{port['fixed_ips'][0]['ip_address']}/{prefix}"
        return port["id"], address, port["binding:vif_details"]["bridge_name"]

    def machine(
        self,
        label: str,
        places: Mapping[int, str] | None = None,
        subnets: list[dict[str, Any]] | None = None,
        **fields: Any,
    ) -> Machine:
        """A machine with an address on each subnet, all of one network; the default one if None."""
        made = Machine(label)
        self._machines.append(made)
        ports = [
            self.bridge_port(subnet["network_id"], subnet["id"], **fields)
            for subnet in subnets or [self.subnet4, self.subnet6]
        ]
        made.plug(ports[0][2], *(address for _, address, _ in ports))
        for subnet in subnets or [self.subnet4, self.subnet6]:
            if subnet["gateway_ip"]:
                family = "-6" if subnet["ip_version"] == 6 else "-4"
                made.ip(family, "route", "add", "default", "via", subnet["gateway_ip"])
        if places:
            made.serve(places, self.certificate)
        return made

    def far_machine(self, label: str, places: Mapping[int, str]) -> Machine:
        """A machine on none of the service's networks, behind a link of the host's own."""
        made = Machine(label)
        self._machines.append(made)
        outer = made.plug(None, f"10.60.{made.number}.2/24")
        run("ip", "address", "add", f"10.60.{made.number}.1/24", "dev", outer)
        made.serve(places, self.certificate)
        return made

    def network(self, name: str, *cidrs: str, **fields: Any) -> list[dict[str, Any]]:
        """A network of a project's with these ranges: its subnets."""
        made = self.api.post("/v2.0/networks", "network", name=name, **fields)
        return [
            self.api.post("/v2.0/subnets", "subnet", network_id=made["id"], cidr=cidr)
            for cidr in cidrs
        ]

    def amphora(self, lb_id: str) -> str:
        return amphora_id(lb_id, 0)

    def amphora_namespace(self, lb_id: str) -> Path:
        return namespace_path(f"fl-{self.instance}-{self.amphora(lb_id)}")

    def processes(self, lb_id: str) -> dict[int, str]:
        """Command lines by process id of all that runs in a load balancer's namespace."""
        try:
            inode = self.amphora_namespace(lb_id).stat().st_ino
        except FileNotFoundError:
            return {}
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if (entry / "ns/net").stat().st_ino == inode:
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
            except (OSError, UnicodeDecodeError):
                continue  # it has ended
        return {pid: line for pid, line in found.items() if line}

    def haproxies(self, lb_id: str) -> set[int]:
        """The master and its workers, without those that only check a configuration."""
        found = self.processes(lb_id).items()
        return {pid for pid, line in found if line.startswith("haproxy") and " -W " in line}

    def agent(self, lb_id: str) -> int | None:
        found = self.processes(lb_id).items()
        agents = [
            pid for pid, line in found
            if "-m fairlead.agent" in line and not line.startswith(("bwrap", "/bin/sh"))
        ]  # fmt: skip
        return agents[0] if agents else None

    def close(self) -> None:
        """Take everything away; every part is tried."""
        with self._before:
            try:
                if self._client is not None:
                    self._client.close()
                if self._service is not None:
                    self.stop()
            finally:
                inside(namespace_path(self.namespace), self._uninstall)
                for machine in self._machines:
                    machine.remove()
                enter(Path(f"/proc/self/fd/{self._before.fileno()}"))
                run("ip", "netns", "delete", self.namespace)

    def _uninstall(self) -> None:
        asyncio.run(uninstall(Settings(state_dir=str(self.state_dir))))


def threaded(*works: Any) -> list[Any]:
    """Run functions at once, on a thread each; their results in order."""
    with ThreadPoolExecutor(max_workers=len(works)) as pool:
        return [future.result() for future in [pool.submit(work) for work in works]]
