"""`fairlead uninstall`: take all that a stopped service made on this host away again.

The opposite of the first start: amphorae with their namespaces, bridges and the packet filter go,
the state directory is left for the operator to delete. A configuration that is damaged does not
matter: only the state directory is looked up in it. The demo ends with the same call.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from fairlead.cli.invocation import command
from fairlead.errors import Refused
from fairlead.settings import Settings, default_state_dir, load
from fairlead.wiring import uninstall as remove_from_host


def uninstall(options: argparse.Namespace) -> int:
    """Remove it; the exit status."""
    state_dir = _state_dir(options)
    if (state_dir / "instance").exists():
        _check(state_dir, options)
        asyncio.run(remove_from_host(Settings(state_dir=str(state_dir))))
    elif (state_dir / "fairlead.db").exists():
        print("Only an in-memory world was served: nothing is on this host.", file=sys.stderr)
    else:
        raise Refused(f"No Fairlead was ever started with the state directory {state_dir}.")
    print(f"What is left is the state directory. To delete it: rm -r {state_dir}", file=sys.stderr)
    return 0


def _check(state_dir: Path, options: argparse.Namespace) -> None:
    if os.geteuid() != 0:
        again = command("uninstall", given=options)
        raise Refused(f"Amphorae and networks are root's: sudo {again}")
    if not options.yes:
        raise Refused(
            f"This removes every load balancer of {state_dir} from this host. "
            f"To have that: {command('uninstall', '--yes', given=options)}"
        )


def _state_dir(options: argparse.Namespace) -> Path:
    if options.state_dir:
        return Path(options.state_dir).absolute()
    try:
        return Path(load(default_state_dir(), options.config).state_dir).absolute()
    except Refused as error:
        if options.config:
            raise Refused(f"{error} To do without it: --state-dir DIR") from error
        return default_state_dir()
