"""haproxy's own opinion of a configuration, and how its lines fall into words."""

import re
import shlex
import subprocess
import tempfile
from pathlib import Path

from fairlead.domain import tls
from fairlead.domain.tree import Tree
from fairlead.render.haproxy import Haproxy, Site, haproxy
from tests.authority import some

SITE = Site(maxconn=2000, directory="/var/lib/amphora", ping_command="/usr/lib/fairlead/ping.sh")
__all__ = ["SITE", "Haproxy", "complaints", "haproxy", "named", "rendered", "words"]


_FILE = re.compile(r"/var/lib/amphora/certificates/(\S+)")


def named(tree: Tree) -> dict[str, str]:
    """Names of files for all certificates of a tree, each telling what it is for."""
    speakers = [*tree.listeners, *tree.pools]
    needs = {need.source: need for one in speakers for need in tls.needs(one)}
    return {s: f"{need.field}-{n}.pem" for n, (s, need) in enumerate(needs.items(), start=1)}


def rendered(tree: Tree) -> Haproxy:
    """As an amphora that holds all certificates shall have it."""
    return haproxy(tree, SITE, named(tree))


def _content(name: str) -> str:
    if name.endswith(".list"):
        return ""
    kinds = {"_ca_": "authority", "ca_": "authority", "_crl_": "revoked", "crl_": "revoked"}
    kind = next((k for part, k in kinds.items() if part in name), "bundle")
    return some()[kind]


def complaints(text: str) -> str:
    """What `haproxy -c` says when it refuses the text; empty when it takes it.

    Files of certificates that the text names are there, whatever they are called.
    """
    with tempfile.TemporaryDirectory() as directory:
        for name in _FILE.findall(text):
            (Path(directory) / name).write_text(_content(name))
        text = _FILE.sub(rf"{directory}/\1", text)
        path = Path(directory) / "haproxy.cfg"
        path.write_text(text, encoding="utf-8")
        done = subprocess.run(
            ["haproxy", "-c", "-f", str(path)], capture_output=True, text=True, timeout=60
        )
    return "" if done.returncode == 0 else done.stderr + done.stdout


def words(text: str) -> list[list[str]]:
    """The lines as words, cut by somebody else's reading of the same quotes."""
    return [shlex.split(line) for line in text.split("\n")]
