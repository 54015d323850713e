"""Audit events (CADF) of every change that somebody who is logged in asks for.

One event a request with POST, PUT or DELETE, accepted or refused: who, from where, what, to which
object of which project, how it ended. No event has any of a request's or an answer's body but the
new object's id. Requests only put down what is needed; a task writes, so that none waits or fails
because of it. Events that cannot be written are kept, up to a bound, and tried again.

`Audit` is made by the wiring; app.py has Litestar call `see` for whatever it sends.
"""

import asyncio
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from litestar.types import Message
from msgspec import Struct
from pycadf import cadftaxonomy as cadf
from pycadf.event import Event
from pycadf.host import Host
from pycadf.reason import Reason
from pycadf.resource import Resource

from fairlead.api.access import Caller
from fairlead.api.request_ids import request_id

log = structlog.get_logger()
_KEPT = 10_000
_AGAIN = 5.0
_SERVICE = "service/network/load-balancer"
_ACTIONS = {
    "POST": cadf.ACTION_CREATE, "PUT": cadf.ACTION_UPDATE, "DELETE": cadf.ACTION_DELETE,
}  # fmt: skip
_STATE = "fairlead_audit"


class Change(Struct):
    """What a request is about, put down while it is answered."""

    caller: Caller
    resource: str
    action: str
    target_id: str | None
    project_id: str | None = None
    status: int = 0


def begin(scope: Any, caller: Caller, resource: str, action: str) -> None:
    """Note who asks for what; called once somebody is let in."""
    if scope["method"] in _ACTIONS:
        ids = list(scope["path_params"].values())
        target_id = str(ids[-1]) if ids else None
        scope["state"][_STATE] = Change(caller, resource, action, target_id)


def about(scope: Any, project_id: str | None) -> None:
    """Note whose the object is; called when that is judged."""
    change = scope["state"].get(_STATE)
    if change is not None and project_id is not None:
        change.project_id = project_id


class Audit:
    """Writes events through `write`, which may block and may raise `OSError`."""

    def __init__(self, write: Callable[[Sequence[bytes]], None]) -> None:
        self._write = write
        self._waiting: deque[bytes] = deque()
        self._lost = 0
        self._more = asyncio.Event()

    async def see(self, message: Message, scope: Any) -> None:
        """Put down an event when the answer to a change has been decided."""
        change: Change | None = scope["state"].get(_STATE)
        if change is None:
            return
        if message["type"] == "http.response.start":
            change.status = message["status"]
        elif message["type"] == "http.response.body":
            del scope["state"][_STATE]
            if scope["method"] == "POST" and change.status < 300:
                change.target_id = _new_id(message["body"]) or change.target_id
            self.put(msgspec.json.encode(_event(change, scope)))

    async def run(self) -> None:
        """Write what is put down, for ever."""
        while True:
            await self._more.wait()
            self._more.clear()
            if not await self.flush():
                await asyncio.sleep(_AGAIN)
                self._more.set()

    async def flush(self) -> bool:
        """Write all that waits; whether that worked."""
        events = list(self._waiting)
        self._waiting.clear()
        try:
            await asyncio.to_thread(self._write, events)
        except OSError as error:
            self._waiting.extendleft(reversed(events))
            while len(self._waiting) > _KEPT:
                self._waiting.pop()
                self._lost += 1
            log.error("audit events not written", waiting=len(self._waiting), error=str(error))
            return False
        if self._lost:
            log.error("audit events lost", events=self._lost)
            self._lost = 0
        return True

    def put(self, event: bytes) -> None:
        """Have an event written soon."""
        if len(self._waiting) >= _KEPT:
            self._lost += 1
            return
        self._waiting.append(event)
        self._more.set()


def _event(change: Change, scope: Any) -> dict[str, Any]:
    """The event in CADF's terms."""
    caller = change.caller
    client = scope.get("client")
    host = Host(address=client[0], agent=_agent(scope)) if client else None
    with warnings.catch_warnings():
        # pycadf would have every id a UUID, which those of users and projects in files are not.
        warnings.simplefilter("ignore")
        event: dict[str, Any] = Event(
            action=_ACTIONS[scope["method"]],
            eventTime=datetime.now(UTC).isoformat(),
            outcome=cadf.OUTCOME_SUCCESS if change.status < 400 else cadf.OUTCOME_FAILURE,
            initiator=Resource(
                id=caller.user_id or caller.user, name=caller.user, typeURI=cadf.ACCOUNT_USER,
                domain=caller.user_domain_id, host=host,
            ),
            target=Resource(
                id=change.target_id or "unknown", typeURI=f"{_SERVICE}/{change.resource}"
            ),
            observer=Resource(id="fairlead", name="fairlead", typeURI=_SERVICE),
            reason=Reason(reasonType="HTTP", reasonCode=str(change.status)),
            name=f"{change.resource}:{change.action}",
        ).as_dict()  # fmt: skip
    event["initiator"] |= {"project_id": caller.project_id, "roles": sorted(caller.roles)}
    event["target"] |= {"project_id": change.project_id}
    return event | {"requestPath": scope["path"], "request_id": request_id(scope)}


def _agent(scope: Any) -> str | None:
    found = (value for name, value in scope["headers"] if name == b"user-agent")
    agent = next(found, None)
    return None if agent is None else agent.decode("latin-1")[:200]


def _new_id(body: bytes) -> str | None:
    """The id of what was made, {"listener": {"id": ...}}."""
    try:
        answer = msgspec.json.decode(body, type=dict[str, _Made])
    except msgspec.MsgspecError:
        return None
    return next((made.id for made in answer.values()), None)


class _Made(Struct):
    id: str
