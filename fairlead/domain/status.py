"""Statuses, derived from what is stored and what was observed.

PURE. provisioning_status follows from generations: an object is PENDING_* while the generation
that made, changed or deleted it is not applied, ERROR when that generation was given up on. With
a third party's provider its driver reports instead: what it said of an object counts until a newer
generation touches that object.
operating_status follows from the reports of amphorae, with Octavia's meanings. The store keeps
SQL expressions equal to `provisioning` and `operating`; its contract suite compares them.
"""

from collections.abc import Mapping

from fairlead.domain.model import Member, Resource
from fairlead.domain.tree import Tree

ONLINE, OFFLINE, DEGRADED, ERROR = "ONLINE", "OFFLINE", "DEGRADED", "ERROR"
DRAINING, NO_MONITOR = "DRAINING", "NO_MONITOR"

_MEMBER = {
    "UP": ONLINE, "DOWN": ERROR, "DRAIN": DRAINING, "MAINT": OFFLINE, "NOCHECK": NO_MONITOR,
}  # fmt: skip
_LISTENER = {"OPEN": ONLINE, "FULL": DEGRADED}


def provisioning(tree: Tree, resource: Resource) -> str:
    """PENDING_CREATE, PENDING_UPDATE, PENDING_DELETE, ACTIVE or ERROR."""
    report = tree.reports.get(resource.id)
    if resource.deleted_gen is not None:
        since, pending = resource.deleted_gen, "PENDING_DELETE"
    elif resource.created_gen > tree.applied and report is None:
        since, pending = resource.changed_gen, "PENDING_CREATE"
    else:
        since, pending = resource.changed_gen, "PENDING_UPDATE"
    if report is not None and report.generation >= since:
        return report.status
    if since <= tree.applied:
        return "ACTIVE"
    return ERROR if tree.failed >= since else pending


def initial(tree: Tree, resource: Resource) -> str:
    """The operating status before anything was observed."""
    if isinstance(resource, Member) and resource.pool_id not in tree.monitors:
        return NO_MONITOR
    return OFFLINE


def operating(tree: Tree, resource: Resource) -> str:
    """ONLINE, OFFLINE, DEGRADED, ERROR, DRAINING or NO_MONITOR."""
    if not resource.admin_state_up:
        return OFFLINE
    return tree.observed.get(resource.id) or initial(tree, resource)


def assess(tree: Tree, listeners: Mapping[str, str], members: Mapping[str, str]) -> dict[str, str]:
    """Operating status of every live object of the tree, as a healthy amphora reports them.

    `listeners` and `members` are the reported states by id: OPEN, FULL or STOP, and UP, DOWN,
    DRAIN, MAINT or NOCHECK (see wire/heartbeat.py).
    """
    seen = {i: _MEMBER.get(state, ERROR) for i, state in members.items()}
    states = {i: _LISTENER.get(state, OFFLINE) for i, state in listeners.items()}
    found: dict[str, str] = {}
    for pool in tree.pools:
        below = [_member(tree, m, seen) for m in tree.members(pool.id)]
        found.update((m.id, s) for m, s in zip(tree.members(pool.id), below, strict=True))
        used = any(one.id in states for one in tree.listeners_using(pool.id))
        found[pool.id] = _pool(below) if used and pool.admin_state_up else OFFLINE
        if pool.id in tree.monitors:
            monitor = tree.monitors[pool.id]
            found[monitor.id] = ONLINE if used and monitor.admin_state_up else OFFLINE
    for listener in tree.listeners:
        found[listener.id] = (
            states.get(listener.id, OFFLINE) if listener.admin_state_up else OFFLINE
        )
        for policy in tree.policies_of(listener.id):
            found.update(_policy(tree, policy, found[listener.id]))
    found[tree.id] = _root(tree, found)
    return found


def silent(tree: Tree) -> dict[str, str]:
    """Operating status of every live object when the amphora that serves it is silent."""
    gone = {o.id: ERROR for o in tree.objects.values() if o.deleted_gen is None}
    return {**gone, tree.id: ERROR}


def _member(tree: Tree, member: Member, seen: Mapping[str, str]) -> str:
    if not member.admin_state_up:
        return OFFLINE
    if member.id not in seen:
        return initial(tree, member)
    if seen[member.id] == ONLINE and member.pool_id not in tree.monitors:
        return NO_MONITOR
    return seen[member.id]


def _pool(members: list[str]) -> str:
    bad = sum(status == ERROR for status in members)
    counted = sum(status != OFFLINE for status in members)
    if bad and bad == counted:
        return ERROR
    return DEGRADED if bad else ONLINE


def _policy(tree: Tree, policy: Resource, listener: str) -> dict[str, str]:
    serves = listener in (ONLINE, DEGRADED)
    status = ONLINE if serves and policy.admin_state_up else OFFLINE
    below = {r.id: status if r.admin_state_up else OFFLINE for r in tree.rules(policy.id)}
    return {policy.id: status, **below}


def _root(tree: Tree, found: Mapping[str, str]) -> str:
    """The worst of listeners and their pools, in the order ERROR, DEGRADED, ONLINE."""
    if not tree.root.admin_state_up:
        return OFFLINE
    used = [p.id for p in tree.pools if tree.listeners_using(p.id)]
    below = {found[i] for i in [*(one.id for one in tree.listeners), *used]}
    return next((status for status in (ERROR, DEGRADED) if status in below), ONLINE)
