"""`fairlead rekey`: seal users' secrets with a new key, and forget the old ones.

For when a copy of the key file may have been seen, or as a habit. The service must be stopped, as
it would go on with the old key; traffic is not touched.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from fairlead.errors import Refused
from fairlead.settings import default_state_dir, load
from fairlead.wiring import renew_secret_keys


def rekey(options: argparse.Namespace) -> int:
    """Do it; the exit status."""
    state_dir = (options.state_dir or default_state_dir()).absolute()
    settings = load(state_dir, options.config)
    if not (Path(settings.state_dir) / "fairlead.db").exists():
        raise Refused(f"No Fairlead was ever started with the state directory {state_dir}.")
    done = asyncio.run(renew_secret_keys(settings))
    print(f"Secrets sealed with a new key: {done}.", file=sys.stderr)
    return 0
