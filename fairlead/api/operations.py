"""Every operation of the API, as data: app.py serves this list, openapi.py describes it.

One set of functions serves all kinds. Paths are relative to the version ("/v2" or "/v2.0");
what stands below "lbaas" also answers directly below the version.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import Literal

from litestar import Response
from msgspec import Struct

from fairlead.api import balancers, reading, writing
from fairlead.api.calls import Call
from fairlead.domain.model import KINDS

Action = Callable[[Call], Awaitable[Response[bytes]]]
Method = Literal["GET", "POST", "PUT", "DELETE"]

VERSIONS = ("/v2", "/v2.0")

# Where each kind's objects are found.
COLLECTIONS: dict[str, str] = {
    "loadbalancer": "lbaas/loadbalancers",
    "listener": "lbaas/listeners",
    "pool": "lbaas/pools",
    "member": "lbaas/pools/{pool_id}/members",
    "healthmonitor": "lbaas/healthmonitors",
    "l7policy": "lbaas/l7policies",
    "l7rule": "lbaas/l7policies/{l7policy_id}/rules",
}


class Operation(Struct, frozen=True, kw_only=True):
    """One method on one path.

    `takes` and `gives` name the bodies in openapi.py's terms: "create", "update", "batch" for
    requests; "one", "list", "statuses", "stats", "events" for answers, None for no body.
    `flag` is the query parameter that it alone understands.
    """

    method: Method
    path: str
    kind: str
    name: str
    summary: str
    action: Action
    status: int = 200
    takes: str | None = None
    gives: str | None = None
    flag: str | None = None


def operations() -> Iterator[Operation]:
    """All of them."""
    for kind in KINDS:
        yield from _of_kind(kind)
    yield from _of_balancers()
    yield Operation(
        method="GET", path="lbaas/listeners/{listener_id}/stats", kind="listener",
        name="get_listener_stats", summary="Show the traffic of a Listener.",
        action=reading.show_stats, gives="stats",
    )  # fmt: skip
    yield Operation(
        method="PUT", path=COLLECTIONS["member"], kind="member", name="replace_members",
        summary="Make a pool's Members the given ones, matched by address and port.",
        action=writing.replace_members, status=202, takes="batch", flag="additive_only",
    )  # fmt: skip


def _of_kind(kind: str) -> Iterator[Operation]:
    word, plural, path = KINDS[kind].word, KINDS[kind].plural, COLLECTIONS[kind]
    creating = balancers.create_balancer if kind == "loadbalancer" else writing.create
    rows: tuple[tuple[Method, str, str, str, Action, int, str | None, str | None], ...] = (
        ("GET", path, f"list_{plural}", f"List {plural}.", reading.show_list, 200, None, "list"),
        ("POST", path, f"create_{kind}", f"Create a {word}.", creating, 201, "create", "one"),
        ("GET", f"{path}/{{{kind}_id}}", f"get_{kind}", f"Show a {word}.",
         reading.show, 200, None, "one"),
        ("PUT", f"{path}/{{{kind}_id}}", f"update_{kind}", f"Change a {word}.",
         writing.update, 200, "update", "one"),
        ("DELETE", f"{path}/{{{kind}_id}}", f"delete_{kind}", f"Delete a {word}.",
         writing.delete, 204, None, None),
    )  # fmt: skip
    for method, where, name, summary, action, status, takes, gives in rows:
        yield Operation(
            method=method, path=where, kind=kind, name=name, summary=summary, action=action,
            status=status, takes=takes, gives=gives,
            flag="cascade" if name == "delete_loadbalancer" else None,
        )  # fmt: skip


def _of_balancers() -> Iterator[Operation]:
    below = COLLECTIONS["loadbalancer"] + "/{loadbalancer_id}"
    rows: tuple[tuple[str, str, str, Action, str], ...] = (
        (f"{below}/status", "get_loadbalancer_status", "Show the status tree.",
         reading.show_statuses, "statuses"),
        (f"{below}/statuses", "get_loadbalancer_statuses", "Show the status tree.",
         reading.show_statuses, "statuses"),
        (f"{below}/stats", "get_loadbalancer_stats", "Show the traffic of all its Listeners.",
         reading.show_stats, "stats"),
        ("octavia/loadbalancers/{loadbalancer_id}/events", "list_loadbalancer_events",
         "List what happened to a Load Balancer, newest first (operators only).",
         reading.show_events, "events"),
    )  # fmt: skip
    for path, name, summary, action, gives in rows:
        yield Operation(
            method="GET", path=path, kind="loadbalancer", name=name, summary=summary,
            action=action, gives=gives,
        )  # fmt: skip
