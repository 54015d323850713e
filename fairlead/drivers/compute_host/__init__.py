"""The compute driver `host`: an amphora is a sandbox on this machine.

Each amphora has a network namespace, PID, mount, IPC and UTS namespaces (bwrap), cgroup limits
where the host allows, and the directory `<state_dir>/amphorae/<id>`:
    own/          what the amphora sees as /var/lib/amphora: boot.json (0600) and run/
    console.log   what its agent prints; emptied when it has grown long
    pid           the host's process id of the sandbox once it stood; believed only while that
                  process bears the amphora's marker, else the sandbox is looked for

Invariants: names follow from installation and amphora id, every step finds or creates, the
directory is made first and removed last. So a crash at any point is repaired by calling again,
and what was half made is listed by `all_ids`. Processes outlive the controller. Nothing that an
amphora can write is trusted here. Calls for one amphora exclude each other, also when the caller
of the first gave up waiting. Called by the controller's executor and housekeeping, and by doctor.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from pyroute2.netlink.exceptions import NetlinkError

from fairlead.domain.observed import Instance, Port
from fairlead.drivers.compute_host import cards, sandbox
from fairlead.drivers.compute_host.cgroups import Cgroups
from fairlead.errors import Permanent, Refused, Retryable
from fairlead.ports import AmphoraSpec
from fairlead.wire.boot import Boot

T = TypeVar("T")

AGENT = (sys.executable, "-m", "fairlead.agent", sandbox.HOME)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PACKAGES = {
    "bwrap": "bubblewrap", "ip": "iproute2", "nsenter": "util-linux", "setsid": "util-linux",
}  # fmt: skip


class ComputeHost:
    """`Compute` on this host, for the installation `instance` (6 hexadecimal digits).

    `memory_bytes`, `cpu_share` (in processors) and `pids` limit each amphora that does not bring
    limits of its own. Bridges are looked
    up in the network namespace of the calling thread. `agent_command` runs inside the sandbox.
    """

    def __init__(
        self,
        state_dir: Path,
        instance: str,
        *,
        memory_bytes: int,
        cpu_share: float,
        pids: int,
        agent_command: Sequence[str] = AGENT,
    ) -> None:
        self._state_dir = state_dir.resolve()
        self._instance = instance
        self._agent_command = agent_command
        self._cgroups = Cgroups(instance, memory_bytes=memory_bytes, cpu_share=cpu_share, pids=pids)
        self._locks = [threading.Lock() for _ in range(64)]

    async def create(self, spec: AmphoraSpec) -> None:
        """See the port; an agent that runs is left alone, its boot.json and card are set right."""
        await self._off_loop(spec.boot.amphora_id, lambda: self._create(spec))

    async def observe(self, amphora_id: str) -> Instance | None:
        """See the port."""
        return await self._off_loop(amphora_id, lambda: self._observe(amphora_id))

    async def restart_agent(self, amphora_id: str) -> None:
        """See the port; returns when the agent is dead, and its supervisor starts it again."""
        await self._off_loop(amphora_id, lambda: self._end_agent(amphora_id))

    async def attach(self, amphora_id: str, port: Port) -> None:
        """See the port; `Retryable` when the amphora has no network namespace (yet)."""
        name = cards.card_name(self._instance, port.mac)

        def plug() -> None:
            path = self._namespace(amphora_id)
            if path is None:
                raise Retryable(f"Amphora {amphora_id} has no network namespace.")
            with cards.opened(path) as namespace:
                cards.plug(namespace, name, port)

        await self._off_loop(amphora_id, plug)

    async def detach(self, amphora_id: str, mac: str) -> None:
        """See the port."""
        name = cards.card_name(self._instance, mac)

        def unplug() -> None:
            path = self._namespace(amphora_id)
            if path is not None:
                with cards.opened(path) as namespace:
                    cards.unplug(namespace, name)

        await self._off_loop(amphora_id, unplug)

    async def delete(self, amphora_id: str) -> None:
        """See the port."""
        await self._off_loop(amphora_id, lambda: self._delete(amphora_id))

    async def all_ids(self) -> frozenset[str]:
        """See the port."""
        return await _translated(self._all_ids)

    def _create(self, spec: AmphoraSpec) -> None:
        amphora_id = spec.boot.amphora_id
        home = self._home(amphora_id)
        _write_boot(home, spec.boot)
        sandbox.trim_console(self._console(amphora_id))
        pid = self._living(amphora_id)
        if pid is None:
            self._end_processes(amphora_id)
        name = self._namespace_name(amphora_id)
        cards.ensure_namespace(name, pid)
        outer = cards.card_name(self._instance, spec.management.mac)
        with cards.opened(cards.NAMES / name) as namespace:
            cards.plug_management(namespace, outer, spec.management)
        if pid is None:
            sandbox.compile_agent()
            sandbox.start(
                sandbox.bwrap(
                    self._marker(amphora_id), home / "own", self._state_dir, self._agent_command
                ),
                namespace=cards.NAMES / name,
                cgroups=self._cgroups.ensure(
                    amphora_id, memory_bytes=spec.memory_bytes, cpu_share=spec.cpu_share
                ),
                pid_file=home / "pid",
                log=self._console(amphora_id),
            )

    def _observe(self, amphora_id: str) -> Instance | None:
        sandbox.trim_console(self._console(amphora_id))
        path = self._namespace(amphora_id)
        if path is None:
            if amphora_id not in self._all_ids():
                return None
            return Instance(amphora_id=amphora_id, running=False, macs=frozenset())
        with cards.opened(path) as namespace:
            macs = cards.plugged(namespace)
        running = self._living(amphora_id) is not None
        return Instance(amphora_id=amphora_id, running=running, macs=macs)

    def _end_agent(self, amphora_id: str) -> None:
        first = sandbox.first_process(self._marker(amphora_id), self._console(amphora_id))
        if first is not None:
            sandbox.end_agent(first, self._agent_command)

    def _delete(self, amphora_id: str) -> None:
        path = self._namespace(amphora_id)
        if path is None:
            self._end_processes(amphora_id)
        else:
            with cards.opened(path) as namespace:  # it shall outlive its processes
                self._end_processes(amphora_id)
                cards.unplug_all(namespace)
        cards.drop_namespace(self._namespace_name(amphora_id))
        self._cgroups.remove(amphora_id)
        home = self._home(amphora_id)
        if home.exists():
            shutil.rmtree(home)

    def _end_processes(self, amphora_id: str) -> None:
        marker = self._marker(amphora_id)
        spaces = [cards.NAMES / self._namespace_name(amphora_id)]
        spaces += [Path(f"/proc/{pid}/ns/net") for pid in sandbox.marked(marker)]
        inodes = frozenset(filter(None, map(cards.namespace_inode, spaces)))
        sandbox.end(marker, inodes)

    def _all_ids(self) -> frozenset[str]:
        homes = self._state_dir / "amphorae"
        made = frozenset(home.name for home in homes.iterdir()) if homes.is_dir() else frozenset()
        return made | self._cgroups.ids() | frozenset(cards.named(self._namespace_name("")))

    def _living(self, amphora_id: str) -> int | None:
        record = self._home(amphora_id) / "pid"
        return sandbox.living(record, self._marker(amphora_id), self._console(amphora_id))

    def _namespace(self, amphora_id: str) -> Path | None:
        """The namespace the sandbox runs in, else the one that bears the amphora's name."""
        pid = self._living(amphora_id)
        if pid is not None:
            return Path(f"/proc/{pid}/ns/net")
        path = cards.NAMES / self._namespace_name(amphora_id)
        return path if cards.namespace_inode(path) is not None else None

    def _home(self, amphora_id: str) -> Path:
        return self._state_dir / "amphorae" / amphora_id

    def _console(self, amphora_id: str) -> Path:
        return self._home(amphora_id) / "console.log"

    def _namespace_name(self, amphora_id: str) -> str:
        return f"fl-{self._instance}-{amphora_id}"

    def _marker(self, amphora_id: str) -> str:
        return f"{self._instance}/{amphora_id}"

    async def _off_loop(self, amphora_id: str, work: Callable[[], T]) -> T:
        """Run blocking work for one amphora on a thread, after what runs for it already."""
        if not _UUID.fullmatch(amphora_id):
            raise Refused(f"The amphora id {amphora_id} is not a lower-case UUID with dashes.")
        lock = self._locks[int(amphora_id[:8], 16) % len(self._locks)]

        def locked() -> T:
            _require_tools()
            with lock:
                return work()

        return await _translated(locked)


async def _translated(work: Callable[[], T]) -> T:
    """Run blocking work on a thread, with its errors in the port's words."""
    try:
        return await asyncio.to_thread(work)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise Retryable(f"{' '.join(error.cmd)}: {said}") from error
    except (NetlinkError, OSError, subprocess.TimeoutExpired) as error:
        raise Retryable(f"Amphorae on this host: {error}") from error


def _require_tools() -> None:
    if os.geteuid() != 0:
        raise Permanent("Amphorae on this host need root. Start with: sudo fairlead serve")
    for program, package in _PACKAGES.items():
        if shutil.which(program) is None:
            raise Permanent(f"{program} is missing. Install it with: apt-get install {package}")


def _write_boot(home: Path, boot: Boot) -> None:
    """Make the amphora's directory and put boot.json in place at once, readable by root only.

    The file is written outside of what the amphora can reach, so that no link misleads it.
    """
    (home / "own" / "run").mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    (home / "own").chmod(0o755)  # haproxy drops root and still reaches its sockets
    fresh = home / "boot.json.new"
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.encode(boot))
    fresh.replace(home / "own" / "boot.json")
