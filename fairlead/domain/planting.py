"""A whole tree from one request: the single-call create.

PURE. The body may nest listeners (with default_pool and l7policies, which may nest
redirect_pool and rules) and pools (with members and healthmonitor). A pool object with nothing
but a name refers to another pool of the request. Everything lands in generation 1, all or
nothing: the objects are put into one tree, which is checked once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from fairlead.domain import edits, rules
from fairlead.domain.bodies import creation, refused
from fairlead.domain.model import L7Policy, LoadBalancer, Resource
from fairlead.domain.tls import TlsPolicy
from fairlead.domain.tree import Tree
from fairlead.errors import Refused

_UNSAID = {"loadbalancer_id", "listener_id", "pool_id"}


class _Draft(msgspec.Struct):
    """The objects of the request so far, and its pools by name; `bare` is the tree without."""

    bare: Tree
    new_id: Callable[[], str]
    now: datetime
    policy: TlsPolicy
    objects: dict[str, Resource] = {}
    pools: dict[str, str] = {}

    def add(self, kind: str, values: Mapping[str, Any]) -> str:
        """Make an object and give its id; `Refused` as soon as there are too many."""
        rules.check_size(len(self.objects) + 1)
        new = edits.made(self.bare, kind, values, self.new_id(), self.now, self.policy)
        self.objects[new.id] = new
        return new.id


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
    policy: TlsPolicy = rules.POLICY,
) -> Tree:
    """The tree of generation 1 that a request describes; `Refused` when a rule is broken."""
    bare = Tree(root=root, generation=0)
    rules.check(bare, [root])
    draft = _Draft(bare, new_id, now, policy)
    for pool in _all_pools(nested):
        _plant_pool(draft, pool)
    for listener in _objects(nested, "listeners"):
        _plant_listener(draft, listener)
    return _checked(Tree(root=root, objects=draft.objects, generation=1))


def placed(tree: Tree, root: LoadBalancer) -> Tree:
    """A new tree with its VIP; `Refused` when a rule about addresses is broken."""
    return _checked(msgspec.structs.replace(tree, root=root))


def _checked(tree: Tree) -> Tree:
    rules.check(tree, tree.everything())
    return tree


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


def _plant_pool(draft: _Draft, body: Mapping[str, Any]) -> None:
    name = _name(body)
    if name in draft.pools:
        raise Refused(f"Validation failure: Pool name {name} must be unique in the request.")
    own = _own(draft, body, None, "members", "healthmonitor")
    pool_id = draft.add("pool", {**creation("pool", own), "loadbalancer_id": draft.bare.id})
    draft.pools[name] = pool_id
    for member in _objects(body, "members"):
        draft.add("member", {**creation("member", member), "pool_id": pool_id})
    monitor = body.get("healthmonitor")
    if monitor is not None:
        given = {**_object(monitor, "healthmonitor"), "pool_id": pool_id}
        draft.add("healthmonitor", creation("healthmonitor", given))


def _plant_listener(draft: _Draft, body: Mapping[str, Any]) -> None:
    own = _own(draft, body, "default_pool", "l7policies")
    values = creation("listener", {**own, "loadbalancer_id": draft.bare.id})
    listener_id = draft.add("listener", values)
    order: list[L7Policy] = []
    for policy in _objects(body, "l7policies"):
        planted = _plant_policy(draft, policy, listener_id)
        order.insert(planted.position - 1, planted)
    draft.objects.update((policy.id, policy) for policy in edits.numbered(order))


def _plant_policy(draft: _Draft, body: Mapping[str, Any], listener_id: str) -> L7Policy:
    own = _own(draft, body, "redirect_pool", "rules")
    policy_id = draft.add("l7policy", creation("l7policy", {**own, "listener_id": listener_id}))
    for rule in _objects(body, "rules"):
        draft.add("l7rule", {**creation("l7rule", rule), "l7policy_id": policy_id})
    planted = draft.objects[policy_id]
    assert isinstance(planted, L7Policy)  # noqa: S101 - made as one above
    return planted


def _own(draft: _Draft, body: Mapping[str, Any], pool: str | None, *below: str) -> dict[str, Any]:
    """An object's own fields; the pool it holds or refers to becomes that pool's id."""
    own = {k: v for k, v in body.items() if k not in (pool, *below, *_UNSAID)}
    if pool is not None and body.get(pool) is not None:
        own[f"{pool}_id"] = _reference(draft, body[pool])
    return own


def _reference(draft: _Draft, pool: Mapping[str, Any]) -> str:
    name = _name(pool)
    if name not in draft.pools:
        raise Refused(f"Validation failure: Pool {name} is referenced but not defined.")
    return draft.pools[name]


def _name(pool: Mapping[str, Any]) -> str:
    name = pool.get("name")
    if not name or not isinstance(name, str):
        raise Refused("Validation failure: Pools must have a name when created in one request.")
    return name


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refused(name, value, "Value should be an object.")
    return value
