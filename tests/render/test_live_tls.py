"""Members that speak HTTP/2 over TLS: traffic and health checks reach them, each in its version."""

import socket
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from h2.exceptions import H2Error

from tests.authority import Authority, joined
from tests.render.test_live import MEMBER, MONITOR, Running, member, network, soon
from tests.strategies import planted

pytestmark = pytest.mark.root
__all__ = ["network"]


def answer(spoken: ssl.SSLSocket, seen: list[str]) -> None:
    connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    spoken.sendall(connection.data_to_send())
    while data := spoken.recv(65536):
        for event in connection.receive_data(data):
            if isinstance(event, RequestReceived):
                seen.append(dict(event.headers)[":path"])
                connection.send_headers(event.stream_id, [(":status", "200")])
                connection.send_data(event.stream_id, b"two", end_stream=True)
        spoken.sendall(connection.data_to_send())


@contextmanager
def http_2(port: int, context: ssl.SSLContext) -> Iterator[list[str]]:
    """A server of HTTP/2; the paths it was asked for."""
    seen: list[str] = []

    def talk(client: socket.socket) -> None:
        try:
            with client, context.wrap_socket(client, server_side=True) as spoken:
                if spoken.selected_alpn_protocol() == "h2":
                    answer(spoken, seen)
                else:
                    seen.append(spoken.recv(65536).decode().partition("\r")[0])
                    spoken.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        except (OSError, H2Error):
            return

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(client,), daemon=True).start()

    with closing(socket.create_server((MEMBER, port))) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        try:
            yield seen
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(("offered", "version", "check"), [
    (["h2", "http/1.1"], None, "GET /health HTTP/1.0"), (["h2"], 1.1, "/health"),
], ids=["both", "h2 alone"])  # fmt: skip
def test_members_may_speak_http_2(
    tmp_path: Path, offered: list[str], version: float | None, check: str
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (tmp_path / "pair.pem").write_text(joined(Authority().issue("two.test")))
    context.load_cert_chain(tmp_path / "pair.pem")
    context.set_alpn_protocols(offered)
    monitor = {**MONITOR, "type": "HTTP", "url_path": "/health", "http_version": version}
    tree = planted({
        "listeners": [{"protocol": "HTTP", "protocol_port": 8080, "default_pool": {"name": "p"}}],
        "pools": [{
            "name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "tls_enabled": True,
            "members": [{"address": MEMBER, "protocol_port": 8443}], "healthmonitor": monitor,
            "alpn_protocols": offered,
        }],
    }, vip="127.0.0.1")  # fmt: skip
    with http_2(8443, context) as seen, Running(tree, tmp_path).serving() as running:
        soon(lambda: check in seen)
        with urllib.request.urlopen("http://127.0.0.1:8080/page", timeout=10) as reply:
            assert reply.read() == b"two"
        soon(lambda: running.state(member(tree, "p")) == "UP")
    assert "/page" in seen
