"""Barbican's driver logs in to the project that it reads for, at a real Keystone.

The Barbican is this service's own secret store, which takes the same tokens.
"""

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fairlead.drivers.cabinet_barbican import BarbicanCabinet, ServiceUser
from fairlead.drivers.vault_references import ReferencedVault
from fairlead.errors import Refused, Retryable
from tests.keystone_service import KeystoneService
from tests.live_service import LiveService

# What the SDK says of itself is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
CONFIG = """
[api]
auth_strategy = "keystone"
[keystone]
auth_url = "{url}"
username = "keeper"
password = "secret"
"""


@pytest.fixture
def barbican(keystone: KeystoneService, tmp_path: Path) -> Iterator[str]:
    """The address of a secret store with a user in each of three projects."""
    keystone.user("keeper", "service", project="service")
    for project in ("mine", "theirs", "closed"):
        keystone.user(f"user-of-{project}", "member", project=project)
    reader = keystone.user("reading", "member", project="mine")
    role = f"/users/{reader}/roles/{keystone.role('member')}"
    keystone.call("PUT", f"/projects/{keystone.project('theirs')}{role}")
    (tmp_path / "fairlead.toml").write_text(CONFIG.format(url=keystone.url))
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    service = LiveService(
        tmp_path / "state", "--drivers", "fake", "--config", str(tmp_path / "fairlead.toml"),
        listen=listen,
    )  # fmt: skip
    service.start()
    yield service.url
    service.kill()


def stored(keystone: KeystoneService, url: str, project: str) -> str:
    """A secret of that project's user."""
    token = keystone.token(f"user-of-{project}", project=project)
    body = {"payload": f"text of {project}", "payload_content_type": "text/plain"}
    answer = httpx.post(f"{url}/v1/secrets", json=body, headers={"X-Auth-Token": token})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["secret_ref"])


async def test_each_project_is_read_for_itself(keystone: KeystoneService, barbican: str) -> None:
    user = ServiceUser(
        auth_url=keystone.url, name="reading", domain="Default", password=lambda: "secret"
    )
    vault = ReferencedVault(BarbicanCabinet(barbican, user, timeout=20))
    ids = {project: keystone.project(project) for project in ("mine", "theirs", "closed")}
    refs = {project: stored(keystone, barbican, project) for project in ids}
    for project in ("mine", "theirs"):
        assert await vault.text(refs[project], ids[project]) == f"text of {project}"
    for owner, reading_for in (("theirs", "mine"), ("mine", "theirs"), ("closed", "mine")):
        with pytest.raises(Refused, match="Could not retrieve certificate"):
            await vault.text(refs[owner], ids[reading_for])
    with pytest.raises(Retryable):  # the operator has given it no role there
        await vault.text(refs["closed"], ids["closed"])
