"""The list of providers, and what flavors and zones may say to them."""

from typing import Any

import pytest

from tests.api.conftest import Desk, House

PROVIDERS = "/v2/lbaas/providers"
CAPABILITIES = ("flavor_capabilities", "availability_zone_capabilities")


async def test_users_see_the_enabled_providers(house: House, desk: Desk) -> None:
    listed = await desk.get(PROVIDERS)
    assert [one["name"] for one in listed["providers"]] == ["amphora", "octavia"]
    assert list(listed) == ["providers"]
    assert await desk.get(PROVIDERS, fields="name", name="octavia") == {
        "providers": [{"name": "octavia"}]
    }
    await house.desk("eve p2").get(PROVIDERS, 403)


@pytest.mark.parametrize("what", CAPABILITIES)
async def test_operators_see_what_a_provider_can(desk: Desk, admin: Desk, what: str) -> None:
    path = f"{PROVIDERS}/amphora/{what}"
    found = (await admin.get(path))[what]
    assert found
    assert all(set(one) == {"name", "description"} for one in found)
    assert all(one["description"] for one in found)
    first: dict[str, Any] = found[0]
    for name in ("name", "description"):
        narrowed = await admin.get(path, **{name: first[name]})
        assert narrowed == {what: [first]}
    assert (await admin.get(path, fields="name"))[what][0] == {"name": first["name"]}
    assert (await admin.get(path, name="nothing"))[what] == []
    await admin.get(path, 400, color="red")
    fault = await admin.get(f"{PROVIDERS}/acme/{what}", 400)
    assert fault["faultstring"] == "Provider 'acme' is not enabled."
    await desk.get(path, 403)
