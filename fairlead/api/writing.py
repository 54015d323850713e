"""Changing: create, update, delete and the member batch, for every kind alike.

A write decodes the body, gives the store an edit, wakes the controller, and answers with what
the edited tree says. It never waits for the controller and never refuses because something is
pending. Whether the caller may is checked inside the edit, on the very tree that is changed.
Creating a load balancer is in balancers.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from litestar import Response

from fairlead.api import answers, vips
from fairlead.api.calls import Call, finding_the_path
from fairlead.api.certificates import Reader
from fairlead.api.faults import json_response
from fairlead.api.places import (
    check_addresses,
    check_monitor_types,
    check_protocols,
    check_subnets,
)
from fairlead.api.reading import entry_of
from fairlead.api.telling import announcing
from fairlead.domain import bodies, edits, views
from fairlead.domain.bodies import refused
from fairlead.domain.model import KINDS
from fairlead.domain.rules import check_size
from fairlead.domain.tls import REFERENCES
from fairlead.domain.tree import Tree, parent_id
from fairlead.domain.types import uuid_text
from fairlead.errors import NotFound, Refused

log = structlog.get_logger()


async def create(call: Call) -> Response[bytes]:
    """Add an object to a load balancer's tree: 201."""
    values = await _creation_values(call)
    lb_id = await _tree_of_new(call, values)
    if call.kind == "listener":
        check_protocols(call, [values])
    if call.kind == "healthmonitor":
        check_monitor_types(call, [values])
    check_addresses(call, [values])
    await check_subnets(call, lb_id, [values])
    new_id = call.services.new_id()
    adding = edits.add(
        call.kind,
        values,
        new_id=new_id,
        now=call.services.clock.now(),
        policy=call.services.tls,
    )
    tree = await edit(call, lb_id, adding)
    return _answer(call, tree, new_id, 201)


async def update(call: Call) -> Response[bytes]:
    """Set fields of an object: 200."""
    values = bodies.changes(call.kind, await call.body(KINDS[call.kind].wrapper))
    check_addresses(call, [values])
    object_id = call.object_id
    now, policy = call.services.clock.now(), call.services.tls
    changing = edits.change(call.kind, object_id, values, now=now, policy=policy)
    lb_id = await _tree_of(call)
    await _check_carried(call, lb_id, values)
    actions = ("put", "put:vip_sg_ids") if "vip_sg_ids" in values else ()
    named = object_id if REFERENCES.get(call.kind, frozenset()) & values.keys() else ""
    tree = await edit(call, lb_id, changing, actions, named=named)
    return _answer(call, tree, object_id, 200)


async def delete(call: Call) -> Response[bytes]:
    """Ask for an object to go: 204. A load balancer with children needs ?cascade=true."""
    cascade = call.kind == "loadbalancer" and call.parameters.flag("cascade")
    removing = edits.remove(call.kind, call.object_id, cascade=cascade)
    await edit(call, await _tree_of(call), removing)
    return Response(b"", status_code=204)


async def replace_members(call: Call) -> Response[bytes]:
    """Make a pool's members the given ones: 202. ?additive_only=true keeps the others."""
    wanted = await call.body("members")
    if not isinstance(wanted, list):
        raise refused("members", wanted, "Value should be a list of objects.")
    check_size(len(wanted))
    values = [bodies.creation("member", one) for one in wanted]
    check_addresses(call, values)
    lb_id = await _tree_of(call)
    await check_subnets(call, lb_id, values)
    additive = call.parameters.flag("additive_only")
    replacing = edits.replace_members(
        call.id_of("pool"),
        values,
        additive_only=additive,
        new_ids=[call.services.new_id() for _ in values],
        now=call.services.clock.now(),
    )
    removing = () if additive else ("delete",)
    await edit(call, lb_id, replacing, ("post", "put", *removing))
    return Response(b"", status_code=202)


async def edit(
    call: Call, lb_id: str, change: edits.Edit, actions: Sequence[str] = (), *, named: str = ""
) -> Tree:
    """Edit a tree the caller may change, below the parent that the path names, and wake up.

    `actions` are what the caller must be allowed to do, if not just what the operation says;
    `named` is an object whose certificates are to be read though they are referred to as before.
    """
    holder = call.holder
    reader = Reader(call.services, named)

    def checked(tree: Tree) -> Tree:
        for action in actions or (call.action,):
            call.allow(tree.root.project_id, action)
        if holder is not None:
            _check_below(tree, call, holder)
        after = change(tree)
        reader.check(tree, after)
        return after

    tree = await reader.behind(
        lambda: call.services.store.edit(lb_id, checked, announcing(call.services))
    )
    await call.services.queue.put(lb_id)
    log.info(
        "accepted",
        method=call.request.method,
        kind=call.kind,
        lb_id=lb_id,
        generation=tree.generation,
        user=call.caller.user,
    )
    return tree


async def _check_carried(call: Call, lb_id: str, values: Mapping[str, Any]) -> None:
    """`Refused` when the VIP's port cannot have what an update of a load balancer says."""
    if call.kind == "loadbalancer" and (
        values.get("vip_qos_policy_id") or values.get("vip_sg_ids")
    ):
        owner = (await entry_of(call, "loadbalancer", lb_id)).resource.project_id
        call.allow(owner)
        await vips.check_carried(call, owner, values)


async def _creation_values(call: Call) -> dict[str, Any]:
    """Values of a new object, its parent among them."""
    given = await call.body(KINDS[call.kind].wrapper)
    if call.kind == "pool" and isinstance(given, dict):
        return _pool_values(given)
    values = bodies.creation(call.kind, given)
    if call.holder is not None:
        field = KINDS[call.kind].parent_field
        values[str(field)] = call.holder[1]
    return values


def _pool_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """A pool names its load balancer, or the listener whose default pool it becomes."""
    parents = {
        name: _parent(name, given[name])
        for name in ("loadbalancer_id", "listener_id")
        if given.get(name) is not None
    }
    own = {k: v for k, v in given.items() if k not in ("loadbalancer_id", "listener_id")}
    values = bodies.creation("pool", own)
    if not parents:
        raise Refused("Validation failure: Must provide at least one of: "
                      "loadbalancer_id, listener_id.")  # fmt: skip
    return {**values, **parents}


def _parent(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise refused(name, value, "Value should be UUID format.")
    try:
        return uuid_text(value)
    except ValueError as error:
        raise refused(name, value, f"{error}.") from None


async def _tree_of_new(call: Call, values: dict[str, Any]) -> str:
    """The load balancer that a new object will belong to; the pool's listener may tell."""
    if call.holder is not None:
        return await _tree_of(call)
    if "loadbalancer_id" in values:
        return str(values["loadbalancer_id"])
    if call.kind == "pool":
        values["loadbalancer_id"] = await call.services.store.owner(
            "listener", values["listener_id"]
        )
        return str(values["loadbalancer_id"])
    parent, field = KINDS[call.kind].parent, KINDS[call.kind].parent_field
    return await call.services.store.owner(str(parent), values[str(field)])


async def _tree_of(call: Call) -> str:
    """The load balancer of the object that the path is about, or begins with."""
    if call.kind == "loadbalancer":
        return call.object_id
    if call.holder is None:
        return await call.services.store.owner(call.kind, call.object_id)
    with finding_the_path():
        return await call.services.store.owner(*call.holder)


def _check_below(tree: Tree, call: Call, holder: tuple[str, str]) -> None:
    """404 unless the path's object hangs below the path's parent."""
    kind, object_id = holder
    with finding_the_path():
        tree.get(kind, object_id)
    if f"{call.kind}_id" in call.request.path_params:
        below = tree.get(call.kind, call.object_id)
        if parent_id(below) != object_id:
            raise NotFound(KINDS[call.kind].word, call.object_id)


def _answer(call: Call, tree: Tree, object_id: str, status: int) -> Response[bytes]:
    shown = answers.shown(views.entry(tree, tree.get(call.kind, object_id)))
    return json_response({KINDS[call.kind].wrapper: shown}, status)
