"""Reading: lists, single objects, status trees, statistics and events, for every kind alike.

A foreign object is 403, an unknown one 404 first. One object costs one query, however large its
load balancer is.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from litestar import Response

from fairlead.api import answers, selection
from fairlead.api.calls import Call, finding_the_path
from fairlead.api.faults import json_response
from fairlead.domain import views
from fairlead.domain.events import Event
from fairlead.domain.model import KINDS, Listener
from fairlead.domain.views import Entry
from fairlead.errors import NotFound
from fairlead.wire.heartbeat import Counters

EVENTS = 100
_NO_LINKS: frozenset[str] = frozenset()


async def show_list(call: Call) -> Response[bytes]:
    """One page of a kind's objects."""
    holder = call.holder
    if holder is None:
        query = selection.query_of(call, None, selection.project_of(call))
    else:
        with finding_the_path():
            above = await entry_of(call, *holder)
        call.allow(above.resource.project_id)
        asked = call.parameters.one("project_id") or call.parameters.one("tenant_id")
        query = selection.query_of(call, holder[1], asked)
    page = await call.services.store.list(query)
    fields = frozenset(call.parameters.many("fields"))
    plural = KINDS[call.kind].plural
    return json_response({
        plural: [answers.shown(one, fields) for one in page],
        f"{plural}_links": selection.links_of(call, query, page),
    })  # fmt: skip


async def show(call: Call) -> Response[bytes]:
    """One object."""
    fields = frozenset(call.parameters.many("fields"))
    try:
        one = await readable(call, fields or None)
    except NotFound:
        if call.holder is not None:
            with finding_the_path():
                await call.services.store.owner(*call.holder)
        raise
    return json_response({KINDS[call.kind].wrapper: answers.shown(one, fields)})


async def show_statuses(call: Call) -> Response[bytes]:
    """The status tree of a load balancer."""
    tree = await call.services.store.tree(call.object_id)
    call.allow(tree.root.project_id)
    return json_response({"statuses": {"loadbalancer": views.status_tree(tree)}})


async def show_stats(call: Call) -> Response[bytes]:
    """Traffic of a listener, or of all listeners of a load balancer together."""
    resource = (await readable(call)).resource
    if isinstance(resource, Listener):
        counted = await call.services.store.statistics(resource.loadbalancer_id)
        return _stats([counted[resource.id]] if resource.id in counted else [])
    return _stats((await call.services.store.statistics(resource.id)).values())


async def show_events(call: Call) -> Response[bytes]:
    """What happened to a load balancer, newest first; for operators."""
    call.allow(None)
    limit = selection.limit_of(call.parameters, call.services.page_maximum, EVENTS)
    lb_id = (await readable(call)).resource.id
    events = await call.services.store.events(lb_id, limit=limit)
    return json_response({"events": [_event(event) for event in events]})


async def readable(call: Call, links: frozenset[str] | None = _NO_LINKS) -> Entry:
    """The object the path is about, with those links (None all); `NotFound`, then `Forbidden`."""
    holder = call.holder
    one = await call.services.store.one(
        call.kind, call.object_id, parent_id=holder and holder[1], links=links
    )
    call.allow(one.resource.project_id)
    return one


async def entry_of(call: Call, kind: str, object_id: str) -> Entry:
    """An object by id, without links; `NotFound`."""
    return await call.services.store.one(kind, object_id, links=_NO_LINKS)


def _stats(counters: Iterable[Counters]) -> Response[bytes]:
    all_of_them = list(counters)
    total = {
        name: sum(getattr(one, name) for one in all_of_them)
        for name in Counters.__struct_fields__
    }  # fmt: skip
    return json_response({"stats": total})


def _event(event: Event) -> dict[str, Any]:
    return {**msgspec.structs.asdict(event), "at": event.at.isoformat(timespec="milliseconds")}
