"""`python -m fairlead.agent DIRECTORY`: the agent inside an amphora.

Reads DIRECTORY/boot.json, takes over what already runs, and serves until SIGTERM. haproxy is
left running then. Ends with an error only when it cannot start; whoever supervises it starts it
again. Started by the compute drivers.
"""

import asyncio
import signal
import sys
from pathlib import Path

import msgspec

from fairlead.agent import log
from fairlead.agent.apply import Applier
from fairlead.agent.door import Door
from fairlead.agent.haproxy import Haproxy
from fairlead.agent.heart import Heart
from fairlead.agent.home import Home
from fairlead.agent.identity import Identity
from fairlead.agent.observer import Observer
from fairlead.agent.server import AgentServer
from fairlead.errors import Retryable
from fairlead.wire.amphora import AgentStatus

if sys.version_info < (3, 12):
    # A thread per child is what this version does otherwise.
    asyncio.set_child_watcher(asyncio.PidfdChildWatcher())


async def serve(directory: Path) -> None:
    """Run the agent until SIGTERM or SIGINT."""
    home = Home(directory)
    boot = home.boot()
    log.bind(boot.amphora_id)
    haproxy = Haproxy(home)
    observer = Observer(home, haproxy)
    applier = Applier(home, haproxy, observer)
    heart = Heart(boot, applier, observer)

    async def status() -> AgentStatus:
        await observer.look(patient=applier.busy)
        return AgentStatus(
            amphora_id=boot.amphora_id,
            revision=applier.revision(),
            report=heart.report(),
            held=applier.held(),
            not_after=identity.ends,
        )

    identity = Identity(home, boot)
    door = await Door.open(boot.listen, boot.agent_port, identity.context)
    identity.shown_by(door.show)
    server = AgentServer(boot.amphora_id, applier.apply, status, identity.renew)
    tasks = [asyncio.create_task(server.serve(door))]
    log.event("agent serves", address=boot.listen, port=boot.agent_port)
    await applier.adopt()
    tasks += [asyncio.create_task(applier.watch()), asyncio.create_task(heart.beat())]
    ended = asyncio.create_task(_asked_to_end())
    await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()
    await applier.finish()
    log.event("agent ends")


async def _asked_to_end() -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    await asked.wait()


def main() -> int:
    """Exit status: 0 after SIGTERM, 1 when the directory is unusable, 2 when none is given."""
    if len(sys.argv) != 2:
        print("usage: python -m fairlead.agent DIRECTORY", file=sys.stderr)
        return 2
    try:
        asyncio.run(serve(Path(sys.argv[1]).absolute()))
    except (OSError, Retryable, msgspec.MsgspecError) as error:
        log.event("agent cannot run", reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
