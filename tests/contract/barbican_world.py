"""A Barbican for the contract of vaults: this service's own /v1 API, on a loopback port."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from msgspec.structs import replace

from fairlead.api.app import create_app
from fairlead.api.no_auth import NoAuth
from fairlead.drivers.cabinet_barbican import BarbicanCabinet
from fairlead.drivers.vault_references import ReferencedVault
from fairlead.store import SqlStore
from tests.api.conftest import House


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[str]:
    """The application's address."""
    opened = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    running = asyncio.create_task(server.serve(sockets=[opened]))
    try:
        yield f"http://127.0.0.1:{opened.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


@asynccontextmanager
async def served_secrets(directory: Path) -> AsyncIterator[str]:
    """The address of a secret store that takes everybody's word for the project."""
    store = SqlStore(f"sqlite+aiosqlite:///{directory}/fairlead.sqlite")
    await store.start()
    house = House(store)
    try:
        async with listening(create_app(replace(house.services, authenticator=NoAuth()))) as url:
            yield url
    finally:
        await house.client.aclose()
        await store.close()


class BarbicanRig:
    """Secrets put in by the API, read by the driver."""

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        self.vault = ReferencedVault(BarbicanCabinet(url, None, timeout=10))
        self._client = client

    async def secret(self, payload: bytes, project_id: str = "p1") -> str:
        body = {"payload": base64.b64encode(payload).decode(),
                "payload_content_type": "application/octet-stream",
                "payload_content_encoding": "base64"}  # fmt: skip
        return str((await self._post("secrets", body, project_id))["secret_ref"])

    async def container(self, parts: Mapping[str, bytes], project_id: str = "p1") -> str:
        refs = [{"name": name, "secret_ref": await self.secret(part, project_id)}
                for name, part in parts.items()]  # fmt: skip
        body = {"type": "generic", "secret_refs": refs}
        return str((await self._post("containers", body, project_id))["container_ref"])

    async def _post(self, place: str, body: Any, project_id: str) -> Any:
        headers = {"x-project-id": project_id}
        answer = await self._client.post(f"/v1/{place}", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        return answer.json()


@asynccontextmanager
async def barbican_rig(directory: Path) -> AsyncIterator[BarbicanRig]:
    """The driver with a Barbican behind it."""
    async with (
        served_secrets(directory) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        yield BarbicanRig(url, client)
