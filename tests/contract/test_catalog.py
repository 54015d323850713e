"""What every store of the catalog and of quotas promises, also when several processes meet."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from balancers import STORES, Stores, adding, balancer, new_id

from fairlead.domain.catalog import AvailabilityZone, AvailabilityZoneProfile, Flavor, FlavorProfile
from fairlead.domain.query import Query
from fairlead.errors import Conflict, FairleadError, NotFound, QuotaMet, Refused


@pytest.fixture(params=STORES.values(), ids=STORES.keys())
async def stores(request: pytest.FixtureRequest, tmp_path: Any) -> AsyncIterator[Stores]:
    async with request.param(tmp_path) as url:
        opened = Stores(url)
        try:
            yield opened
        finally:
            await opened.close()


def flavor_profile() -> FlavorProfile:
    return FlavorProfile(id=new_id(), name="p", provider_name="amphora", flavor_data="{}")


async def flavored(store: Any, name: str = "gold") -> Flavor:
    profile = flavor_profile()
    await store.catalog.add(profile)
    flavor = Flavor(id=new_id(), name=name, flavor_profile_id=profile.id)
    await store.catalog.add(flavor)
    return flavor


async def outcomes(*works: Any) -> list[str]:
    """How things done at once ended: "done", or the name of the error."""
    ended = await asyncio.gather(*works, return_exceptions=True)
    assert all(one is None or not isinstance(one, BaseException)
               or isinstance(one, FairleadError) for one in ended), ended  # fmt: skip
    return sorted(type(one).__name__ if isinstance(one, BaseException) else "done" for one in ended)


async def test_what_was_added_is_found_by_its_key(stores: Stores) -> None:
    store = await stores.another()
    flavor = await flavored(store)
    assert await store.catalog.find("flavor", flavor.id) == flavor
    profile = AvailabilityZoneProfile(
        id=new_id(), name="p", provider_name="amphora", availability_zone_data="{}"
    )
    zone = AvailabilityZone(id=new_id(), name="hall", availability_zone_profile_id=profile.id)
    with pytest.raises(NotFound, match="Availability Zone Profile"):
        await store.catalog.add(zone)
    await store.catalog.add(profile)
    await store.catalog.add(zone)
    assert await store.catalog.find("availability_zone", "hall") == zone
    with pytest.raises(NotFound):
        await store.catalog.find("availability_zone", zone.id)
    with pytest.raises(NotFound):
        await store.catalog.find("flavor", profile.id)
    assert await store.catalog.list(Query(kind="availability_zone")) == [zone]


async def test_a_name_is_taken_once(stores: Stores) -> None:
    one, two = await stores.another(), await stores.another()
    profile = flavor_profile()
    await one.catalog.add(profile)
    same = [Flavor(id=new_id(), name="S", flavor_profile_id=profile.id) for _ in range(6)]
    found = await outcomes(*(s.catalog.add(f) for s, f in zip([one, two] * 3, same, strict=True)))
    assert found == ["Conflict"] * 5 + ["done"]


async def test_no_load_balancer_is_made_with_a_flavor_that_goes(stores: Stores) -> None:
    """Whoever comes first: it is made and the flavor stays, or the flavor goes and it is not."""
    one, two = await stores.another(), await stores.another()
    for number in range(10):
        flavor = await flavored(one, f"f{number}")
        tree = balancer(flavor_id=flavor.id)
        ends = [one.create(tree), two.catalog.remove("flavor", flavor.id)]
        found = await outcomes(*(ends if number % 2 else reversed(ends)))
        made = tree.id in await one.all_ids()
        kept = flavor in await two.catalog.list(Query(kind="flavor"))
        assert made == kept
        assert found == (["Conflict", "done"] if made else ["Refused", "done"])


async def test_a_profile_and_what_follows_it_go_in_order(stores: Stores) -> None:
    store = await stores.another()
    flavor = await flavored(store)
    with pytest.raises(Conflict, match="is in use and cannot be modified"):
        await store.catalog.remove("flavorprofile", flavor.flavor_profile_id)
    await store.catalog.remove("flavor", flavor.id)
    await store.catalog.remove("flavorprofile", flavor.flavor_profile_id)
    with pytest.raises(Refused, match="not found"):
        await store.create(balancer(flavor_id=flavor.id))


async def test_processes_cannot_pass_a_quota_together(stores: Stores) -> None:
    one, two = await stores.another(), await stores.another()
    await one.quotas.put("p1", {"loadbalancer": 3, "pool": 2})
    trees = [balancer() for _ in range(8)]
    found = await outcomes(*(s.create(t) for s, t in zip([one, two] * 4, trees, strict=True)))
    assert found == ["QuotaMet"] * 5 + ["done"] * 3
    pools = [
        s.edit(lb, adding("pool", loadbalancer_id=lb, protocol="HTTP", lb_algorithm="ROUND_ROBIN"))
        for lb in await one.all_ids() for s in (one, two)
    ]  # fmt: skip
    assert await outcomes(*pools) == ["QuotaMet"] * 4 + ["done"] * 2
    await two.create(balancer(project_id="p2"))
    await one.quotas.reset("p1")
    await two.create(balancer())


async def test_limits_are_kept_by_kind(stores: Stores) -> None:
    store = await stores.another()
    await asyncio.gather(*(store.quotas.put("p1", {kind: 0}) for kind in ("pool", "member")))
    found = await store.quotas.put("p1", {"pool": None, "listener": 4})
    assert (found.pool, found.member, found.listener) == (-1, 0, 4)
    assert await store.quotas.of("p1") == found
    assert await store.quotas.list(Query(kind="quota")) == [found]
    assert await store.quotas.list(Query(kind="quota", project_id="p2")) == []
    await store.quotas.put("p1", {"loadbalancer": 0})
    with pytest.raises(QuotaMet, match="Load Balancer"):
        await store.create(balancer())
