"""`fairlead serve` in keystone mode, used by the OpenStack SDK through Keystone's catalog."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest
import yaml
from openstack import exceptions

from tests.keystone_service import KeystoneService
from tests.live_service import LiveService

PASSWORD = "in a file, not in the settings"
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # the SDK's own


@pytest.fixture
def service(keystone: KeystoneService, tmp_path: Path) -> Iterator[LiveService]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    keystone.user("fairlead", "service", project="service", password=PASSWORD)
    keystone.user("sue", "member", project="tailor")
    keystone.user("zoe", "reader", project="tailor")
    keystone.register(load_balancer=f"http://{listen}", network=f"http://{listen}")
    (tmp_path / "password").write_text(PASSWORD + "\n")
    (tmp_path / "fairlead.toml").write_text(f"""
        [api]
        auth_strategy = "keystone"
        [keystone]
        auth_url = "{keystone.url}"
        username = "fairlead"
        password_file = "{tmp_path}/password"
    """)
    options = ("--drivers", "fake", "--verbose", "--config", str(tmp_path / "fairlead.toml"))
    made = LiveService(tmp_path / "state", *options, listen=listen)
    yield made
    made.kill()


def connected(keystone: KeystoneService, user: str, directory: Path) -> Any:
    clouds = directory / f"{user}.yaml"
    cloud = keystone.cloud(user, project="tailor")
    clouds.write_text(yaml.safe_dump({"clouds": {"here": cloud}}))
    loader = openstack.config.OpenStackConfig(config_files=[str(clouds)], load_envvars=False)
    return openstack.connection.Connection(config=loader.get_one("here"))


def test_the_sdk_finds_it_in_the_catalog(
    service: LiveService, keystone: KeystoneService, tmp_path: Path
) -> None:
    service.start()
    assert f"(tokens of Keystone at {keystone.url})" in service.said()
    sue, zoe = (connected(keystone, user, tmp_path) for user in ("sue", "zoe"))
    subnet = "5d8a3fb2-8c5e-4f0a-9b9c-0d5c6d1f7a01"
    made = sue.load_balancer.create_load_balancer(name="web", vip_subnet_id=subnet)
    assert made.project_id == keystone.project("tailor")
    assert [lb.id for lb in zoe.load_balancer.load_balancers()] == [made.id]
    with pytest.raises(exceptions.ForbiddenException):
        zoe.load_balancer.delete_load_balancer(made.id, ignore_missing=False)
    assert list(zoe.network.networks()) is not None
    for one in (sue, zoe):
        one.close()
    assert service.stop() == 0
    assert PASSWORD not in service.said()
    assert not (service.state_dir / "clouds.yaml").exists(), "no user of our own in this mode"
