"""haproxy.cfg of one amphora, from the tree.

PURE. Written for haproxy 2.6. Only what is live and in service is rendered: no listener in
service gives an empty file. No name, description or tag of a user's appears; other text of
users goes through quoting.py.
"""

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from fairlead.domain.model import Listener, Pool
from fairlead.domain.tls import capable
from fairlead.domain.tree import Tree
from fairlead.render import backends, l7, servers, tls
from fairlead.render.quoting import host
from fairlead.render.servers import backend_name
from fairlead.render.tls import Files
from fairlead.wire.amphora import CERTIFICATES, File, Server

_CLIENT = "%[src]"
_PEER = "amphora"
_INSERTED = {
    "X-Forwarded-For": "option forwardfor",
    "X-Forwarded-Port": "http-request set-header X-Forwarded-Port %[dst_port]",
    "X-Forwarded-Proto": "http-request set-header X-Forwarded-Proto http",
    "X-Forwarded-IP": f"http-request set-header X-Forwarded-IP {_CLIENT}",
    "X-Client-IP": f"http-request set-header X-Client-IP {_CLIENT}",
    "X-Real-IP": f"http-request set-header X-Real-IP {_CLIENT}",
}
# haproxy tells of itself, and it serves one load balancer only.
_METRICS = ["http-request use-service prometheus-exporter"]
_CIDRS_PER_LINE = 32
_MOST_THREADS = 64
_RELOADS_OUTLIVED = 10
# An old worker teaches the new one what its tables hold, once it has itself been taught or has
# given up waiting for that (10 s). Nobody but haproxy is on this loopback; the port is below those
# that connections to members take.
_PEERS = [
    "",
    f"peers {backends.PEERS}",
    f"    peer {_PEER} 127.0.0.1:1025",
]


class Haproxy(Struct, frozen=True, kw_only=True):
    """haproxy.cfg as text, the digest of it without server lines, and those lines as data.

    `files` are those it names besides the certificates.
    """

    text: str
    skeleton: str
    servers: tuple[Server, ...]
    files: tuple[File, ...] = ()


class Site(Struct, frozen=True, kw_only=True):
    """What the amphora is like: `maxconn` is its share, `directory` its agent's own place.

    `ping_command` is an executable that haproxy runs for PING monitors; its third argument is
    the address to ping. `threads` is how many processors it may use: left alone, haproxy starts
    a thread, with memory of its own, for each one that the host has.
    """

    maxconn: int
    directory: str
    ping_command: str
    threads: int = 1


def haproxy(tree: Tree, site: Site, names: Mapping[str, str] = {}) -> Haproxy:
    """The configuration of everything in service.

    `names` are those of the certificates' files, by source; what lacks one of its own is left out.
    """
    files = Files(directory=f"{site.directory}/{CERTIFICATES}", names=names)
    tree = _within(tree, files)
    listeners = [one for one in tree.listeners if one.admin_state_up]
    if not listeners or not tree.root.admin_state_up:
        return Haproxy(text="", skeleton=_digest([]), servers=())
    skeleton = [*_global(tree, site), *_defaults()]
    full = list(skeleton)
    found: list[Server] = []
    for listener in listeners:
        front = ["", *_frontend(tree, listener, site, files)]
        skeleton += front
        full += front
        for pool in l7.pools(tree, listener):
            back = ["", *backends.lines(tree, pool, listener, site.ping_command)]
            here = servers.servers(tree, pool, listener, files)
            skeleton += back
            full += [*back, *map(servers.line, here)]
            found += here
    if any(backends.has_table(p, one) for one in listeners for p in l7.pools(tree, one)):
        skeleton += _PEERS
        full += _PEERS
    return Haproxy(
        text="\n".join(full) + "\n",
        skeleton=_digest(skeleton),
        servers=tuple(found),
        files=tls.choices(listeners, files),
    )


def _within(tree: Tree, files: Files) -> Tree:
    """The tree with what lacks a certificate out of service."""
    speakers: list[Listener | Pool] = [*tree.listeners, *tree.pools]
    lacking = [one for one in speakers if not files.holds(one)]
    off = [msgspec.structs.replace(one, admin_state_up=False) for one in lacking]
    return tree.with_objects(*off) if off else tree


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _global(tree: Tree, site: Site) -> list[str]:
    run = f"{site.directory}/run"
    lines = [
        "global",
        f"    maxconn {site.maxconn}",
        f"    nbthread {min(site.threads, _MOST_THREADS)}",
        f"    localpeer {_PEER}",
        "    user nobody",
        "    group nogroup",
        f"    stats socket {run}/haproxy.sock mode 600 level admin expose-fd listeners",
        "    stats timeout 1h",
        f"    server-state-file {run}/server-state",
        # Shorter would cut the clients that outlive a reload on an old process.
        "    hard-stop-after 30m",
        # Each of those has its memory: clients that outlive this many reloads are cut.
        f"    mworker-max-reloads {_RELOADS_OUTLIVED}",
    ]
    if any(m.type == "PING" and m.admin_state_up for m in tree.monitors.values()):
        lines += ["    external-check", "    insecure-fork-wanted"]
    return lines


def _defaults() -> list[str]:
    return [
        "",
        "defaults",
        "    load-server-state-from-file global",
        "    option redispatch",
        "    retries 3",
    ]


def _frontend(tree: Tree, listener: Listener, site: Site, files: Files) -> list[str]:
    words = tls.bind_words(listener, files)
    places = [f"{host(vip)}:{listener.protocol_port}" for vip in tree.root.vip_addresses]
    body = [
        f"mode {backends.mode(listener)}",
        *(f"bind {place}{words}" for place in places),
        f"timeout client {listener.timeout_client_data}ms",
    ]
    if listener.connection_limit > 0:
        body.append(f"maxconn {min(listener.connection_limit, site.maxconn)}")
    if listener.timeout_tcp_inspect:
        body.append(f"tcp-request inspect-delay {listener.timeout_tcp_inspect}ms")
    body += _allowed(listener)
    if backends.mode(listener) == "http":
        # Clients that keep connections open must not see them closed by a reload.
        body.append("option idle-close-on-response")
        body += _inserted(listener)
        body += tls.strict_transport(listener)
        body += l7.lines(tree, listener)
    if listener.protocol == "PROMETHEUS":
        body += _METRICS
    live = {pool.id: pool for pool in l7.pools(tree, listener)}
    default = live.get(listener.default_pool_id or "")
    if default is not None:
        body.append(f"default_backend {backend_name(default, listener)}")
    return [f"frontend {listener.id}", *(f"    {one}" for one in body)]


def _inserted(listener: Listener) -> list[str]:
    """The headers that members are told things by."""
    known = _INSERTED
    if capable(listener):
        proto = "http-request set-header X-Forwarded-Proto https"
        known = {**_INSERTED, "X-Forwarded-Proto": proto, **tls.INSERTED}
    wanted = {name for name, said in listener.insert_headers.items() if said.lower() == "true"}
    return [line for name, line in known.items() if name in wanted]


def _allowed(listener: Listener) -> list[str]:
    """Lines of one acl name are alternatives; haproxy bounds the words of a line."""
    cidrs = listener.allowed_cidrs
    if not cidrs:
        return []
    chunks = [cidrs[i : i + _CIDRS_PER_LINE] for i in range(0, len(cidrs), _CIDRS_PER_LINE)]
    lines = [f"acl allowed src {' '.join(chunk)}" for chunk in chunks]
    return [*lines, "tcp-request connection reject unless allowed"]
