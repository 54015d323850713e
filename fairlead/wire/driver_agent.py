"""What provider drivers say to the driver agent's sockets, as octavia-lib's DriverLibrary says it.

PURE. A message, and its answer, is its length in decimal, a line feed, and JSON. Everything a
message can be wrong about is found here, before anything of it counts: `Malformed` carries the
answer, whose keys tell DriverLibrary what is wrong with which object.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from fairlead.wire.heartbeat import Counters

MAX_MESSAGE = 8 * 1024 * 1024
MAX_HEADER = 16
_LONGEST_QUOTE = 300

Provisioning = Literal[
    "ACTIVE", "ERROR", "DELETED", "PENDING_CREATE", "PENDING_UPDATE", "PENDING_DELETE"
]
Operating = Literal["ONLINE", "OFFLINE", "DEGRADED", "ERROR", "DRAINING", "NO_MONITOR"]

# The lists of a status message with the kinds they are of, in the order in which they count.
KINDS: dict[str, str] = {
    "members": "member",
    "healthmonitors": "healthmonitor",
    "pools": "pool",
    "l7rules": "l7rule",
    "l7policies": "l7policy",
    "listeners": "listener",
    "loadbalancers": "loadbalancer",
}
PLURALS = {kind: plural for plural, kind in KINDS.items()}


class Malformed(Exception):
    """What was said makes no sense; `answer` says so to DriverLibrary."""

    def __init__(self, fault: str, **about: str) -> None:
        super().__init__(fault)
        self.answer = {"status_code": 500, "fault_string": fault, **about}


class _Statuses(Struct, frozen=True):
    id: str
    provisioning_status: Provisioning | None = None
    operating_status: Operating | None = None


class Said(Struct, frozen=True, kw_only=True):
    """The statuses of one object, as far as they were given."""

    kind: str
    id: str
    provisioning: str | None = None
    operating: str | None = None


class Asked(Struct, frozen=True, kw_only=True):
    """An object somebody wants to see."""

    kind: str
    id: str


def length(header: bytes) -> int:
    """The length of a message by its first line; `Malformed` when it is none, or too long."""
    text = header.removesuffix(b"\n")
    if not text.isdigit() or len(header) > MAX_HEADER:
        raise Malformed("The first line of a message should be its length in bytes.")
    if int(text) > MAX_MESSAGE:
        raise Malformed(f"A message may have {MAX_MESSAGE} bytes.")
    return int(text)


def framed(answer: Any) -> bytes:
    """An answer as it is sent."""
    payload = msgspec.json.encode(answer)
    return b"%d\n%b" % (len(payload), payload)


def statuses(payload: bytes) -> tuple[Said, ...]:
    """What a status message says, in the order in which it counts."""
    said: list[Said] = []
    message = _object(payload)
    for plural, kind in KINDS.items():
        for record in _records(message, plural, "status"):
            try:
                one = msgspec.convert(record, _Statuses)
            except msgspec.ValidationError as error:
                raise _wrong("status", plural, record, str(error)) from None
            said.append(Said(kind=kind, id=one.id, provisioning=one.provisioning_status,
                             operating=one.operating_status))  # fmt: skip
    unknown = next((key for key in message if key not in KINDS), None)
    if unknown is not None:
        raise Malformed(f"There are no {unknown[:_LONGEST_QUOTE]}.")
    return tuple(said)


def statistics(payload: bytes) -> dict[str, Counters]:
    """Running totals by listener id."""
    found: dict[str, Counters] = {}
    for record in _records(_object(payload), "listeners", "stats"):
        listener_id = record.get("id")
        if not isinstance(listener_id, str):
            raise _wrong("stats", "listeners", record, "id is missing")
        found[listener_id] = Counters(**_counts(record))
    return found


def asked(payload: bytes) -> Asked:
    """The object that a message asks for."""
    message = _object(payload)
    plural, object_id = message.get("object"), message.get("id")
    if not isinstance(plural, str) or plural not in KINDS or not isinstance(object_id, str):
        raise Malformed("A message should name an object and an id.")
    return Asked(kind=KINDS[plural], id=object_id)


def _object(payload: bytes) -> dict[str, Any]:
    try:
        message = msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise Malformed("The message is no JSON.") from None
    if not isinstance(message, dict):
        raise Malformed("The message should be an object.")
    return message


def _records(message: Mapping[str, Any], plural: str, what: str) -> Iterator[dict[str, Any]]:
    listed = message.get(plural) or []
    if not isinstance(listed, list):
        raise Malformed(f"{plural} should be a list.", **{f"{what}_object": plural})
    for record in listed:
        if not isinstance(record, dict):
            raise _wrong(what, plural, {}, f"{plural} should be a list of objects")
        yield record


def _counts(record: dict[str, Any]) -> dict[str, int]:
    found = {}
    for name in Counters.__struct_fields__:
        value = record.get(name, 0)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
            raise _wrong("stats", "listeners", record, f"{name} should be a count")
        found[name] = value
    return found


def _wrong(what: str, plural: str, record: Mapping[str, Any], fault: str) -> Malformed:
    about = {"object": plural, "record": str(record)[:_LONGEST_QUOTE]}
    if isinstance(record.get("id"), str):
        about["object_id"] = str(record["id"])[:_LONGEST_QUOTE]
    return Malformed(f"{fault}.", **{f"{what}_{key}": value for key, value in about.items()})
