"""Every operation of the API, as data: app.py serves this list, openapi.py describes it.

One set of functions serves all kinds of the tree; the other areas (`AREAS`) list their own. Paths
are relative to the version ("/v2" or "/v2.0"); what stands below "lbaas" also answers directly
below the version.
"""

from collections.abc import Callable, Iterable, Iterator

from fairlead.api import (
    amphorae,
    balancers,
    catalog,
    projects,
    providers,
    quotas,
    reading,
    secrets,
    writing,
)
from fairlead.api.operation import Action, Method, Operation
from fairlead.domain.model import KINDS

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


# What is not of the tree, each area in a module of its own.
AREAS: tuple[Callable[[], Iterable[Operation]], ...] = (
    amphorae.operations,
    catalog.operations,
    projects.operations,
    providers.operations,
    quotas.operations,
    secrets.operations,
)


def operations() -> Iterator[Operation]:
    """All of them."""
    for kind in KINDS:
        yield from _of_kind(kind)
    yield from _of_balancers()
    for area in AREAS:
        yield from area()
    yield Operation(
        method="GET", path="lbaas/listeners/{listener_id}/stats", kind="listener",
        resource="listener", rule="get_stats", name="get_listener_stats",
        summary="Show the traffic of a Listener.", action=reading.show_stats, gives="stats",
    )  # fmt: skip
    yield Operation(
        method="PUT", path=COLLECTIONS["member"], kind="member", resource="member", rule="put",
        name="replace_members",
        summary="Make a pool's Members the given ones, matched by address and port.",
        description="Those that are known keep their id and what is not given of them, new ones "
                    "are added, and the others go unless `additive_only`.",
        action=writing.replace_members, status=202, takes="batch", flag="additive_only",
    )  # fmt: skip


def _of_kind(kind: str) -> Iterator[Operation]:
    word, plural, path = KINDS[kind].word, KINDS[kind].plural, COLLECTIONS[kind]
    creating = balancers.create_balancer if kind == "loadbalancer" else writing.create
    rows: tuple[tuple[Method, str, str, str, str, Action, int, str | None, str | None], ...] = (
        ("GET", path, "get_all", f"list_{plural}", f"List {_plural(word)}.",
         reading.show_list, 200, None, "list"),
        ("POST", path, "post", f"create_{kind}", f"Create a {word}.",
         creating, 201, "create", "one"),
        ("GET", f"{path}/{{{kind}_id}}", "get_one", f"get_{kind}", f"Show a {word}.",
         reading.show, 200, None, "one"),
        ("PUT", f"{path}/{{{kind}_id}}", "put", f"update_{kind}", f"Change a {word}.",
         writing.update, 200, "update", "one"),
        ("DELETE", f"{path}/{{{kind}_id}}", "delete", f"delete_{kind}", f"Delete a {word}.",
         writing.delete, 204, None, None),
    )  # fmt: skip
    for method, where, rule, name, summary, action, status, takes, gives in rows:
        yield Operation(
            method=method, path=where, kind=kind, resource=kind, rule=rule, name=name,
            summary=summary, action=action, status=status, takes=takes, gives=gives,
            flag="cascade" if name == "delete_loadbalancer" else None,
        )  # fmt: skip


def _plural(word: str) -> str:
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


def _of_balancers() -> Iterator[Operation]:
    below = COLLECTIONS["loadbalancer"] + "/{loadbalancer_id}"
    rows: tuple[tuple[str, str, str, str, Action, str], ...] = (
        (f"{below}/status", "get_status", "get_loadbalancer_status", "Show the status tree.",
         reading.show_statuses, "statuses"),
        (f"{below}/statuses", "get_status", "get_loadbalancer_statuses", "Show the status tree.",
         reading.show_statuses, "statuses"),
        (f"{below}/stats", "get_stats", "get_loadbalancer_stats",
         "Show the traffic of all its Listeners.", reading.show_stats, "stats"),
        ("octavia/loadbalancers/{loadbalancer_id}/events", "get_events",
         "list_loadbalancer_events",
         "List what happened to a Load Balancer, newest first (operators only).",
         reading.show_events, "events"),
    )  # fmt: skip
    for path, rule, name, summary, action, gives in rows:
        yield Operation(
            method="GET", path=path, kind="loadbalancer", resource="loadbalancer", rule=rule,
            name=name, summary=summary,
            action=action, gives=gives,
        )  # fmt: skip
