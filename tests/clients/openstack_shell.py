"""The unmodified `openstack` command, many times in one process: its start costs two seconds.

Run as a program by `Openstack` (see driving.py). Reads a JSON list of arguments from each line of
its standard input, runs the command line's own entry point on them, and answers with a line of
JSON: the exit status, what it printed, and what it complained of.
"""

import contextlib
import io
import json
import sys
import warnings

from openstackclient.shell import main


def run(arguments: list[str]) -> dict[str, object]:
    """One command."""
    said, complained = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
        try:
            status = main(arguments)
        except SystemExit as ended:
            status = ended.code
    return {"status": status, "out": said.getvalue(), "err": complained.getvalue()}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)
