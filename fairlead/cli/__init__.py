"""The command line: `fairlead serve | user | demo | doctor | rekey | uninstall`, a module each."""

import argparse
import os
import signal
import sys
from pathlib import Path

from fairlead import __version__
from fairlead.cli.invocation import directory
from fairlead.errors import FairleadError


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status. Errors meant for people are one line, no traceback."""
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read it, such as `head`, has seen enough
        _say_no_more()
        return 1


def _run(arguments: list[str] | None) -> int:
    options = _parser().parse_args(arguments)
    # `su` leaves these out of root's PATH; nft and others are there.
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    try:
        return int(options.run(options))
    except FairleadError as error:
        print(f"fairlead: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _say_no_more() -> None:
    """Let nothing fail that is still to be written, also at the end of the process."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fairlead", description="Load balancing as a service.")
    parser.add_argument("--version", action="version", version=f"fairlead {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run the whole service in this process")
    serve.add_argument("--state-dir", type=directory, help="where everything is kept")
    serve.add_argument("--listen", metavar="ADDR:PORT", help="default 127.0.0.1:9876")
    serve.add_argument("--config", type=Path, help="default: fairlead.toml in the state directory")
    serve.add_argument("--drivers", choices=["host", "fake"], help="fake: an in-memory world")
    serve.add_argument(
        "--auth", choices=["http_basic", "keystone", "noauth"], help="noauth: for tests only"
    )
    serve.add_argument(
        "--step-seconds", type=float, help="with --drivers fake: how long each step takes"
    )
    serve.add_argument("--verbose", action="store_true", help="log every step to stderr")
    serve.set_defaults(run=_serve)
    demo = commands.add_parser("demo", help="show a load balancer with real traffic")
    demo.set_defaults(run=_demo)
    doctor = commands.add_parser("doctor", help="say what this host lacks and how to get it")
    doctor.add_argument("--state-dir", type=directory, help="as for serve")
    doctor.add_argument("--listen", metavar="ADDR:PORT", help="as for serve")
    doctor.add_argument("--config", type=Path, help="as for serve")
    doctor.set_defaults(run=_doctor)
    rekey = commands.add_parser("rekey", help="seal users' secrets with a new key")
    rekey.add_argument("--state-dir", type=directory, help="as for serve")
    rekey.add_argument("--config", type=Path, help="as for serve")
    rekey.set_defaults(run=_rekey)
    uninstall = commands.add_parser("uninstall", help="remove what the service made on this host")
    uninstall.add_argument("--state-dir", type=directory, help="as for serve")
    uninstall.add_argument("--config", type=Path, help="as for serve")
    uninstall.add_argument("--yes", action="store_true", help="every load balancer goes")
    uninstall.set_defaults(run=_uninstall)
    from fairlead.cli.users import add_parser

    add_parser(commands)
    return parser


def _serve(options: argparse.Namespace) -> int:
    # Whoever stops it while it begins, even while modules are read, gets a clean end, too.
    for caught in (signal.SIGTERM, signal.SIGINT):
        signal.signal(caught, lambda *_: sys.exit(0))
    from fairlead.cli.serve import serve

    return serve(options)


def _demo(options: argparse.Namespace) -> int:
    from fairlead.cli.demo import demo

    return demo()


def _doctor(options: argparse.Namespace) -> int:
    from fairlead.cli.doctor import doctor

    return doctor(options)


def _rekey(options: argparse.Namespace) -> int:
    from fairlead.cli.rekey import rekey

    return rekey(options)


def _uninstall(options: argparse.Namespace) -> int:
    from fairlead.cli.uninstall import uninstall

    return uninstall(options)
