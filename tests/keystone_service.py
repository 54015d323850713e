"""A real Keystone for tests, on loopback, in a process and an environment of its own.

`keystone` is a fixture of the session (tests/conftest.py); it costs nothing until it is named. It
is installed by scripts/setup-keystone; where that is impossible the tests are skipped, but never in
CI. Users, projects and roles are made through Keystone's own API. The process ends by the id learnt
at its start.
"""

import base64
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[1]
VENV = ROOT / ".venv-keystone"
REGION = "RegionOne"
START_SECONDS = 60.0
_SERVE = """
import sys, socket
sys.argv = ["keystone"]  # which reads the command line, too
from keystone.wsgi.api import application
import waitress
waitress.serve(application, sockets=[socket.socket(fileno=FILENO)], threads=4)
"""
_CONFIG = """
[DEFAULT]
log_file = {directory}/keystone.log
[database]
connection = sqlite:///{directory}/keystone.db
[token]
provider = fernet
[fernet_tokens]
key_repository = {directory}/fernet
[credential]
key_repository = {directory}/credential
[cache]
enabled = false
[identity]
password_hash_rounds = 4
"""


class KeystoneService:
    """One Keystone: its database and keys in a directory, its process, its API for operators."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.password = secrets.token_urlsafe(12)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.url = f"http://{self.host}/v3"
        self.process: subprocess.Popen[bytes] | None = None
        self._config = directory / "keystone.conf"
        self._own = ""
        self._admin = httpx.Client(timeout=30, trust_env=False)

    def prepare(self) -> None:
        """Make the keys, the database, and what Keystone begins with."""
        for name in ("fernet", "credential"):
            repository = self.directory / name
            repository.mkdir(mode=0o700)
            for number in ("0", "1"):
                key = base64.urlsafe_b64encode(secrets.token_bytes(32))
                (repository / number).write_bytes(key)
                (repository / number).chmod(0o600)
        self._config.write_text(_CONFIG.format(directory=self.directory))
        self._manage("db_sync")
        self._manage(
            "bootstrap", "--bootstrap-password", self.password,
            "--bootstrap-public-url", self.url, "--bootstrap-region-id", REGION,
        )  # fmt: skip

    def start(self) -> None:
        """Serve, and wait until it answers."""
        code = _SERVE.replace("FILENO", str(self._socket.fileno()))
        with (self.directory / "served.log").open("ab") as said:
            self.process = subprocess.Popen(
                [VENV / "bin" / "python", "-c", code],
                stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                pass_fds=[self._socket.fileno()],
                env={**os.environ, "OS_KEYSTONE_CONFIG_FILES": str(self._config)},
            )  # fmt: skip
        began = time.monotonic()
        while not self._answers():
            assert self.process.poll() is None, (self.directory / "served.log").read_text()
            assert time.monotonic() - began < START_SECONDS

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Meanwhile nobody gets an answer."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self._socket.close()
        self._admin.close()

    def token(self, user: str = "admin", password: str | None = None, **scope: Any) -> str:
        """A token; without a scope for the user's project of the same name as the user."""
        answer = self._admin.post(
            f"{self.url}/auth/tokens", json=self._login(user, password, scope)
        )
        assert answer.status_code == 201, answer.text
        return str(answer.headers["x-subject-token"])

    def revoke(self, token: str) -> None:
        """Make a token worthless."""
        headers = {"X-Auth-Token": token, "X-Subject-Token": token}
        answer = self._admin.delete(f"{self.url}/auth/tokens", headers=headers)
        assert answer.status_code == 204, answer.text

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """A request of the operator."""
        self._own = self._own or self.token()
        headers = {"X-Auth-Token": self._own}
        answer = self._admin.request(method, self.url + path, json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def project(self, name: str) -> str:
        """The id of a project, made if need be."""
        found = self.call("GET", f"/projects?name={name}")["projects"]
        if found:
            return str(found[0]["id"])
        return str(self.call("POST", "/projects", {"project": {"name": name}})["project"]["id"])

    def user(
        self, name: str, *roles: str, project: str | None = None, password: str = "secret"
    ) -> str:
        """Make a user with roles on a project, whose id it gives, or on the whole system."""
        body = {"user": {"name": name, "password": password}}
        user_id = self.call("POST", "/users", body)["user"]["id"]
        where = "/system" if project is None else f"/projects/{self.project(project)}"
        for role in roles:
            self.call("PUT", f"{where}/users/{user_id}/roles/{self.role(role)}")
        return str(user_id)

    def role(self, name: str) -> str:
        """The id of a role, made if need be."""
        found = self.call("GET", f"/roles?name={name}")["roles"]
        if found:
            return str(found[0]["id"])
        return str(self.call("POST", "/roles", {"role": {"name": name}})["role"]["id"])

    def register(self, region: str = REGION, **urls: str) -> None:
        """Put services into a region's catalog, by type: load_balancer="http://..."."""
        known = [one["id"] for one in self.call("GET", "/regions")["regions"]]
        if region not in known:
            self.call("PUT", f"/regions/{region}", {"region": {}})
        for name, url in urls.items():
            kind = name.replace("_", "-")
            body = {"service": {"type": kind, "name": kind}}
            service_id = self.call("POST", "/services", body)["service"]["id"]
            endpoint = {"service_id": service_id, "interface": "public", "url": url}
            self.call("POST", "/endpoints", {"endpoint": {**endpoint, "region_id": region}})

    def cloud(
        self, user: str, password: str = "secret", *, project: str, region: str = REGION
    ) -> dict[str, Any]:
        """An entry of clouds.yaml for a user."""
        auth = {
            "auth_url": self.url, "username": user, "password": password,
            "user_domain_name": "Default", "project_name": project,
            "project_domain_name": "Default",
        }  # fmt: skip
        return {"auth": auth, "region_name": region, "identity_api_version": "3"}

    def environment(self, user: str, password: str = "secret", *, project: str) -> dict[str, str]:
        """The same for the command line's environment."""
        auth = self.cloud(user, password, project=project)["auth"]
        settings = {f"OS_{name.upper()}": value for name, value in auth.items()}
        return {**settings, "OS_REGION_NAME": REGION, "OS_IDENTITY_API_VERSION": "3"}

    def _login(self, user: str, password: str | None, scope: dict[str, Any]) -> dict[str, Any]:
        who = {"name": user, "domain": {"name": "Default"}, "password": password or "secret"}
        if user == "admin":
            who["password"] = password or self.password
        identity = {"methods": ["password"], "password": {"user": who}}
        project = {"name": scope.get("project", "admin"), "domain": {"name": "Default"}}
        scopes: dict[str, Any] = {
            "system": {"system": {"all": True}},
            "domain": {"domain": {"name": "Default"}},
            "unscoped": "unscoped",
        }
        chosen = next((scopes[name] for name in scopes if scope.get(name)), {"project": project})
        return {"auth": {"identity": identity, "scope": chosen}}

    def _answers(self) -> bool:
        try:
            return self._admin.get(self.url, timeout=5).is_success
        except httpx.HTTPError:
            time.sleep(0.05)
            return False

    def _manage(self, *words: str) -> None:
        done = subprocess.run(
            [VENV / "bin" / "keystone-manage", "--config-file", self._config, *words],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def installed() -> None:
    """Install it if need be; skip the test where that cannot be, but not in CI."""
    done = subprocess.run(
        [ROOT / "scripts" / "setup-keystone", VENV.name], capture_output=True, text=True, cwd=ROOT
    )
    if done.returncode == 0:
        return
    reason = f"Keystone cannot be installed: {done.stderr[-300:]}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeystoneService]:
    installed()
    service = KeystoneService(tmp_path_factory.mktemp("keystone"))
    try:
        service.prepare()
        service.start()
        yield service
    finally:
        service.close()
