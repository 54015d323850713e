"""Driving the clients: the `openstack` command and the SDK, from a clouds.yaml alone."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import openstack


class Openstack:
    """The `openstack` command of one user; remembers which commands were run."""

    def __init__(self, clouds: Path, cloud: str) -> None:
        own = {k: v for k, v in os.environ.items() if not k.startswith("OS_")}
        self.ran: set[str] = set()
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("openstack_shell.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=own | {"OS_CLIENT_CONFIG_FILE": str(clouds), "OS_CLOUD": cloud},
        )  # fmt: skip

    def run(self, line: str, *more: str) -> dict[str, Any]:
        """A command, given as a shell would be, with what came of it."""
        arguments = [*shlex.split(line), *more]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        self.ran.add(line)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def __call__(self, line: str, *more: str) -> str:
        """What a command that must work prints."""
        answer = self.run(line, *more)
        assert answer["status"] == 0, f"{line}: {answer['err']}"
        return str(answer["out"])

    def json(self, line: str) -> Any:
        """What a command that must work shows, as data."""
        return json.loads(self(line, "-f", "json"))

    def refused(self, line: str) -> str:
        """The complaint of a command that must not work."""
        answer = self.run(line)
        assert answer["status"] != 0, f"{line}: {answer['out']}"
        return str(answer["err"])

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


def connection(clouds: Path, cloud: str) -> Any:
    """The SDK's connection of one user."""
    loader = openstack.config.OpenStackConfig(
        config_files=[str(clouds)], load_envvars=False, app_name="fairlead-tests"
    )
    return openstack.connection.Connection(config=loader.get_one(cloud))


class Recorder:
    """An SDK proxy whose methods are noted by name when they are called."""

    def __init__(self, proxy: Any) -> None:
        self._proxy = proxy
        self.called: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.called.add(name)
        return getattr(self._proxy, name)
