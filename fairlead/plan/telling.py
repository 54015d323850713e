"""What a third party's provider driver is told of an edit: the difference of two trees as calls.

PURE. One request gives one call, as drivers know it from Octavia: what follows from the call by
itself (a listener's default pool that comes or goes with the pool, the positions of other
policies, children that go with their parent) is not told. Called by the drivers of such
providers; the edits know nothing of this.
"""

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from fairlead.domain.model import L7Policy, Listener, LoadBalancer, Member, Resource
from fairlead.domain.tree import Tree, parent_id

_UNTOLD = {"created_gen", "changed_gen", "deleted_gen", "updated_at", "created_at", "tags"}
_FOLLOWS = {Listener: {"default_pool_id"}, L7Policy: {"position"}}


class Told(Struct, frozen=True, kw_only=True):
    """One call: `verb` on an object of `kind`, as it was and as it shall be.

    create and failover have only `after`, delete only `before`, update both. batch is about the
    pool `after`, whose members shall be those of the tree then.
    """

    verb: str
    kind: str
    before: Resource | None = None
    after: Resource | None = None
    cascade: bool = False

    @property
    def object_id(self) -> str:
        """The object it is about."""
        return next(one.id for one in (self.after, self.before) if one is not None)


def told(before: Tree | None, after: Tree) -> tuple[Told, ...]:
    """The calls that tell of an edit; `before` None is the creation of everything."""
    if before is None:
        return (Told(verb="create", kind="loadbalancer", after=after.root),)
    if after.deleted:
        if before.deleted:
            return ()
        below = bool(before.children_of(before.root))
        return (Told(verb="delete", kind="loadbalancer", before=before.root, cascade=below),)
    return _members_together(after, [*_removals(before, after), *_rest(before, after)])


def undone(call: Told) -> Told | None:
    """The call that takes another one back, for an edit that could not be stored.

    None for a deletion (its driver reports DELETED, which removes the object after all), and for a
    failover.
    """
    if call.verb == "create":
        return Told(verb="delete", kind=call.kind, before=call.after, cascade=True)
    if call.verb in ("update", "batch"):
        return msgspec.structs.replace(call, before=call.after, after=call.before)
    return None


def changed_fields(before: Resource, after: Resource) -> dict[str, object]:
    """What drivers may know of that differs: the new values by field."""
    return {
        name: getattr(after, name)
        for name in after.__struct_fields__
        if name not in _UNTOLD and getattr(before, name) != getattr(after, name)
    }


def _removals(before: Tree, after: Tree) -> Iterator[Told]:
    """Objects newly asked to go, but not those that go with their parent."""
    going = {
        one.id
        for one in after.objects.values()
        if one.deleted_gen is not None and before.objects[one.id].deleted_gen is None
    }
    for object_id in going:
        one = before.objects[object_id]
        if parent_id(one) not in going:
            yield Told(verb="delete", kind=one.KIND, before=one)


def _rest(before: Tree, after: Tree) -> Iterator[Told]:
    for new in after.everything():
        old = before.root if isinstance(new, LoadBalancer) else before.objects.get(new.id)
        if old is None:
            yield Told(verb="create", kind=new.KIND, after=new)
        elif new.deleted_gen is None and "slots" in changed_fields(old, new):
            yield Told(verb="failover", kind=new.KIND, after=new)
        elif new.deleted_gen is None and _asked_for(old, new):
            yield Told(verb="update", kind=new.KIND, before=old, after=new)


def _asked_for(old: Resource, new: Resource) -> bool:
    """Whether a request changed it, and not just something beside it."""
    if old.updated_at != new.updated_at:
        return True
    return bool(changed_fields(old, new).keys() - _FOLLOWS.get(type(new), set()))


def _members_together(after: Tree, calls: list[Told]) -> tuple[Told, ...]:
    """Several changed members are one change of their pool."""
    members = [one for one in calls if one.kind == "member"]
    if len(members) < 2:
        return tuple(calls)
    pools = dict.fromkeys(_pool_id(one) for one in members)
    batches = [
        Told(verb="batch", kind="member", before=after.objects[i], after=after.objects[i])
        for i in pools
    ]
    return (*(one for one in calls if one.kind != "member"), *batches)


def _pool_id(call: Told) -> str:
    one = call.after or call.before
    assert isinstance(one, Member)  # noqa: S101 - the caller has looked at the kind
    return one.pool_id
