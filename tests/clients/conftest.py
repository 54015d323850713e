"""A running `fairlead serve` with the in-memory world, as clients meet it: by its clouds.yaml."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from tests.clients.driving import Openstack
from tests.live_service import LiveService


class Cloud(Struct, frozen=True):
    """Where a client's configuration lies, and the name of the cloud in it."""

    clouds: Path
    name: str
    project: str


def free_address() -> str:
    """An address that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The service with users of its own (http_basic)."""
    state_dir = tmp_path_factory.mktemp("clients") / "state"
    service = LiveService(state_dir, "--drivers", "fake", listen=free_address())
    service.start()
    try:
        yield Cloud(state_dir / "clouds.yaml", "fairlead", "default")
    finally:
        service.stop()


@pytest.fixture(scope="module")
def osc(cloud: Cloud) -> Iterator[Openstack]:
    """The `openstack` command of the first user."""
    shell = Openstack(cloud.clouds, cloud.name)
    yield shell
    shell.close()
