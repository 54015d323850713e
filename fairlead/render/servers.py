"""The `server` lines of a backend, as data and as text.

PURE. Both the text in haproxy.cfg and the list an agent drives the runtime API with come from
`servers`. All that shapes a server is in its own options: servers that are added at run time
inherit nothing, so a reload and a run-time addition give the same server.
"""

import hashlib
from collections.abc import Iterable

from fairlead.domain.model import HealthMonitor, Listener, Member, Pool
from fairlead.domain.protocols import L7_LISTENERS
from fairlead.domain.tree import Tree
from fairlead.render import monitors, tls
from fairlead.render.quoting import host
from fairlead.render.tls import Files
from fairlead.wire.amphora import Server

_PROXY = {"PROXY": "send-proxy", "PROXYV2": "send-proxy-v2"}
HASHED = frozenset({"SOURCE_IP", "SOURCE_IP_PORT"})
# A consistent hash tells servers apart by the low 20 bits of their id.
_ID_SPACE = 2**20 - 1
_HASH_SCALE = 16


def backend_name(pool: Pool, listener: Listener) -> str:
    """A pool is one backend per listener: mode and timeouts are the listener's."""
    return f"{pool.id}:{listener.id}"


def has_cookie(pool: Pool, listener: Listener) -> bool:
    """Whether members are told apart by a cookie; only HTTP carries cookies."""
    persistence = pool.session_persistence
    http = listener.protocol in L7_LISTENERS
    return http and bool(persistence and persistence.type == "HTTP_COOKIE")


def servers(tree: Tree, pool: Pool, listener: Listener, files: Files) -> tuple[Server, ...]:
    """One server per live member.

    Cookies and external checks (PING) cannot be given to `add server` of haproxy 2.6: such
    servers are not dynamic.
    """
    members = tree.members(pool.id)
    monitor = monitors.active(tree, pool)
    scale = _scale(pool, members)
    ids = _hash_ids(members) if pool.lb_algorithm in HASHED else {}
    spoken = tls.server_words(pool, files, http=listener.protocol in L7_LISTENERS)
    pinged = monitor is not None and monitor.type == "PING"
    return tuple(
        Server(
            backend=backend_name(pool, listener),
            name=member.id,
            address=member.address,
            port=member.protocol_port,
            weight=member.weight * scale,
            enabled=member.admin_state_up,
            options=" ".join(
                [*_options(pool, listener, member, monitor, ids.get(member.id)), *spoken]
            ),
            dynamic=not (pinged or has_cookie(pool, listener)),
        )
        for member in members
    )


def line(server: Server) -> str:
    """The server's line in haproxy.cfg."""
    options = f" {server.options}" if server.options else ""
    disabled = "" if server.enabled else " disabled"
    place = f"{host(server.address)}:{server.port}"
    return f"    server {server.name} {place}{options} weight {server.weight}{disabled}"


def _options(
    pool: Pool,
    listener: Listener,
    member: Member,
    monitor: HealthMonitor | None,
    hash_id: int | None,
) -> list[str]:
    words = [] if hash_id is None else [f"id {hash_id}"]
    if has_cookie(pool, listener):
        words.append(f"cookie {member.id}")
    if pool.protocol in _PROXY:
        words.append(_PROXY[pool.protocol])
    if member.backup:
        words.append("backup")
    if monitor is not None:
        words += monitors.server_words(monitor, member, pool, proxied=pool.protocol in _PROXY)
    return words


def _scale(pool: Pool, members: Iterable[Member]) -> int:
    """Factor for weights: a hash is even only when a server has many points in it.

    haproxy gives a server points by its weight, and 1, the usual one, gives too few. Fixed but
    for weights above 16, so that changing one weight moves no other server's clients.
    """
    small = all(member.weight <= 256 // _HASH_SCALE for member in members)
    return _HASH_SCALE if pool.lb_algorithm in HASHED and small else 1


def _hash_ids(members: Iterable[Member]) -> dict[str, int]:
    """An id per member that does not depend on its place in the list.

    A consistent hash places servers by id: with positions for ids, as is haproxy's default,
    one member's removal would move everybody's clients at the next reload.
    """
    ids: dict[int, str] = {}
    for member in members:
        wanted = int.from_bytes(hashlib.sha256(member.id.encode()).digest()[:4], "big")
        while wanted % _ID_SPACE + 1 in ids:
            wanted += 1
        ids[wanted % _ID_SPACE + 1] = member.id
    return {member_id: number for number, member_id in ids.items()}
