"""Edits: what a request does to a tree.

PURE. An `Edit` maps a tree to a new tree with generation + 1, or raises. It may be run several
times on newer and newer trees, so all ids and times are given beforehand. An edit that finds
nothing to do returns the very tree it was given.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from fairlead.domain import rules
from fairlead.domain.model import (
    KINDS,
    HealthMonitor,
    L7Policy,
    L7Rule,
    Listener,
    LoadBalancer,
    Member,
    Pool,
    Resource,
)
from fairlead.domain.slots import Slot
from fairlead.domain.tls import TlsPolicy
from fairlead.domain.tree import Tree
from fairlead.errors import Conflict, NotFound, Refused

Edit = Callable[[Tree], Tree]
replace = msgspec.structs.replace


def add(
    kind: str,
    values: Mapping[str, Any],
    *,
    new_id: str,
    now: datetime,
    policy: TlsPolicy = rules.POLICY,
) -> Edit:
    """Add an object below its parent, which `values` names.

    A pool with "listener_id" becomes that listener's default pool.
    """

    def edit(tree: Tree) -> Tree:
        _alive(tree)
        given = dict(values)
        listener_id = given.pop("listener_id", None) if kind == "pool" else None
        added = made(tree, kind, given, new_id, now, policy)
        after = tree.with_objects(added)
        if listener_id is not None:
            after = _as_default_pool(after, listener_id, new_id)
        return _finished(tree, after, added)

    return edit


def change(
    kind: str,
    object_id: str,
    values: Mapping[str, Any],
    *,
    now: datetime,
    policy: TlsPolicy = rules.POLICY,
) -> Edit:
    """Set fields of an object."""

    def edit(tree: Tree) -> Tree:
        _alive(tree)
        before = tree.get(kind, object_id)
        merged = replace(before, updated_at=now, **_merged(before, values))
        after = rules.adjusted(merged, values, policy)
        changed = replace(after, changed_gen=tree.generation + 1)
        return _finished(tree, tree.with_objects(changed), changed)

    return edit


def remove(kind: str, object_id: str, *, cascade: bool = False) -> Edit:
    """Ask for an object and what goes with it to be removed.

    A load balancer with children needs `cascade`; a pool used by an L7 policy is refused. What
    was asked to go already goes on going.
    """

    def edit(tree: Tree) -> Tree:
        known = tree.root if object_id == tree.id else tree.objects.get(object_id)
        if known is not None and kind == known.KIND and known.deleted_gen is not None:
            return tree
        _alive(tree)
        going = tree.get(kind, object_id)
        rules.check_removal(tree, going, cascade=cascade)
        gone = [*_descendants(tree, going), going]
        generation = tree.generation + 1
        marked = [replace(o, deleted_gen=generation) for o in gone]
        after = tree.with_objects(*marked)
        touched = _touched(after, _ancestors(tree, going), generation)
        if isinstance(going, Pool):
            touched = [_without_pool(o, going.id) for o in touched]
        after = after.with_objects(*touched)
        if isinstance(going, L7Policy):
            after = _positioned(after, going.listener_id, None)
        return replace(after, generation=generation)

    return edit


def gone(kind: str, object_id: str) -> Edit:
    """Mark an object as asked to go because its provider says that it is gone.

    Nothing else is pending because of that: nobody is told.
    """

    def edit(tree: Tree) -> Tree:
        known = {one.id: one for one in tree.everything()}
        if object_id not in known or known[object_id].deleted_gen is not None:
            return tree
        after = remove(kind, object_id, cascade=True)(tree)
        beside = [o for o in after.everything() if o.deleted_gen is None and o != known[o.id]]
        return after.with_objects(
            *(replace(o, changed_gen=known[o.id].changed_gen) for o in beside)
        )

    return edit


def replace_members(
    pool_id: str,
    wanted: Sequence[Mapping[str, Any]],
    *,
    additive_only: bool,
    new_ids: Sequence[str],
    now: datetime,
) -> Edit:
    """Make a pool's members the wanted ones, matched by (address, protocol_port).

    Known ones keep their id and what is not given of them, new ones take one of `new_ids` (as
    many as `wanted`), the others go unless `additive_only`.
    """

    def edit(tree: Tree) -> Tree:
        _alive(tree)
        pool = tree.find(Pool, pool_id)
        known = {(m.address, m.protocol_port): m for m in tree.members(pool_id)}
        changed = _member_changes(tree, pool, known, zip(wanted, new_ids, strict=True), now)
        if not additive_only:
            keys = {(w["address"], w["protocol_port"]) for w in wanted}
            gone = [m for key, m in known.items() if key not in keys]
            changed += [replace(m, deleted_gen=tree.generation + 1) for m in gone]
        if not changed:
            return tree
        return _finished(tree, tree.with_objects(*changed), *changed, below=pool)

    return edit


def renew(slot: int | None = None) -> Edit:
    """Have the amphora in a slot, or each one, replaced by a new one.

    One that is being made already is not begun anew, unless it was given up on.
    """

    def renewed(tree: Tree, old: Slot) -> Slot:
        if tree.own and old.since > max(tree.applied, tree.failed):
            return old
        return replace(old, incarnation=old.incarnation + 1, since=tree.generation + 1)

    return lambda tree: _slots_changed(tree, slot, renewed)


def configure_anew(slot: int) -> Edit:
    """Have the amphora in a slot get its whole configuration again, whatever it has."""
    return lambda tree: _slots_changed(
        tree, slot, lambda _, old: replace(old, pushes=old.pushes + 1)
    )


def _slots_changed(tree: Tree, slot: int | None, change: Callable[[Tree, Slot], Slot]) -> Tree:
    _alive(tree)
    slots = tuple(
        change(tree, one) if slot in (None, number) else one
        for number, one in enumerate(tree.root.slots)
    )
    if slots == tree.root.slots:
        return tree
    generation = tree.generation + 1
    root = replace(tree.root, slots=slots, changed_gen=generation)
    return replace(tree.with_objects(root), generation=generation)


def _member_changes(
    tree: Tree,
    pool: Pool,
    known: Mapping[tuple[str, int], Member],
    wanted: Iterable[tuple[Mapping[str, Any], str]],
    now: datetime,
) -> list[Resource]:
    changed: list[Resource] = []
    seen: set[tuple[str, int]] = set()
    for values, new_id in wanted:
        key = (values["address"], values["protocol_port"])
        if key in seen:
            raise Refused(f"Validation failure: member {key[0]}:{key[1]} is listed more than once.")
        seen.add(key)
        if key not in known:
            changed.append(made(tree, "member", {**values, "pool_id": pool.id}, new_id, now))
            continue
        after = rules.updated(known[key], values)
        if after != known[key]:
            changed.append(replace(after, updated_at=now, changed_gen=tree.generation + 1))
    return changed


def _alive(tree: Tree) -> None:
    if tree.deleted:
        raise NotFound(KINDS["loadbalancer"].word, tree.id)


def made(
    tree: Tree,
    kind: str,
    values: Mapping[str, Any],
    new_id: str,
    now: datetime,
    policy: TlsPolicy = rules.POLICY,
) -> Resource:
    """A new object for the tree's next generation; the rules across objects come later."""
    generation = tree.generation + 1
    new = KINDS[kind].type(
        id=new_id,
        created_at=now,
        created_gen=generation,
        changed_gen=generation,
        **{**values, "project_id": tree.root.project_id},
    )
    return rules.adjusted(new, {k: v for k, v in values.items() if v is not None}, policy)


def _merged(before: Resource, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an update; session persistence keeps what the update leaves out."""
    merged = dict(values)
    wanted = merged.get("session_persistence")
    if isinstance(before, Pool) and before.session_persistence and wanted and not wanted.type:
        merged["session_persistence"] = replace(wanted, type=before.session_persistence.type)
    return merged


def _finished(before: Tree, after: Tree, *changed: Resource, below: Resource | None = None) -> Tree:
    """Order policies, mark ancestors as pending, check every rule, count the generation."""
    generation = before.generation + 1
    for one in changed:
        if isinstance(one, L7Policy):
            after = _positioned(after, one.listener_id, one)
    first = after.root if changed[0].id == after.id else after.objects[changed[0].id]
    moved = [*_ancestors(after, below), below] if below else _ancestors(after, first)
    after = after.with_objects(*_touched(after, moved, generation))
    after = replace(after, generation=generation)
    rules.check(after, [o for o in changed if o.deleted_gen is None])
    return after


def _ancestors(tree: Tree, resource: Resource) -> list[Resource]:
    """What shows PENDING_UPDATE along with an object."""
    match resource:
        case LoadBalancer():
            return []
        case Pool():
            return [tree.root, *tree.listeners_using(resource.id)]
        case Member() | HealthMonitor():
            pool = tree.find(Pool, resource.pool_id)
            return [pool, *_ancestors(tree, pool)]
        case L7Policy():
            return [tree.root, tree.find(Listener, resource.listener_id)]
        case L7Rule():
            policy = tree.find(L7Policy, resource.l7policy_id)
            return [policy, *_ancestors(tree, policy)]
    return [tree.root]


def _touched(tree: Tree, moved: Sequence[Resource], generation: int) -> list[Resource]:
    current = [tree.root if o.id == tree.id else tree.objects[o.id] for o in moved]
    return [replace(o, changed_gen=generation) for o in current]


def _descendants(tree: Tree, resource: Resource) -> list[Resource]:
    found: list[Resource] = []
    for child in tree.children_of(resource):
        found += [*_descendants(tree, child), child]
    return found


def _without_pool(resource: Resource, pool_id: str) -> Resource:
    if isinstance(resource, Listener) and resource.default_pool_id == pool_id:
        return replace(resource, default_pool_id=None)
    return resource


def _as_default_pool(tree: Tree, listener_id: str, pool_id: str) -> Tree:
    listener = tree.find(Listener, listener_id)
    if listener.default_pool_id is not None:
        raise Conflict(f"Listener {listener_id} already has a default pool.")
    return tree.with_objects(replace(listener, default_pool_id=pool_id))


def _positioned(tree: Tree, listener_id: str, placed: L7Policy | None) -> Tree:
    """Number a listener's policies 1, 2, 3...; `placed` gets the position it asks for."""
    order = [p for p in tree.policies_of(listener_id) if placed is None or p.id != placed.id]
    if placed is not None:
        order.insert(placed.position - 1, placed)
    return tree.with_objects(*(p for p in numbered(order) if tree.objects[p.id] != p))


def numbered(order: Iterable[L7Policy]) -> Iterator[L7Policy]:
    """The policies of a listener at positions 1, 2, 3..."""
    return (replace(p, position=n) for n, p in enumerate(order, start=1))
