"""Random requests for one load balancer after the other, and what must come of them.

A tree is a flat dict: an object's key (its kind and names, such as "member pool-3 8001") to the
fields that the script sets. It says the same whether the script or the API is asked. A request
that got no answer leaves the script in doubt: what it finds afterwards must be the tree before
the request or the tree after it, and nothing between. Seeded, so that a run can be repeated as
far as the moments of the kills allow.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx

from tests.crash.reading import LBAAS, Tree, find, read

SERVER_PORTS = range(8001, 8007)
FRONT_PORTS = range(80, 90)


class Request(NamedTuple):
    """What is asked, and the tree once it is granted; None when no load balancer is left."""

    method: str
    path: str
    body: dict[str, Any] | None
    after: Tree | None


class Script:
    """One load balancer at a time, named after the script."""

    def __init__(
        self, name: str, seed: int, subnet_id: str, server: str, far: dict[str, Any]
    ) -> None:
        """`far` is a subnet of another network: its members get no traffic, but bring cards."""
        self.name = name
        self.chance = random.Random(f"{name} {seed}")
        self.subnet_id = subnet_id
        self.places = ("10.77.0.9", far["id"]), (server, None)
        self.tree: Tree | None = None
        self.ids: dict[str, str] = {}
        self.gone: list[str] = []
        self.accepted = 0
        self.told: list[str] = []
        self._in_doubt: Request | None = None
        self._count = 0

    def ask(self, client: httpx.Client) -> None:
        """Make one request; httpx.TransportError when no answer came."""
        request = self._next()
        self._in_doubt = request
        self.told.append(f"{self.name}: {request.method} {request.path} {request.body}")
        answer = client.request(request.method, request.path, json=request.body)
        assert answer.status_code in (200, 201, 202, 204), f"{self.told[-1]}: {answer.text}"
        self.accepted += 1
        self._in_doubt = None
        if request.after is None:
            self._forget()
        elif self.tree is None:
            self.ids = {"lb": answer.json()["loadbalancer"]["id"]}
        before, self.tree = self.tree or {}, request.after
        new = (self.tree or {}).keys() - before.keys()
        self.ids = {key: i for key, i in self.ids.items() if key in (self.tree or {})}
        if len(new) == 1 and request.method == "POST" and before:
            ((_, made),) = answer.json().items()
            self.ids[new.pop()] = made["id"]
        elif new:
            self.look(client)

    def _forget(self) -> None:
        self.gone.append(self.ids["lb"])
        self.ids = {}

    def look(self, client: httpx.Client) -> None:
        """Read the tree by the API: it is what was accepted, with the ids it had before."""
        found, ids = self._read(client)
        doubt, self._in_doubt = self._in_doubt, None
        if doubt is not None and found == doubt.after:
            if found is None:
                self._forget()
            self.tree = doubt.after
        assert found == self.tree, f"{self.told[-1]}: {found} is not {self.tree}"
        anew = {k: i for k, i in self.ids.items() if ids.get(k, i) != i}
        assert not anew, f"{self.told[-1]}: objects that were made anew: {anew}"
        self.ids = ids

    def _read(self, client: httpx.Client) -> tuple[Tree | None, dict[str, str]]:
        lb_id = self.ids.get("lb")
        if lb_id is None and self._in_doubt is not None and self._in_doubt.after is not None:
            lb_id = find(client, self._in_doubt.after["lb"]["name"])
        return read(client, lb_id) if lb_id is not None else (None, {})

    def remove(self, client: httpx.Client) -> None:
        """Have the load balancer deleted, if there is one."""
        if self.tree is not None:
            answer = client.delete(f"{LBAAS}/loadbalancers/{self.ids['lb']}?cascade=true")
            assert answer.status_code == 204, answer.text
            self._forget()
            self.tree = None

    def listeners(self) -> Iterator[tuple[int, set[int], set[str]]]:
        """Port, ports of the servers that answer there, and paths that are denied."""
        tree = self.tree or {}
        for key, fields in tree.items():
            if key.startswith("listener "):
                name = key.split()[1]
                answering = {
                    int(other.split()[2])
                    for other, member in tree.items()
                    if other.startswith(f"member {fields['pool']} ")
                    and member["weight"] and member["admin_state_up"]
                }  # fmt: skip
                denied = {
                    rule["value"]
                    for other, rule in tree.items()
                    if other.startswith("rule ")
                    and tree[f"policy {other.split()[1]}"]["listener"] == name
                }
                yield fields["port"], answering, denied

    def _next(self) -> Request:
        if self.tree is None:
            return self._create()
        while True:
            (kind,) = self.chance.choices(list(_CHOICES), weights=list(_CHOICES.values()))
            request = kind(self)
            if request is not None:
                return request

    def _new_name(self, word: str) -> str:
        self._count += 1
        return f"{word}-{self.name}-{self._count}"

    def _one(self, kind: str) -> str | None:
        """The key of a random object of a kind."""
        keys = sorted(key for key in self.tree or {} if key.startswith(f"{kind} "))
        return self.chance.choice(keys) if keys else None

    def _with(self, changes: Tree) -> Tree:
        return {**(self.tree or {}), **changes}

    def _without(self, *keys: str) -> Tree:
        return {key: fields for key, fields in (self.tree or {}).items() if key not in keys}

    def _create(self) -> Request:
        """Alone, or with a whole tree in one call."""
        name = self._new_name("lb")
        body: dict[str, Any] = {"name": name, "vip_subnet_id": self.subnet_id}
        tree: Tree = {"lb": {"name": name, "description": ""}}
        if self.chance.random() < 0.7:
            body["listeners"] = [
                self._whole_listener(tree, port) for port in self.chance.sample(FRONT_PORTS, 2)
            ]
        return Request("POST", f"{LBAAS}/loadbalancers", {"loadbalancer": body}, tree)

    def _whole_listener(self, tree: Tree, port: int) -> dict[str, Any]:
        name, pool, policy = map(self._new_name, ("listener", "pool", "policy"))
        members = self._some_members(pool, tree)
        tree[f"listener {name}"] = {"port": port, "pool": pool, "limit": -1}
        tree[f"pool {pool}"] = {"algorithm": "ROUND_ROBIN"}
        tree[f"monitor {pool}"] = {"delay": 2}
        tree[f"policy {policy}"] = {"listener": name}
        tree[f"rule {policy} 1"] = {"value": f"/{policy}"}
        rule = {"type": "PATH", "compare_type": "STARTS_WITH", "value": f"/{policy}", "tags": ["1"]}
        return {
            "name": name, "protocol": "HTTP", "protocol_port": port,
            "default_pool": {
                "name": pool, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": members,
                "healthmonitor": {"name": pool, "type": "HTTP", "delay": 2, "timeout": 1,
                                  "max_retries": 1},
            },
            "l7policies": [{"name": policy, "action": "REJECT", "rules": [rule]}],
        }  # fmt: skip

    def _some_members(self, pool: str, tree: Tree) -> list[dict[str, Any]]:
        """Bodies of random members, which are put into the tree too."""
        bodies = []
        for port in self.chance.sample(SERVER_PORTS, self.chance.randint(1, 4)):
            weight = self.chance.randint(1, 3) * (port % 2)
            tree[f"member {pool} {port}"] = {"weight": weight, "admin_state_up": True}
            body = {**self._where(port), "weight": weight}
            bodies.append(body | {"admin_state_up": True})  # a batch keeps what is not given
        return bodies

    def _where(self, port: int) -> dict[str, Any]:
        """Where a member is; those of even ports bring the amphora another card."""
        address, subnet_id = self.places[port % 2]
        return {"address": address, "protocol_port": port, "subnet_id": subnet_id}

    def _add_listener(self) -> Request | None:
        used = {f["port"] for k, f in (self.tree or {}).items() if k.startswith("listener ")}
        free = [port for port in FRONT_PORTS if port not in used]
        if not free:
            return None
        name, port = self._new_name("listener"), self.chance.choice(free)
        body = {
            "name": name, "protocol": "HTTP", "protocol_port": port,
            "loadbalancer_id": self.ids["lb"],
        }  # fmt: skip
        after = self._with({f"listener {name}": {"port": port, "pool": None, "limit": -1}})
        return Request("POST", f"{LBAAS}/listeners", {"listener": body}, after)

    def _add_pool(self) -> Request:
        name, listener = self._new_name("pool"), self._one("listener")
        body = {"name": name, "protocol": "HTTP", "lb_algorithm": "LEAST_CONNECTIONS"}
        changes: Tree = {f"pool {name}": {"algorithm": "LEAST_CONNECTIONS"}}
        tree = self.tree or {}
        if listener is not None and tree[listener]["pool"] is None:
            changes[listener] = {**tree[listener], "pool": name}
            body["listener_id"] = self.ids[listener]
        else:
            body["loadbalancer_id"] = self.ids["lb"]
        return Request("POST", f"{LBAAS}/pools", {"pool": body}, self._with(changes))

    def _add_member(self) -> Request | None:
        pool = self._one("pool")
        if pool is None:
            return None
        name = pool.split()[1]
        free = [p for p in SERVER_PORTS if f"member {name} {p}" not in (self.tree or {})]
        if not free:
            return None
        port = self.chance.choice(free)
        fields = {"weight": port % 2, "admin_state_up": True}
        body = {**self._where(port), **fields}
        after = self._with({f"member {name} {port}": fields})
        return Request("POST", f"{LBAAS}/pools/{self.ids[pool]}/members", {"member": body}, after)

    def _replace_members(self) -> Request | None:
        pool = self._one("pool")
        if pool is None:
            return None
        name, tree = pool.split()[1], self.tree or {}
        after = {k: f for k, f in tree.items() if not k.startswith(f"member {name} ")}
        bodies = self._some_members(name, after)
        path = f"{LBAAS}/pools/{self.ids[pool]}/members"
        return Request("PUT", path, {"members": bodies}, after)

    def _change_member(self) -> Request | None:
        key = self._one("member")
        if key is None:
            return None
        weight = self.chance.randint(0, 3) * (int(key.split()[2]) % 2)
        up = self.chance.random() < 0.8
        body = {"weight": weight, "admin_state_up": up}
        after = self._with({key: body})
        path = f"{LBAAS}/pools/{self._pool_id(key)}/members/{self.ids[key]}"
        return Request("PUT", path, {"member": body}, after)

    def _remove_member(self) -> Request | None:
        key = self._one("member")
        if key is None:
            return None
        path = f"{LBAAS}/pools/{self._pool_id(key)}/members/{self.ids[key]}"
        return Request("DELETE", path, None, self._without(key))

    def _pool_id(self, key: str) -> str:
        return self.ids[f"pool {key.split()[1]}"]

    def _change_balancer(self) -> Request:
        said = self._new_name("description")
        after = self._with({"lb": {**(self.tree or {})["lb"], "description": said}})
        path = f"{LBAAS}/loadbalancers/{self.ids['lb']}"
        return Request("PUT", path, {"loadbalancer": {"description": said}}, after)

    def _change_listener(self) -> Request | None:
        key, pool = self._one("listener"), self._one("pool")
        if key is None or pool is None:
            return None
        limit = self.chance.randint(1000, 2000)
        body = {"default_pool_id": self.ids[pool], "connection_limit": limit}
        fields = {**(self.tree or {})[key], "pool": pool.split()[1], "limit": limit}
        path = f"{LBAAS}/listeners/{self.ids[key]}"
        return Request("PUT", path, {"listener": body}, self._with({key: fields}))

    def _change_monitor(self) -> Request | None:
        """Made where there is none."""
        pool = self._one("pool")
        if pool is None:
            return None
        key, delay = f"monitor {pool.split()[1]}", self.chance.randint(1, 5)
        after = self._with({key: {"delay": delay}})
        if key in (self.tree or {}):
            path = f"{LBAAS}/healthmonitors/{self.ids[key]}"
            return Request("PUT", path, {"healthmonitor": {"delay": delay}}, after)
        body = {
            "name": pool.split()[1], "pool_id": self.ids[pool], "type": "HTTP", "delay": delay,
            "timeout": 1, "max_retries": 1,
        }  # fmt: skip
        return Request("POST", f"{LBAAS}/healthmonitors", {"healthmonitor": body}, after)

    def _remove_monitor(self) -> Request | None:
        key = self._one("monitor")
        if key is None:
            return None
        path = f"{LBAAS}/healthmonitors/{self.ids[key]}"
        return Request("DELETE", path, None, self._without(key))

    def _add_policy(self) -> Request | None:
        listener = self._one("listener")
        if listener is None:
            return None
        name = self._new_name("policy")
        body = {"name": name, "listener_id": self.ids[listener], "action": "REJECT"}
        after = self._with({f"policy {name}": {"listener": listener.split()[1]}})
        return Request("POST", f"{LBAAS}/l7policies", {"l7policy": body}, after)

    def _add_rule(self) -> Request | None:
        """To a policy that has none."""
        policy = self._one("policy")
        if policy is None:
            return None
        name = policy.split()[1]
        key = f"rule {name} 1"
        if key in (self.tree or {}):
            return None
        value = f"/{name}"
        body = {"type": "PATH", "compare_type": "STARTS_WITH", "value": value, "tags": ["1"]}
        path = f"{LBAAS}/l7policies/{self.ids[policy]}/rules"
        return Request("POST", path, {"rule": body}, self._with({key: {"value": value}}))

    def _change_rule(self) -> Request | None:
        key = self._one("rule")
        if key is None:
            return None
        value = f"/{self._new_name('denied')}"
        path = self._rule_path(key)
        return Request("PUT", path, {"rule": {"value": value}}, self._with({key: {"value": value}}))

    def _remove_rule(self) -> Request | None:
        key = self._one("rule")
        if key is None:
            return None
        return Request("DELETE", self._rule_path(key), None, self._without(key))

    def _rule_path(self, key: str) -> str:
        policy = self.ids[f"policy {key.split()[1]}"]
        return f"{LBAAS}/l7policies/{policy}/rules/{self.ids[key]}"

    def _remove_policy(self) -> Request | None:
        key = self._one("policy")
        if key is None:
            return None
        after = self._without(key, f"rule {key.split()[1]} 1")
        return Request("DELETE", f"{LBAAS}/l7policies/{self.ids[key]}", None, after)

    def _remove_listener(self) -> Request | None:
        key = self._one("listener")
        if key is None:
            return None
        name, tree = key.split()[1], self.tree or {}
        policies = {
            k.split()[1]
            for k, f in tree.items()
            if k.startswith("policy ") and f["listener"] == name
        }
        going = [key, *(f"policy {p}" for p in policies), *(f"rule {p} 1" for p in policies)]
        after = self._without(*going)
        return Request("DELETE", f"{LBAAS}/listeners/{self.ids[key]}", None, after)

    def _remove_pool(self) -> Request | None:
        key = self._one("pool")
        if key is None:
            return None
        name, tree = key.split()[1], self.tree or {}
        members = [k for k in tree if k.startswith(f"member {name} ")]
        after = self._without(key, f"monitor {name}", *members)
        for other, fields in tree.items():
            if other.startswith("listener ") and fields["pool"] == name:
                after[other] = {**fields, "pool": None}
        return Request("DELETE", f"{LBAAS}/pools/{self.ids[key]}", None, after)

    def _remove_balancer(self) -> Request:
        path = f"{LBAAS}/loadbalancers/{self.ids['lb']}?cascade=true"
        return Request("DELETE", path, None, None)


_CHOICES: dict[Callable[[Script], Request | None], int] = {
    Script._add_listener: 3,
    Script._add_pool: 3,
    Script._add_member: 5,
    Script._replace_members: 4,
    Script._change_member: 5,
    Script._remove_member: 2,
    Script._change_balancer: 1,
    Script._change_listener: 3,
    Script._change_monitor: 3,
    Script._remove_monitor: 1,
    Script._add_policy: 2,
    Script._add_rule: 3,
    Script._change_rule: 2,
    Script._remove_rule: 1,
    Script._remove_policy: 1,
    Script._remove_listener: 1,
    Script._remove_pool: 1,
    Script._remove_balancer: 2,
}
