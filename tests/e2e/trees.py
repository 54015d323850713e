"""Bodies of single-call creates, short enough to read in a test."""

from collections.abc import Iterable
from typing import Any

from tests.e2e.machines import Machine

Body = dict[str, Any]
# The shortest delay there is (0 means 100 ms) keeps tests short.
CHECK: Body = {"delay": 0, "timeout": 2, "max_retries": 1, "max_retries_down": 2}


def member(where: Machine | str, port: int, name: str = "", **fields: Any) -> Body:
    address = where if isinstance(where, str) else where.address
    return {"name": name or f"m{port}", "address": address, "protocol_port": port, **fields}


def pool(
    name: str, members: Iterable[Body], monitor: str | Body | None = None, **fields: Any
) -> Body:
    """A pool; `monitor` is a type, checked fast, or a whole body."""
    body: Body = {"name": name, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    body["members"] = [{**m, "name": f"{name}/{m['name']}"} for m in members]
    if monitor is not None:
        given = {"type": monitor} if isinstance(monitor, str) else monitor
        body["healthmonitor"] = {**CHECK, **given}
    return {**body, **fields}


def listener(port: int, default_pool: Body | None = None, **fields: Any) -> Body:
    """A listener called by its port, "l80"."""
    body: Body = {"name": f"l{port}", "protocol": "HTTP", "protocol_port": port}
    if default_pool is not None:
        body["default_pool"] = default_pool
    return {**body, **fields}
