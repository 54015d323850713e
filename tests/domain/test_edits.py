"""What each edit does to a tree, to ancestors, positions and generations."""

from typing import Any

import pytest

from fairlead.domain import edits
from fairlead.domain.bodies import creation
from fairlead.domain.tree import Tree
from fairlead.errors import Conflict, NotFound, Refused
from tests.domain.gardening import (
    LATER,
    MEMBER,
    MONITOR,
    RULE,
    added,
    applied,
    changed,
    grown,
    listener,
    only,
    pending,
    policy,
    pool,
    removed,
)
from tests.strategies import planted

ROOT, FRONT, WEB = (
    "loadbalancer PENDING_UPDATE", "listener front PENDING_UPDATE", "pool web PENDING_UPDATE",
)  # fmt: skip
POLICY_MOVED = "l7policy PENDING_UPDATE"
TREE = grown()
LB = TREE.id


def the(kind: str) -> str:
    return str(only(TREE, kind).id)


CREATED = [
    ("listener", {**listener(protocol_port=81), "loadbalancer_id": LB}, {}, {ROOT}),
    ("pool", {**pool("x"), "loadbalancer_id": LB}, {}, {ROOT}),
    ("member", {**MEMBER, "protocol_port": 81}, {"pool_id": the("pool")}, {ROOT, FRONT, WEB}),
    ("l7policy", {**policy(), "listener_id": the("listener")}, {}, {ROOT, FRONT}),
    ("l7rule", RULE, {"l7policy_id": the("l7policy")}, {ROOT, FRONT, POLICY_MOVED}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "body", "above", "moved"), CREATED)
def test_creating_moves_the_ancestors(
    kind: str, body: dict[str, Any], above: dict[str, str], moved: set[str]
) -> None:
    after = added(TREE, kind, body, **above)
    name = f"{kind} {getattr(after.objects['new'], 'name', '')}".strip()
    assert pending(TREE, after) == moved | {f"{name} PENDING_CREATE"}
    assert after.generation == TREE.generation + 1
    assert after.objects["new"].project_id == "a-project"


def test_a_monitor_moves_its_pool_and_the_pools_listeners() -> None:
    before = applied(removed(TREE, "healthmonitor", the("healthmonitor")))
    after = added(before, "healthmonitor", {**MONITOR, "pool_id": the("pool")})
    assert pending(before, after) - {"healthmonitor PENDING_DELETE"} == {
        ROOT, FRONT, WEB, "healthmonitor PENDING_CREATE",
    }  # fmt: skip


CHANGED = [
    ("loadbalancer", {"name": ""}, {ROOT}),
    ("listener", {"connection_limit": 5}, {ROOT, FRONT}),
    ("pool", {"lb_algorithm": "SOURCE_IP"}, {ROOT, FRONT, WEB}),
    ("member", {"weight": 5}, {ROOT, FRONT, WEB, "member PENDING_UPDATE"}),
    ("healthmonitor", {"delay": 9}, {ROOT, FRONT, WEB, "healthmonitor PENDING_UPDATE"}),
    ("l7policy", {"name": ""}, {ROOT, FRONT, POLICY_MOVED}),
    ("l7rule", {"value": "/y"}, {ROOT, FRONT, POLICY_MOVED, "l7rule PENDING_UPDATE"}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "body", "moved"), CHANGED)
def test_changing_moves_the_ancestors(kind: str, body: dict[str, Any], moved: set[str]) -> None:
    after = changed(TREE, kind, the(kind), **body)
    assert pending(TREE, after) == moved
    now = after.get(kind, the(kind))
    assert {name: getattr(now, name) for name in body} == body
    assert (now.updated_at, now.created_gen) == (LATER, 1)
    assert only(TREE, kind).updated_at is None


REMOVED = [
    ("listener", {ROOT, "listener front PENDING_DELETE", "l7policy PENDING_DELETE",
                  "l7rule PENDING_DELETE"}),
    ("pool", {ROOT, FRONT, "pool web PENDING_DELETE", "member PENDING_DELETE",
              "healthmonitor PENDING_DELETE"}),
    ("member", {ROOT, FRONT, WEB, "member PENDING_DELETE"}),
    ("healthmonitor", {ROOT, FRONT, WEB, "healthmonitor PENDING_DELETE"}),
    ("l7policy", {ROOT, FRONT, "l7policy PENDING_DELETE", "l7rule PENDING_DELETE"}),
    ("l7rule", {ROOT, FRONT, POLICY_MOVED, "l7rule PENDING_DELETE"}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "moved"), REMOVED)
def test_removing_takes_what_hangs_below_and_moves_the_ancestors(
    kind: str, moved: set[str]
) -> None:
    after = removed(TREE, kind, the(kind))
    assert pending(TREE, after) == moved
    with pytest.raises(NotFound):
        after.get(kind, the(kind))
    assert removed(after, kind, the(kind)) is after, "asking again changes nothing"


def test_a_load_balancer_with_children_goes_by_cascade_only() -> None:
    with pytest.raises(Refused, match="has children"):
        removed(TREE, "loadbalancer", LB)
    after = removed(TREE, "loadbalancer", LB, cascade=True)
    assert {o.deleted_gen for o in after.everything()} == {after.generation}
    assert removed(planted({}), "loadbalancer", LB).deleted


EVERY_EDIT = [
    edits.add("pool", creation("pool", {**pool(), "loadbalancer_id": LB}), new_id="new", now=LATER),
    edits.change("loadbalancer", LB, {"name": "x"}, now=LATER),
    edits.remove("loadbalancer", "another", cascade=True),
    edits.replace_members(the("pool"), [], additive_only=False, new_ids=[], now=LATER),
]


@pytest.mark.parametrize("edit", EVERY_EDIT)
def test_nothing_can_be_done_to_what_was_asked_to_go(edit: edits.Edit) -> None:
    gone = removed(TREE, "loadbalancer", LB, cascade=True)
    with pytest.raises(NotFound, match=f"Load Balancer {LB} not found"):
        edit(gone)


@pytest.mark.parametrize("edit", EVERY_EDIT[:2])
def test_edits_are_accepted_while_others_are_pending(edit: edits.Edit) -> None:
    waiting = changed(TREE, "listener", the("listener"), name="front")
    assert edit(waiting).generation == TREE.generation + 2


def test_removing_a_pool_detaches_it_from_its_listener() -> None:
    after = removed(TREE, "pool", the("pool"))
    assert after.listeners[0].default_pool_id is None
    assert only(TREE, "listener").default_pool_id == the("pool")


def test_a_pool_can_be_made_a_listeners_default() -> None:
    tree = planted({"listeners": [listener()]})
    front = tree.listeners[0].id
    values = {**creation("pool", pool()), "loadbalancer_id": LB, "listener_id": front}
    make = edits.add("pool", values, new_id="new", now=LATER)
    after = make(tree)
    assert after.listeners[0].default_pool_id == "new"
    assert after.listeners[0].changed_gen == after.generation
    with pytest.raises(Conflict, match="already has a default pool"):
        edits.add("pool", values, new_id="another", now=LATER)(after)
    with pytest.raises(NotFound, match="Listener nobody"):
        edits.add("pool", {**values, "listener_id": "nobody"}, new_id="n", now=LATER)(tree)
    emptied = removed(after, "pool", "new")
    assert make(emptied).listeners[0].default_pool_id == "new"


@pytest.mark.parametrize(
    ("kind", "body", "above", "word"),
    [
        ("listener", {**listener(), "loadbalancer_id": LB, "default_pool_id": LB}, {}, "Pool"),
        ("member", MEMBER, {"pool_id": "x"}, "Pool"),
        ("healthmonitor", {**MONITOR, "pool_id": LB}, {}, "Pool"),
        ("l7policy", {**policy(), "listener_id": LB}, {}, "Listener"),
        ("l7policy", {"listener_id": the("listener"), "action": "REDIRECT_TO_POOL",
                      "redirect_pool_id": LB}, {}, "Pool"),
        ("l7rule", RULE, {"l7policy_id": "x"}, "L7Policy"),
    ],
)  # fmt: skip
def test_a_parent_or_pool_that_is_not_there_is_not_found(
    kind: str, body: dict[str, Any], above: dict[str, str], word: str
) -> None:
    with pytest.raises(NotFound, match=f"^{word} "):
        added(TREE, kind, {**body, "protocol_port": 99} if kind == "listener" else body, **above)


def ordered(tree: Tree) -> str:
    """Names of a listener's policies in order; positions must be 1, 2, 3..."""
    policies = tree.policies_of(tree.listeners[0].id)
    assert [p.position for p in policies] == list(range(1, len(policies) + 1))
    return "".join(p.name for p in policies)


def placed(tree: Tree, name: str, position: int | None = None) -> Tree:
    body = {**policy(name=name, position=position), "listener_id": tree.listeners[0].id}
    return added(tree, "l7policy", body, new_id=name)


def test_positions_are_kept_without_gaps() -> None:
    tree = planted({"listeners": [listener()]})
    for name in "ab":
        tree = placed(tree, name)
    assert ordered(tree) == "ab"
    tree = placed(tree, "c", 1)
    assert ordered(tree) == "cab"
    tree = placed(tree, "d", 2)
    assert ordered(tree) == "cdab"
    tree = placed(tree, "e", 99)
    assert ordered(tree) == "cdabe"
    tree = changed(tree, "l7policy", "e", position=2)
    assert ordered(tree) == "cedab"
    tree = changed(tree, "l7policy", "e", name="e")
    assert ordered(tree) == "cedab"
    tree = changed(tree, "l7policy", "c", position=None)
    assert ordered(tree) == "edabc"
    tree = removed(tree, "l7policy", "d")
    assert ordered(tree) == "eabc"


def batch(tree: Tree, *wanted: dict[str, Any], additive_only: bool = False) -> Tree:
    values = [creation("member", one) for one in wanted]
    ids = [f"new-{n}" for n in range(len(wanted))]
    pool_id = the("pool")
    return edits.replace_members(
        pool_id, values, additive_only=additive_only, new_ids=ids, now=LATER
    )(tree)


def places(tree: Tree) -> list[str]:
    return [f"{m.address}:{m.protocol_port}/{m.weight}" for m in tree.members(the("pool"))]


SECOND = {"address": "198.51.100.2", "protocol_port": 80}


def test_a_batch_updates_creates_and_deletes() -> None:
    two = batch(TREE, {**MEMBER, "weight": 7}, SECOND)
    assert places(two) == ["198.51.100.1:80/7", "198.51.100.2:80/1"]
    assert two.members(the("pool"))[0].id == the("member")
    assert pending(TREE, two) == {
        ROOT, FRONT, WEB, "member PENDING_UPDATE", "member PENDING_CREATE",
    }  # fmt: skip
    assert places(batch(two, SECOND)) == ["198.51.100.2:80/1"]
    assert places(batch(two)) == []


def test_a_batch_keeps_what_it_does_not_give_of_known_members() -> None:
    full = {**MEMBER, "name": "first", "monitor_port": 81, "weight": 7, "backup": True,
            "tags": ["a"], "admin_state_up": False, "subnet_id": LB}  # fmt: skip
    tree = batch(batch(TREE), full)
    assert batch(tree, MEMBER) is tree
    (after,) = batch(tree, {**MEMBER, "weight": 3, "monitor_port": None}).members(the("pool"))
    assert (after.weight, after.monitor_port, after.name, after.tags) == (3, None, "first", ("a",))
    assert (after.backup, after.admin_state_up, after.subnet_id) == (True, False, LB)
    assert after.updated_at == LATER


@pytest.mark.parametrize(("before", "wanted"), [(None, LB), (LB, None), (LB, the("pool"))])
def test_a_batch_cannot_move_a_member_to_another_subnet(
    before: str | None, wanted: str | None
) -> None:
    tree = batch(batch(TREE), {**MEMBER, "subnet_id": before})
    assert batch(tree, {**MEMBER, "subnet_id": before}) is tree
    for additive_only in (False, True):
        with pytest.raises(Refused, match=r"subnet_id.*delete the Member and add it"):
            batch(tree, {**MEMBER, "subnet_id": wanted}, additive_only=additive_only)


def test_an_additive_batch_keeps_what_it_does_not_name() -> None:
    after = batch(TREE, SECOND, additive_only=True)
    assert places(after) == ["198.51.100.1:80/1", "198.51.100.2:80/1"]
    assert only(after, "member").changed_gen == 1


def test_a_batch_that_changes_nothing_is_no_edit() -> None:
    assert batch(TREE, MEMBER) is TREE
    assert batch(TREE, additive_only=True) is TREE


def test_a_batch_names_a_member_once() -> None:
    for doubled in (MEMBER, SECOND):
        with pytest.raises(Refused, match="more than once"):
            batch(TREE, doubled, {**doubled, "weight": 2})


def test_a_member_that_went_can_come_again_as_another() -> None:
    back = batch(batch(TREE), MEMBER)
    assert back.members(the("pool"))[0].id == "new-0"


def test_one_request_makes_a_whole_tree_in_one_generation() -> None:
    tree = planted({
        "name": "lb",
        "listeners": [
            listener(default_pool=pool("inline"), l7policies=[
                {"action": "REDIRECT_TO_POOL", "redirect_pool": {"name": "web"}, "rules": [RULE]},
                policy(position=1, name="first"),
            ]),
        ],
        "pools": [pool(members=[MEMBER], healthmonitor=MONITOR)],
    })  # fmt: skip
    assert {(o.created_gen, o.changed_gen, o.updated_at) for o in tree.everything()} == {
        (1, 1, None)
    }
    assert (tree.generation, tree.applied) == (1, 0)
    named = {p.name: p.id for p in tree.pools}
    assert tree.listeners[0].default_pool_id == named["inline"]
    first, second = tree.policies_of(tree.listeners[0].id)
    assert (first.name, second.redirect_pool_id) == ("first", named["web"])
    assert len(tree.rules(second.id)) == 1


REFUSED = [
    ({"pools": [pool(), pool()]}, "must be unique"),
    ({"pools": [{k: v for k, v in pool().items() if k != "name"}]}, "must have a name"),
    ({"listeners": [listener(default_pool={"name": "x"})]}, "referenced but not defined"),
    ({"listeners": [listener(default_pool={})]}, "must have a name"),
    ({"pools": [{"name": "x", "protocol": "HTTP"}]}, "lb_algorithm.*Mandatory"),
    ({"listeners": [listener(bogus=1)]}, "Unknown attribute.*bogus"),
    ({"listeners": {}}, "list of objects"),
    ({"listeners": ["x"]}, "list of objects"),
    ({"pools": [pool(members=[{}])]}, "Mandatory"),
    ({"pools": [pool(healthmonitor=[])]}, "should be an object"),
    ({"listeners": [listener(l7policies=[policy(rules=[{**RULE, "value": ""}])])]}, "L7Rule"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "message"), REFUSED)
def test_one_request_is_refused_as_a_whole(body: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message):
        planted(body)


def test_one_request_conflicts_with_itself() -> None:
    with pytest.raises(Conflict, match="protocol_port 80"):
        planted({"listeners": [listener(), listener()]})
    with pytest.raises(Conflict, match="already using ip"):
        planted({"pools": [pool(members=[MEMBER, MEMBER])]})
