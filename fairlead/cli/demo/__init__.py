"""`fairlead demo`: a load balancer with real traffic on this host, shown and checked step by step.

It starts the real service, uses its API alone, and takes everything away again, also after
Ctrl-C and after a failed step. Exit status 0 only when each step truly worked.
"""

import asyncio
import os
import signal
import time

from fairlead.cli.demo import earlier
from fairlead.cli.demo.client import Trouble
from fairlead.cli.demo.screen import Screen
from fairlead.cli.demo.stage import Stage
from fairlead.cli.demo.story import tell
from fairlead.cli.doctor import missing
from fairlead.cli.invocation import command
from fairlead.errors import Refused


def demo() -> int:
    """Run it; the exit status."""
    if os.geteuid() != 0:
        raise Refused(
            "The demo makes network namespaces and needs root: sudo make demo. "
            f"Without root: {command('serve', '--drivers', 'fake')}"
        )
    lacking = missing()
    if lacking:
        raise Refused(
            f"This host lacks {', '.join(lacking)}. "
            f"Run: {command('doctor')}, which says how to get it."
        )
    return asyncio.run(_demo())


async def _demo() -> int:
    screen, started = Screen(), time.monotonic()
    await earlier.remove(screen.say)
    stage = Stage(screen)
    _end_on_sigterm()
    worked = False
    try:
        with screen.shown():
            await tell(stage)
        worked = True
    except Trouble as error:
        screen.failed(str(error))
        await stage.explain()
    except asyncio.CancelledError:
        screen.failed("Interrupted: removing everything")
    finally:
        problems = await _clean_up(stage)
    for one in problems:
        screen.failed(one)
    if not problems:
        screen.done("Nothing is left: no namespace, link, process, cgroup, packet filter or file")
    if problems or not worked:
        return 1
    screen.say(f"Every step worked, in {time.monotonic() - started:.0f} s. Next: make serve")
    return 0


async def _clean_up(stage: Stage) -> list[str]:
    """Whatever happened; a second Ctrl-C does not stop it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return await stage.clean_up()


def _end_on_sigterm() -> None:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - asyncio.run made one
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
