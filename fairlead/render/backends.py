"""Backends: one per pool and listener.

PURE. The mode and the timeouts towards members are the listener's, all else is the pool's.
Called by haproxy.py, which joins the lines and the server lines.
"""

from fairlead.domain.model import Listener, Pool
from fairlead.domain.protocols import HTTP_LISTENERS
from fairlead.domain.tree import Tree
from fairlead.render import monitors
from fairlead.render.quoting import fetch
from fairlead.render.servers import backend_name, has_cookie

_TABLE_SIZE = "100k"
# The section of haproxy.cfg through which a worker hands its tables on at a reload.
PEERS = "workers"

_BALANCE = {
    "ROUND_ROBIN": ["balance roundrobin"],
    "LEAST_CONNECTIONS": ["balance leastconn"],
    "SOURCE_IP": ["balance source", "hash-type consistent"],
    # A hash takes one expression, which can join only variables to the address.
    "SOURCE_IP_PORT": [
        "tcp-request content set-var(txn.client_port) src_port",
        "balance hash 'src,concat(-,txn.client_port)'",
        "hash-type consistent",
    ],
}


def mode(listener: Listener) -> str:
    """What haproxy calls the protocol."""
    return "http" if listener.protocol in HTTP_LISTENERS else "tcp"


def lines(tree: Tree, pool: Pool, listener: Listener, ping_command: str) -> list[str]:
    """The backend's section without its server lines, the header first."""
    body = [
        f"mode {mode(listener)}",
        *_BALANCE[pool.lb_algorithm],
        *_persistence(tree, pool, listener),
        f"timeout connect {listener.timeout_member_connect}ms",
        f"timeout server {listener.timeout_member_data}ms",
        "option allbackups",
    ]
    monitor = monitors.active(tree, pool)
    if monitor is not None:
        body += monitors.backend_lines(monitor, ping_command)
    return [f"backend {backend_name(pool, listener)}", *(f"    {one}" for one in body)]


def _persistence(tree: Tree, pool: Pool, listener: Listener) -> list[str]:
    """How a client finds its member again; cookies are passed over where there is no HTTP."""
    persistence = pool.session_persistence
    if persistence is None:
        return []
    if has_cookie(pool, listener):
        return ["cookie SRV insert indirect nocache"]
    if not has_table(pool, listener):
        return []
    if persistence.type == "SOURCE_IP":
        # A table of IPv6 addresses holds IPv4 clients, too, as mapped ones.
        kind = "ipv6" if any(":" in vip for vip in tree.root.vip_addresses) else "ip"
        return [f"stick-table type {kind} size {_TABLE_SIZE} peers {PEERS}", "stick on src"]
    name = persistence.cookie_name or ""
    return [
        f"stick-table type string len 64 size {_TABLE_SIZE} peers {PEERS}",
        f"stick store-response {fetch('res.cook', name)}",
        f"stick match {fetch('req.cook', name)}",
    ]


def has_table(pool: Pool, listener: Listener) -> bool:
    """Whether the backend remembers in memory which client belongs to which member."""
    kind = pool.session_persistence and pool.session_persistence.type
    return kind == "SOURCE_IP" or (kind == "APP_COOKIE" and mode(listener) == "http")
