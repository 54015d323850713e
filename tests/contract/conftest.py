"""Ground for contract tests: a network of one's own, and a `ComputeHost` to be tried on it.

`own_network` moves the test's thread into a fresh, nameless network namespace. Namespaces belong
to threads: threads and processes started afterwards are born into it, so the executor threads
of the test's event loop (made at first use; loops live as long as one test) and every command it
runs are inside. At the end the thread goes back, and the kernel removes what was left.
"""

import asyncio
import ctypes
import json
import os
import secrets
import subprocess
import sys
import time
import uuid
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fairlead.domain.observed import FixedIp, Port
from fairlead.drivers.compute_host import ComputeHost
from fairlead.ports import AmphoraSpec
from fairlead.wire.boot import Boot

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
CGROUPS = Path("/sys/fs/cgroup")

# Stands in for an agent: runs each script it finds with exactly the rights an agent has.
SHELL_AGENT = """
cd run
while :; do
  [ -f ask ] && { sh ask > answering 2>&1; rm ask; mv answering answer; }
  sleep 0.01
done
"""

CHILD = """
import asyncio, json, pathlib, sys, msgspec
from fairlead.domain.observed import Port
from fairlead.drivers.compute_host import ComputeHost
from fairlead.ports import AmphoraSpec
job = json.loads(sys.argv[1])
spec = msgspec.convert(job["spec"], AmphoraSpec)
port = msgspec.convert(job["port"], Port)
amphora_id = spec.boot.amphora_id
compute = ComputeHost(pathlib.Path(job["state_dir"]), job["instance"], **job["options"])
async def run():
    for call in job["calls"]:
        if call == "create": await compute.create(spec)
        if call == "attach": await compute.attach(amphora_id, port)
        if call == "delete": await compute.delete(amphora_id)
print("go", flush=True)
asyncio.run(run())
"""


def ip(*arguments: str) -> str:
    """Run `ip` and return what it says."""
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def _is_init(pid: int) -> bool:
    """Whether it is process 1 of a PID namespace of its own."""
    ids = _pids(pid)
    return len(ids) > 1 and ids[-1] == "1"


def _pids(pid: int) -> list[str]:
    """Its ids from the host's PID namespace inwards; none for a process that is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]


def until(condition: Any, seconds: float = 5.0) -> bool:
    """Whether `condition()` came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


@pytest.fixture
def own_network() -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("needs root to make network namespaces")
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    assert LIBC.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    try:
        ip("link", "set", "lo", "up")
        yield
    finally:
        assert LIBC.setns(before, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        os.close(before)


class HostRig:
    """A `ComputeHost` with two bridges, and ways to look at what it made without asking it."""

    management = "mgmt-br"
    segments = ("net-a", "net-b")

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.instance = secrets.token_hex(3)
        self.options: dict[str, Any] = {
            "memory_bytes": 64 * 1024 * 1024,
            "cpu_share": 1.0,
            "pids": 40,
            "agent_command": ["sh", "-c", SHELL_AGENT],
        }
        self.compute = self.restarted()
        self._hosts = 1

    def restarted(self) -> ComputeHost:
        """What the next life of the controller has: the same settings, no memory."""
        return ComputeHost(self.state_dir, self.instance, **self.options)

    def port(self, segment: str, *addresses: str) -> Port:
        """A port as the network driver makes them; addresses with prefix length."""
        mac = "fa:16:3e:{:02x}:{:02x}:{:02x}".format(*os.urandom(3))
        fixed = tuple(
            FixedIp(subnet_id="s", address=a.split("/")[0], cidr=a, gateway=None) for a in addresses
        )
        return Port(
            id=str(uuid.uuid4()), name=mac, owner="", network_id="n", mac=mac, mtu=1442,
            fixed_ips=fixed, segment=segment,
        )  # fmt: skip

    def spec(self) -> AmphoraSpec:
        self._hosts += 1
        addresses = (f"10.99.0.{self._hosts}/24", f"fd99::{self._hosts}/64")
        boot = Boot(
            amphora_id=str(uuid.uuid4()), listen=addresses[0].split("/")[0], agent_port=9443,
            certificate="certificate", private_key="private-key-text", authority="authority",
            heartbeat_key=b"heartbeat-key", health_managers=(),
        )  # fmt: skip
        return AmphoraSpec(management=self.port(self.management, *addresses), boot=boot)

    def home(self, amphora_id: str) -> Path:
        return self.state_dir / "amphorae" / amphora_id

    def namespace(self, amphora_id: str) -> str:
        return f"fl-{self.instance}-{amphora_id}"

    def processes(self, amphora_id: str) -> list[int]:
        """Host process ids whose arguments name the amphora; zombies have none.

        Not the supervisor's child, which has the same arguments until it becomes the agent.
        """
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    arguments = (entry / "cmdline").read_bytes()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                named = f"{self.instance}/{amphora_id}".encode() in arguments.split(b"\0")
                if named and (len(_pids(int(entry.name))) == 1 or _is_init(int(entry.name))):
                    found.append(int(entry.name))
        return sorted(found)

    def init(self, amphora_id: str) -> int:
        """The first process inside, whose child is the agent."""
        (found,) = filter(_is_init, self.processes(amphora_id))
        return found

    def stop(self, amphora_id: str) -> None:
        """Let its machine die at once, as by a power cut: kill the init of its PID namespace."""
        os.kill(self.init(amphora_id), 9)
        assert until(lambda: not self.processes(amphora_id))

    def cgroups(self, amphora_id: str) -> list[Path]:
        branch = f"fairlead/{self.instance}/{amphora_id}"
        return [*CGROUPS.glob(branch), *CGROUPS.glob(f"*/{branch}")]

    def leftovers(self, amphora_id: str) -> list[str]:
        """All that exists of an amphora, as text; veths count when they are anybody's."""
        found = [f"process {pid}" for pid in self.processes(amphora_id)]
        found += [f"namespace {p}" for p in Path("/run/netns").glob(f"*{amphora_id}*")]
        found += [f"cgroup {group}" for group in self.cgroups(amphora_id)]
        found += [f"file {path}" for path in self.state_dir.rglob(f"*{amphora_id}*")]
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        found += [f"mount {line}" for line in mounts if amphora_id in line]
        return found

    def cards(self) -> dict[str, dict[str, Any]]:
        """Outer ends of veth pairs in this network, by name."""
        return {
            card["ifname"]: card
            for card in json.loads(ip("-j", "-d", "link", "show", "type", "veth"))
        }

    def inside(self, amphora_id: str, script: str) -> str:
        """What a script says that runs inside with the agent's rights."""
        run = self.home(amphora_id) / "own" / "run"
        (run / "answer").unlink(missing_ok=True)
        (run / "asking").write_text(script)
        (run / "asking").rename(run / "ask")
        assert until((run / "answer").exists, 10.0), (
            self.home(amphora_id) / "console.log"
        ).read_text()
        return (run / "answer").read_text()

    def child(
        self, spec: AmphoraSpec, port: Port, calls: Sequence[str], *prefix: str
    ) -> "subprocess.Popen[bytes]":
        """Another controller process that makes `calls`; returned as it begins the first."""
        job = {
            "spec": msgspec.to_builtins(spec), "port": msgspec.to_builtins(port),
            "state_dir": str(self.state_dir), "instance": self.instance,
            "options": self.options, "calls": calls,
        }  # fmt: skip
        process = subprocess.Popen(
            [*prefix, sys.executable, "-c", CHILD, json.dumps(job)],
            stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert process.stdout is not None
        assert b"go\n" in iter(process.stdout.readline, b""), "log lines may come first"
        return process

    async def remove_everything(self) -> None:
        for amphora_id in await self.compute.all_ids():
            await self.compute.delete(amphora_id)


def run_apart(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on a thread and loop of its own, in this thread's network."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, work).result()


@pytest.fixture
def host_rig(own_network: None, tmp_path: Path) -> Iterator[HostRig]:
    for bridge in (HostRig.management, *HostRig.segments):
        ip("link", "add", bridge, "type", "bridge")
        ip("link", "set", bridge, "up")
    rig = HostRig(tmp_path / "state")
    rig.state_dir.mkdir()
    try:
        yield rig
    finally:
        run_apart(rig.remove_everything())
