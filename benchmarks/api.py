"""Requests to the API over one kept connection, without a client library's own time."""

import base64
import http.client
import json
import time
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.lab import Trouble, until

LBAAS = "/v2/lbaas"
_IDLE_SECONDS = 2.0


class Api:
    """One service's API, as its first user."""

    def __init__(self, host: str, port: int, clouds: Path) -> None:
        self._headers = {"Authorization": authorization(clouds), "Content-Type": "application/json"}
        self._connection = http.client.HTTPConnection(host, port, timeout=30)
        self._used = 0.0

    def close(self) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's content, None where there is none; `Trouble` on a status above 299."""
        content = None if body is None else json.dumps(body).encode()
        if time.monotonic() - self._used > _IDLE_SECONDS:
            self._connection.close()  # the server may be about to; it opens again by itself
        self._connection.request(method, path, content, self._headers)
        answer = self._connection.getresponse()
        said = answer.read()
        self._used = time.monotonic()
        if answer.status > 299:
            raise Trouble(f"{method} {path}: {answer.status} {said[:300].decode()}")
        return json.loads(said) if said else None

    def get(self, path: str) -> Any:
        return self.ask("GET", path)

    def post(self, path: str, kind: str, **fields: Any) -> Any:
        return self.ask("POST", path, {kind: fields})[kind]

    def put(self, path: str, kind: str, **fields: Any) -> Any:
        return self.ask("PUT", path, {kind: fields})[kind]

    def delete(self, path: str) -> None:
        self.ask("DELETE", path)

    def await_active(self, lb_id: str, seconds: float = 30.0) -> None:
        """Wait until nothing is pending, so that measurements do not overlap."""
        path = f"{LBAAS}/loadbalancers/{lb_id}?fields=provisioning_status"

        def active() -> bool:
            status = self.get(path)["loadbalancer"]["provisioning_status"]
            if status == "ERROR":
                raise Trouble(f"Load balancer {lb_id} is in ERROR")
            return bool(status == "ACTIVE")

        until(f"load balancer {lb_id} ACTIVE", seconds, active, pause=0.01)

    def events(self, lb_id: str, after: str = "") -> list[dict[str, Any]]:
        """What the controller did for a load balancer after a time, oldest first.

        Events are written when the last step is done: waits for that.
        """
        path = f"/v2/octavia/loadbalancers/{lb_id}/events?limit=1000"
        found: list[dict[str, Any]] = []

        def complete() -> bool:
            events = sorted(self.get(path)["events"], key=lambda event: str(event["at"]))
            found[:] = [event for event in events if event["at"] > after]
            return any(event["step"] == "Settle" for event in found)

        until(f"events of {lb_id}", 10, complete, pause=0.01)
        return found


def authorization(clouds: Path) -> str:
    """The header that lets the first user in."""
    auth = msgspec.yaml.decode(clouds.read_bytes())["clouds"]["fairlead"]["auth"]
    pair = f"{auth['username']}:{auth['password']}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
