"""`fairlead user ...`: who may log in with name and password, and as what.

A running service knows of every change at once. A password comes from a prompt, or from the first
line of standard input, and never from the command line, which others can read.
"""

import argparse
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path

from fairlead.api.http_basic import Account
from fairlead.api.user_files import UserFiles, check_password
from fairlead.errors import Refused
from fairlead.settings import default_state_dir, load

_ROLES = {"admin", "manager", "member", "reader", "service"}


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command `user` with its own commands."""
    user = commands.add_parser("user", help="add, change, remove and list users")
    verbs = user.add_subparsers(required=True, metavar="ACTION")
    for name, (run, said) in _VERBS.items():
        verb = verbs.add_parser(name, help=said)
        verb.set_defaults(run=run)
        if name != "list":
            verb.add_argument("name", metavar="NAME")
        if name in ("add", "set"):
            verb.add_argument("--project", required=name == "add", help="where the user works")
            verb.add_argument("--role", action="append", default=[], metavar="ROLE",
                              help="reader, member or admin; may be repeated")  # fmt: skip
        verb.add_argument("--state-dir", type=Path, help="as for serve")
        verb.add_argument("--config", type=Path, help="as for serve")


def _add(options: argparse.Namespace) -> int:
    files = _files(options)
    if options.name in files.all():
        raise Refused(f"User '{options.name}' exists already.")
    account = Account(options.project, tuple(options.role) or ("member",))
    files.add(options.name, _password(), account)
    _say_what_may_surprise(files, account.roles)
    return 0


def _set(options: argparse.Namespace) -> int:
    if not options.project and not options.role:
        raise Refused("What shall change? Give --project, --role, or both.")
    files = _files(options)
    files.change(options.name, options.project, tuple(options.role))
    _say_what_may_surprise(files, options.role)
    return 0


def _remove(options: argparse.Namespace) -> int:
    files = _files(options)
    files.remove(options.name)
    _say_what_may_surprise(files)
    return 0


def _password_of(options: argparse.Namespace) -> int:
    files = _files(options)
    if options.name not in files.all():
        raise Refused(f"User '{options.name}' does not exist.")
    files.set_password(options.name, _password())
    return 0


def _list(options: argparse.Namespace) -> int:
    rows = [("NAME", "PROJECT", "ROLES")]
    for name, (account, may_log_in) in _files(options).all().items():
        roles = ",".join(account.roles) if account else ""
        note = "" if may_log_in else " (no password)"
        rows.append((name, account.project_id if account else "-", f"{roles or '-'}{note}"))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, project, roles in rows:
        print(f"{name:{widths[0]}}  {project:{widths[1]}}  {roles}")
    return 0


def _say_what_may_surprise(files: UserFiles, roles: Sequence[str] = ()) -> None:
    """What was done and is seldom meant: a mistyped role, nobody left who may do everything."""
    for role in sorted({*roles} - _ROLES):
        print(
            f"fairlead: Role '{role}' is none of {', '.join(sorted(_ROLES))}: it counts only where "
            "a policy file names it.",
            file=sys.stderr,
        )
    if not any(one and "admin" in one.roles and may for one, may in files.all().values()):
        print("fairlead: No user who can log in is an admin now.", file=sys.stderr)


_VERBS = {
    "add": (_add, "a new user; asks for a password"),
    "set": (_set, "another project, other roles"),
    "password": (_password_of, "another password"),
    "remove": (_remove, "a user goes"),
    "list": (_list, "all of them"),
}


def _files(options: argparse.Namespace) -> UserFiles:
    if options.state_dir:
        return UserFiles(options.state_dir.absolute())
    return UserFiles(Path(load(default_state_dir(), options.config).state_dir).absolute())


def _password() -> str:
    if not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise Refused("The two are not the same.")
    check_password(password)
    return password
