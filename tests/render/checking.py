"""haproxy's own opinion of a configuration, and how its lines fall into words."""

import shlex
import subprocess
import tempfile
from pathlib import Path

from fairlead.render.haproxy import Haproxy, Site, haproxy

SITE = Site(maxconn=2000, directory="/var/lib/amphora", ping_command="/usr/lib/fairlead/ping.sh")
__all__ = ["SITE", "Haproxy", "complaints", "haproxy", "words"]


def complaints(text: str) -> str:
    """What `haproxy -c` says when it refuses the text; empty when it takes it."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "haproxy.cfg"
        path.write_text(text, encoding="utf-8")
        done = subprocess.run(
            ["haproxy", "-c", "-f", str(path)], capture_output=True, text=True, timeout=60
        )
    return "" if done.returncode == 0 else done.stderr + done.stdout


def words(text: str) -> list[list[str]]:
    """The lines as words, cut by somebody else's reading of the same quotes."""
    return [shlex.split(line) for line in text.split("\n")]
