"""Amphorae, for operators: list, show, statistics, configure anew, fail over, delete; and the
failover of a whole load balancer.

Nothing here acts on an amphora: what is asked for is an edit of the load balancer's tree, which
the controller carries out. So it is accepted at any time, and asking twice is as good as once.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from litestar import Response
from msgspec import Struct

from fairlead.api import answers, selection
from fairlead.api.calls import Call
from fairlead.api.faults import json_response
from fairlead.api.operation import Action, Method, Operation
from fairlead.api.writing import edit
from fairlead.domain import edits
from fairlead.domain.edits import Edit
from fairlead.domain.observed import Amphora, serving
from fairlead.domain.query import Query
from fairlead.domain.tree import Tree
from fairlead.errors import Conflict, NotFound
from fairlead.plan.planner import amphora_ids

_PATH = "octavia/amphorae"
_ONE = f"{_PATH}/{{amphora_id}}"
_OWNER = dict.fromkeys(("project_id", "tenant_id"), "The owner of their load balancers.")


class AmphoraStatistics(Struct):
    """What an amphora counted of one listener."""

    id: str
    loadbalancer_id: str
    listener_id: str
    bytes_in: int
    bytes_out: int
    active_connections: int
    total_connections: int
    request_errors: int


class AmphoraStats(Struct):
    """A row for each listener."""

    amphora_stats: list[AmphoraStatistics]


def operations() -> Iterator[Operation]:
    """All of them; for operators only."""
    rows: tuple[tuple[Method, str, str, str, str, Action, int, Any], ...] = (
        ("GET", _PATH, "get_all", "list_amphorae", "List Amphorae.", show_list, 200, "list"),
        ("GET", _ONE, "get_one", "get_amphora", "Show an Amphora.", show, 200, "one"),
        ("DELETE", _ONE, "delete", "delete_amphora",
         "Have an Amphora removed that no Load Balancer needs any more.", delete, 204, None),
        ("GET", f"{_ONE}/stats", "get_stats", "get_amphora_stats",
         "Show the traffic of an Amphora by Listener.", show_stats, 200, AmphoraStats),
        ("PUT", f"{_ONE}/config", "put_config", "configure_amphora",
         "Send an Amphora its whole configuration anew.", configure, 202, None),
        ("PUT", f"{_ONE}/failover", "put_failover", "failover_amphora",
         "Have an Amphora replaced by a new one.", fail_over, 202, None),
    )  # fmt: skip
    for method, path, rule, name, summary, action, status, gives in rows:
        yield Operation(
            method=method, path=path, kind="amphora", resource="amphora", rule=rule, name=name,
            summary=summary, action=action, status=status, gives=gives,
            query=_OWNER if gives == "list" else {},
        )  # fmt: skip
    yield Operation(
        method="PUT", path="lbaas/loadbalancers/{loadbalancer_id}/failover", kind="loadbalancer",
        resource="loadbalancer", rule="put_failover", name="failover_loadbalancer",
        summary="Have the Amphorae of a Load Balancer replaced by new ones (operators only).",
        action=fail_over_balancer, status=202,
    )  # fmt: skip


async def show_list(call: Call) -> Response[bytes]:
    """One page of amphorae; a project's are those of its load balancers."""
    call.allow(None)
    given = call.parameters
    query = selection.query_of(call, None, given.one("project_id") or given.one("tenant_id"))
    page = await call.services.store.list_amphorae(query)
    fields = given.many("fields")
    return json_response({
        "amphorae": [answers.selected(answers.shown_amphora(a), fields) for a in page],
        "amphorae_links": selection.links_of(call, query, page),
    })  # fmt: skip


async def show(call: Call) -> Response[bytes]:
    """One amphora."""
    fields = call.parameters.many("fields")
    shown = answers.shown_amphora(await _amphora(call))
    return json_response({"amphora": answers.selected(shown, fields)})


async def show_stats(call: Call) -> Response[bytes]:
    """What an amphora counted, a row for each listener."""
    amphora = await _amphora(call)
    counted = await call.services.store.counters(amphora.id)
    whose = {"id": amphora.id, "loadbalancer_id": amphora.loadbalancer_id}
    rows = [
        {**whose, "listener_id": listener_id, **msgspec.structs.asdict(counters)}
        for listener_id, counters in sorted(counted.items())
    ]
    return json_response({"amphora_stats": rows})


async def configure(call: Call) -> Response[bytes]:
    """202. One that is on its way out gets nothing more."""
    return await _asked(call, edits.configure_anew)


async def fail_over(call: Call) -> Response[bytes]:
    """202. One that is being replaced already is not replaced once more."""
    return await _asked(call, edits.renew)


async def fail_over_balancer(call: Call) -> Response[bytes]:
    """202."""
    await edit(call, call.object_id, edits.renew())
    return Response(b"", status_code=202)


async def delete(call: Call) -> Response[bytes]:
    """204 for one that was replaced; the controller removes it. `Conflict` for one in use."""
    amphora = await _amphora(call)
    store = call.services.store
    tree = await store.tree(amphora.loadbalancer_id)
    current = amphora_ids(tree)
    if amphora.id in {*current, *serving(await store.amphorae(tree.id), current)}:
        raise Conflict(
            f"Amphora {amphora.id} is in use by Load Balancer {tree.id}. To have it replaced, "
            "fail it over."
        )
    await call.services.queue.put(tree.id)
    return Response(b"", status_code=204)


async def _asked(call: Call, asking: Callable[[int], Edit]) -> Response[bytes]:
    """Edit the slot of the amphora that the path is about, unless it has another one by now."""
    amphora = await _amphora(call)

    def asked(tree: Tree) -> Tree:
        return asking(amphora.slot)(tree) if amphora.id in amphora_ids(tree) else tree

    await edit(call, amphora.loadbalancer_id, asked)
    return Response(b"", status_code=202)


async def _amphora(call: Call) -> Amphora:
    """The amphora that the path is about; `Forbidden`, then `NotFound`."""
    call.allow(None)
    query = Query(kind="amphora", filters={"id": call.object_id}, limit=1)
    found = await call.services.store.list_amphorae(query)
    if not found:
        raise NotFound("Amphora", call.object_id)
    return found[0]
