"""The tree of a load balancer as the API tells it, in the words of script.py.

What is asked to go counts as gone.
"""

from collections.abc import Iterator
from typing import Any

import httpx

LBAAS = "/v2/lbaas"
KINDS = ("loadbalancers", "listeners", "pools", "healthmonitors", "l7policies")

Tree = dict[str, dict[str, Any]]


def read(client: httpx.Client, lb_id: str) -> tuple[Tree | None, dict[str, str]]:
    """The tree with the ids of its objects; None when there is no such load balancer."""
    answer = client.get(f"{LBAAS}/loadbalancers/{lb_id}")
    if answer.status_code == 404 or _going(answer.json()["loadbalancer"]):
        return None, {}
    tree, ids = {}, {}
    for key, fields, shown in _objects(client, answer.json()["loadbalancer"]):
        tree[key], ids[key] = fields, shown["id"]
    return tree, ids


def find(client: httpx.Client, name: str) -> str | None:
    """The id of the load balancer of that name."""
    found = listed(client, "loadbalancers", name=name)
    return found[0]["id"] if found else None


def listed(client: httpx.Client, plural: str, path: str = "", **filters: str) -> list[Any]:
    """A list's objects, without those that are going."""
    answer = client.get(f"{LBAAS}/{path or plural}", params=filters)
    assert answer.status_code == 200, answer.text
    return [one for one in answer.json()[plural] if not _going(one)]


def everything(client: httpx.Client) -> Iterator[dict[str, Any]]:
    """Every object of every load balancer, also those that are going."""
    for plural in KINDS:
        for shown in client.get(f"{LBAAS}/{plural}").json()[plural]:
            yield shown
            below = {"pools": "members", "l7policies": "rules"}.get(plural)
            if below:
                answer = client.get(f"{LBAAS}/{plural}/{shown['id']}/{below}")
                yield from answer.json().get(below, ())  # it may have gone meanwhile


def _objects(
    client: httpx.Client, balancer: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    yield "lb", {name: balancer[name] for name in ("name", "description")}, balancer
    mine = [{"id": balancer["id"]}]
    pools = [one for one in listed(client, "pools") if one["loadbalancers"] == mine]
    listeners = [one for one in listed(client, "listeners") if one["loadbalancers"] == mine]
    pool_names = {pool["id"]: pool["name"] for pool in pools}
    for listener in listeners:
        fields = {
            "port": listener["protocol_port"],
            "pool": pool_names.get(listener["default_pool_id"]),
            "limit": listener["connection_limit"],
        }
        yield f"listener {listener['name']}", fields, listener
    for pool in pools:
        yield from _pool(client, pool)
    for monitor in listed(client, "healthmonitors"):
        if monitor["pools"][0]["id"] in pool_names:
            pool_name = pool_names[monitor["pools"][0]["id"]]
            yield f"monitor {pool_name}", {"delay": monitor["delay"]}, monitor
    listener_names = {listener["id"]: listener["name"] for listener in listeners}
    for policy in listed(client, "l7policies"):
        if policy["listener_id"] in listener_names:
            yield from _policy(client, policy, listener_names[policy["listener_id"]])


def _pool(
    client: httpx.Client, pool: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    yield f"pool {pool['name']}", {"algorithm": pool["lb_algorithm"]}, pool
    for member in listed(client, "members", f"pools/{pool['id']}/members"):
        fields = {name: member[name] for name in ("weight", "admin_state_up")}
        yield f"member {pool['name']} {member['protocol_port']}", fields, member


def _policy(
    client: httpx.Client, policy: dict[str, Any], listener: str
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    yield f"policy {policy['name']}", {"listener": listener}, policy
    for rule in listed(client, "rules", f"l7policies/{policy['id']}/rules"):
        yield f"rule {policy['name']} {rule['tags'][0]}", {"value": rule["value"]}, rule


def _going(shown: dict[str, Any]) -> bool:
    return bool(shown["provisioning_status"] == "PENDING_DELETE")
