"""`ports.Amphorae` over HTTPS: the conversation with the agents in the amphorae.

Invariants: TLS 1.3 with certificates on both sides, both from the local authority; an agent must
show a certificate for the address it was called at, and answers only to its own amphora id (the
Host header), so that a reused address leads nowhere. Connections are kept and reused, because a
member change shall take effect within 100 ms. When the controller's certificate is renewed, new
calls go over new connections, and the old ones are closed when the last call on them ends. Made
by wiring; called by the controller.
"""

import asyncio
import os
import ssl
from typing import TypeVar

import httpx
import msgspec

from fairlead.errors import FairleadError, Fenced, Permanent, Retryable
from fairlead.ports import Credentials, Secrets
from fairlead.wire.amphora import (
    AGENT_PORT,
    CERTIFICATE_PATH,
    CONFIG_PATH,
    STATUS_PATH,
    AgentStatus,
    AmphoraConfig,
    Applied,
    Rejected,
    Renewal,
    Renewed,
)

T = TypeVar("T")

# Shorter than the agent's patience, so that it is never the agent who closes first.
_KEEP_SECONDS = 120.0
_CONNECT_SECONDS = 5.0


class _Pool:
    """Connections made with one certificate of the controller, and how many calls are on them."""

    def __init__(self, credentials: Credentials, timeout: float) -> None:
        self.credentials = credentials
        self.client = _client(credentials, timeout)
        self.calls = 0


class AmphoraRest:
    """One pool of connections for all amphorae; `timeout` (seconds) bounds a whole call."""

    def __init__(self, secrets: Secrets, *, timeout: float, port: int = AGENT_PORT) -> None:
        self._secrets = secrets
        self._timeout = timeout
        self._port = port
        self._pool: _Pool | None = None
        self._lock = asyncio.Lock()

    async def configure(self, amphora_id: str, address: str, config: AmphoraConfig) -> Applied:
        """Put a configuration in force; see `ports.Amphorae`."""
        body = msgspec.json.encode(config)
        response = await self._call("PUT", CONFIG_PATH, amphora_id, address, body)
        if response.status_code == httpx.codes.OK:
            return _decode(response, Applied, amphora_id)
        raise _rejected(response, "configuration", amphora_id)

    async def renew(self, amphora_id: str, address: str, renewal: Renewal) -> bool:
        """Give it another certificate; see `ports.Amphorae`."""
        body = msgspec.json.encode(renewal)
        response = await self._call("PUT", CERTIFICATE_PATH, amphora_id, address, body)
        if response.status_code == httpx.codes.NOT_FOUND:
            return False
        if response.status_code != httpx.codes.OK:
            raise _rejected(response, "certificate", amphora_id)
        _decode(response, Renewed, amphora_id)
        return True

    async def status(self, amphora_id: str, address: str) -> AgentStatus:
        """What runs; `Retryable` when the agent does not answer."""
        response = await self._call("GET", STATUS_PATH, amphora_id, address, b"")
        if response.status_code != httpx.codes.OK:
            reason = _decode(response, Rejected, amphora_id).reason
            raise Retryable(f"amphora {amphora_id}: {reason}")
        return _decode(response, AgentStatus, amphora_id)

    async def close(self) -> None:
        """Close every connection; the next call would open new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.client.aclose()

    async def _call(
        self, method: str, path: str, amphora_id: str, address: str, body: bytes
    ) -> httpx.Response:
        host = f"[{address}]" if ":" in address else address
        pool = await self._connections()
        pool.calls += 1
        try:
            async with asyncio.timeout(self._timeout):
                return await pool.client.request(
                    method,
                    f"https://{host}:{self._port}{path}",
                    content=body,
                    headers={"Host": amphora_id, "Content-Type": "application/json"},
                )
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            what = str(error) or type(error).__name__
            raise Retryable(f"amphora {amphora_id} at {address} does not answer: {what}") from error
        finally:
            pool.calls -= 1
            if pool is not self._pool and pool.calls == 0:
                await pool.client.aclose()

    async def _connections(self) -> _Pool:
        """The connections for the controller's current certificate."""
        async with self._lock:
            credentials = await self._secrets.controller()
            old = self._pool
            if old is not None and credentials == old.credentials:
                return old
            new = self._pool = _Pool(credentials, self._timeout)
            if old is not None and old.calls == 0:
                await old.client.aclose()
            return new


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


def _rejected(response: httpx.Response, what: str, amphora_id: str) -> FairleadError:
    """The error that an agent's refusal means."""
    rejected = _decode(response, Rejected, amphora_id)
    if rejected.kind == "fenced":
        return Fenced(f"amphora {amphora_id}: {rejected.reason}")
    if rejected.kind in ("check", "request"):
        return Permanent(f"amphora {amphora_id} refused its {what}: {rejected.reason}")
    return Retryable(f"amphora {amphora_id}: {rejected.reason}")


def _decode(response: httpx.Response, kind: type[T], amphora_id: str) -> T:
    try:
        return msgspec.json.decode(response.content, type=kind)
    except msgspec.MsgspecError as error:
        raise Retryable(
            f"amphora {amphora_id} gave an answer that makes no sense "
            f"(HTTP status {response.status_code})"
        ) from error
