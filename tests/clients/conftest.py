"""A running `fairlead serve` with the in-memory world, as clients meet it: by their clouds.yaml.

Every test here runs twice: with users of the service's own (http_basic), and with a real Keystone.
"""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from msgspec import Struct

from tests.clients.driving import Openstack
from tests.keystone_service import KeystoneService, keystone
from tests.live_service import LiveService

__all__ = ["keystone"]  # the fixture


class Cloud(Struct, frozen=True):
    """Where a client's configuration lies, the name of the cloud in it, and of its project."""

    clouds: Path
    name: str
    project: str


def free_address() -> str:
    """An address that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


@pytest.fixture(scope="module", params=["http_basic", "keystone"])
def cloud(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cloud]:
    """The service, with an operator's way in."""
    directory = tmp_path_factory.mktemp("clients")
    listen = free_address()
    options: list[str] = ["--drivers", "fake"]
    found = Cloud(directory / "state" / "clouds.yaml", "fairlead", "default")
    if request.param == "keystone":
        identity: KeystoneService = request.getfixturevalue("keystone")
        found = _in_keystone(identity, directory, listen)
        options += ["--config", str(directory / "fairlead.toml")]
    service = LiveService(directory / "state", *options, listen=listen)
    service.start()
    try:
        yield found
    finally:
        service.stop()


def _in_keystone(identity: KeystoneService, directory: Path, listen: str) -> Cloud:
    """Users, a region and settings of a service that trusts a Keystone."""
    region = directory.name  # others register services of their own
    identity.user(f"fairlead-{region}", "service", project="service")
    identity.user(f"opal-{region}", "admin", project=region)
    url = f"http://{listen}"
    identity.register(
        region, load_balancer=url, network=url, identity=identity.url, key_manager=f"{url}/v1"
    )
    (directory / "fairlead.toml").write_text(f"""
        [api]
        auth_strategy = "keystone"
        [keystone]
        auth_url = "{identity.url}"
        username = "fairlead-{region}"
        password = "secret"
    """)
    clouds = directory / "opal.yaml"
    cloud = identity.cloud(f"opal-{region}", project=region, region=region)
    clouds.write_text(yaml.safe_dump({"clouds": {"here": cloud}}))
    return Cloud(clouds, "here", identity.project(region))


@pytest.fixture(scope="module")
def osc(cloud: Cloud) -> Iterator[Openstack]:
    """The `openstack` command of the operator."""
    shell = Openstack(cloud.clouds, cloud.name)
    yield shell
    shell.close()
