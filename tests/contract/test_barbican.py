"""What is particular to Barbican as the cabinet: that it may be away, broken, or lie."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from litestar import Litestar, Request, Response, route

from fairlead.api.versions import secret_version_document
from fairlead.drivers.cabinet_barbican import BarbicanCabinet, ServiceUser
from fairlead.drivers.vault_references import ReferencedVault
from fairlead.errors import Refused, Retryable
from tests.contract.balancers import new_id
from tests.contract.barbican_world import listening

# What the SDK says of itself is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


class Asked:
    """A Barbican that answers all in one way, and remembers what it was asked."""

    def __init__(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.status = status
        self.headers = headers or {}
        self.seen: list[tuple[str, dict[str, str]]] = []

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        @route(["/", "/{rest:path}"], http_method=["GET", "POST"], status_code=200)
        async def handle(request: Request[Any, Any, Any]) -> Response[bytes]:
            self.seen.append((request.url.path, dict(request.headers)))
            if request.url.path.rstrip("/") == "/v1":
                return Response(msgspec.json.encode(secret_version_document(request)),
                                media_type="application/json")  # fmt: skip
            body = b'{"title": "a private key", "code": 1, "secret_refs": "a private key"}'
            return Response(body, status_code=self.status, headers=self.headers,
                            media_type="application/json")  # fmt: skip

        async with listening(Litestar([handle], openapi_config=None, logging_config=None)) as url:
            yield url


def vault_at(url: str, user: ServiceUser | None = None) -> ReferencedVault:
    return ReferencedVault(BarbicanCabinet(url, user, timeout=5))


def reference(host: str = "https://keys.example") -> str:
    return f"{host}/v1/secrets/{new_id()}"


@pytest.mark.parametrize("status", [401, 429, 500, 503])
async def test_a_barbican_in_trouble_is_asked_again_later(
    status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Asked(status).served() as url:
        for read in (vault_at(url).bundle, vault_at(url).text):
            with pytest.raises(Retryable, match="The secret store does not answer") as failed:
                await read(reference(), "p1")
            assert "private key" not in repr(failed.value)
    said = capsys.readouterr()
    assert "barbican failed" in said.out + said.err
    assert "private key" not in said.out + said.err


@pytest.mark.parametrize("status", [403, 404])
async def test_what_it_does_not_give_is_not_there(status: int) -> None:
    async with Asked(status).served() as url:
        ref = reference()
        with pytest.raises(Refused) as refused:
            await vault_at(url).bundle(ref, "p1")
    assert str(refused.value) == f"Could not retrieve certificate: ['{ref}']"


async def test_an_answer_that_makes_no_sense() -> None:
    async with Asked(200).served() as url:
        with pytest.raises(Retryable):
            await vault_at(url).bundle(f"/v1/containers/{new_id()}", "p1")


async def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(Retryable):
        await vault_at(url).bundle(reference(), "p1")


async def test_neither_a_reference_nor_a_redirection_leads_elsewhere() -> None:
    elsewhere = Asked(200)
    async with elsewhere.served() as trap:
        barbican = Asked(302, {"location": f"{trap}/v1/secrets/x"})
        async with barbican.served() as url:
            with pytest.raises((Refused, Retryable)):
                await vault_at(url).bundle(reference(trap), "p1")
    assert barbican.seen
    assert elsewhere.seen == []


async def test_the_service_logs_in_to_the_project_that_it_reads_for() -> None:
    """So that Keystone and Barbican say what is whose, whoever wrote the reference."""
    keystone = Asked(401)
    async with keystone.served() as auth, Asked(200).served() as url:
        user = ServiceUser(auth_url=f"{auth}/v3", name="octavia", domain="Default",
                           password=lambda: "the password")  # fmt: skip
        assert "the password" not in repr(user)
        with pytest.raises(Retryable):
            await vault_at(url, user).bundle(reference(), "p1")
    assert keystone.seen[-1][0] == "/v3/auth/tokens"
