"""Flavors, availability zones and their profiles."""

import uuid
from typing import Any

import msgspec
import pytest

from fairlead.api.catalog import PLACES
from fairlead.api.openapi_schemas import answer_types
from fairlead.domain.bodies import settable
from fairlead.domain.catalog import CATALOG, PLACEHOLDER
from tests.api.conftest import LB, SUBNET, Desk, House

UNKNOWN = "00000000-feed-4000-8000-000000000000"
PATHS = {kind: f"/v2/{path}" for kind, (path, _, _) in PLACES.items()}
# Profiles before what follows them.
ORDER = ("flavorprofile", "flavor", "availability_zone_profile", "availability_zone")
GIVEN: dict[str, dict[str, Any]] = {
    "flavorprofile": {"name": "small", "provider_name": "amphora", "flavor_data": "{}"},
    "flavor": {"name": "gold", "description": "For the shop"},
    "availability_zone_profile": {
        "name": "room one", "provider_name": "amphora", "availability_zone_data": "{}",
    },
    "availability_zone": {"name": "north hall", "description": "First floor"},
}  # fmt: skip
CHANGED: dict[str, dict[str, Any]] = {
    "flavorprofile": {"name": "tiny", "provider_name": "octavia"},
    "flavor": {"name": "silver", "description": None, "enabled": False},
    "availability_zone_profile": {"name": "room two"},
    "availability_zone": {"description": "Cellar", "enabled": False},
}
USERS = {"mary p1 member": False, "rita p1 reader": False, "root ops admin": True}


async def add(admin: Desk, kind: str, **values: Any) -> Any:
    """One of a kind, with a profile of its own."""
    given = GIVEN[kind] | values
    field = f"{kind}_profile_id"
    if field in settable(kind, at_creation=True) and field not in given:
        profile = "flavorprofile" if kind == "flavor" else f"{kind}_profile"
        given[field] = (await add(admin, profile))["id"]
    wrapper = CATALOG[kind].wrapper
    return (await admin.post(PATHS[kind], {wrapper: given}))[wrapper]


def path(kind: str, one: Any) -> str:
    return f"{PATHS[kind]}/{one['name'] if kind == 'availability_zone' else one['id']}"


@pytest.mark.parametrize("kind", ORDER)
async def test_each_kind_lives_its_life(admin: Desk, kind: str) -> None:
    what = CATALOG[kind]
    made = await add(admin, kind)
    assert GIVEN[kind].items() <= made.items()
    assert made.get("enabled", True) is True
    assert set(made) == set(answer_types()[kind].__struct_fields__)
    msgspec.convert(made, answer_types()[kind])
    assert (await admin.get(path(kind, made)))[what.wrapper] == made
    page = await admin.get(PATHS[kind])
    assert page == {what.plural: [made], what.links_key: []}
    changed = (await admin.put(path(kind, made), {what.wrapper: CHANGED[kind]}))[what.wrapper]
    assert changed == made | CHANGED[kind] | ({"description": ""} if kind == "flavor" else {})
    assert (await admin.get(path(kind, made)))[what.wrapper] == changed
    await admin.delete(path(kind, made))
    for method, body in (("GET", None), ("PUT", {what.wrapper: {}}), ("DELETE", None)):
        gone = await admin.call(method, path(kind, made), body, 404)
        assert gone["faultstring"] == f"{what.word} {made.get('id', made['name'])} not found."


def test_lists_call_their_links_as_clients_know_them() -> None:
    assert {kind: what.links_key for kind, what in CATALOG.items()} == {
        "flavor": "flavors_links",
        "flavorprofile": "flavorprofile_links",
        "availability_zone": "availability_zones_links",
        "availability_zone_profile": "availability_zone_profile_links",
    }


async def test_zones_are_known_by_their_names(admin: Desk) -> None:
    made = await add(admin, "availability_zone", name="Süd & Co")
    assert "id" not in made
    assert (await admin.get(f"{PATHS['availability_zone']}/Süd & Co"))["availability_zone"] == made
    for bad in ("", "a/b", "..", "a\nb"):
        body = {"availability_zone": {**made, "name": bad}}
        fault = await admin.post(PATHS["availability_zone"], body, 400)
        assert "field/attribute name" in fault["faultstring"]
    body = {"availability_zone": {"name": "other"}}
    await admin.put(path("availability_zone", made), body, 400)
    await admin.get(PATHS["availability_zone"], 400, id=UNKNOWN)


@pytest.mark.parametrize("user", USERS)
async def test_users_read_what_is_offered_and_operators_do_the_rest(
    house: House, admin: Desk, user: str
) -> None:
    someone, rights = house.desk(user), USERS[user]
    for kind in ORDER:
        one, wrapper = await add(admin, kind), CATALOG[kind].wrapper
        reads = 200 if rights or not kind.endswith("profile") else 403
        await someone.get(PATHS[kind], reads)
        await someone.get(path(kind, one), reads)
        given = GIVEN[kind] | {"name": "new"}
        field = f"{kind}_profile_id"
        given |= {field: one[field]} if field in one else {}
        await someone.post(PATHS[kind], {wrapper: given}, 201 if rights else 403)
        await someone.put(path(kind, one), {wrapper: {}}, 200 if rights else 403)
        await someone.delete(path(kind, one), 204 if rights else 403)
        await someone.delete(f"{PATHS[kind]}/{UNKNOWN}", 404 if rights else 403)


async def test_strangers_see_nothing(house: House, admin: Desk) -> None:
    nobody = house.desk("eve p2")
    for kind in ORDER:
        one = await add(admin, kind)
        await nobody.get(PATHS[kind], 403)
        await nobody.get(path(kind, one), 403)


@pytest.mark.parametrize("kind", ORDER)
async def test_wrong_bodies_are_refused_by_name(admin: Desk, kind: str) -> None:
    made, what = await add(admin, kind), CATALOG[kind]
    name = "description" if kind == "availability_zone" else "name"
    for body, words in (
        ({"color": "red"}, f"Unknown attribute for argument {what.argument}.{what.wrapper}: color"),
        ({"id": UNKNOWN}, "Unknown attribute"),
        ({name: 5}, f"field/attribute {name}. Value: '5'"),
        ({name: "x" * 256}, f"field/attribute {name}"),
    ):  # fmt: skip
        assert (
            words in (await admin.put(path(kind, made), {what.wrapper: body}, 400))["faultstring"]
        )
    for missing in GIVEN[kind]:
        if missing == "description":
            continue
        given = {k: v for k, v in {**GIVEN[kind], "name": "two"}.items() if k != missing}
        given |= {k: v for k, v in made.items() if k.endswith("profile_id")}
        fault = await admin.post(PATHS[kind], {what.wrapper: given}, 400)
        assert fault["faultstring"] == (
            f"Invalid input for field/attribute {missing}. Value: 'None'. Mandatory field missing."
        )
    assert (await admin.get(PATHS[kind]))[what.plural] == [made]


@pytest.mark.parametrize("kind", ["flavor", "availability_zone"])
async def test_names_are_unique_and_profiles_must_exist(admin: Desk, kind: str) -> None:
    made, what, field = await add(admin, kind), CATALOG[kind], f"{kind}_profile_id"
    again = GIVEN[kind] | {field: made[field]}
    fault = await admin.post(PATHS[kind], {what.wrapper: again}, 409)
    assert fault["faultstring"] == f"A {what.word.lower()} of {made['name']} already exists."
    profile = CATALOG["flavorprofile" if kind == "flavor" else f"{kind}_profile"].word
    fault = await admin.post(PATHS[kind], {what.wrapper: again | {field: UNKNOWN}}, 404)
    assert fault["faultstring"] == f"{profile} {UNKNOWN} not found."
    other = "availability_zone_profile" if kind == "flavor" else "flavorprofile"
    foreign = (await add(admin, other))["id"]
    await admin.post(PATHS[kind], {what.wrapper: again | {"name": "x", field: foreign}}, 404)
    if kind == "flavor":
        second = await add(admin, kind, name="second")
        await admin.put(path(kind, second), {what.wrapper: {"name": made["name"]}}, 409)
        assert (await admin.get(path(kind, second)))["flavor"]["name"] == "second"


async def test_the_placeholder_is_nobodys(admin: Desk) -> None:
    for kind in ORDER:
        wrapper = CATALOG[kind].wrapper
        await admin.put(f"{PATHS[kind]}/{PLACEHOLDER}", {wrapper: {}}, 404)
        await admin.delete(f"{PATHS[kind]}/{PLACEHOLDER}", 404)
    zone = GIVEN["availability_zone"] | {
        "name": PLACEHOLDER,
        "availability_zone_profile_id": (await add(admin, "availability_zone_profile"))["id"],
    }
    await admin.post(PATHS["availability_zone"], {"availability_zone": zone}, 409)


@pytest.mark.parametrize("kind", ["flavor", "availability_zone"])
async def test_a_profile_in_use_keeps_its_meaning(admin: Desk, kind: str) -> None:
    profile = "flavorprofile" if kind == "flavor" else f"{kind}_profile"
    made, what = await add(admin, kind), CATALOG[profile]
    one = {"id": made[f"{kind}_profile_id"]}
    data = {"flavorprofile": "flavor_data"}.get(profile, "availability_zone_data")
    in_use = f"{what.word} {one['id']} is in use and cannot be modified."
    for body in ({data: "{ }"}, {"provider_name": "octavia"}):
        fault = await admin.put(path(profile, one), {what.wrapper: body}, 409)
        assert fault["faultstring"] == in_use
    assert (await admin.delete(path(profile, one), 409))["faultstring"] == in_use
    await admin.put(path(profile, one), {what.wrapper: {"name": "new", data: "{}"}})
    await admin.delete(path(kind, made))
    await admin.put(path(profile, one), {what.wrapper: {"provider_name": "octavia"}})
    await admin.delete(path(profile, one))


@pytest.mark.parametrize("kind", ["flavorprofile", "availability_zone_profile"])
async def test_the_provider_judges_the_data(admin: Desk, kind: str) -> None:
    what, made = CATALOG[kind], await add(admin, kind)
    data = next(name for name in made if name.endswith("_data"))
    for values, status, words in (
        ({data: '{"sparkle": true}'}, 501, "does not support a requested option"),
        ({data: "not json"}, 400, f"field/attribute {data}"),
        ({data: "[1]"}, 400, f"field/attribute {data}"),
        ({data: "{}" + " " * 4095}, 400, f"field/attribute {data}"),
        ({data: None}, 400, f"field/attribute {data}"),
        ({"provider_name": "acme"}, 400, "Provider 'acme' is not enabled."),
    ):
        fault = await admin.put(path(kind, made), {what.wrapper: values}, status)
        assert words in fault["faultstring"]
        fault = await admin.post(PATHS[kind], {what.wrapper: GIVEN[kind] | values}, status)
        assert words in fault["faultstring"] or "Mandatory" in fault["faultstring"]
    assert (await admin.get(PATHS[kind]))[what.plural] == [made]


async def test_lists_filter_sort_and_page(admin: Desk) -> None:
    profile = (await add(admin, "flavorprofile"))["id"]
    for name, text in (("b", "x"), ("a", "x"), ("d", ""), ("c", "x")):
        await add(admin, "flavor", name=name, description=text, flavor_profile_id=profile)
    flavors = PATHS["flavor"]

    async def names(**parameters: Any) -> list[str]:
        return [one["name"] for one in (await admin.get(flavors, **parameters))["flavors"]]

    assert await names() == ["a", "b", "c", "d"]
    assert await names(sort="description,name:desc") == ["d", "c", "b", "a"]
    assert await names(sort_key="name", sort_dir="desc") == ["d", "c", "b", "a"]
    assert await names(description="x") == ["a", "b", "c"]
    assert await names(name="d", enabled="true") == ["d"]
    assert await names(enabled="false") == []
    assert await names(flavor_profile_id=profile.upper(), limit=2) == ["a", "b"]
    assert await admin.get(flavors, fields="name", name="c") == {
        "flavors": [{"name": "c"}], "flavors_links": []
    }  # fmt: skip
    first = await admin.get(flavors, limit=2)
    (following,) = first["flavors_links"]
    assert following["rel"] == "next"
    second = await admin.get(following["href"])
    assert [one["name"] for one in second["flavors"]] == ["c", "d"]
    back = next(link for link in second["flavors_links"] if link["rel"] == "previous")
    assert (await admin.get(back["href"]))["flavors"] == first["flavors"]
    for bad in ({"color": "red"}, {"tags": "a"}, {"project_id": "p1"}, {"sort": "color"},
                {"marker": UNKNOWN}, {"provisioning_status": "ACTIVE"}):  # fmt: skip
        await admin.get(flavors, 400, **bad)


async def test_pages_of_zones_go_by_name(admin: Desk) -> None:
    profile = (await add(admin, "availability_zone_profile"))["id"]
    for name in ("one", "two", "three"):
        await add(admin, "availability_zone", name=name, availability_zone_profile_id=profile)
    zones = PATHS["availability_zone"]
    seen, page = [], await admin.get(zones, limit=1)
    while page["availability_zones"]:
        seen += [one["name"] for one in page["availability_zones"]]
        (onward,) = [x for x in page["availability_zones_links"] if x["rel"] == "next"]
        page = await admin.get(onward["href"])
    assert seen == ["one", "three", "two"]


async def lb_with(desk: Desk, status: int = 201, **values: Any) -> Any:
    return await desk.post(LB, {"loadbalancer": {"vip_subnet_id": SUBNET} | values}, status)


@pytest.mark.parametrize("kind", ["flavor", "availability_zone"])
async def test_what_a_load_balancer_has_stays(desk: Desk, admin: Desk, kind: str) -> None:
    made, word = await add(admin, kind), CATALOG[kind].word
    field, key = ("flavor_id", made.get("id")) if kind == "flavor" else (kind, made["name"])
    lb = (await lb_with(desk, **{field: key}))["loadbalancer"]
    assert lb[field] == key
    assert (await desk.get(LB, **{field: key}))["loadbalancers"][0]["id"] == lb["id"]
    fault = await admin.delete(path(kind, made), 409)
    assert fault["faultstring"] == f"{word} {key} is in use and cannot be modified."
    await admin.put(path(kind, made), {kind: {"enabled": False}})
    fault = await lb_with(desk, 400, **{field: key})
    assert fault["faultstring"] == f"The selected {kind} is not allowed in this deployment: {key}"
    await desk.delete(f"{LB}/{lb['id']}")
    await admin.delete(path(kind, made), 409)
    await desk.house.settled(lb["id"])
    await admin.delete(path(kind, made))


async def test_unknown_flavors_and_zones_are_refused(desk: Desk) -> None:
    for values in (
        {"flavor_id": UNKNOWN}, {"availability_zone": "nowhere"},
        {"flavor_id": PLACEHOLDER}, {"availability_zone": ""},
    ):  # fmt: skip
        assert "not found." in (await lb_with(desk, 400, **values))["faultstring"]
    assert (await desk.get(LB))["loadbalancers"] == []


async def test_the_flavor_decides_the_provider(desk: Desk, admin: Desk) -> None:
    profile = await add(admin, "flavorprofile", provider_name="octavia")
    flavor = await add(admin, "flavor", flavor_profile_id=profile["id"])
    assert (await lb_with(desk, flavor_id=flavor["id"]))["loadbalancer"]["provider"] == "octavia"
    both = await lb_with(desk, flavor_id=flavor["id"], provider="amphora")
    assert both["loadbalancer"]["provider"] == "amphora", "two names of one provider"
    await lb_with(desk, 400, flavor_id=flavor["id"], provider="acme")


async def test_a_racing_removal_leaves_no_load_balancer_without_its_flavor(
    desk: Desk, admin: Desk, house: House
) -> None:
    """The store itself refuses a load balancer whose flavor went after the API had looked."""
    flavor = await add(admin, "flavor")
    lb = (await lb_with(desk, flavor_id=flavor["id"]))["loadbalancer"]
    tree = await house.store.tree(lb["id"])
    assert tree.root.flavor_data == {}
    copy = msgspec.structs.replace(
        tree, root=msgspec.structs.replace(tree.root, id=str(uuid.uuid4()), flavor_id=UNKNOWN)
    )
    with pytest.raises(Exception, match=f"Flavor {UNKNOWN} not found."):
        await house.store.create(copy)


async def test_zones_bound_where_vips_are(desk: Desk, admin: Desk) -> None:
    network = (await desk.balancer())["vip_network_id"]
    for allowed, status in (([UNKNOWN], 400), ([UNKNOWN, network.upper()], 201)):
        data = msgspec.json.encode({"valid_vip_networks": allowed}).decode()
        profile = await add(admin, "availability_zone_profile", availability_zone_data=data)
        zone = await add(
            admin, "availability_zone", name=f"z{status}",
            availability_zone_profile_id=profile["id"],
        )  # fmt: skip
        answer = await lb_with(desk, status, availability_zone=zone["name"])
        assert status == 201 or f"network_id {network} is not allowed" in answer["faultstring"]
    assert len((await desk.get(LB))["loadbalancers"]) == 2
    assert len(desk.house.world.ports) == 2, "what was refused gave its port back"


WRONG_DATA: list[tuple[str, Any, int, str]] = [
    ("flavorprofile", {"loadbalancer_topology": "ACTIVE_STANDBY"}, 501, "supported: SINGLE"),
    ("flavorprofile", {"loadbalancer_topology": "MANY"}, 400, "Value should be one of: SINGLE"),
    ("flavorprofile", {"amphora_memory_mib": 127}, 400, "field/attribute amphora_memory_mib"),
    ("flavorprofile", {"amphora_cpus": 0}, 400, "field/attribute amphora_cpus"),
    ("flavorprofile", {"amphora_cpus": "fast"}, 400, "field/attribute amphora_cpus"),
    ("flavorprofile", {"connection_limit": 8001}, 400, "holds at most 8000 connections"),
    ("availability_zone_profile", {"compute_zone": 5}, 400, "field/attribute compute_zone"),
    ("flavorprofile", {"loadbalancer_topology": None}, 400, "None is not a valid option"),
    ("availability_zone_profile", {"valid_vip_networks": "x"}, 400, "valid_vip_networks"),
    ("availability_zone_profile", {"valid_vip_networks": ["x"]}, 400, "UUID format"),
]


@pytest.mark.parametrize(("kind", "data", "status", "words"), WRONG_DATA)
async def test_data_that_cannot_be_made_true_is_refused(
    admin: Desk, kind: str, data: Any, status: int, words: str
) -> None:
    given = GIVEN[kind] | {
        "flavor_data" if kind == "flavorprofile" else "availability_zone_data":
            msgspec.json.encode(data).decode()
    }  # fmt: skip
    fault = await admin.post(PATHS[kind], {CATALOG[kind].wrapper: given}, status)
    assert words in fault["faultstring"]
