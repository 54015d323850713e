"""The unmodified OpenStack SDK with flavors, availability zones, providers and quotas."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from openstack import exceptions

from tests.api.conftest import House
from tests.api.test_sdk import served

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


async def test_what_operators_offer(house: House, tmp_path: Path) -> None:
    async with served(house.services, tmp_path) as cloud:
        await asyncio.to_thread(lambda: flavors(cloud.load_balancer))
        await asyncio.to_thread(lambda: zones(cloud.load_balancer))
        await asyncio.to_thread(lambda: providers(cloud.load_balancer))
        await asyncio.to_thread(lambda: quotas(cloud.load_balancer))


def flavors(lb: Any) -> None:
    profile = lb.create_flavor_profile(name="small", provider_name="amphora", flavor_data="{}")
    flavor = lb.create_flavor(name="S", flavor_profile_id=profile.id, is_enabled=True)
    assert [one.id for one in lb.flavors(name="S", is_enabled=True)] == [flavor.id]
    assert lb.find_flavor("S").id == flavor.id
    assert lb.find_flavor(flavor.id).name == "S"
    assert lb.find_flavor_profile("small").provider_name == "amphora"
    assert lb.update_flavor(flavor, description="tiny", is_enabled=False).description == "tiny"
    with pytest.raises(exceptions.ConflictException, match="is in use and cannot be modified"):
        lb.delete_flavor_profile(profile)
    assert lb.update_flavor_profile(profile, name="other").name == "other"
    lb.delete_flavor(flavor, ignore_missing=False)
    lb.delete_flavor_profile(profile.id, ignore_missing=False)
    assert list(lb.flavor_profiles()) == []


def zones(lb: Any) -> None:
    profile = lb.create_availability_zone_profile(
        name="room", provider_name="octavia", availability_zone_data='{"compute_zone": "r1"}'
    )
    lb.create_availability_zone(name="one", availability_zone_profile_id=profile.id)
    assert [zone.name for zone in lb.availability_zones()] == ["one"]
    assert lb.find_availability_zone("one").is_enabled is True
    assert lb.get_availability_zone("one").availability_zone_profile_id == profile.id
    assert lb.update_availability_zone("one", description="cold").description == "cold"
    assert lb.find_availability_zone_profile("room").id == profile.id
    lb.delete_availability_zone("one", ignore_missing=False)
    lb.delete_availability_zone_profile(profile, ignore_missing=False)


def providers(lb: Any) -> None:
    assert [one.name for one in lb.providers()] == ["amphora", "octavia"]
    keys = {one.name for one in lb.provider_flavor_capabilities("amphora")}
    assert "loadbalancer_topology" in keys


def quotas(lb: Any) -> None:
    assert lb.get_quota_default().load_balancers == -1
    assert lb.update_quota("p1", load_balancers=2, health_monitors=3).load_balancers == 2
    assert lb.get_quota("p1").health_monitors == 3
    assert [(one.project_id, one.load_balancers) for one in lb.quotas()] == [("p1", 2)]
    lb.delete_quota("p1", ignore_missing=False)
    assert list(lb.quotas()) == []
