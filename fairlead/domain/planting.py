"""A whole tree from one request: the single-call create.

PURE. The body may nest listeners (with default_pool and l7policies, which may nest
redirect_pool and rules) and pools (with members and healthmonitor). A pool object with nothing
but a name refers to another pool of the request. Everything lands in generation 1, all or
nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from fairlead.domain import edits, rules
from fairlead.domain.bodies import creation, refused
from fairlead.domain.model import LoadBalancer
from fairlead.domain.tree import Tree
from fairlead.errors import Refused

_UNSAID = {"loadbalancer_id", "listener_id", "pool_id"}


class Plan(msgspec.Struct):
    """Edits to make, in order, with the pools of the request by name."""

    steps: list[edits.Edit]
    pools: dict[str, str]


def split(body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The load balancer's own fields, and the nested lists."""
    nested = {k: body[k] for k in ("listeners", "pools") if body.get(k) not in (None, [])}
    return {k: v for k, v in body.items() if k not in ("listeners", "pools")}, nested


def plant(
    root: LoadBalancer,
    nested: Mapping[str, Any],
    *,
    new_id: Callable[[], str],
    now: datetime,
) -> Tree:
    """The tree of generation 1 that a request describes; `Refused` when a rule is broken."""
    tree = Tree(root=root, generation=0)
    rules.check(tree, [root])
    plan = Plan([], {})
    for pool in _all_pools(nested):
        _plan_pool(plan, pool, tree.id, new_id, now)
    for listener in _objects(nested, "listeners"):
        _plan_listener(plan, listener, tree.id, new_id, now)
    for step in plan.steps:
        tree = step(tree)
    return _first_generation(tree)


def _first_generation(tree: Tree) -> Tree:
    first = [
        msgspec.structs.replace(o, created_gen=1, changed_gen=1, updated_at=None)
        for o in tree.everything()
    ]
    return msgspec.structs.replace(tree.with_objects(*first), generation=1)


def _objects(parent: Mapping[str, Any], name: str) -> Sequence[dict[str, Any]]:
    value = parent.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise refused(name, value, "Value should be a list of objects.")
    return value


def _all_pools(nested: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Pool definitions wherever they stand: anything with more than a name."""
    yield from _objects(nested, "pools")
    for listener in _objects(nested, "listeners"):
        for holder, name in [(listener, "default_pool")] + [
            (policy, "redirect_pool") for policy in _objects(listener, "l7policies")
        ]:
            pool = holder.get(name)
            if pool is not None and not isinstance(pool, dict):
                raise refused(name, pool, "Value should be an object.")
            if pool and set(pool) != {"name"}:
                yield pool


def _plan_pool(
    plan: Plan, body: Mapping[str, Any], lb_id: str, new_id: Callable[[], str], now: datetime
) -> None:
    name = _name(body)
    if name in plan.pools:
        raise Refused(f"Validation failure: Pool name {name} must be unique in the request.")
    own = {k: v for k, v in body.items() if k not in ("members", "healthmonitor", *_UNSAID)}
    pool_id = plan.pools[name] = new_id()
    values = {**creation("pool", own), "loadbalancer_id": lb_id}
    plan.steps.append(edits.add("pool", values, new_id=pool_id, now=now))
    for member in _objects(body, "members"):
        values = {**creation("member", member), "pool_id": pool_id}
        plan.steps.append(edits.add("member", values, new_id=new_id(), now=now))
    monitor = body.get("healthmonitor")
    if monitor is not None:
        values = creation(
            "healthmonitor", {**_object(monitor, "healthmonitor"), "pool_id": pool_id}
        )
        plan.steps.append(edits.add("healthmonitor", values, new_id=new_id(), now=now))


def _plan_listener(
    plan: Plan, body: Mapping[str, Any], lb_id: str, new_id: Callable[[], str], now: datetime
) -> None:
    own = {k: v for k, v in body.items() if k not in ("default_pool", "l7policies", *_UNSAID)}
    if body.get("default_pool") is not None:
        own["default_pool_id"] = _reference(plan, body["default_pool"])
    listener_id = new_id()
    values = creation("listener", {**own, "loadbalancer_id": lb_id})
    plan.steps.append(edits.add("listener", values, new_id=listener_id, now=now))
    for policy in _objects(body, "l7policies"):
        _plan_policy(plan, policy, listener_id, new_id, now)


def _plan_policy(
    plan: Plan, body: Mapping[str, Any], listener_id: str, new_id: Callable[[], str], now: datetime
) -> None:
    own = {k: v for k, v in body.items() if k not in ("redirect_pool", "rules", *_UNSAID)}
    if body.get("redirect_pool") is not None:
        own["redirect_pool_id"] = _reference(plan, body["redirect_pool"])
    policy_id = new_id()
    values = creation("l7policy", {**own, "listener_id": listener_id})
    plan.steps.append(edits.add("l7policy", values, new_id=policy_id, now=now))
    for rule in _objects(body, "rules"):
        values = {**creation("l7rule", rule), "l7policy_id": policy_id}
        plan.steps.append(edits.add("l7rule", values, new_id=new_id(), now=now))


def _reference(plan: Plan, pool: Mapping[str, Any]) -> str:
    name = _name(pool)
    if name not in plan.pools:
        raise Refused(f"Validation failure: Pool {name} is referenced but not defined.")
    return plan.pools[name]


def _name(pool: Mapping[str, Any]) -> str:
    name = pool.get("name")
    if not name or not isinstance(name, str):
        raise Refused("Validation failure: Pools must have a name when created in one request.")
    return name


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refused(name, value, "Value should be an object.")
    return value
