"""Health monitors: what a backend says of its checks, and what each server says.

PURE. A delay of 0 becomes `_SHORTEST`, the least that does not make checks a burden. A timeout
of 0 sets no bound of its own: haproxy then gives a check as long as the delay. TLS-HELLO is a
TCP check that ends after a TLS handshake: haproxy's ssl-hello-chk sends an SSLv3 hello, which
servers of today refuse.
"""

from fairlead.domain.model import HealthMonitor, Member, Pool
from fairlead.domain.tree import Tree
from fairlead.render.quoting import host, word

_SHORTEST = "100ms"
_OVER_TLS = frozenset({"HTTPS", "TLS-HELLO"})
_OVER_HTTP = frozenset({"HTTP", "HTTPS"})
# HTTP/1.1 demands a Host: without a name of the user's, the member's address, IPv6 in brackets.
_MEMBER_ADDRESS = '\'%[bc_dst,regsub("^(.*:.*)$","[\\1]")]\''


def active(tree: Tree, pool: Pool) -> HealthMonitor | None:
    """The pool's monitor when it is there and switched on."""
    monitor = tree.monitors.get(pool.id)
    return monitor if monitor is not None and monitor.admin_state_up else None


def backend_lines(monitor: HealthMonitor, ping_command: str) -> list[str]:
    """What a backend needs for the monitor's checks, server lines aside."""
    lines = [f"timeout check {monitor.timeout}s"] if monitor.timeout else []
    if monitor.type in _OVER_HTTP:
        lines += _http(monitor)
    if monitor.type == "PING":
        lines += [
            "option external-check",
            'external-check path "/usr/bin:/bin:/usr/sbin:/sbin"',
            f"external-check command {word(ping_command)}",
        ]
    return lines


def server_words(monitor: HealthMonitor, member: Member, pool: Pool, *, proxied: bool) -> list[str]:
    """The check options of one member's server line; `proxied` pools speak PROXY.

    Checks of a pool that speaks TLS do so too, and members are verified as for traffic; at a
    place of their own only those that are named after TLS.
    """
    elsewhere = bool(member.monitor_address or member.monitor_port)
    inter = f"{monitor.delay}s" if monitor.delay else _SHORTEST
    words = [f"check inter {inter} fall {monitor.max_retries_down} rise {monitor.max_retries}"]
    if monitor.type in _OVER_TLS:
        words.append("check-ssl" if pool.tls_enabled else "check-ssl verify none")
        if monitor.domain_name and not pool.ca_tls_container_ref:
            words.append(f"check-sni {monitor.domain_name}")
    elif pool.tls_enabled and monitor.type != "PING" and not elsewhere:
        words.append("check-ssl")
    if proxied and monitor.type != "PING":
        words.append("check-send-proxy")
    if member.monitor_address:
        words.append(f"addr {host(member.monitor_address)}")
    if member.monitor_port:
        words.append(f"port {member.monitor_port}")
    return words


def _http(monitor: HealthMonitor) -> list[str]:
    """An HTTP/1.0 request without a Host unless the monitor asks for 1.1."""
    send = f"http-check send meth {monitor.http_method} uri {word(monitor.url_path or '/')}"
    if monitor.http_version == 1.1:
        name = word(monitor.domain_name) if monitor.domain_name else _MEMBER_ADDRESS
        send += f" ver HTTP/1.1 hdr Host {name}"
    return ["option httpchk", send, f"http-check expect status {monitor.expected_codes}"]
