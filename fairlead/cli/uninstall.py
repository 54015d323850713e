"""`fairlead uninstall`: take all that a stopped service made on this host away again.

The opposite of the first start: amphorae with their namespaces, bridges and the packet filter go,
the state directory is left for the operator to delete. The demo ends with the same call.
"""

import argparse
import asyncio
import os
import sys

import msgspec

from fairlead.errors import Refused
from fairlead.settings import default_state_dir, load
from fairlead.wiring import uninstall as remove_from_host


def uninstall(options: argparse.Namespace) -> int:
    """Remove it; the exit status."""
    state_dir = (options.state_dir or default_state_dir()).absolute()
    if not (state_dir / "instance").exists():
        raise Refused(f"No Fairlead was ever started with the state directory {state_dir}.")
    if os.geteuid() != 0:
        raise Refused("Amphorae and networks are root's: sudo fairlead uninstall")
    if not options.yes:
        raise Refused(
            f"This removes every load balancer of {state_dir} from this host. "
            "To have that: fairlead uninstall --yes"
        )
    settings = msgspec.structs.replace(load(state_dir, options.config), state_dir=str(state_dir))
    asyncio.run(remove_from_host(settings))
    print(f"What is left is the state directory. To delete it: rm -r {state_dir}", file=sys.stderr)
    return 0
