"""Lists: filters on every declared field, tags, fields, sort, pages and their links."""

import types
from datetime import datetime
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from msgspec.structs import replace

from fairlead.api.selection import filterable
from fairlead.domain.bodies import choices
from fairlead.domain.model import KINDS
from tests.api.conftest import LB, SUBNET, Desk, House
from tests.api.test_resources import UNKNOWN, Fleet, add, build

# Values beyond the needed ones, so that as many fields as possible are not null.
RICH: dict[str, dict[str, Any]] = {
    "loadbalancer": {"description": "d"},
    "listener": {"connection_limit": 7, "timeout_client_data": 1, "description": "d"},
    "pool": {"description": "d"},
    "member": {"monitor_address": "10.0.0.8", "monitor_port": 81, "backup": True, "weight": 3},
    "healthmonitor": {"http_version": 1.1, "domain_name": "a.example", "url_path": "/x",
                      "max_retries_down": 5, "expected_codes": "200,202"},
    "l7policy": {"redirect_http_code": 307, "description": "d"},
    "l7rule": {"invert": True},
}  # fmt: skip
FIELDS = [(kind, name) for kind in KINDS for name in filterable(kind)]


async def rich_fleet(desk: Desk) -> tuple[Fleet, dict[str, Any]]:
    fleet, shown = Fleet(), {}
    for kind in KINDS:
        await add(desk, fleet, kind)
        wrapper = KINDS[kind].wrapper
        named = {} if kind == "l7rule" else {"name": f"the {kind}"}
        settable = {k: v for k, v in RICH[kind].items() if k != "redirect_url"} | named
        shown[kind] = (await desk.put(fleet.path(kind), {wrapper: settable}))[wrapper]
    shown["listener"]["loadbalancer_id"] = fleet.ids["loadbalancer"]
    shown["pool"]["loadbalancer_id"] = fleet.ids["loadbalancer"]
    shown["healthmonitor"]["pool_id"] = fleet.ids["pool"]
    shown["member"] |= {"request_sriov": False, "pool_id": fleet.ids["pool"]}
    shown["l7rule"]["l7policy_id"] = fleet.ids["l7policy"]
    return fleet, shown


def another(kind: str, name: str, value: Any) -> str:
    """A value of the same type that the object does not have."""
    hint = filterable(kind)[name].type
    offered = choices(hint)
    if offered:
        return str(next(one for one in offered if one != value))
    plain = _plain(hint)
    if plain is bool:
        return str(not value)
    if name.endswith("_id") or name == "id":
        return UNKNOWN
    if "address" in name:
        return "192.0.2.77"
    numbers = {int: "6" if value == 5 else "5", float: "1.0", datetime: "1999-01-01T00:00:00"}
    return numbers.get(plain, "another")


def _plain(hint: Any) -> Any:
    if get_origin(hint) is Annotated:
        return _plain(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return _plain(next(a for a in get_args(hint) if a is not type(None)))
    return hint


async def test_filters_on_every_field_of_every_kind(desk: Desk, admin: Desk) -> None:
    fleet, shown = await rich_fleet(desk)
    nulls = set()
    for kind, name in FIELDS:
        path, plural = fleet.collections[kind], KINDS[kind].plural
        value = shown[kind][name]
        if value is None:
            nulls.add((kind, name))
        else:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            found = (await desk.get(path, **{name: text}))[plural]
            assert [one["id"] for one in found] == [fleet.ids[kind]], (kind, name, text)
        reader = admin if name == "project_id" else desk
        found = (await reader.get(path, **{name: another(kind, name, value)}))[plural]
        assert found == [], (kind, name)
    assert len(nulls) < len(FIELDS) / 4, nulls


async def test_filters_on_statuses(desk: Desk) -> None:
    fleet, _ = await rich_fleet(desk)
    for name, value, wrong in (
        ("provisioning_status", "PENDING_CREATE", "ACTIVE"),
        ("operating_status", "OFFLINE", "ONLINE"),
    ):
        for kind in KINDS:
            path, plural = fleet.collections[kind], KINDS[kind].plural
            assert len((await desk.get(path, **{name: value}))[plural]) == 1, kind
            assert (await desk.get(path, **{name: wrong}))[plural] == []


@pytest.mark.parametrize("name", ["healthmonitor_id", "health_monitor_id"])
async def test_pools_are_found_by_their_health_monitor(desk: Desk, name: str) -> None:
    fleet = await build(desk)
    other = await desk.pool(loadbalancer_id=fleet.ids["loadbalancer"])
    path, monitor = fleet.collections["pool"], fleet.ids["healthmonitor"]
    for text in (monitor, monitor.upper()):
        found = (await desk.get(path, **{name: text}))["pools"]
        assert [one["id"] for one in found] == [fleet.ids["pool"]]
    assert (await desk.get(path, **{name: UNKNOWN}))["pools"] == []
    ordered = (await desk.get(path, sort="healthmonitor_id:desc"))["pools"]
    assert [one["id"] for one in ordered] == [fleet.ids["pool"], other["id"]]


async def test_filters_are_joined_by_and(desk: Desk) -> None:
    one = await desk.balancer(name="a", description="x")
    await desk.balancer(name="a", description="y")
    found = (await desk.get(LB, name="a", description="x"))["loadbalancers"]
    assert [lb["id"] for lb in found] == [one["id"]]


@pytest.mark.parametrize(
    "query",
    [
        "bogus=1", "name=a&name=b", "vip_sg_ids=x", "created_gen=1", "admin_state_up=banana",
        "created_at=yesterday", "sort=bogus", "sort=name:up", "sort_key=bogus",
        "sort_key=name&sort_dir=up", "sort_key=name&sort_dir=asc,desc", "limit=2&limit=3",
        f"marker={UNKNOWN}", "marker=x", "page_reverse=banana", "sort=tags", "%00=1", "=",
    ],
)  # fmt: skip
async def test_bad_queries_are_refused(desk: Desk, query: str) -> None:
    answer = await desk.call("GET", f"{LB}?{query}", status=400)
    assert answer["faultcode"] == "Client"


@pytest.mark.parametrize("value", ["9" * 19, "-" + "9" * 19, "9" * 5000, "1e400", "nan",
    "9999-12-31T23:59:59", "0001-01-01T00:00:00", "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00"])  # fmt: skip
async def test_no_value_of_a_filter_makes_the_service_fail(desk: Desk, value: str) -> None:
    fleet = await build(desk)
    for kind, name in FIELDS:
        path, plural = fleet.collections[kind], KINDS[kind].plural
        answer = await desk.call("GET", path, status=None, params={name: value})
        if answer.status_code == 200:
            assert answer.json()[plural] == [], (kind, name)
        else:
            wanted = 403 if name == "project_id" else 400
            assert answer.status_code == wanted, (kind, name, answer.text)


@pytest.mark.parametrize("name", ["tags", "tags-any", "not-tags", "not-tags-any"])
async def test_many_tags_are_refused_and_a_hundred_are_not(desk: Desk, name: str) -> None:
    made = await desk.balancer(name="one")
    labels = [f"t{n}" for n in range(1100)]
    most = (await desk.get(LB, **{name: ",".join(labels[:100])}))["loadbalancers"]
    assert [lb["id"] for lb in most] == ([made["id"]] if "not" in name else [])
    fault = await desk.get(LB, 400, **{name: ",".join(labels)})
    assert f"attribute {name}." in fault["faultstring"]
    assert "at most 100 tags" in fault["faultstring"]


async def test_a_marker_may_be_written_in_capitals(desk: Desk) -> None:
    first, second = await desk.balancer(), await desk.balancer()
    page = (await desk.get(LB, marker=first["id"].upper()))["loadbalancers"]
    assert [lb["id"] for lb in page] == [second["id"]]


async def test_a_malformed_limit_is_found_while_routing(desk: Desk) -> None:
    answer = await desk.get(LB, 400, limit="many")
    assert (answer["code"], answer["title"]) == (400, "Bad Request")


async def test_names_that_are_no_ids_match_nothing(desk: Desk) -> None:
    """The command line looks for ?id=NAME first, and then for ?name=NAME."""
    made = await desk.balancer(name="web")
    assert (await desk.get(LB, id="web"))["loadbalancers"] == []
    assert (await desk.get(LB, name="web"))["loadbalancers"][0]["id"] == made["id"]
    assert (await desk.get(LB, vip_address="nowhere"))["loadbalancers"] == []
    assert (await desk.get(LB, name="web\0"))["loadbalancers"] == []


async def test_tags(desk: Desk) -> None:
    for name, tags in (("ab", ["a", "b"]), ("a", ["a"]), ("c", ["c"]), ("none", [])):
        await desk.balancer(name=name, tags=tags)

    async def names(**query: str) -> set[str]:
        return {lb["name"] for lb in (await desk.get(LB, **query))["loadbalancers"]}

    assert await names(tags="a,b") == {"ab"}
    assert await names(**{"tags-any": "b,c"}) == {"ab", "c"}
    assert await names(**{"not-tags": "a,b"}) == {"a", "c", "none"}
    assert await names(**{"not-tags-any": "a,c"}) == {"none"}
    both = await desk.call("GET", f"{LB}?tags=a&tags=b")
    assert [lb["name"] for lb in both["loadbalancers"]] == ["ab"]


async def test_fields(desk: Desk) -> None:
    made = await desk.balancer(name="web")
    listed = await desk.call("GET", f"{LB}?fields=id&fields=name")
    assert listed["loadbalancers"] == [{"id": made["id"], "name": "web"}]
    shown = await desk.call("GET", f"{LB}/{made['id']}?fields=name")
    assert shown == {"loadbalancer": {"name": "web"}}


async def test_sort(desk: Desk) -> None:
    for name, description in (("b", "1"), ("a", "2"), ("c", "1")):
        await desk.balancer(name=name, description=description)

    async def names(query: str) -> str:
        page = await desk.call("GET", f"{LB}?{query}")
        return "".join(lb["name"] for lb in page["loadbalancers"])

    assert await names("") == "bac"
    assert await names("sort=name") == "abc"
    assert await names("sort=name:desc") == "cba"
    assert await names("sort=description:desc,name:desc") == "acb"
    assert await names("sort_key=description,name&sort_dir=asc,desc") == "cba"
    assert await names("sort_key=name") == "abc"
    assert await names("sort=name&sort_key=name&sort_dir=desc") == "abc"
    assert await names("sort=created_at:desc") == "cab"


async def walk(desk: Desk, url: str, rel: str) -> list[str]:
    """Names page by page, following links until there is none or a page is empty."""
    pages = []
    for _ in range(20):
        page = await desk.call("GET", url)
        pages.append("".join(lb["name"] for lb in page["loadbalancers"]))
        link = next((x for x in page["loadbalancers_links"] if x["rel"] == rel), None)
        if link is None:
            return pages
        url = link["href"]
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize("more", ["", "&sort=name:desc", "&sort_key=name&sort_dir=desc"])
async def test_pages_forth_and_back(desk: Desk, more: str) -> None:
    for name in "abcdefg":
        await desk.balancer(name=name, description="kept")
    await desk.balancer(name="x", description="other")
    expected = "gfedcba" if more else "abcdefg"
    pages = await walk(desk, f"{LB}?limit=3&description=kept{more}", "next")
    assert pages == [expected[:3], expected[3:6], expected[6:]]
    every = (await desk.call("GET", f"{LB}?description=kept{more}"))["loadbalancers"]
    last = f"{LB}?limit=3&description=kept{more}&marker={every[6]['id']}&page_reverse=True"
    assert await walk(desk, last, "previous") == [expected[3:6], expected[:3], ""]


async def test_links_say_how_to_go_on(desk: Desk) -> None:
    made = [await desk.balancer(name=n) for n in "ab"]
    page = await desk.call("GET", f"{LB}?limit=1&sort=name&marker={made[0]['id']}")
    links = {link["rel"]: link["href"] for link in page["loadbalancers_links"]}
    here = f"http://fairlead.test{LB}?limit=1&sort=name&marker={made[1]['id']}"
    assert links == {"previous": f"{here}&page_reverse=True", "next": here}
    assert (await desk.get(LB))["loadbalancers_links"] == []
    assert (await desk.get("/v2/lbaas/pools"))["pools_links"] == []


@pytest.mark.parametrize("limit", ["0", "-1", "infinite", "1000", "99999999999999999999999"])
async def test_the_server_has_a_limit_of_its_own(desk: Desk, limit: str) -> None:
    for name in "abc":
        await desk.balancer(name=name)
    assert len((await desk.get(LB, limit=limit))["loadbalancers"]) == 3


async def test_lists_of_members_and_rules_are_of_their_parent(desk: Desk) -> None:
    lb = await desk.balancer()
    one, two = [await desk.pool(loadbalancer_id=lb["id"]) for _ in range(2)]
    for pool in (one, two):
        for host in (1, 2):
            await desk.member(pool["id"], f"10.0.0.{host}", subnet_id=SUBNET)
    path = f"/v2/lbaas/pools/{one['id']}/members"
    page = await desk.get(path, limit=1, sort="address:desc")
    assert [m["address"] for m in page["members"]] == ["10.0.0.2"]
    assert path in page["members_links"][0]["href"]
    assert len((await desk.get(path))["members"]) == 2
    assert (await desk.get(path, project_id="elsewhere"))["members"] == []


async def test_links_begin_where_clients_reach_the_service(house: House, desk: Desk) -> None:
    await desk.balancer()
    client = house.serving(replace(house.services, public_url="https://lb.example/here/"))
    async with client:
        said = {"x-test-user": "mary p1 member"}
        page = (await client.get(LB, params={"limit": 1}, headers=said)).json()
        assert page["loadbalancers_links"] == [
            {
                "rel": "next",
                "href": f"https://lb.example/here{LB}?limit=1&marker={page['loadbalancers'][0]['id']}",
            }
        ]
        versions = (await client.get("/")).json()["versions"]
        assert versions[0]["links"][0]["href"] == "https://lb.example/here/v2"
