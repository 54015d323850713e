"""`ports.Amphorae` over HTTPS: the conversation with the agents in the amphorae.

Invariants: TLS 1.3 with certificates on both sides, both from the local authority; an agent must
show a certificate for the address it was called at, and answers only to its own amphora id (the
Host header), so that a reused address leads nowhere. Connections are kept and reused, because a
member change shall take effect within 100 ms. Made by wiring; called by the controller.
"""

import asyncio
import os
import ssl
from typing import TypeVar

import httpx
import msgspec

from fairlead.errors import Fenced, Permanent, Retryable
from fairlead.ports import Credentials, Secrets
from fairlead.wire.amphora import (
    AGENT_PORT,
    CONFIG_PATH,
    STATUS_PATH,
    AgentStatus,
    AmphoraConfig,
    Applied,
    Rejected,
)

T = TypeVar("T")

# Shorter than the agent's patience, so that it is never the agent who closes first.
_KEEP_SECONDS = 120.0
_CONNECT_SECONDS = 5.0


class AmphoraRest:
    """One pool of connections for all amphorae; `timeout` (seconds) bounds a whole call."""

    def __init__(self, secrets: Secrets, *, timeout: float, port: int = AGENT_PORT) -> None:
        self._secrets = secrets
        self._timeout = timeout
        self._port = port
        self._credentials: Credentials | None = None
        self._client: httpx.AsyncClient | None = None
        self._lock = asyncio.Lock()

    async def configure(self, amphora_id: str, address: str, config: AmphoraConfig) -> Applied:
        """Put a configuration in force; see `ports.Amphorae`."""
        body = msgspec.json.encode(config)
        response = await self._call("PUT", CONFIG_PATH, amphora_id, address, body)
        if response.status_code == httpx.codes.OK:
            return _decode(response, Applied, amphora_id)
        rejected = _decode(response, Rejected, amphora_id)
        if rejected.kind == "fenced":
            raise Fenced(f"amphora {amphora_id}: {rejected.reason}")
        if rejected.kind in ("check", "request"):
            raise Permanent(f"amphora {amphora_id} refused its configuration: {rejected.reason}")
        raise Retryable(f"amphora {amphora_id}: {rejected.reason}")

    async def status(self, amphora_id: str, address: str) -> AgentStatus:
        """What runs; `Retryable` when the agent does not answer."""
        response = await self._call("GET", STATUS_PATH, amphora_id, address, b"")
        if response.status_code != httpx.codes.OK:
            reason = _decode(response, Rejected, amphora_id).reason
            raise Retryable(f"amphora {amphora_id}: {reason}")
        return _decode(response, AgentStatus, amphora_id)

    async def close(self) -> None:
        """Close every connection; the next call would open new ones."""
        client, self._client, self._credentials = self._client, None, None
        if client is not None:
            await client.aclose()

    async def _call(
        self, method: str, path: str, amphora_id: str, address: str, body: bytes
    ) -> httpx.Response:
        host = f"[{address}]" if ":" in address else address
        client = await self._connections()
        try:
            async with asyncio.timeout(self._timeout):
                return await client.request(
                    method,
                    f"https://{host}:{self._port}{path}",
                    content=body,
                    headers={"Host": amphora_id, "Content-Type": "application/json"},
                )
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            what = str(error) or type(error).__name__
            raise Retryable(f"amphora {amphora_id} at {address} does not answer: {what}") from error

    async def _connections(self) -> httpx.AsyncClient:
        """The client for the controller's current certificate."""
        async with self._lock:
            credentials = await self._secrets.controller()
            if self._client is None or credentials != self._credentials:
                await self.close()
                self._client = _client(credentials, self._timeout)
                self._credentials = credentials
            return self._client


def _client(credentials: Credentials, timeout: float) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        verify=_tls_context(credentials),
        timeout=httpx.Timeout(timeout, connect=min(_CONNECT_SECONDS, timeout)),
        limits=httpx.Limits(
            max_connections=None, max_keepalive_connections=None, keepalive_expiry=_KEEP_SECONDS
        ),
        trust_env=False,
    )


def _tls_context(credentials: Credentials) -> ssl.SSLContext:
    """TLS 1.3 only; `ssl` takes the key from a file alone, so it is one that has no disk."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=credentials.authority)
    with open(os.memfd_create("controller"), "w") as pair:
        pair.write(credentials.certificate + "\n" + credentials.private_key)
        pair.flush()
        context.load_cert_chain(f"/proc/self/fd/{pair.fileno()}")
    return context


def _decode(response: httpx.Response, kind: type[T], amphora_id: str) -> T:
    try:
        return msgspec.json.decode(response.content, type=kind)
    except msgspec.MsgspecError as error:
        raise Retryable(
            f"amphora {amphora_id} gave an answer that makes no sense "
            f"(HTTP status {response.status_code})"
        ) from error
