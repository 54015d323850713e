"""Finding what third parties have installed, by their entry points.

Called by provider.py and agents.py.
"""

from importlib.metadata import entry_points
from typing import Any

import structlog

from fairlead.errors import Unavailable

log = structlog.get_logger()
DRIVERS = "octavia.api.drivers"
AGENTS = "octavia.driver_agent.provider_agents"


def load(group: str, name: str) -> Any:
    """What the entry point stands for; `Unavailable` when there is none, or it cannot be imported.

    Slow the first time: it reads what is installed, and imports.
    """
    found = list(entry_points(group=group, name=name))
    if not found:
        log.error("no such entry point", group=group, name=name)
        raise Unavailable(name)
    try:
        return found[0].load()
    except Exception as error:
        # Whatever somebody else's module does wrong.
        log.exception("a provider's driver cannot be loaded", group=group, name=name)
        raise Unavailable(name) from error
