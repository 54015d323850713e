"""The API as a client of flesh and blood uses it: requests, and waiting for what they promise.

`Balancer` knows the things of one load balancer by their names, so that a test reads
`lb.put("member-1", weight=0)`. Rules have no name: they are "POLICY/0", "POLICY/1" and so on.
"""

import time
from typing import Any

import httpx

LBAAS = "/v2/lbaas"
SECONDS = 30.0
_POLL = 0.05
_PATHS = {
    "loadbalancer": "loadbalancers", "listener": "listeners", "pool": "pools",
    "healthmonitor": "healthmonitors", "l7policy": "l7policies",
}  # fmt: skip


class Api:
    """Requests of one user; every unexpected status fails with the answer's text."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def call(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        answer = self._client.request(method, path, json=body)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def get(self, path: str) -> Any:
        """What is inside the answer's one wrapper."""
        (found,) = self.call("GET", path).values()
        return found

    def list(self, path: str) -> list[Any]:
        return next(v for k, v in self.call("GET", path).items() if not k.endswith("_links"))

    def post(self, path: str, kind: str, **fields: Any) -> Any:
        return self.call("POST", path, {kind: fields}, status=201)[kind]

    def put(self, path: str, kind: str, **fields: Any) -> Any:
        return self.call("PUT", path, {kind: fields})[kind]

    def delete(self, path: str) -> None:
        self.call("DELETE", path, status=204)

    def gone(self, path: str) -> bool:
        return self._client.get(path).status_code == 404

    def balancer(self, **fields: Any) -> "Balancer":
        """Create a load balancer with all that is below it, and wait until it is in force."""
        lb = Balancer(self, self.post(f"{LBAAS}/loadbalancers", "loadbalancer", **fields))
        lb.settled()
        return lb


class Balancer:
    """One load balancer."""

    def __init__(self, api: Api, created: dict[str, Any]) -> None:
        self.api = api
        self.id: str = created["id"]
        self.vip: str = created["vip_address"]
        self.path = f"{LBAAS}/loadbalancers/{self.id}"
        self._paths: dict[str, tuple[str, str]] = {"lb": (self.path, "loadbalancer")}
        for listener in created["listeners"]:
            self._know("listener", listener)
            for policy in listener.get("l7policies", ()):
                self._know("l7policy", policy)
                for place, rule in enumerate(policy.get("rules", ())):
                    path = f"{self.at(policy['name'])}/rules/{rule['id']}"
                    self._paths[f"{policy['name']}/{place}"] = path, "rule"
        for pool in created["pools"]:
            self._know("pool", pool)
            for member in pool.get("members", ()):
                self._paths[member["name"]] = (
                    f"{self._members(pool['name'])}/{member['id']}",
                    "member",
                )
            if pool.get("healthmonitor"):
                self._know("healthmonitor", {**pool["healthmonitor"], "name": f"{pool['name']}/hm"})

    def at(self, name: str) -> str:
        """The path of what has this name; "lb" is the load balancer itself."""
        return self._paths[name][0]

    def id_of(self, name: str) -> str:
        return self.at(name).rpartition("/")[2]

    def get(self, name: str = "lb") -> Any:
        return self.api.get(self.at(name))

    def change(self, name: str, **fields: Any) -> Any:
        """Ask for a change, and wait for nothing."""
        path, kind = self._paths[name]
        return self.api.put(path, kind, **fields)

    def put(self, name: str, **fields: Any) -> None:
        """Change, and wait until it is in force."""
        self.change(name, **fields)
        self.settled()

    def add(self, kind: str, name: str, **fields: Any) -> Any:
        """Add a listener, pool, healthmonitor or l7policy."""
        below = {"loadbalancer_id": self.id} if kind in ("listener", "pool") else {}
        made = self.api.post(f"{LBAAS}/{_PATHS[kind]}", kind, name=name, **below, **fields)
        self._know(kind, made)
        return made

    def add_member(self, pool: str, name: str, **fields: Any) -> Any:
        made = self.api.post(self._members(pool), "member", name=name, **fields)
        self._paths[name] = f"{self._members(pool)}/{made['id']}", "member"
        return made

    def add_rule(self, policy: str, **fields: Any) -> Any:
        return self.api.post(f"{self.at(policy)}/rules", "rule", **fields)

    def replace_members(self, pool: str, *members: dict[str, Any]) -> None:
        self.api.call("PUT", self._members(pool), {"members": members}, status=202)
        self.settled()

    def remove(self, name: str) -> None:
        """Delete one thing, and wait for nothing."""
        self.api.delete(self.at(name))

    def settled(self, seconds: float = SECONDS) -> None:
        """Wait until all that was asked for is in force."""
        self.until("lb", seconds, provisioning_status="ACTIVE")

    def online(self, seconds: float = SECONDS) -> None:
        self.until("lb", seconds, operating_status="ONLINE")

    def until(self, name: str, seconds: float = SECONDS, **fields: Any) -> None:
        """Wait until a thing has these values."""
        end = time.monotonic() + seconds
        while True:
            shown = self.get(name)
            seen = {field: shown[field] for field in fields}
            if seen == fields:
                return
            assert time.monotonic() < end, f"{name} should be {fields}, is {seen}: {self.story()}"
            time.sleep(_POLL)

    def story(self) -> str:
        """The newest events, for the message of a failed test."""
        events = self.api.get(f"/v2/octavia/loadbalancers/{self.id}/events")[:8]
        return "; ".join(f"{e['step']} {e['outcome']} {e['detail']}" for e in events)

    def delete(self, seconds: float = SECONDS) -> None:
        """Delete it with all that is below, and wait until it is gone."""
        self.api.delete(f"{self.path}?cascade=true")
        end = time.monotonic() + seconds
        while not self.api.gone(self.path):
            assert time.monotonic() < end, f"the load balancer stays: {self.story()}"
            time.sleep(_POLL)

    def _members(self, pool: str) -> str:
        return f"{self.at(pool)}/members"

    def _know(self, kind: str, made: dict[str, Any]) -> None:
        self._paths[made["name"]] = f"{LBAAS}/{_PATHS[kind]}/{made['id']}", kind
