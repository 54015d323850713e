"""Trees and edits as the tests of the domain write them."""

from typing import Any

from fairlead.domain import edits
from fairlead.domain.bodies import changes, creation
from fairlead.domain.status import provisioning
from fairlead.domain.tree import Tree
from tests.strategies import NOW, planted, replace

LATER = NOW.replace(hour=13)
MEMBER = {"address": "198.51.100.1", "protocol_port": 80}


def pool(name: str = "web", **values: Any) -> dict[str, Any]:
    return {"name": name, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", **values}


def listener(**values: Any) -> dict[str, Any]:
    return {"protocol": "HTTP", "protocol_port": 80, **values}


def policy(**values: Any) -> dict[str, Any]:
    return {"action": "REJECT", **values}


RULE = {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/x"}
MONITOR = {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2}


def grown() -> Tree:
    """One of everything; the pool is the listener's default. Applied."""
    body = {
        "listeners": [
            listener(name="front", default_pool={"name": "web"}, l7policies=[policy(rules=[RULE])])
        ],
        "pools": [pool(members=[MEMBER], healthmonitor=MONITOR), pool("idle")],
    }
    return applied(planted(body))


def applied(tree: Tree) -> Tree:
    return replace(tree, applied=tree.generation)


def added(tree: Tree, kind: str, body: dict[str, Any], new_id: str = "new", **above: str) -> Tree:
    """`above` are the ids that nested resources get from their URL."""
    return edits.add(kind, {**creation(kind, body), **above}, new_id=new_id, now=LATER)(tree)


def changed(tree: Tree, kind: str, object_id: str, **body: Any) -> Tree:
    return edits.change(kind, object_id, changes(kind, body), now=LATER)(tree)


def removed(tree: Tree, kind: str, object_id: str, *, cascade: bool = False) -> Tree:
    return edits.remove(kind, object_id, cascade=cascade)(tree)


def only(tree: Tree, kind: str) -> Any:
    """The first object of a kind."""
    if kind == "loadbalancer":
        return tree.root
    return next(o for o in tree.objects.values() if kind == o.KIND)


def pending(before: Tree, after: Tree) -> set[str]:
    """Kinds (with names where they have one) of what the edit touched."""
    return {
        f"{o.KIND} {getattr(o, 'name', '')} {provisioning(after, o)}".replace("  ", " ").strip()
        for o in after.everything()
        if provisioning(after, o) != "ACTIVE" and before.applied == before.generation
    }
