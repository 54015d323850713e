"""What a sandbox shows of the host, as far as the command line tells."""

import sys
from pathlib import Path

import fairlead
from fairlead.drivers.compute_host import sandbox


def test_nothing_that_is_shown_is_covered_again() -> None:
    """Python and this package may well lie in /tmp or /run: a checkout somebody tries out."""
    words = sandbox.bwrap("marker", Path("/own"), Path("/state"), ("agent",))
    empty = [i for i, word in enumerate(words) if word == "--tmpfs"]
    shown = [words.index(str(Path(fairlead.__file__).parent))]
    if not Path(sys.prefix).is_relative_to("/usr"):
        shown.append(words.index(str(Path(sys.prefix))))
    assert [words[i + 1] for i in empty] == ["/run", "/tmp"]
    assert max(empty) < min(shown)
