"""`fairlead serve` as people meet it: started, misused, stopped, and used without root.

The real command in a process of its own. What needs amphorae is in tests/crash and tests/e2e.
"""

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from fairlead.settings import default_state_dir
from tests.live_amphora import network_of_its_own
from tests.live_service import LiveService

# Nobody else's on any host, so that what it leaves can be told.
STRANGER = 47_291
FAKE = ("--drivers", "fake")
ROOT = Path(__file__).parents[2]


def free_address() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


AS_STRANGER = ("setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups")


@cache
def strangers_reach_this() -> bool:
    """Whether a user without rights can run this checkout: it may lie in a private directory."""
    try_it = [*AS_STRANGER, "env", sys.executable, "-c", "import fairlead.cli"]
    return subprocess.run(try_it, capture_output=True, cwd=ROOT).returncode == 0


def without_root() -> tuple[str, ...]:
    """What to put before a command so that it finds no program and, if possible, has no rights."""
    bare = ("env", "PATH=/nonexistent", "HOME=/nonexistent")
    return (*AS_STRANGER, *bare) if os.geteuid() == 0 and strangers_reach_this() else bare


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that a user without rights can reach and write to."""
    made = Path(tempfile.mkdtemp(prefix="fltest-serve-", dir="/tmp"))
    if os.geteuid() == 0:
        os.chown(made, STRANGER, STRANGER)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def service(directory: Path) -> Iterator[LiveService]:
    """The in-memory world, served without root."""
    made = LiveService(
        directory / "state", *FAKE, "--verbose", listen=free_address(), prefix=without_root()
    )
    yield made
    made.kill()


def cli(*words: str, prefix: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
    """The command with its output; fails when it does not end by itself."""
    return subprocess.run(
        [*prefix, sys.executable, "-m", "fairlead.cli", *words],
        capture_output=True, text=True, timeout=30, cwd=ROOT,
    )  # fmt: skip


def serve_in_vain(directory: Path, *words: str, prefix: tuple[str, ...] = ()) -> str:
    """The one line that a start which cannot work prints."""
    done = cli("serve", "--state-dir", str(directory / "state"), *words, prefix=prefix)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert re.fullmatch(r"fairlead: .+\n", done.stderr), done.stderr
    return done.stderr


def post_balancer(client: httpx.Client) -> dict[str, Any]:
    """A load balancer with a listener and a pool, on a subnet that nobody has ever heard of."""
    pool = {"name": "pool", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    listener = {"name": "web", "protocol": "HTTP", "protocol_port": 80, "default_pool": pool}
    body = {"name": "lb", "vip_subnet_id": str(uuid.uuid4()), "listeners": [listener]}
    answer = client.post("/v2/lbaas/loadbalancers", json={"loadbalancer": body})
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["loadbalancer"])


def until(condition: Any, seconds: float = 10.0) -> float:
    """Wait; how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.02)
    return time.monotonic() - began


def test_help_names_every_command_and_option() -> None:
    commands = cli("--help").stdout
    for command in ("serve", "demo", "doctor"):
        assert re.search(rf"^  +{command} +\w", commands, re.MULTILINE)
    options = cli("serve", "--help").stdout
    for option in ("state-dir", "listen", "config", "drivers", "auth", "step-seconds", "verbose"):
        assert f"--{option}" in options


def test_it_is_ready_soon(service: LiveService) -> None:
    cold, began = service.start(), time.monotonic()
    assert service.stop() == 0
    stopped = time.monotonic() - began
    warm = service.start()
    print(f"ready after {cold:.2f} s at first, {warm:.2f} s later; stopped after {stopped:.2f} s")
    print(f"{service.memory() / 1e6:.0f} MB resident")
    assert max(cold, warm) < 15
    assert service.said() == (
        f"Fairlead is ready at {service.url} (credentials: {service.state_dir}/clouds.yaml)\n"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_asked_also_while_a_client_stays(
    service: LiveService, number: signal.Signals
) -> None:
    service.start()
    with service.client() as client:
        assert client.get("/v2/lbaas/loadbalancers").status_code == 200
        began = time.monotonic()
        assert service.stop(number) == 0
        assert time.monotonic() - began < 5
    assert "Traceback" not in service.said()


def test_nobody_gets_in_unasked(service: LiveService) -> None:
    service.start()
    for auth in (None, ("admin", "admin"), ("admin", "")):
        answer = httpx.get(f"{service.url}/v2/lbaas/loadbalancers", auth=auth, trust_env=False)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic")
    with service.client() as client:
        assert client.get("/v2/lbaas/loadbalancers").status_code == 200


def test_files_are_their_owners_alone(service: LiveService) -> None:
    service.start()
    assert stat.S_IMODE(service.state_dir.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in service.state_dir.iterdir()}
    assert modes.keys() >= {"clouds.yaml", "htpasswd", "users.yaml", "fairlead.db", "lock"}
    assert set(modes.values()) == {0o600}, modes


def test_nothing_is_written_outside_of_the_state_directory(service: LiveService) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to run as a user whose files can be told")
    before = strangers_files(service.state_dir.parent)
    service.start()
    with service.client() as client:
        post_balancer(client)
    assert service.stop() == 0
    assert strangers_files(service.state_dir.parent) - before == set()


def strangers_files(but: Path) -> set[Path]:
    """What the user of these tests has in the usual places, outside of one directory."""
    return {
        path
        for place in ("/tmp", "/var/tmp", "/run", "/dev/shm")
        for path in everything_below(place)
        if not path.is_relative_to(but) and owner(path) == STRANGER
    }


def everything_below(place: str) -> Iterator[Path]:
    """Files and directories; what others remove meanwhile is passed over."""
    for directory, directories, files in os.walk(place):
        yield from (Path(directory, name) for name in (*directories, *files))


def owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:  # it went meanwhile
        return None


def test_a_client_developer_sees_statuses_pass(directory: Path) -> None:
    """No root, no password, any subnet, and steps that take their time."""
    service = LiveService(
        directory / "state", *FAKE, "--auth", "noauth", "--step-seconds", "0.3",
        listen=free_address(), prefix=without_root(),
    )  # fmt: skip
    try:
        service.start()
        assert "noauth" in service.said()
        assert not (service.state_dir / "clouds.yaml").exists()
        with httpx.Client(base_url=service.url, trust_env=False) as client:
            watch_a_life(client)
    finally:
        service.kill()


def watch_a_life(client: httpx.Client) -> None:
    """A load balancer from its creation to its end."""
    made = post_balancer(client)
    path = f"/v2/lbaas/loadbalancers/{made['id']}"
    assert made["provisioning_status"] == "PENDING_CREATE"

    def shown() -> str | None:
        answer = client.get(path)
        if answer.status_code == 404:
            return None
        return str(answer.json()["loadbalancer"]["provisioning_status"])

    assert shown() == "PENDING_CREATE"
    assert until(lambda: shown() == "ACTIVE") > 0.3
    answer = client.put(path, json={"loadbalancer": {"name": "other"}})
    assert answer.json()["loadbalancer"]["provisioning_status"] == "PENDING_UPDATE"
    until(lambda: shown() == "ACTIVE")
    assert client.delete(f"{path}?cascade=true").status_code == 204
    assert shown() == "PENDING_DELETE"
    until(lambda: shown() is None)


def test_a_second_service_on_the_same_state_is_refused(service: LiveService) -> None:
    service.start()
    said = serve_in_vain(service.state_dir.parent, *FAKE, "--listen", free_address())
    assert "already serves from" in said
    assert str(service.state_dir) in said
    with service.client() as client:
        assert client.get("/v2/lbaas/loadbalancers").status_code == 200


def test_the_state_of_one_world_is_not_served_as_another(service: LiveService) -> None:
    service.start()
    assert service.stop() == 0
    (service.state_dir / "drivers").write_text("host")
    before = (service.state_dir / "fairlead.db").read_bytes()
    said = serve_in_vain(service.state_dir.parent, *FAKE, "--listen", free_address())
    assert "--drivers host" in said
    assert "--state-dir" in said
    assert (service.state_dir / "fairlead.db").read_bytes() == before
    assert default_state_dir("fake") != default_state_dir("host") == default_state_dir()


def test_the_in_memory_world_has_networks(service: LiveService) -> None:
    service.start()
    with service.client() as client:
        made = client.post("/v2.0/networks", json={"network": {"name": "blue"}})
        network = made.json()["network"]
        body = {"network_id": network["id"], "cidr": "10.1.2.0/24", "ip_version": 4}
        answer = client.post("/v2.0/subnets", json={"subnet": body})
        subnet = answer.json()["subnet"]["id"]
        assert [n["name"] for n in client.get("/v2.0/networks").json()["networks"]] == ["blue"]
        members = [
            {"address": address, "protocol_port": 80}
            for address in ("10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1")
        ]
        members.append({"address": "10.1.2.9", "protocol_port": 80, "subnet_id": subnet})
        pool = {"name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": members}
        body = {"vip_subnet_id": subnet, "pools": [pool]}
        answer = client.post("/v2/lbaas/loadbalancers", json={"loadbalancer": body})
        assert answer.status_code == 201, answer.text
        assert answer.json()["loadbalancer"]["vip_address"].startswith("10.1.2.")
        path = f"/v2/lbaas/loadbalancers/{answer.json()['loadbalancer']['id']}"
        until(lambda: client.get(path).json()["loadbalancer"]["provisioning_status"] == "ACTIVE")
        assert client.delete(f"/v2.0/subnets/{subnet}").status_code == 409


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_while_it_starts(directory: Path, number: signal.Signals) -> None:
    """At any moment from when the interpreter is up until it is ready, and then some."""
    for moment in range(8):
        command = [
            *without_root(), sys.executable, "-m", "fairlead.cli", "serve", *FAKE,
            "--state-dir", str(directory / "state"), "--listen", free_address(),
        ]  # fmt: skip
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
        )
        until(lambda: begun(process.pid))  # noqa: B023 - called in this round
        time.sleep(moment * 0.2)
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 0, said
        assert "Traceback" not in said


def begun(pid: int) -> bool:
    """Whether `serve` has begun: it no longer dies of SIGTERM."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt"))[7:], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def test_a_port_in_use_is_said_before_anything_is_made(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = serve_in_vain(directory, *FAKE, "--listen", f"127.0.0.1:{port}")
    assert "127.0.0.1" in said
    assert str(port) in said
    assert "in use" in said
    assert "--listen" in said
    assert not (directory / "state").exists()


@pytest.mark.parametrize(
    "listen", ["127.0.0.1", "9876", ":9876", "127.0.0.1:0", "127.0.0.1:http", "127.0.0.1:65536"]
)
def test_an_address_that_is_none_is_named(directory: Path, listen: str) -> None:
    assert f"--listen '{listen}'" in serve_in_vain(directory, *FAKE, "--listen", listen)


def test_an_address_of_another_host_cannot_be_listened_on(directory: Path) -> None:
    assert "192.0.2.1" in serve_in_vain(directory, *FAKE, "--listen", "192.0.2.1:9876")
    assert "nowhere.invalid" in serve_in_vain(directory, *FAKE, "--listen", "nowhere.invalid:9876")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("listen = 1", "listen"),
        ("[api]\nport = 9876", "port"),
        ("[api]\npage_limit = 'many'", "api.page_limit"),
        ("[health]\ninterval = 0", "health.interval"),
        ("[controller\n", "line 1"),
        ("drivers = 'real'", "'host' or 'fake'"),
        ("[api]\nauth_strategy = 'x'", "'http_basic' or 'keystone' or 'noauth'"),
        ("[network]\nmanagement_cidr = '10.0.0.0/25'", "management_cidr"),
        ("[network]\ndefault_cidrs = ['10.0.0.0/33']", "default_cidrs"),
        ("[network]\ndefault_cidrs = ['127.0.0.0/8']", "default_cidrs"),
    ],
)
def test_what_is_wrong_in_the_configuration_is_named(
    directory: Path, text: str, named: str
) -> None:
    file = directory / "fairlead.toml"
    file.write_text(text)
    said = serve_in_vain(directory, *FAKE, "--config", str(file))
    assert str(file) in said
    assert named in said


def test_files_that_cannot_be_used_are_named(directory: Path) -> None:
    missing = str(directory / "missing.toml")
    assert missing in serve_in_vain(directory, *FAKE, "--config", missing)
    assert str(directory) in serve_in_vain(directory, *FAKE, "--config", str(directory))
    (directory / "state").write_text("not a directory")
    assert str(directory / "state") in serve_in_vain(directory, *FAKE)
    elsewhere = cli("serve", "--state-dir", "/proc/fairlead", *FAKE, prefix=without_root())
    assert elsewhere.returncode == 1
    assert re.fullmatch(r"fairlead: .*/proc/fairlead.*\n", elsewhere.stderr)


def test_a_foreign_clouds_yaml_is_kept(directory: Path) -> None:
    clouds = directory / "state" / "clouds.yaml"
    clouds.parent.mkdir()
    clouds.write_text("clouds: {mine: {}}")
    said = serve_in_vain(directory, *FAKE, "--listen", free_address())
    assert str(clouds) in said
    assert clouds.read_text() == "clouds: {mine: {}}"


def test_users_that_cannot_be_read_are_named(service: LiveService) -> None:
    service.start()
    assert service.stop() == 0
    (service.state_dir / "users.yaml").write_text("admin: [no, account]")
    said = serve_in_vain(service.state_dir.parent, *FAKE, "--listen", free_address())
    assert "users.yaml" in said


def test_steps_cannot_take_less_than_no_time(directory: Path) -> None:
    for seconds in ("-1", "nan", "inf"):
        said = serve_in_vain(directory, *FAKE, f"--step-seconds={seconds}")
        assert "--step-seconds" in said


def test_without_root_the_way_out_is_told(directory: Path) -> None:
    if os.geteuid() == 0 and not strangers_reach_this():
        pytest.skip("only root can reach this checkout or its Python")
    said = serve_in_vain(directory, "--listen", free_address(), prefix=without_root())
    assert "needs root" in said
    assert "--drivers fake" in said
    assert not (directory / "state").exists()


@pytest.mark.root
def test_no_secret_is_ever_logged(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to make network namespaces")
    state_dir = tmp_path / "state"
    with network_of_its_own():
        service = LiveService(state_dir, "--verbose")
        try:
            service.start()
            live_a_little(service)
            secret = [service.credentials()[1], *secret_words(state_dir)]
            said = [service.said(), *(log.read_text() for log in tmp_path.rglob("console.log"))]
        finally:
            service.kill()
            assert cli("uninstall", "--state-dir", str(state_dir), "--yes").returncode == 0
    assert len(said) == 2, "the service's log and the amphora's console"
    assert "accepted" in said[0]
    for word in (*secret, "not-the-password", "PRIVATE KEY", "BEGIN CERTIFICATE"):
        assert not any(word in text for text in said)


def live_a_little(service: LiveService) -> None:
    """Refuse a stranger, and make a load balancer."""
    stranger = ("admin", "not-the-password")
    httpx.get(f"{service.url}/v2/lbaas/pools", auth=stranger, trust_env=False)
    with service.client() as client:
        subnet = client.get("/v2.0/subnets").json()["subnets"][0]
        body = {"loadbalancer": {"vip_subnet_id": subnet["id"]}}
        made = client.post("/v2/lbaas/loadbalancers", json=body).json()["loadbalancer"]
        path = f"/v2/lbaas/loadbalancers/{made['id']}"
        until(lambda: client.get(path).json()["loadbalancer"]["operating_status"] == "ONLINE", 20)


def secret_words(state_dir: Path) -> list[str]:
    """The key that seals the others, and what the amphora signs its heartbeats with."""
    boot = next(state_dir.glob("amphorae/*/own/boot.json")).read_text()
    keys = re.findall(r'"heartbeat_key":"([^"]+)"', boot)
    assert keys
    return [(state_dir / "secrets" / "sealing.key").read_text().strip(), *keys]
