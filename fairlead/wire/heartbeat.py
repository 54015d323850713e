"""The signed datagram an amphora sends to the health managers.

PURE. Layout: 1 byte version (1), 32 bytes HMAC-SHA256 over all that follows, 16 bytes amphora
id (a UUID's bytes), then the zlib-compressed msgpack of a `Report`. The key is derived per
amphora, so one stolen key speaks for one amphora only. `Report.sequence` and `Report.sent_at`
are inside the signature: the receiver drops what is older than what it has seen.
Counters are running totals since the amphora was created; the agent keeps them across reloads.
A report too long for a datagram of 60,000 bytes comes as several, each with a sequence number of
its own and a part of the lists: a receiver merges by id, and never takes an absence for news.
"""

import hashlib
import hmac
import uuid
import zlib

import msgspec
from msgspec import Struct

VERSION = 1
_SIGNATURE = 32
_ID = 16
_HEAD = 1 + _SIGNATURE + _ID
MAX_REPORT = 4 * 1024 * 1024


class Counters(Struct, frozen=True, kw_only=True, array_like=True):
    """Traffic of a listener since its amphora was created; bytes, and counts."""

    bytes_in: int = 0
    bytes_out: int = 0
    active_connections: int = 0
    total_connections: int = 0
    request_errors: int = 0


class ListenerReport(Struct, frozen=True, kw_only=True, array_like=True):
    """A frontend as haproxy sees it: `state` is "OPEN", "FULL" or "STOP"."""

    id: str
    state: str
    counters: Counters


class MemberReport(Struct, frozen=True, kw_only=True, array_like=True):
    """A server as haproxy sees it.

    `state` is "UP", "DOWN", "DRAIN" (weight 0 or draining), "MAINT" or "NOCHECK". A server
    that is on its way up or down keeps the state it is leaving.
    """

    pool_id: str
    id: str
    state: str


class Report(Struct, frozen=True, kw_only=True):
    """State of an amphora at `sent_at` (seconds since 1970); `sequence` grows with each one.

    `boot` names this life of the agent. `healthy` is false while haproxy should run and does
    not. `edge` is true when a state changed since the report before.
    """

    amphora_id: str
    boot: str
    sequence: int
    sent_at: float
    revision: str | None
    healthy: bool
    edge: bool = False
    listeners: tuple[ListenerReport, ...] = ()
    members: tuple[MemberReport, ...] = ()


class Forged(Exception):
    """The datagram is malformed or its signature does not match."""


def derive_key(master: bytes, amphora_id: str) -> bytes:
    """The 32-byte heartbeat key of one amphora."""
    return hmac.digest(master, b"heartbeat:" + uuid.UUID(amphora_id).bytes, "sha256")


def seal(report: Report, key: bytes) -> bytes:
    """The datagram for `report`, signed with the amphora's own key."""
    signed = uuid.UUID(report.amphora_id).bytes + zlib.compress(msgspec.msgpack.encode(report), 1)
    return bytes([VERSION]) + hmac.digest(key, signed, "sha256") + signed


def claimed_sender(datagram: bytes) -> str:
    """The amphora id that a datagram claims, before anything is verified."""
    if len(datagram) <= _HEAD or datagram[0] != VERSION:
        raise Forged("not a heartbeat")
    return str(uuid.UUID(bytes=datagram[1 + _SIGNATURE : _HEAD]))


def unseal(datagram: bytes, key: bytes) -> Report:
    """The report inside, once its signature matches `key`; raises `Forged` otherwise."""
    sender = claimed_sender(datagram)
    signed = datagram[1 + _SIGNATURE :]
    expected = hmac.digest(key, signed, hashlib.sha256().name)
    if not hmac.compare_digest(datagram[1 : 1 + _SIGNATURE], expected):
        raise Forged("signature does not match")
    inflate = zlib.decompressobj()
    try:
        plain = inflate.decompress(signed[_ID:], MAX_REPORT)
        report = msgspec.msgpack.decode(plain, type=Report)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise Forged("the signed content is malformed") from error
    if report.amphora_id != sender:
        raise Forged("the content names another amphora")
    return report
