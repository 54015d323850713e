"""The tree: one load balancer with everything below it, the unit of change and of locking.

PURE and immutable. `generation` grows by one with every edit; `applied` is the newest
generation in force and `failed` the newest one given up on. Objects asked to go stay in the
tree, marked with `deleted_gen`, until that generation is applied. The look-ups below give live
objects only, unless they say otherwise. They are indexed once per tree, so that walking a tree
of thousands of objects costs one pass: make many changes by one `with_objects`.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import cached_property
from typing import TypeVar

import msgspec
from msgspec import Struct

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
from fairlead.errors import NotFound

R = TypeVar("R", bound=Resource)
K = TypeVar("K", bound=Hashable)


# The names under which Fairlead itself provides load balancers.
OWN_PROVIDERS = frozenset({"amphora", "octavia"})


class Report(Struct, frozen=True, kw_only=True):
    """The provisioning status a provider's driver gave an object, when that generation was newest.

    ACTIVE, ERROR or PENDING_*; of an object that was asked to go, only ERROR is kept.
    """

    generation: int
    status: str


class Tree(Struct, frozen=True, kw_only=True, dict=True):
    """`objects` holds every object but the root by id, in order of creation.

    `observed` are the operating statuses last observed, `reports` what a third party's provider
    driver said last, both by id (see status.py). Trees of such providers are never `applied`.
    """

    root: LoadBalancer
    objects: Mapping[str, Resource] = {}
    generation: int = 1
    applied: int = 0
    failed: int = 0
    observed: Mapping[str, str] = {}
    reports: Mapping[str, Report] = {}

    @property
    def id(self) -> str:
        """The load balancer's id."""
        return self.root.id

    @property
    def own(self) -> bool:
        """Whether Fairlead's own amphorae serve it, and not a third party's provider."""
        return self.root.provider in OWN_PROVIDERS

    @property
    def deleted(self) -> bool:
        """Whether the load balancer itself was asked to go."""
        return self.root.deleted_gen is not None

    @cached_property
    def listeners(self) -> tuple[Listener, ...]:
        """All listeners."""
        return tuple(self._live(Listener))

    @cached_property
    def pools(self) -> tuple[Pool, ...]:
        """All pools."""
        return tuple(self._live(Pool))

    @cached_property
    def policies(self) -> tuple[L7Policy, ...]:
        """All L7 policies, by position."""
        return tuple(sorted(self._live(L7Policy), key=lambda p: p.position))

    @cached_property
    def monitors(self) -> Mapping[str, HealthMonitor]:
        """Health monitors by pool id."""
        return {m.pool_id: m for m in self._live(HealthMonitor)}

    @cached_property
    def _members(self) -> Mapping[str, tuple[Member, ...]]:
        return _grouped(self._live(Member), lambda m: m.pool_id)

    @cached_property
    def _members_at(self) -> Mapping[tuple[str, str, int], tuple[Member, ...]]:
        return _grouped(self._live(Member), lambda m: (m.pool_id, m.address, m.protocol_port))

    @cached_property
    def _listeners_at(self) -> Mapping[int, tuple[Listener, ...]]:
        return _grouped(self.listeners, lambda one: one.protocol_port)

    @cached_property
    def _policies(self) -> Mapping[str, tuple[L7Policy, ...]]:
        return _grouped(self.policies, lambda p: p.listener_id)

    @cached_property
    def _users(self) -> Mapping[str, tuple[Listener, ...]]:
        found: dict[str, list[Listener]] = {}
        for one in self.listeners:
            used = [one.default_pool_id, *(p.redirect_pool_id for p in self.policies_of(one.id))]
            for pool_id in dict.fromkeys(used):
                if pool_id is not None:
                    found.setdefault(pool_id, []).append(one)
        return {pool_id: tuple(users) for pool_id, users in found.items()}

    @cached_property
    def _used(self) -> Mapping[str, tuple[Pool, ...]]:
        found: dict[str, list[Pool]] = {}
        for pool in self.pools:
            for one in self.listeners_using(pool.id):
                found.setdefault(one.id, []).append(pool)
        return {listener_id: tuple(used) for listener_id, used in found.items()}

    @cached_property
    def _children(self) -> Mapping[str | None, tuple[Resource, ...]]:
        live = (o for o in self.objects.values() if o.deleted_gen is None)
        return _grouped(live, parent_id)

    @cached_property
    def _rules(self) -> Mapping[str, tuple[L7Rule, ...]]:
        return _grouped(self._live(L7Rule), lambda r: r.l7policy_id)

    def members(self, pool_id: str) -> tuple[Member, ...]:
        """Members of a pool."""
        return self._members.get(pool_id, ())

    def members_at(self, pool_id: str, address: str, port: int) -> tuple[Member, ...]:
        """Members of a pool at an address and port; more than one is a conflict."""
        return self._members_at.get((pool_id, address, port), ())

    def listeners_at(self, port: int) -> tuple[Listener, ...]:
        """Listeners on a port, whatever their transport."""
        return self._listeners_at.get(port, ())

    def rules(self, policy_id: str) -> tuple[L7Rule, ...]:
        """Rules of an L7 policy."""
        return self._rules.get(policy_id, ())

    def policies_of(self, listener_id: str) -> tuple[L7Policy, ...]:
        """L7 policies of a listener, by position."""
        return self._policies.get(listener_id, ())

    def listeners_using(self, pool_id: str) -> tuple[Listener, ...]:
        """Listeners that have the pool as default or through an L7 policy."""
        return self._users.get(pool_id, ())

    def pools_used_by(self, listener_id: str) -> tuple[Pool, ...]:
        """A listener's default pool and the pools of its L7 policies."""
        return self._used.get(listener_id, ())

    def get(self, kind: str, object_id: str) -> Resource:
        """A live object of a kind; `NotFound` otherwise."""
        found = self.root if object_id == self.root.id else self.objects.get(object_id)
        if found is None or kind != found.KIND or found.deleted_gen is not None:
            raise NotFound(KINDS[kind].word, object_id)
        return found

    def find(self, kind: type[R], object_id: str) -> R:
        """As `get`, typed."""
        found = self.get(kind.KIND, object_id)
        assert isinstance(found, kind)  # noqa: S101 - get() compared the kind already
        return found

    def everything(self) -> Iterable[Resource]:
        """The root and every object, also those that were asked to go."""
        yield self.root
        yield from self.objects.values()

    def children_of(self, parent: Resource) -> tuple[Resource, ...]:
        """Every live object that would go with `parent` directly.

        Pools hang below the load balancer, so a listener takes only its L7 policies along.
        """
        return self._children.get(parent.id, ())

    def with_objects(self, *changed: Resource) -> "Tree":
        """The tree with objects (the root among them, perhaps) put in place of the old ones."""
        root = next((c for c in changed if isinstance(c, LoadBalancer)), self.root)
        objects = {**self.objects, **{c.id: c for c in changed if c is not root}}
        return msgspec.structs.replace(self, root=root, objects=objects)

    def _live(self, kind: type[R]) -> Iterable[R]:
        return (o for o in self.objects.values() if isinstance(o, kind) and o.deleted_gen is None)


def parent_id(resource: Resource) -> str | None:
    """Id of the object it hangs below; None for a load balancer."""
    field = KINDS[resource.KIND].parent_field
    return None if field is None else getattr(resource, field)


def _grouped(objects: Iterable[R], key: Callable[[R], K]) -> Mapping[K, tuple[R, ...]]:
    groups: dict[K, list[R]] = {}
    for one in objects:
        groups.setdefault(key(one), []).append(one)
    return {k: tuple(v) for k, v in groups.items()}
