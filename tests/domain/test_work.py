"""What edits of large trees cost: work grows with the tree, not with its square.

Counted in lines of Python executed, and in copies of the tree, which no busy machine can change.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

import pytest

from fairlead.domain import edits
from fairlead.domain.bodies import creation
from fairlead.domain.protocols import MAX_OBJECTS
from fairlead.domain.tree import Tree
from fairlead.domain.views import status_tree
from fairlead.errors import Refused
from tests.domain.gardening import LATER, MONITOR, added, listener, pool, removed
from tests.strategies import planted

FEW, MANY = 100, 400
_COPY = Tree.with_objects.__code__


@contextmanager
def counted() -> Iterator[dict[CodeType | str, int]]:
    """Lines executed meanwhile, and calls by code object."""
    counts: dict[CodeType | str, int] = {"lines": 0, _COPY: 0}

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            counts["lines"] += 1
        elif event == "call" and frame.f_code in counts:
            counts[frame.f_code] += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield counts
    finally:
        sys.settrace(before)


def servers(count: int, net: int = 0) -> list[dict[str, Any]]:
    return [
        {"address": f"198.18.{net + n // 250}.{n % 250 + 1}", "protocol_port": 80}
        for n in range(count)
    ]


def of_members(count: int) -> Tree:
    return planted({"pools": [pool(members=servers(count))], "listeners": [listener()]})


def of_pools(count: int) -> Tree:
    return planted({
        "pools": [pool(f"p{n}", healthmonitor=MONITOR) for n in range(count)],
        "listeners": [
            listener(protocol_port=n + 1, default_pool={"name": f"p{n}"}) for n in range(count)
        ],
    })  # fmt: skip


def batch(tree: Tree, wanted: list[dict[str, Any]]) -> Tree:
    values = [creation("member", one) for one in wanted]
    ids = [f"new-{n}" for n in range(len(wanted))]
    replacing = edits.replace_members(
        tree.pools[0].id, values, additive_only=False, new_ids=ids, now=LATER
    )
    return replacing(tree)


Prepared = tuple[Callable[[int], Any], Callable[[Any], Any]]
WORK: dict[str, Prepared] = {
    "create members": (int, of_members),
    "create pools": (int, of_pools),
    "change members": (
        of_members,
        lambda tree: batch(tree, [m | {"weight": 9} for m in servers(len(tree.objects) - 2)]),
    ),
    "replace members": (
        of_members,
        lambda tree: batch(tree, servers(len(tree.objects) - 2, net=100)),
    ),
    "remove members": (of_members, lambda tree: batch(tree, [])),
    "cascade": (of_members, lambda tree: removed(tree, "loadbalancer", tree.id, cascade=True)),
    "cascade pools": (of_pools, lambda tree: removed(tree, "loadbalancer", tree.id, cascade=True)),
    "remove a pool": (of_members, lambda tree: removed(tree, "pool", tree.pools[0].id)),
    "show statuses": (of_pools, status_tree),
}


@pytest.mark.parametrize("what", WORK)
def test_work_grows_with_the_tree_only(what: str) -> None:
    prepare, act = WORK[what]
    costs = []
    for count in (FEW, MANY):
        ready = prepare(count)
        with counted() as counts:
            act(ready)
        costs.append(counts)
    few, many = costs
    assert few["lines"] > FEW / 2, "nothing was counted"
    assert many["lines"] < few["lines"] * MANY / FEW * 1.5
    assert many[_COPY] == few[_COPY], "the tree is copied more often the larger it is"


def test_a_load_balancer_holds_so_many_objects() -> None:
    room = MAX_OBJECTS - 2
    full = of_members(room)
    member = {"address": "10.9.9.9", "protocol_port": 1}
    above = {"pool_id": full.pools[0].id}
    one_too_many: list[Callable[[], Tree]] = [
        lambda: of_members(room + 1),
        lambda: added(full, "member", member, **above),
        lambda: batch(full, [*servers(room), member]),
    ]
    for act in one_too_many:
        with pytest.raises(Refused, match=f"at most {MAX_OBJECTS} objects"):
            act()
    assert len(batch(full, servers(room, net=100)).members(full.pools[0].id)) == room
    emptied = batch(full, [])
    assert added(emptied, "member", member, **above).objects["new"].id == "new"
