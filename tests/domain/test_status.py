"""Statuses as they follow from generations and from what amphorae report."""

from typing import Any

import pytest

from fairlead.domain.status import assess, initial, operating, provisioning, silent
from fairlead.domain.tree import Tree
from fairlead.domain.views import status_tree
from tests.domain.gardening import (
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
from tests.strategies import planted, replace

TREE = grown()


@pytest.mark.parametrize(
    ("applied", "failed", "status"),
    [(0, 0, "PENDING_CREATE"), (0, 1, "ERROR"), (1, 0, "ACTIVE"), (1, 1, "ACTIVE")],
)
def test_a_new_tree(applied: int, failed: int, status: str) -> None:
    tree = replace(TREE, applied=applied, failed=failed)
    assert {provisioning(tree, one) for one in tree.everything()} == {status}


MEMBER_ID = only(TREE, "member").id
EDITED = [
    (changed(TREE, "member", MEMBER_ID, weight=2), MEMBER_ID, "PENDING_UPDATE"),
    (removed(TREE, "member", MEMBER_ID), MEMBER_ID, "PENDING_DELETE"),
    (
        added(TREE, "member", {**MEMBER, "protocol_port": 9}, pool_id=only(TREE, "pool").id),
        "new",
        "PENDING_CREATE",
    ),
]


@pytest.mark.parametrize(("tree", "object_id", "status"), EDITED)
def test_an_edit_is_pending_until_applied_or_given_up(
    tree: Tree, object_id: str, status: str
) -> None:
    one, sibling = tree.objects[object_id], only(TREE, "l7policy")
    assert provisioning(tree, one) == status
    assert provisioning(tree, tree.root) == "PENDING_UPDATE"
    assert provisioning(tree, sibling) == "ACTIVE"
    given_up = replace(tree, failed=tree.generation)
    assert provisioning(given_up, one) == provisioning(given_up, tree.root) == "ERROR"
    assert provisioning(given_up, sibling) == "ACTIVE"
    again = changed(given_up, "loadbalancer", tree.id, name="again")
    assert provisioning(again, again.root) == "PENDING_UPDATE"
    assert provisioning(again, one) == "ERROR"
    assert provisioning(replace(again, applied=again.generation), one) == "ACTIVE"


def test_an_object_made_and_changed_before_it_was_applied_is_still_being_made() -> None:
    tree = changed(replace(TREE, applied=0), "member", MEMBER_ID, weight=2)
    assert provisioning(tree, only(tree, "member")) == "PENDING_CREATE"


def test_before_anything_was_observed() -> None:
    assert {initial(TREE, one) for one in TREE.everything()} == {"OFFLINE"}
    bare = removed(TREE, "healthmonitor", only(TREE, "healthmonitor").id)
    assert initial(bare, only(bare, "member")) == "NO_MONITOR"


def test_what_is_switched_off_reads_offline_whatever_was_observed() -> None:
    tree = replace(TREE, observed={MEMBER_ID: "ONLINE"})
    assert operating(tree, only(tree, "member")) == "ONLINE"
    off = changed(tree, "member", MEMBER_ID, admin_state_up=False)
    assert operating(off, only(off, "member")) == "OFFLINE"


MEMBERS = [{**MEMBER, "protocol_port": port} for port in (1, 2, 3)]


def observed(
    members: list[str], *, monitored: bool = True, front: str | None = "OPEN", **pool_values: Any
) -> dict[str, str]:
    """Statuses by kind (members m0, m1, m2) of a listener with a pool and three members."""
    body = pool(members=MEMBERS, **pool_values)
    if monitored:
        body["healthmonitor"] = MONITOR
    tree = planted({"pools": [body], "listeners": [
        listener(default_pool={"name": "web"}, l7policies=[policy(rules=[RULE])])
    ]})  # fmt: skip
    ids = [m.id for m in tree.members(tree.pools[0].id)]
    states = {i: s for i, s in zip(ids, members, strict=False) if s}
    found = assess(tree, {tree.listeners[0].id: front} if front else {}, states)
    named = {i: f"m{n}" for n, i in enumerate(ids)} | {
        o.id: o.KIND for o in tree.everything() if o.id not in ids
    }
    assert set(found) == set(named)
    return {named[i]: status for i, status in found.items()}


@pytest.mark.parametrize(
    ("states", "members", "pool_status"),
    [
        (["UP", "UP", "UP"], ["ONLINE"] * 3, "ONLINE"),
        (["UP", "DOWN", "UP"], ["ONLINE", "ERROR", "ONLINE"], "DEGRADED"),
        (["DOWN", "DOWN", "DOWN"], ["ERROR"] * 3, "ERROR"),
        (["DRAIN", "UP", "MAINT"], ["DRAINING", "ONLINE", "OFFLINE"], "ONLINE"),
        (["DOWN", "MAINT", "MAINT"], ["ERROR", "OFFLINE", "OFFLINE"], "ERROR"),
        (["MAINT", "MAINT", "MAINT"], ["OFFLINE"] * 3, "ONLINE"),
        (["UP", "", "UP"], ["ONLINE", "OFFLINE", "ONLINE"], "ONLINE"),
        (["NOCHECK", "UP", "UP"], ["NO_MONITOR", "ONLINE", "ONLINE"], "ONLINE"),
        (["NEVER HEARD OF", "UP", "UP"], ["ERROR", "ONLINE", "ONLINE"], "DEGRADED"),
    ],
)
def test_members_make_their_pool(states: list[str], members: list[str], pool_status: str) -> None:
    found = observed(states)
    assert [found[f"m{n}"] for n in range(3)] == members
    assert found["pool"] == found["loadbalancer"] == pool_status
    assert found["listener"] == found["healthmonitor"] == found["l7policy"] == "ONLINE"
    assert found["l7rule"] == "ONLINE"


def test_members_that_nobody_checks() -> None:
    found = observed(["UP", "NOCHECK", ""], monitored=False)
    assert [found[f"m{n}"] for n in range(3)] == ["NO_MONITOR"] * 3
    assert found["pool"] == found["loadbalancer"] == "ONLINE"


def test_a_full_listener_degrades_the_load_balancer() -> None:
    found = observed(["UP"] * 3, front="FULL")
    assert (found["listener"], found["loadbalancer"]) == ("DEGRADED", "DEGRADED")
    assert found["l7policy"] == "ONLINE"


def test_a_listener_that_is_not_reported_is_offline() -> None:
    found = observed(["UP"] * 3, front=None)
    assert found["listener"] == found["pool"] == found["l7policy"] == found["l7rule"] == "OFFLINE"
    assert found["loadbalancer"] == "ONLINE"


def test_a_pool_that_is_switched_off_is_offline() -> None:
    assert observed(["DOWN"] * 3, admin_state_up=False)["pool"] == "OFFLINE"


def test_a_pool_that_nothing_uses_does_not_count() -> None:
    tree = planted({"pools": [pool(members=[MEMBER], healthmonitor=MONITOR)]})
    found = assess(tree, {}, {tree.members(tree.pools[0].id)[0].id: "DOWN"})
    assert found[tree.pools[0].id] == "OFFLINE"
    assert found[tree.id] == "ONLINE"


def test_what_was_removed_has_no_status() -> None:
    tree = removed(TREE, "listener", only(TREE, "listener").id)
    gone = {o.id for o in tree.objects.values() if o.deleted_gen is not None}
    assert gone
    assert not gone & set(assess(tree, {}, {}))
    assert not gone & set(silent(tree))


def test_a_silent_amphora_is_an_error_everywhere() -> None:
    found = silent(TREE)
    assert set(found) == {o.id for o in TREE.everything()}
    assert set(found.values()) == {"ERROR"}


def test_the_status_tree_shows_pools_below_the_listeners_that_use_them() -> None:
    shown = status_tree(replace(TREE, observed={MEMBER_ID: "ERROR"}))
    (front,) = shown["listeners"]
    (web,) = front["pools"]
    assert (shown["id"], front["name"], web["name"]) == (TREE.id, "front", "web")
    assert web["health_monitor"]["type"] == "HTTP"
    assert web["members"] == [{
        "id": MEMBER_ID, "name": "", "operating_status": "ERROR",
        "provisioning_status": "ACTIVE", "address": "198.51.100.1", "protocol_port": 80,
    }]  # fmt: skip
    without = removed(TREE, "healthmonitor", only(TREE, "healthmonitor").id)
    assert "health_monitor" not in status_tree(without)["listeners"][0]["pools"][0]
