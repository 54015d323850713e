"""Rendered files in a running haproxy: what only requests and its runtime API can tell."""

import atexit
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fairlead.domain.tree import Tree
from fairlead.render.haproxy import Haproxy, Site, haproxy
from fairlead.wire.amphora import Server
from tests.live_amphora import network_of_its_own
from tests.strategies import planted

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace"),
]
PING = Path(__file__).parents[2] / "fairlead/agent/ping.sh"
VIP, MEMBER, MEMBER_V6 = "127.0.0.1", "198.51.100.2", "fd00:51::2"


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    with network_of_its_own():
        for address in (MEMBER, MEMBER_V6):
            subprocess.run(["ip", "address", "add", address, "dev", "lo"], check=True)
        yield


@cache
def _for_everybody(script: Path) -> Path:
    """A copy that haproxy can run without root, wherever this checkout lies."""
    place = Path(tempfile.mkdtemp(prefix="fltest-ping-", dir="/tmp"))
    atexit.register(shutil.rmtree, place)
    place.chmod(0o755)
    shutil.copy(script, place)
    return place / script.name


class Running:
    """haproxy at work on a tree, and its runtime API."""

    def __init__(self, tree: Tree, directory: Path) -> None:
        (directory / "run").mkdir()
        site = Site(maxconn=200, directory=str(directory), ping_command=str(_for_everybody(PING)))
        self.made: Haproxy = haproxy(tree, site)
        self._socket = str(directory / "run" / "haproxy.sock")
        self._file = directory / "haproxy.cfg"
        self._file.write_text(self.made.text)

    @contextmanager
    def serving(self) -> Iterator["Running"]:
        process = subprocess.Popen(["haproxy", "-db", "-f", str(self._file)], text=True,
                                   stderr=subprocess.PIPE)  # fmt: skip
        try:
            soon(lambda: "Uptime" in self.ask("show info"))
            yield self
        finally:
            process.kill()
            process.communicate(timeout=10)

    def ask(self, command: str) -> str:
        with closing(socket.socket(socket.AF_UNIX)) as admin:
            try:
                admin.connect(self._socket)
            except (FileNotFoundError, ConnectionRefusedError):
                return ""
            admin.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: admin.recv(65536), b"")).decode().strip()

    def states(self) -> dict[str, str]:
        rows = [line.split(",") for line in self.ask("show stat").splitlines()]
        return {row[1]: row[17] for row in rows if len(row) > 17}

    def state(self, member_id: str) -> str:
        return self.states()[member_id]


def soon(true: Callable[[], bool], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.05)


@contextmanager
def web(
    port: int, name: str = "", context: ssl.SSLContext | None = None, address: str = MEMBER
) -> Iterator[list[bytes]]:
    """A server that answers with its name; what it was asked is in the list."""
    seen: list[bytes] = []
    with closing(socket.create_server((address, port))) as listening:

        def serve() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(client,), daemon=True).start()

        def answer(client: socket.socket) -> None:
            with client:
                try:
                    spoken = context.wrap_socket(client, server_side=True) if context else client
                    with spoken:
                        seen.append(spoken.recv(65536))
                        length = len(name)
                        spoken.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n"
                                       f"Connection: close\r\n\r\n{name}".encode())  # fmt: skip
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield seen
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=10)


def get(path: str = "/", *headers: str, port: int = 80, source: str = "127.0.0.1") -> str:
    request = "\r\n".join([f"GET {path} HTTP/1.1", "Connection: close", *headers, "", ""])
    with closing(socket.create_connection((VIP, port), 5, (source, 0))) as client:
        client.sendall(request.encode())
        return b"".join(iter(lambda: client.recv(65536), b"")).decode()


def pool(name: str, *ports: int, **values: Any) -> dict[str, Any]:
    members = [{"address": MEMBER, "protocol_port": port} for port in ports]
    plain = {"name": name, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": members}
    return plain | values


def rule(kind: str, compare: str, value: str, **values: Any) -> dict[str, Any]:
    return {"type": kind, "compare_type": compare, "value": value, **values}


POLICIES = [
    {"action": "REDIRECT_TO_POOL", "redirect_pool": {"name": "other"},
     "rules": [rule("PATH", "STARTS_WITH", "/both")]},
    {"action": "REJECT", "rules": [rule("PATH", "CONTAINS", "both")]},
    {"action": "REJECT", "rules": [rule("HOST_NAME", "EQUAL_TO", "Bad.Example"),
                                   rule("HEADER", "EQUAL_TO", "1", key="X-Let'Me", invert=True)]},
    {"action": "REDIRECT_TO_URL", "redirect_url": "http://h/%2F%[src]\\n'\"$HOME#x{}",
     "rules": [rule("FILE_TYPE", "EQUAL_TO", "jpg")]},
    {"action": "REDIRECT_TO_URL", "redirect_url": "http://type/",
     "rules": [rule("FILE_TYPE", "REGEX", "^(a|b)?c$")]},
    {"action": "REDIRECT_PREFIX", "redirect_prefix": "https://new", "redirect_http_code": 308,
     "rules": [rule("COOKIE", "ENDS_WITH", "yz", key="c%$'k")]},
    {"action": "REJECT", "rules": [rule("HEADER", "EQUAL_TO", "a, b", key="List")]},
    {"action": "REJECT", "rules": [rule("HEADER", "REGEX", "^[bc]'\\\\ \"#$", key="List")]},
]  # fmt: skip


def test_the_first_policy_that_matches_decides(tmp_path: Path) -> None:
    tree = planted({
        "pools": [pool("main", 8001), pool("other", 8002)],
        "listeners": [{"protocol": "HTTP", "protocol_port": 80, "default_pool": {"name": "main"},
                       "insert_headers": {"X-Forwarded-Port": "true", "X-Real-IP": "true"},
                       "l7policies": POLICIES}],
    }, vip=VIP)  # fmt: skip
    with web(8001, "main") as seen, web(8002, "other"), Running(tree, tmp_path).serving():
        assert get("/").endswith("main")
        assert b"x-forwarded-port: 80" in seen[0]
        assert b"x-real-ip: 127.0.0.1" in seen[0]
        assert get("/both").endswith("other")
        assert get("/xboth").startswith("HTTP/1.1 403")
        for host in ("bad.example", "BAD.example:8080"):
            assert get("/", f"Host: {host}").startswith("HTTP/1.1 403")
        assert get("/", "Host: bad.example", "x-let'me: 1").endswith("main")
        assert get("/", "Host: bad.example.org").endswith("main")
        assert "location: http://h/%2F%[src]\\n'\"$HOME#x{}\r\n" in get("/d.x/a.jpg?b=c.png")
        assert "location: http://type/\r\n" in get("/x/y.ac")
        for path in ("/x.ac/y", "/x/ac", "/y.acc"):
            assert get(path).endswith("main")
        moved = get("/p?q", "Cookie: z=1; c%$'k=xyz")
        assert moved.startswith("HTTP/1.1 308")
        assert "location: https://new/p?q\r\n" in moved
        assert get("/", "List: a, b").startswith("HTTP/1.1 403")
        assert get("/", "List: x, c'\\ \"#").startswith("HTTP/1.1 403")
        assert get("/", "List: a,b").endswith("main")


MONITOR = {"delay": 0, "timeout": 1, "max_retries": 1, "max_retries_down": 1}


def checked(*pools: dict[str, Any]) -> Tree:
    """A TCP listener per pool, so that every pool is rendered."""
    return planted({
        "pools": list(pools),
        "listeners": [
            {"protocol": "TCP", "protocol_port": 80 + n, "default_pool": {"name": one["name"]}}
            for n, one in enumerate(pools)
        ],
    }, vip=VIP)  # fmt: skip


def member(tree: Tree, name: str, place: int = 0) -> str:
    (found,) = [one for one in tree.pools if one.name == name]
    return tree.members(found.id)[place].id


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_monitors_tell_tls_servers_from_others(tmp_path: Path, version: ssl.TLSVersion) -> None:
    tree = checked(
        pool("hello", 8443, 8080, healthmonitor={**MONITOR, "type": "TLS-HELLO"}),
        pool("https", 8443, 8080, healthmonitor={
            **MONITOR, "type": "HTTPS", "http_version": 1.1, "domain_name": "a.example",
        }),
    )  # fmt: skip
    with web(8443, context=tls(tmp_path, version)) as asked, web(8080):
        with Running(tree, tmp_path).serving() as running:
            for name in ("hello", "https"):
                soon(lambda n=name: running.state(member(tree, n, 1)) == "DOWN")  # type: ignore[misc]
                assert running.state(member(tree, name)) == "UP"
        assert any(b"host: a.example\r\n" in request for request in asked)


def tls(directory: Path, version: ssl.TLSVersion) -> ssl.SSLContext:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "1", "-subj", "/CN=a"],
        cwd=directory, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    return context


def test_http_monitors_ask_what_they_are_told(tmp_path: Path) -> None:
    tree = checked(
        pool("old", 8001, healthmonitor={**MONITOR, "type": "HTTP", "http_method": "HEAD",
                                         "url_path": "/a%[src]?b='c'\"#$HOME"}),
        pool("new", 8002, healthmonitor={**MONITOR, "type": "HTTP", "http_version": 1.1}),
        pool("picky", 8002, healthmonitor={**MONITOR, "type": "HTTP", "expected_codes": "404"}),
    )  # fmt: skip
    with web(8001) as old, web(8002) as new, Running(tree, tmp_path).serving() as running:
        soon(lambda: running.state(member(tree, "picky")) == "DOWN")
        assert running.state(member(tree, "old")) == running.state(member(tree, "new")) == "UP"
    assert old[0].startswith(b"HEAD /a%[src]?b='c'\"#$HOME HTTP/1.0\r\n")
    assert any(
        one.startswith(b"GET / HTTP/1.1\r\n") and b"host: 198.51.100.2\r\n" in one for one in new
    )


def test_ping_monitors_ask_for_an_echo(tmp_path: Path) -> None:
    # haproxy's children gain no privileges; this is what lets them ping, in an amphora too.
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")
    subprocess.run(["ip", "route", "add", "unreachable", "198.51.100.7"], check=True)
    ping = {**MONITOR, "delay": 1, "timeout": 2, "type": "PING"}
    tree = checked(pool("ping", healthmonitor=ping, members=[
        {"address": address, "protocol_port": 9} for address in (MEMBER, MEMBER_V6, "198.51.100.7")
    ]))  # fmt: skip
    with Running(tree, tmp_path).serving() as running:
        soon(lambda: running.state(member(tree, "ping", 2)) == "DOWN")
        assert running.state(member(tree, "ping", 0)) == "UP"
        assert running.state(member(tree, "ping", 1)) == "UP"


def every_dynamic_server(tree: Tree, running: Running) -> list[Server]:
    found = [server for server in running.made.servers if server.dynamic]
    assert found
    return found


def test_every_server_called_dynamic_can_be_added_while_haproxy_runs(tmp_path: Path) -> None:
    kinds = ["HTTP", "HTTPS", "TCP", "TLS-HELLO", None]
    pools = [
        pool(f"{kind}-{protocol}-{algorithm}", 8001, protocol=protocol, lb_algorithm=algorithm,
             session_persistence={"type": "SOURCE_IP"},
             members=[{"address": MEMBER, "protocol_port": 8001, "backup": True,
                       "monitor_address": MEMBER_V6, "monitor_port": 99}],
             **({"healthmonitor": {**MONITOR, "type": kind}} if kind else {}))
        for kind in kinds
        for protocol in ("TCP", "PROXY", "PROXYV2")
        for algorithm in ("ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT")
    ]  # fmt: skip
    tree = checked(*pools)
    with Running(tree, tmp_path).serving() as running:
        for server in every_dynamic_server(tree, running):
            place = f"{server.backend}/{server.name}"
            running.ask(f"set server {place} state maint")
            assert running.ask(f"del server {place}") == "Server deleted."
            added = running.ask(
                f"add server {place} {server.address}:{server.port} {server.options} "
                f"weight {server.weight}"
            )
            assert added == "New server registered."
        assert len(every_dynamic_server(tree, running)) == len(pools)


def test_source_ip_port_spreads_the_connections_of_one_client(tmp_path: Path) -> None:
    for protocol in ("HTTP", "TCP"):
        (directory := tmp_path / protocol).mkdir()
        tree = planted({
            "pools": [pool("p", 8001, 8002, lb_algorithm="SOURCE_IP_PORT", protocol="HTTP"),
                      pool("s", 8001, 8002, lb_algorithm="SOURCE_IP", protocol="HTTP")],
            "listeners": [
                {"protocol": protocol, "protocol_port": 80, "default_pool": {"name": "p"}},
                {"protocol": protocol, "protocol_port": 81, "default_pool": {"name": "s"}},
            ],
        }, vip=VIP)  # fmt: skip
        with web(8001, "1"), web(8002, "2"), Running(tree, directory).serving():
            ports = [get()[-1] for _ in range(60)]
            assert 10 < ports.count("1") < 50
            assert len({get(port=81)[-1] for _ in range(20)}) == 1
            clients = [get(port=81, source=f"127.1.0.{n}")[-1] for n in range(1, 101)]
            assert 25 < clients.count("1") < 75
