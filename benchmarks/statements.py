"""SQL statements per operation while a load balancer grows from 1 to 100 members."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks.api import LBAAS
from benchmarks.in_process import Inside, inside
from benchmarks.report import Chapter, Table
from benchmarks.service import installation
from fairlead.errors import NotFound

_SIZES = (1, 10, 100)
_MOST = 10
_PATIENCE = 30.0
_PAUSE = 0.05
_REQUEST: ContextVar[list[str] | None] = ContextVar("request", default=None)
Counts = dict[str, list[int]]


def measure() -> Chapter:
    """Every write and read on real drivers, in this process."""
    with installation() as state_dir, _listening() as background:
        replies, later = asyncio.run(_count(state_dir, background))
    rows = [
        (what, *map(str, at_reply), *map(str, later.get(what, ["", "", ""])))
        for what, at_reply in replies.items()
    ]
    heading = ("statements", *(f"{n} members" for n in _SIZES), *(f"{n} later" for n in _SIZES))
    most = max(max(counts) for counts in replies.values())
    flat = [what for what in replies if "of one" in what]
    return Chapter(
        "SQL statements per operation",
        "Statements that SQLAlchemy sends (BEGIN of writing transactions included, one that writes "
        "many rows counted once) of the store and of the network driver together, on real "
        "drivers. First those of the request until its reply; then (later) those of everything "
        "else from the request until ACTIVE: the controller's, and heartbeats' where they changed "
        "something.",
        [Table(heading, rows)],
        [(f"at most {_MOST} statements at the reply (most: {most})", most <= _MOST),
         ("as many for one member's change with 100 members as with 1",
          all(len(set(replies[what])) == 1 for what in flat))],
    )  # fmt: skip


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Statements of whoever is not a request of ours; those go to the request's own list."""
    background: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        own = _REQUEST.get()
        (background if own is None else own).append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield background
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


class Counting:
    """Asks, and counts."""

    def __init__(self, api: Inside, background: list[str]) -> None:
        self._api = api
        self._background = background
        self.replies: Counts = {}
        self.later: Counts = {}

    async def ask(self, what: str, method: str, path: str, body: Any = None) -> Any:
        """One request, noted as `what`; returns when what it changed is in force."""
        self._background.clear()
        statements: list[str] = []
        token = _REQUEST.set(statements)
        try:
            answer = await self._api.ask(method, f"{LBAAS}/{path}", body)
            self.replies.setdefault(what, []).append(len(statements))
            if method != "GET":
                lb_id = self.lb_id or answer["loadbalancer"]["id"]
                await self._settled(lb_id)
                self.later.setdefault(what, []).append(len(self._background))
        finally:
            _REQUEST.reset(token)
        return answer

    lb_id = ""

    async def _settled(self, lb_id: str) -> None:
        """Wait as a request of ours, so that asking does not count as background."""
        store = self._api.service.store
        for _ in range(int(_PATIENCE / _PAUSE)):
            try:
                tree = await store.tree(lb_id)
            except NotFound:
                break
            if tree.applied == tree.generation:
                break
            await asyncio.sleep(_PAUSE)
        await asyncio.sleep(_PAUSE)  # the last events are written after


async def _count(state_dir: Path, background: list[str]) -> tuple[Counts, Counts]:
    async with inside(state_dir, "host") as api:
        subnets = (await api.ask("GET", "/v2.0/subnets"))["subnets"]
        subnet_id = next(one["id"] for one in subnets if one["ip_version"] == 4)
        counting = Counting(api, background)
        for size in _SIZES:
            await _one_tree(counting, subnet_id, size)
        return counting.replies, counting.later


async def _one_tree(counting: Counting, subnet_id: str, size: int) -> None:
    ask = counting.ask
    counting.lb_id = ""
    made = await ask("POST a load balancer with all members", "POST", "loadbalancers",
                     {"loadbalancer": _body(subnet_id, size)})  # fmt: skip
    balancer = made["loadbalancer"]
    counting.lb_id = balancer["id"]
    listener, pool = balancer["listeners"][0]["id"], balancer["pools"][0]["id"]
    await _member_operations(ask, pool, size)
    await _other_writes(ask, balancer["id"], listener)
    await _reads(ask, balancer["id"], listener, pool)
    await ask("DELETE a load balancer with all in it", "DELETE",
              f"loadbalancers/{balancer['id']}?cascade=true")  # fmt: skip


async def _member_operations(ask: Any, pool: str, size: int) -> None:
    members = f"pools/{pool}/members"
    added = await ask("POST of one member", "POST", members, {"member": _member(size + 1)})
    path = f"{members}/{added['member']['id']}"
    await ask("PUT of one member", "PUT", path, {"member": {"weight": 7}})
    await ask("GET of one member", "GET", path)
    await ask("DELETE of one member", "DELETE", path)
    every = [_member(number) | {"weight": 3} for number in range(1, size + 1)]
    await ask("PUT all members (batch)", "PUT", members, {"members": every})


async def _other_writes(ask: Any, lb_id: str, listener: str) -> None:
    await ask("PUT a load balancer", "PUT", f"loadbalancers/{lb_id}",
              {"loadbalancer": {"description": "x"}})  # fmt: skip
    await ask("POST a listener", "POST", "listeners", {"listener": {
        "loadbalancer_id": lb_id, "protocol": "HTTP", "protocol_port": 81}})  # fmt: skip
    await ask("POST a pool", "POST", "pools", {"pool": {
        "loadbalancer_id": lb_id, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}})  # fmt: skip
    await ask("POST an L7 policy", "POST", "l7policies", {"l7policy": {
        "listener_id": listener, "action": "REJECT"}})  # fmt: skip


async def _reads(ask: Any, lb_id: str, listener: str, pool: str) -> None:
    await ask("GET a load balancer", "GET", f"loadbalancers/{lb_id}")
    await ask("GET a listener", "GET", f"listeners/{listener}")
    await ask("GET a pool", "GET", f"pools/{pool}")
    await ask("GET the status tree", "GET", f"loadbalancers/{lb_id}/status")
    await ask("GET statistics", "GET", f"loadbalancers/{lb_id}/stats")
    await ask("GET the list of load balancers", "GET", "loadbalancers")
    await ask("GET the list of members", "GET", f"pools/{pool}/members")


def _body(subnet_id: str, size: int) -> dict[str, Any]:
    pool = {
        "name": "pool", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
        "members": [_member(number) for number in range(1, size + 1)],
    }  # fmt: skip
    listener = {"protocol": "HTTP", "protocol_port": 80, "default_pool": pool}
    return {"vip_subnet_id": subnet_id, "listeners": [listener]}


def _member(number: int) -> dict[str, Any]:
    return {"address": f"192.0.2.{number}", "protocol_port": 80}
