"""TLS for end-to-end tests: what is put into the secret store, and clients that shake hands."""

import http.client
import json
import socket
import ssl
import tempfile
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import Any

from fairlead.ports import Bundle
from tests.authority import Authority, joined
from tests.e2e.api import Api
from tests.e2e.clients import PATIENCE, Reply

_SECRETS, _CONTAINERS = "/v1/secrets", "/v1/containers"


def keep_text(api: Api, text: str) -> str:
    """Put a text into the secret store; its reference."""
    body = {"payload": text, "payload_content_type": "text/plain"}
    return str(api.call("POST", _SECRETS, body, status=201)["secret_ref"])


def keep(api: Api, bundle: Bundle) -> str:
    """Put a certificate with its key into the secret store, as a container; its reference."""
    parts = {"certificate": bundle.certificate, "private_key": bundle.private_key}
    if bundle.intermediates:
        parts["intermediates"] = "".join(bundle.intermediates)
    refs = [{"name": n, "secret_ref": keep_text(api, text)} for n, text in parts.items()]
    body = {"type": "certificate", "secret_refs": refs}
    return str(api.call("POST", _CONTAINERS, body, status=201)["container_ref"])


def client(
    authority: Authority,
    own: Bundle | None = None,
    *,
    version: ssl.TLSVersion | None = None,
    ciphers: str | None = None,
    alpn: tuple[str, ...] = (),
) -> ssl.SSLContext:
    """A client that trusts the authority, with a certificate of its own or without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.pem)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if ciphers is not None:
        context.set_ciphers(ciphers)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if own is not None:
        with tempfile.NamedTemporaryFile("w") as pair:
            pair.write(joined(own))
            pair.flush()
            context.load_cert_chain(pair.name)
    return context


@contextmanager
def connected(address: str, port: int, context: ssl.SSLContext, name: str) -> Any:
    """A connection to what answers for a host name, its handshake done."""
    with (
        socket.create_connection((address, port), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        yield secure


def name_shown(address: str, port: int, context: ssl.SSLContext, name: str) -> str:
    """The common name of the certificate that is shown to who asks for `name`."""
    unfussy = context
    unfussy.check_hostname = False
    with connected(address, port, unfussy, name) as secure:
        shown = secure.getpeercert()
    return str(dict(pair for group in shown["subject"] for pair in group)["commonName"])


def ask_over(
    address: str,
    port: int,
    context: ssl.SSLContext,
    name: str,
    path: str = "/",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """One request for a host name, on a connection of its own."""
    with connected(address, port, context, name) as secure:
        connection = http.client.HTTPConnection(address, port)
        connection.sock = secure
        connection.request("GET", path, headers={"Host": name, **(headers or {})})
        answer = connection.getresponse()
        body = answer.read()
    fields = {field.lower(): value for field, value in answer.getheaders()}
    return Reply(answer.status, fields, body, json.loads(body) if body.startswith(b"{") else {})


def no_handshake(attempt: Callable[[], object]) -> str:
    """Why the other end refused; "" when it did not.

    In TLS 1.3 a client learns with its first read that its certificate is not wanted.
    """
    try:
        attempt()
    except ssl.SSLError as error:
        return error.reason or str(error)
    except (ConnectionError, http.client.HTTPException) as error:
        return type(error).__name__
    return ""
