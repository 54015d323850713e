"""Long-running processes that providers bring along (entry points of provider agents).

Each is a child process that runs what the entry point stands for with a multiprocessing Event,
which is set when it shall end. One that dies is started again; one that outlives its parent, or
does not end when asked, is ended. Started by the wiring for the agents that the settings name.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event

import structlog

from fairlead.drivers.provider_octavia_lib.loading import AGENTS, load
from fairlead.drivers.provider_octavia_lib.threads import begin

log = structlog.get_logger()
_LONGEST_PAUSE = 30.0
_PATIENCE = 5.0
_STEADY = 60.0


class Agents:
    """Use as an async context manager."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self._keepers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Agents":
        self._keepers = [asyncio.create_task(_keep(name)) for name in self._names]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)


async def _keep(name: str) -> None:
    """Have one agent run until cancelled; pauses between its lives grow while they are short."""
    pause = 1.0
    while True:
        context = multiprocessing.get_context("spawn")
        end = context.Event()
        process: SpawnProcess = context.Process(
            target=run, args=(name, end), name=f"fairlead {name}"
        )
        loop = asyncio.get_running_loop()
        began = loop.time()
        process.start()
        try:
            await _ended(process)
        finally:
            await _end(process, end)
        log.error("a provider's agent ended", name=name, exit_code=process.exitcode)
        pause = 1.0 if loop.time() - began > _STEADY else min(pause * 2, _LONGEST_PAUSE)
        await asyncio.sleep(pause)


async def _ended(process: SpawnProcess) -> None:
    """Wait for the process; its sentinel becomes readable when it is gone."""
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(process.sentinel, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(process.sentinel)


async def _end(process: SpawnProcess, end: Event) -> None:
    """Ask it to end, then insist.

    Setting an event waits until those who wait for it are awake, for ever if they died: not here.
    """
    if process.is_alive():
        begin(end.set)
    for insist in (process.is_alive, process.terminate, process.kill):
        if process.is_alive():
            insist()
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await _ended(process)


def run(name: str, end: Event) -> None:
    """In the child: run the agent until it returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the parent, which tells us
    threading.Thread(target=_outlive_nobody, args=(end,), daemon=True).start()
    agent: Callable[[Event], object] = load(AGENTS, name)
    agent(end)


def _outlive_nobody(end: Event) -> None:
    """A parent that was killed sets no event."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        end.set()
        threading.Event().wait(_PATIENCE)
        os._exit(1)
