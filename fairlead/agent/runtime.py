"""Making the running haproxy match changed server lines without a reload.

PURE. `commands` says what to ask haproxy for, with the answer that means success; any other
answer means that the change needs a reload. Called by haproxy. Formats: haproxy 2.6 management
guide. Learnt from 2.6.12: an added server starts in maintenance with its health check off, and
"del server" works on servers of the configuration file too, but only in maintenance and without
connections.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec.structs import replace

from fairlead.wire.amphora import Server

_UNSAFE = frozenset(";\\\"'#\n\r")
_ADDED = "New server registered."
_DELETED = "Server deleted."
_ADJUSTABLE = re.compile(
    r"^( *server .*) weight (?:25[0-6]|2[0-4]\d|1\d\d|\d\d?)(?: disabled)?$", re.MULTILINE
)


class Command(NamedTuple):
    """A command for the current worker; `patient` ones may succeed a moment later."""

    text: str
    success: str
    patient: bool = False


def commands(old: Iterable[Server], new: Iterable[Server]) -> list[Command] | None:
    """What turns `old` into `new`, additions first; None when only a reload can."""
    before = {(server.backend, server.name): server for server in old}
    after = {(server.backend, server.name): server for server in new}
    wanted: list[Command] = []
    for key, server in after.items():
        known = before.get(key)
        if known is None:
            if not _addable(server):
                return None
            wanted += _add(server)
        elif not _same_line(known, server):
            return None
        else:
            wanted += _adjust(known, server)
    gone = [server for key, server in before.items() if key not in after]
    if not all(server.dynamic for server in gone):
        return None
    return wanted + [command for server in gone for command in _remove(server)]


def equally_valid(known: str, text: str) -> bool:
    """Whether `text` is right if `known` is: haproxy.cfg with other weights and states at most.

    Judged by the texts alone, so that it holds whatever else the controller says about them.
    """
    return _ADJUSTABLE.sub(r"\1", known) == _ADJUSTABLE.sub(r"\1", text)


def surviving_state(dump: str, old: Iterable[Server], new: Iterable[Server]) -> str:
    """The part of a "show servers state" `dump` that may be loaded by a haproxy that runs `new`.

    A loaded state overrules the configuration's port, maintenance and weight (seen with 2.6.12),
    so only servers whose line is the same and whose running state agrees with it are kept.
    """
    before = {(server.backend, server.name): server for server in old}
    keep = {
        (server.backend, server.name): server
        for server in new
        if server.enabled
        and (known := before.get((server.backend, server.name))) is not None
        and _same_line(known, server)
    }
    return "".join(f"{line}\n" for line in dump.splitlines() if _keeps(line.split(), keep))


def _keeps(cells: list[str], keep: dict[tuple[str, str], Server]) -> bool:
    if len(cells) < 19 or cells[0] == "#":
        return True
    server = keep.get((cells[1], cells[3]))
    return server is not None and (cells[4], cells[18], cells[6], cells[7]) == (
        server.address,
        str(server.port),
        "0",
        str(server.weight),
    )


def _same_line(old: Server, new: Server) -> bool:
    """Whether the two differ at most in what can be set at run time."""
    return replace(old, weight=0, enabled=True) == replace(new, weight=0, enabled=True)


def _addable(server: Server) -> bool:
    return server.dynamic and not _UNSAFE.intersection(server.options)


def _add(server: Server) -> Iterator[Command]:
    target = f"{server.backend}/{server.name}"
    address = f"[{server.address}]" if ":" in server.address else server.address
    yield Command(
        f"add server {target} {address}:{server.port} {server.options} weight {server.weight}",
        _ADDED,
    )
    if "check" in server.options.split():
        yield Command(f"enable health {target}", "")
    if server.enabled:
        yield Command(f"set server {target} state ready", "")


def _adjust(old: Server, new: Server) -> Iterator[Command]:
    target = f"{new.backend}/{new.name}"
    if old.weight != new.weight:
        yield Command(f"set server {target} weight {new.weight}", "")
    if old.enabled != new.enabled:
        state = "ready" if new.enabled else "maint"
        yield Command(f"set server {target} state {state}", "")


def _remove(server: Server) -> Iterator[Command]:
    target = f"{server.backend}/{server.name}"
    yield Command(f"set server {target} state maint", "")
    yield Command(f"del server {target}", _DELETED, patient=True)
