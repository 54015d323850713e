"""The haproxy of this amphora: checking, starting, reloading, changing at run time, stopping.

Invariants: haproxy runs in master-worker mode in a session of its own and outlives the agent,
which finds it again by its pid file. haproxy.cfg only ever holds text that passed the check, or
that differs from such text in weights and states of servers only. A reload that fails leaves the
old workers in charge. Not safe for concurrent use: apply holds the lock. haproxy is not run with
-D, because then the reason of a failed reload is lost; its messages go to run/haproxy.log. Learnt
from haproxy 2.6.12.
"""

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import Iterable

from fairlead.agent import log
from fairlead.agent.commands import run
from fairlead.agent.home import Home, replace_file
from fairlead.agent.master import Master, Processes
from fairlead.agent.runtime import Command, commands, surviving_state
from fairlead.errors import Permanent, Retryable
from fairlead.wire.amphora import Server

_ALERT = re.compile(r"^\[ALERT\]\s+\(\d+\) : (?:config : )?(.*)$", re.MULTILINE)
_PLACE = re.compile(r"(?:parsing )?\[[^\[\]]*:(\d+)\] ?:? ?")
_EMPTY_STATE = b"1\n"
_MESSAGE = 2000
_LOG = 1 << 20
_UP_SECONDS = 15.0
_DRAIN_SECONDS = 3.0
_KILL_SECONDS = 5.0
_DELETE_TRIES = 5


class StillRuns(Retryable):
    """A reload failed, and what ran before it runs on."""


class Haproxy:
    """One master process and its workers."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._child: subprocess.Popen[bytes] | None = None
        self.master = Master(home.master_socket)

    def pid(self) -> int | None:
        """The master's process id while it lives."""
        if self._child is not None and self._child.poll() is not None:
            self._child = None
        try:
            pid = int(self._home.pid_file.read_text())
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                arguments = file.read().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if str(self._home.haproxy_cfg).encode() in arguments else None

    async def check(self, text: str) -> None:
        """Leave `text` as the candidate file; `Permanent` with haproxy's words if it is wrong."""
        replace_file(self._home.candidate, text.encode())
        self._home.server_state.touch(mode=0o600)
        outcome = await run("haproxy", "-c", "-f", str(self._home.candidate), seconds=20.0)
        if outcome.status != 0:
            raise Permanent(complaint(outcome.stderr))

    def install(self, text: str) -> None:
        """Make `text`, known to be right, the configuration of the next start or reload."""
        replace_file(self._home.haproxy_cfg, text.encode())

    async def start(self) -> None:
        """Start from haproxy.cfg; `Retryable` with haproxy's words when it does not come up."""
        # What a server was before a crash says nothing about now.
        replace_file(self._home.server_state, _EMPTY_STATE)
        self._home.master_socket.unlink(missing_ok=True)
        self.trim_log()
        begin = self._log_size()
        child = self._child = self._spawn()
        for _ in range(int(_UP_SECONDS / 0.01)):
            if child.poll() is not None:
                raise Retryable(f"haproxy does not start: {self._complaint_since(begin)}")
            if await self._answers():
                log.event("haproxy started", pid=child.pid)
                return
            await asyncio.sleep(0.01)
        child.kill()
        raise Retryable(f"haproxy did not start in {_UP_SECONDS:g} s")

    async def reload(self, old: Iterable[Server], new: Iterable[Server]) -> None:
        """Let new workers run haproxy.cfg while old ones finish.

        `StillRuns` with haproxy's words when they do not come up, `Retryable` when nobody knows.
        Servers that are the same in `old` and `new` keep their health.
        """
        pid = self.pid()
        if pid is None:
            raise Retryable("haproxy does not run")
        before = await self.master.processes()
        await self._keep_health(old, new)
        self.trim_log()
        begin = self._log_size()
        os.kill(pid, signal.SIGUSR2)
        after = await self._reloaded(before)
        if after.failed or not after.workers or after.workers[0] in before.workers:
            raise StillRuns(f"haproxy does not reload: {self._complaint_since(begin)}")
        log.event("haproxy reloaded", worker=after.workers[0], workers=len(after.workers))

    async def adjust(self, old: Iterable[Server], new: Iterable[Server]) -> bool:
        """Change servers without a reload; False when a reload must do (what was done stays)."""
        wanted = commands(old, new)
        if wanted is None:
            return False
        for command in wanted:
            if not await self._obeys(command):
                return False
        return True

    async def stop(self) -> None:
        """End haproxy: connections get 3 s to finish."""
        for number, seconds in (
            (signal.SIGUSR1, _DRAIN_SECONDS),
            (signal.SIGTERM, 2.0),
            (signal.SIGKILL, 2.0),
        ):
            pid = self.pid()
            if pid is None:
                break
            os.kill(pid, number)
            await self._gone(seconds)
        self._home.haproxy_cfg.unlink(missing_ok=True)
        log.event("haproxy stopped")

    async def kill(self) -> None:
        """End a haproxy that hangs, with all of its workers; `Retryable` when it does not end."""
        pid = self.pid()
        if pid is None:
            return
        for _ in range(int(_KILL_SECONDS / 0.02)):
            try:
                os.killpg(pid, signal.SIGKILL)  # It leads a group, for it has its own session.
            except ProcessLookupError:
                return
            self.pid()  # A child of ours is in its group until it is collected.
            await asyncio.sleep(0.02)
        raise Retryable("haproxy hangs and does not end")

    def trim_log(self) -> None:
        """Empty haproxy's message file once it has grown past a megabyte."""
        if self._log_size() > _LOG:
            os.truncate(self._home.haproxy_log, 0)

    def _spawn(self) -> subprocess.Popen[bytes]:
        """Not asyncio's subprocess: its transport kills the child when the agent ends."""
        home = self._home
        argv = ("-W", "-S", str(home.master_socket), "-p", str(home.pid_file))
        messages = os.open(home.haproxy_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return subprocess.Popen(
                ["haproxy", *argv, "-f", str(home.haproxy_cfg)],
                stdin=subprocess.DEVNULL,
                stdout=messages,
                stderr=messages,
                start_new_session=True,
                umask=0o077,
            )
        except OSError as error:
            raise Retryable(f"haproxy cannot be run: {error.strerror}") from error
        finally:
            os.close(messages)

    async def _answers(self) -> bool:
        try:
            return bool((await self.master.processes()).workers)
        except Retryable:
            return False

    async def _reloaded(self, before: Processes) -> Processes:
        """Who runs once the reload that was asked for has ended, well or not."""
        for _ in range(int(_UP_SECONDS / 0.01)):
            await asyncio.sleep(0.01)
            try:
                after = await self.master.processes()
            except Retryable:
                continue
            if after.reloads > before.reloads:
                return after
        raise Retryable(f"haproxy did not reload in {_UP_SECONDS:g} s")

    async def _keep_health(self, old: Iterable[Server], new: Iterable[Server]) -> None:
        dump = await self.master.ask("@1 show servers state")
        replace_file(self._home.server_state, surviving_state(dump, old, new).encode())

    async def _obeys(self, command: Command) -> bool:
        for attempt in range(_DELETE_TRIES if command.patient else 1):
            if attempt:
                await asyncio.sleep(0.02 * attempt)
            answer = await self.master.ask(f"@1 {command.text}")
            if answer == command.success:
                return True
        log.event("haproxy wants a reload", command=command.text, answer=answer[:200])
        return False

    async def _gone(self, seconds: float) -> None:
        for _ in range(int(seconds / 0.02)):
            if self.pid() is None:
                return
            await asyncio.sleep(0.02)

    def _log_size(self) -> int:
        try:
            return self._home.haproxy_log.stat().st_size
        except FileNotFoundError:
            return 0

    def _complaint_since(self, begin: int) -> str:
        with open(self._home.haproxy_log, "rb") as file:
            file.seek(begin)
            return complaint(file.read(64 * 1024).decode(errors="replace"))


def complaint(messages: str) -> str:
    """What haproxy objects to: its alerts with line numbers, without paths and process ids."""
    alerts = [
        _PLACE.sub(r"line \1: ", text, count=1)
        for text in _ALERT.findall(messages)
        if "rror(s) found" not in text and "Fatal errors found" not in text
    ]
    return "; ".join(alerts)[:_MESSAGE] or messages.strip()[-_MESSAGE:] or "haproxy gave no reason"
