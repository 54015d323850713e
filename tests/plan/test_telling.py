"""What a third party's driver is told of each edit: one call, as drivers know it."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from fairlead.domain import edits
from fairlead.domain.bodies import creation
from fairlead.domain.tree import Tree
from fairlead.plan.telling import changed_fields, told, undone
from tests.contract.balancers import CHANCES, EPOCH, Gardener, balancer, chances
from tests.domain.gardening import (
    LATER,
    MEMBER,
    MONITOR,
    RULE,
    added,
    changed,
    grown,
    listener,
    only,
    policy,
    pool,
    removed,
)
from tests.strategies import replace

TREE = grown()
LISTENER, POOL, POLICY = (only(TREE, kind).id for kind in ("listener", "pool", "l7policy"))
IDLE = TREE.pools[1].id


def calls(before: Tree | None, after: Tree) -> list[str]:
    """Each call as "verb kind what"."""
    return [
        f"{one.verb} {one.kind}" + (" with children" if one.cascade else "")
        for one in told(before, after)
    ]


def members(tree: Tree, *ports: int, **more: Any) -> Tree:
    wanted = [creation("member", {**MEMBER, "protocol_port": port}) for port in ports]
    new_ids = [f"m{port}" for port in ports]
    return edits.replace_members(POOL, wanted, new_ids=new_ids, now=LATER, **more)(tree)


EDITS = {
    "create listener": added(TREE, "listener", listener(protocol_port=81, loadbalancer_id=TREE.id)),
    "update listener": changed(TREE, "listener", LISTENER, connection_limit=7),
    "delete listener": removed(TREE, "listener", LISTENER),
    "create pool": added(TREE, "pool", pool("new"), loadbalancer_id=TREE.id),
    "update pool": changed(TREE, "pool", POOL, name="other"),
    "delete pool": removed(TREE, "pool", POOL),
    "create member": added(TREE, "member", {**MEMBER, "protocol_port": 9}, pool_id=POOL),
    "update member": changed(TREE, "member", only(TREE, "member").id, weight=9),
    "delete member": removed(TREE, "member", only(TREE, "member").id),
    "create healthmonitor": added(TREE, "healthmonitor", {**MONITOR, "pool_id": IDLE}),
    "update healthmonitor": changed(TREE, "healthmonitor", only(TREE, "healthmonitor").id, delay=9),
    "delete healthmonitor": removed(TREE, "healthmonitor", only(TREE, "healthmonitor").id),
    "create l7policy": added(TREE, "l7policy", policy(listener_id=LISTENER, position=1)),
    "update l7policy": changed(TREE, "l7policy", POLICY, name="other"),
    "delete l7policy": removed(TREE, "l7policy", POLICY),
    "create l7rule": added(TREE, "l7rule", RULE, l7policy_id=POLICY),
    "update l7rule": changed(TREE, "l7rule", only(TREE, "l7rule").id, value="/y"),
    "delete l7rule": removed(TREE, "l7rule", only(TREE, "l7rule").id),
    "update loadbalancer": changed(TREE, "loadbalancer", TREE.id, name="other"),
    "delete loadbalancer with children": removed(TREE, "loadbalancer", TREE.id, cascade=True),
    "batch member": members(TREE, 1, 2, additive_only=False),
}


@pytest.mark.parametrize("call", EDITS)
def test_one_request_is_one_call(call: str) -> None:
    assert calls(TREE, EDITS[call]) == [call]


def test_a_new_load_balancer_is_told_whole() -> None:
    assert calls(None, TREE) == ["create loadbalancer"]


def test_one_without_children_needs_no_cascade() -> None:
    bare = balancer()
    assert calls(bare, removed(bare, "loadbalancer", bare.id)) == ["delete loadbalancer"]


def test_a_pool_made_for_a_listener_is_no_change_of_the_listener() -> None:
    free = changed(TREE, "listener", LISTENER, default_pool_id=None)
    after = added(free, "pool", pool("new"), listener_id=LISTENER, loadbalancer_id=TREE.id)
    assert after.find(type(only(after, "listener")), LISTENER).default_pool_id == "new"
    assert calls(free, after) == ["create pool"]


def test_a_failover_can_be_asked_for_again() -> None:
    theirs = TREE.with_objects(replace(TREE.root, provider="theirs"))
    once = edits.renew()(theirs)
    assert calls(theirs, once) == calls(once, edits.renew()(once)) == ["failover loadbalancer"]
    (call,) = told(theirs, once)
    assert (call.object_id, undone(call)) == (TREE.id, None)


def test_policies_that_make_room_are_not_told() -> None:
    two = added(TREE, "l7policy", policy(listener_id=LISTENER, position=1))
    assert [p.position for p in two.policies] == [1, 2]
    moved = changed(two, "l7policy", "new", position=2)
    assert [p.id for p in moved.policies] == [POLICY, "new"]
    assert [(c.verb, c.object_id) for c in told(two, moved)] == [("update", "new")]


def test_a_batch_that_changes_one_member_is_a_call_of_that_member() -> None:
    assert calls(TREE, members(TREE, 80, 81, additive_only=False)) == ["create member"]
    assert calls(TREE, members(TREE, additive_only=False)) == ["delete member"]


def test_an_update_that_changes_nothing_is_told_as_one() -> None:
    (call,) = told(TREE, changed(TREE, "pool", POOL, name="web"))
    assert call.before is not None
    assert call.after is not None
    assert changed_fields(call.before, call.after) == {}


def test_what_was_asked_to_go_is_told_once() -> None:
    going = removed(TREE, "loadbalancer", TREE.id, cascade=True)
    assert calls(going, going) == []
    less = removed(TREE, "member", only(TREE, "member").id)
    assert calls(less, changed(less, "pool", POOL, name="other")) == ["update pool"]


def test_taking_back() -> None:
    for call, after in EDITS.items():
        (one,) = told(TREE, after)
        back = undone(one)
        if one.verb == "delete":
            assert back is None, "its driver reports DELETED, which is as good"
            continue
        assert back is not None, call
        assert back.verb == {"create": "delete"}.get(one.verb, one.verb)
        assert (back.before, back.after) == (one.after, one.before)


class Clockwork(Gardener):
    """No two of its edits at the same moment."""

    moment = EPOCH

    def now(self) -> datetime:
        self.moment += timedelta(microseconds=1)
        return self.moment


@settings(CHANCES, max_examples=50)
@given(chances())
def test_any_request_is_one_call_about_something_it_touched(chance: Any) -> None:
    gardener, tree = Clockwork(chance), balancer()
    for edit in gardener.edits(30):
        after = edit(tree)
        if after is not tree:
            (call,) = told(tree, after)
            one = after.root if call.object_id == tree.id else after.objects[call.object_id]
            assert after.generation in (one.changed_gen, one.deleted_gen)
        tree = after
