"""How `fairlead serve` lets people in: what it refuses to start with, and what it warns of."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.cli.test_serve import FAKE, directory, free_address, post_balancer, serve_in_vain
from tests.live_service import LiveService

__all__ = ["directory"]  # a fixture
KEYSTONE = "[api]\nauth_strategy = 'keystone'\n[keystone]\n"
AT = "auth_url = 'http://127.0.0.1:5000'\n"


@pytest.fixture
def everywhere(directory: Path) -> Iterator[LiveService]:
    """A service that everybody is an administrator of, and that other hosts reach."""
    file = directory / "fairlead.toml"
    file.write_text("[api]\nnoauth_anywhere = true\n")
    port = free_address().rpartition(":")[2]
    options = (*FAKE, "--auth", "noauth", "--config", str(file))
    made = LiveService(directory / "state", *options, listen=f"0.0.0.0:{port}")
    yield made
    made.kill()


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])
def test_noauth_is_for_this_host(directory: Path, host: str) -> None:
    port = free_address().rpartition(":")[2]
    said = serve_in_vain(directory, *FAKE, "--auth", "noauth", "--listen", f"{host}:{port}")
    assert "everybody is an administrator" in said
    assert "noauth_anywhere" in said
    assert not (directory / "state").exists()


def test_noauth_anywhere_takes_two_settings_and_is_warned_of(everywhere: LiveService) -> None:
    everywhere.start()
    assert 'level=warning event="authentication is off' in everywhere.said()
    with httpx.Client(trust_env=False) as client:
        port = everywhere.url.rpartition(":")[2]
        answer = client.get(f"http://127.0.0.1:{port}/v2/lbaas/loadbalancers")
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("", "auth_url"),
        ("auth_url = 'keystone:5000'", "auth_url"),
        (AT, "one of password and password_file"),
        (AT + "password = 'a'\npassword_file = '/b'", "one of password and password_file"),
        (AT + "password_file = '/nonexistent'", "password_file /nonexistent: No such file"),
        (AT + "password = 'hush'\ncafile = '/nonexistent'", "cafile /nonexistent: No such file"),
        (AT + "password = 'hush'\ncafile = '/dev/null'", "cafile /dev/null"),
        (AT + "password = 7", "keystone.password"),
    ],
)
def test_what_keystone_mode_lacks_is_named(directory: Path, settings: str, said: str) -> None:
    file = directory / "fairlead.toml"
    file.write_text(KEYSTONE + settings)
    refused = serve_in_vain(directory, *FAKE, "--config", str(file), "--listen", free_address())
    assert said in refused
    assert "hush" not in refused


def test_a_broken_policy_file_is_named(directory: Path) -> None:
    policy, file = directory / "policy.yaml", directory / "fairlead.toml"
    policy.write_text("load-balancer:read: role:admin or (\n")
    file.write_text(f"[api]\npolicy_file = '{policy}'\n")
    refused = serve_in_vain(directory, *FAKE, "--config", str(file), "--listen", free_address())
    assert f"{policy}: rule 'load-balancer:read' cannot be read" in refused
    assert not (directory / "state").exists()


def audited(directory: Path, destination: str, listen: str) -> LiveService:
    file = directory / "fairlead.toml"
    file.write_text(f"[audit]\nenabled = true\ndestination = '{destination}'\n")
    return LiveService(directory / "state", *FAKE, "--config", str(file), listen=listen)


def test_what_is_noted_is_whole_when_it_ends(directory: Path) -> None:
    file = directory / "audit.log"
    service = audited(directory, str(file), free_address())
    try:
        service.start()
        with service.client() as client:
            made = [post_balancer(client)["id"] for _ in range(20)]
        assert service.stop() == 0
    finally:
        service.kill()
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert [event["target"]["id"] for event in events] == made
    assert {event["initiator"]["name"] for event in events} == {"admin"}


def test_events_may_go_to_the_log(directory: Path) -> None:
    service = audited(directory, "log", free_address())
    try:
        service.start()
        with service.client() as client:
            made = post_balancer(client)["id"]
        assert service.stop() == 0
    finally:
        service.kill()
    (line,) = (line for line in service.said().splitlines() if line.startswith("AUDIT "))
    assert json.loads(line.removeprefix("AUDIT "))["target"]["id"] == made


def test_where_nothing_can_be_noted_it_does_not_start(directory: Path) -> None:
    file = directory / "fairlead.toml"
    file.write_text("[audit]\nenabled = true\ndestination = '/nonexistent/audit.log'\n")
    refused = serve_in_vain(directory, *FAKE, "--config", str(file), "--listen", free_address())
    assert "[audit] destination /nonexistent/audit.log: No such file" in refused


def test_health_is_told_without_a_password(directory: Path) -> None:
    service = LiveService(directory / "state", *FAKE, listen=free_address())
    try:
        service.start()
        with httpx.Client(trust_env=False) as client:
            answer = client.get(f"{service.url}/healthcheck")
        assert (answer.status_code, answer.text) == (200, "OK")
    finally:
        service.kill()
