"""A project never sees, names, counts, filters by or references what another project has.

Every operation of every area is tried, by everybody: `operations()` is walked, so one that is new
is tried, too, or fails here until it is said whose it is. What project p1 has is called
"classified"; that word, and ids of p1's that the request itself did not have, are in no answer to
an outsider.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from fairlead.api.access import Caller, with_implied
from fairlead.api.app import create_app
from fairlead.api.openapi import document
from fairlead.api.openapi_samples import object_id
from fairlead.api.operation import Operation
from fairlead.api.operations import VERSIONS, operations
from fairlead.api.policy import Policy
from fairlead.api.policy_rules import RULES, rule_name
from fairlead.api.selection import filterable
from fairlead.domain.model import KINDS
from fairlead.domain.types import Access, describe
from tests.api.conftest import LB, SUBNET, Desk, House
from tests.api.test_resources import SENT, UNKNOWN, Fleet, build

SECRET = "classified"
QUOTA = 47_110_815
OPERATIONS = {operation.name: operation for operation in operations()}
DOCUMENT: Any = json.loads(msgspec.json.encode(document(with_networks=True)))

# Whose a resource is: a project's, everybody's to read, or the operators' alone.
PROJECTS = {*KINDS, "project", "quota", "secret"}
EVERYBODYS = {"flavor", "availability-zone", "provider"}
OPERATORS = {
    "amphora", "flavor-profile", "availability-zone-profile", "provider-flavor",
    "provider-availability-zone",
}  # fmt: skip
# Of these nothing is made here: what becomes of foreign ones is in tests of their own.
OWN_TESTS = {"secret"}

ROLES = (
    "", "stranger", "reader", "member", "manager", "service", "load-balancer_observer",
    "load-balancer_global_observer", "load-balancer_member", "load-balancer_quota_admin",
    "load-balancer_admin",
)  # fmt: skip
OUTSIDERS = [f"eve p2 {role}".strip() for role in ROLES] + [
    "eve system admin", "eve system reader", "eve domain admin", "eve p1", "eve None member",
    "eve P1 member",
]  # fmt: skip
# What a role is for: Nova asks which members are its servers.
ALLOWED = {("eve p2 service", "list_members")}


def full(path: str) -> str:
    """A path with the version."""
    return path if path.startswith("/") else f"/v2/{path}"


class Books:
    """What project p1 has, as outsiders must not see it."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.ids = {f"{kind}_id": made for kind, made in fleet.ids.items()}
        self.samples = {object_id(kind): made for kind, made in fleet.ids.items()}

    def path(self, operation: Operation) -> str:
        """Where an operation meets p1's objects; of what is nobody's, where it meets nothing."""
        known = {**self.ids, "project_id": "p1"}
        names = re.findall(r"{(\w+)}", operation.path)
        return full(operation.path).format(**{name: known.get(name, UNKNOWN) for name in names})

    def body(self, operation: Operation) -> Any:
        """The documented example of a request, about p1's objects."""
        if operation.takes is None:
            return None
        if operation.takes == "create" and operation.kind in KINDS:
            return {KINDS[operation.kind].wrapper: self.creation(operation.kind)}
        described = DOCUMENT["paths"][full(operation.path)][operation.method.lower()]
        content = described["requestBody"]["content"]
        if "application/json" not in content:
            return None
        examples = content["application/json"]["examples"]
        text = json.dumps(next(iter(examples.values()))["value"])
        for sample, made in self.samples.items():
            text = text.replace(sample, made)
        return json.loads(text)

    def creation(self, kind: str) -> dict[str, Any]:
        ids = self.fleet.ids
        parents = {
            "loadbalancer": {"project_id": "p1"},
            "listener": {"loadbalancer_id": ids["loadbalancer"], "protocol_port": 4711},
            "pool": {"loadbalancer_id": ids["loadbalancer"]},
            "healthmonitor": {"pool_id": ids["pool"]},
            "l7policy": {"listener_id": ids["listener"]},
            "member": {"address": "10.0.0.99"},
        }
        return SENT[kind] | parents.get(kind, {})

    def check(self, answer: Any, *request: Any) -> None:
        """Nothing of p1's is in an answer, but what the request had."""
        said, asked = f"{answer.text} {answer.headers}", json.dumps(request)
        assert SECRET not in said.replace(asked, "")
        assert str(QUOTA) not in said
        for made in self.fleet.ids.values():
            assert made in asked or made not in said


async def classified(desk: Desk) -> Books:
    """One object of each kind of p1, all of them called classified."""
    fleet = await build(desk)
    for kind in KINDS:
        values: dict[str, Any] = {"tags": [SECRET]}
        values |= {} if kind == "l7rule" else {"name": SECRET}
        values |= {"description": SECRET} if "description" in describe(KINDS[kind].type) else {}
        await desk.put(fleet.path(kind), {KINDS[kind].wrapper: values})
    operator = desk.house.desk("root ops admin")
    await operator.put("/v2/lbaas/quotas/p1", {"quota": {"pool": QUOTA}}, 202)
    return Books(fleet)


def test_it_is_known_whose_every_operation_is() -> None:
    """A new area says here whose its resources are; its tests of isolation follow from that."""
    resources = {operation.resource for operation in operations()}
    assert resources <= PROJECTS | EVERYBODYS | OPERATORS
    for operation in operations():
        assert operation.rule in RULES[operation.resource], operation.name
        for name in re.findall(r"{(\w+)}", operation.path):
            ours = name.removesuffix("_id") in KINDS or name == "project_id"
            assert ours or operation.resource in {"secret"} | EVERYBODYS | OPERATORS, name


# Paths that are no operations: open to everybody, or tried elsewhere (test_networks_apart.py).
OPEN = re.compile(r"/|/v1|/v2(\.0)?(/lbaas)?|/openapi\.json|/docs.*|/healthcheck")
ELSEWHERE_TRIED = re.compile(
    r"/v2\.0/(networks|subnets|ports|extensions"
    # Where the network API says that there is nothing.
    r"|address-scopes|agents|availability_zones|floatingips|qos|routers|security-groups"
    r"|security-group-rules|subnetpools|trunks)(/.*)?"
)


def test_every_path_is_tried(house: House) -> None:
    """What app.py serves beside the operations is known by name."""
    admin: Any = house.services.network
    app = create_app(msgspec.structs.replace(house.services, network_admin=admin))
    tried = {
        path if path.startswith("/") else f"{version}/{path}"
        for operation in operations()
        for version in VERSIONS
        for path in (operation.path, re.sub("^(lbaas/|/v1)", "", operation.path))
    }
    served = {re.sub(r":\w+}", "}", route.path) for route in app.routes}
    beside = {path for path in served - tried if not OPEN.fullmatch(path)}
    assert {path for path in beside if not ELSEWHERE_TRIED.fullmatch(path)} == set()


@pytest.mark.parametrize("user", OUTSIDERS)
async def test_outsiders(house: House, desk: Desk, user: str) -> None:
    books = await classified(desk)
    before = await house.store.tree(books.fleet.ids["loadbalancer"])
    ports = dict(house.world.ports)
    eve = house.desk(user)
    for operation in OPERATIONS.values():
        path, body = books.path(operation), books.body(operation)
        answer = await eve.call(operation.method, path, body, None)
        if (user, operation.name) in ALLOWED:
            continue
        books.check(answer, path, body)
        reads = operation.method == "GET"
        if operation.resource in OWN_TESTS:
            continue
        if operation.resource in EVERYBODYS and reads:
            assert answer.status_code in (200, 403, 404), operation.name
        elif reads and operation.path.count("{") == 0:
            assert answer.status_code in (200, 403), operation.name
        else:
            assert answer.status_code == 403, f"{operation.name}: {answer.text}"
    assert await house.store.tree(before.id) == before
    assert house.world.ports == ports
    assert list(await house.store.all_ids()) == [before.id]


async def test_service_lists_members_and_sees_no_more(house: House, desk: Desk) -> None:
    books = await classified(desk)
    nova = house.desk("nova services service")
    for operation in OPERATIONS.values():
        if operation.resource in OWN_TESTS:
            continue
        wanted = 200 if operation.name == "list_members" else 403
        answer = await nova.call(
            operation.method, books.path(operation), books.body(operation), None
        )
        assert answer.status_code == wanted, f"{operation.name}: {answer.text}"


INSIDERS = (*ROLES, "admin")


def caller(role: str) -> Caller:
    return Caller(user="x", project_id="p1", roles=with_implied({role} - {""}))


@pytest.mark.parametrize("role", INSIDERS)
async def test_insiders_do_what_the_policy_says(house: House, desk: Desk, role: str) -> None:
    books, policy = await classified(desk), Policy()
    inside = house.desk(f"ina p1 {role}".strip())
    order = ["GET", "POST", "PUT", "DELETE"]
    # Children go before their parents.
    for operation in sorted(OPERATIONS.values(), key=lambda one: order.index(one.method)):
        if operation.resource in OWN_TESTS:
            continue
        if operation.method == "DELETE" and policy.allows(
            caller(role), rule_name(operation.resource, operation.rule), "p1"
        ):
            continue
        answer = await inside.call(
            operation.method, books.path(operation), books.body(operation), None
        )
        allowed = policy.allows(caller(role), rule_name(operation.resource, operation.rule), "p1")
        assert (answer.status_code != 403) is allowed, f"{operation.name}: {answer.text}"
        assert answer.status_code < 500, f"{operation.name}: {answer.text}"


async def test_admins_of_the_project_delete_everything(house: House, desk: Desk) -> None:
    books = await classified(desk)
    for kind in reversed(KINDS):
        if kind != "loadbalancer":
            await desk.delete(books.fleet.path(kind))
    await desk.delete(books.fleet.path("loadbalancer"))


def lists() -> Iterator[str]:
    """Lists of the kinds that a project has, without a parent in their path."""
    for operation in OPERATIONS.values():
        if operation.gives == "list" and operation.kind in KINDS and "{" not in operation.path:
            yield operation.kind


def plural(kind: str) -> str:
    return KINDS[kind].plural


@pytest.mark.parametrize("kind", list(lists()))
async def test_lists_cannot_be_made_to_tell(house: House, desk: Desk, kind: str) -> None:
    books = await classified(desk)
    eve = house.desk("eve p2 member")
    own = await build(eve)
    path, shown = f"/v2/lbaas/{plural(kind)}", None
    shown = (await desk.get(books.fleet.path(kind)))[KINDS[kind].wrapper]

    async def ids(**query: Any) -> list[str]:
        answer = await eve.call("GET", path, status=None, params=query)
        books.check(answer, path, query)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found[f"{plural(kind)}_links"] == [] or "limit" in query
        return [one["id"] for one in found[plural(kind)]]

    assert await ids() == [own.ids[kind]]
    assert await ids(limit=1) == [own.ids[kind]]
    assert await ids(id=books.fleet.ids[kind]) == []
    for name, field in filterable(kind).items():
        value = shown.get(name)
        for direction in ("asc", "desc"):
            assert await ids(sort=f"{name}:{direction}") == [own.ids[kind]]
        if isinstance(value, str | int | float) and name not in ("project_id", "tenant_id"):
            found = await ids(**{name: value})
            assert set(found) <= {own.ids[kind]}, field.name
            named = kind == "loadbalancer" and name.startswith("vip_")  # both are on one network
            unique = name.endswith("_id") or SECRET in str(value)
            assert named or not unique or found == [], name
    for name in ("tags", "tags-any"):
        assert await ids(**{name: SECRET}) == []
    for name in ("not-tags", "not-tags-any"):
        assert await ids(**{name: SECRET}) == [own.ids[kind]]
    for query in ({"project_id": "p1"}, {"tenant_id": "p1"}, {"project_id": "p1", "limit": "1"}):
        answer = await eve.call("GET", path, status=403, params=query)
        assert SECRET not in str(answer)
    foreign, unknown = [
        await eve.call("GET", path, status=400, params={"marker": marker})
        for marker in (books.fleet.ids[kind], UNKNOWN)
    ]
    assert str(foreign).replace(books.fleet.ids[kind], UNKNOWN) == str(unknown)


async def test_nested_lists_and_objects_stay_below_their_own(house: House, desk: Desk) -> None:
    books, eve = await classified(desk), house.desk("eve p2 member")
    own = await build(eve)
    for kind in ("member", "l7rule"):
        foreign = books.fleet.ids[kind]
        for method, body in (("GET", None), ("PUT", {KINDS[kind].wrapper: {}}), ("DELETE", None)):
            path = f"{own.collections[kind]}/{foreign}"
            answer = await eve.call(method, path, body, 404)
            assert SECRET not in str(answer)
        answer = await eve.get(own.collections[kind], 400, marker=foreign)
        assert SECRET not in str(answer)
        query = {"project_id": "p1"}
        assert (await eve.get(own.collections[kind], **query))[plural(kind)] == []


# Every field of a body that names another object, and what it is meant to name; None where that
# is the network's, whose own tests try it (test_networks.py).
REFERENCES: dict[str, str | None] = {
    "listener.loadbalancer_id": "loadbalancer",
    "listener.default_pool_id": "pool",
    "pool.loadbalancer_id": "loadbalancer",
    "pool.listener_id": "listener",
    "healthmonitor.pool_id": "pool",
    "l7policy.listener_id": "listener",
    "member.pool_id": "pool",
    "l7rule.l7policy_id": "l7policy",
    "l7policy.redirect_pool_id": "pool",
}
ELSEWHERE = {
    "loadbalancer.vip_port_id", "loadbalancer.vip_network_id", "loadbalancer.vip_subnet_id",
    "loadbalancer.vip_qos_policy_id", "loadbalancer.vip_sg_ids", "member.subnet_id",
    "loadbalancer.flavor_id",
    # Secrets: the store that is asked decides by the project it is told (test_secrets.py).
    "listener.default_tls_container_ref", "listener.sni_container_refs",
    "listener.client_ca_tls_container_ref", "listener.client_crl_container_ref",
    "pool.tls_container_ref", "pool.ca_tls_container_ref", "pool.crl_container_ref",
}  # fmt: skip
NO_REFERENCE = {f"{kind}.project_id" for kind in KINDS} | {f"{kind}.tenant_id" for kind in KINDS}


def test_every_reference_is_tried() -> None:
    found = {
        f"{kind}.{name}"
        for kind in KINDS
        for name, field in describe(KINDS[kind].type).items()
        if re.search(r"_(id|ids|ref|refs)$", name) and field.trait.access is not Access.READ
    }
    assert found - ELSEWHERE - NO_REFERENCE <= {*REFERENCES}


@pytest.mark.parametrize("reference", list(REFERENCES))
async def test_references(house: House, desk: Desk, reference: str) -> None:
    """A foreign object is answered for as one that does not exist, or refused."""
    kind, name = reference.split(".")
    named = str(REFERENCES[reference])
    books, eve = await classified(desk), house.desk("eve p2 member")
    own = await build(eve)
    trees = [await house.store.tree(one) for one in sorted(await house.store.all_ids())]
    wrapper, mine = KINDS[kind].wrapper, Books(own)
    values = {**mine.creation(kind)}
    values.pop("loadbalancer_id" if name == "listener_id" and kind == "pool" else "", None)
    answers = []
    for target in (books.fleet.ids[named], UNKNOWN):
        for method, path, body in (
            ("POST", own.collections[kind], values | {name: target}),
            ("PUT", own.path(kind), {name: target}),
        ):
            answer = await eve.call(method, path, {wrapper: body}, None)
            books.check(answer, path, body)
            assert answer.status_code in (400, 403, 404), answer.text
            answers.append((answer.status_code, answer.text.replace(target, UNKNOWN)))
    post, put, unknown_post, unknown_put = answers
    assert put == unknown_put
    if post[0] != 403:  # a parent that exists is refused by the policy, as its path is
        assert post == unknown_post
    assert [await house.store.tree(tree.id) for tree in trees] == trees


async def test_a_tree_in_one_request_stays_in_itself(house: House, desk: Desk) -> None:
    books, eve = await classified(desk), house.desk("eve p2 member")
    ids = books.fleet.ids
    policy = {"action": "REDIRECT_TO_POOL", "redirect_pool_id": ids["pool"]}
    trees: list[dict[str, Any]] = [
        {"listeners": [SENT["listener"] | {"default_pool_id": ids["pool"]}]},
        {"listeners": [SENT["listener"] | {"l7policies": [policy]}]},
    ]
    for nested in trees:
        body = {"loadbalancer": {"vip_subnet_id": SUBNET} | nested}
        answer = await eve.call("POST", LB, body, None)
        books.check(answer, body)
        assert answer.status_code in (400, 403, 404), answer.text
    assert list(await house.store.all_ids()) == [ids["loadbalancer"]]
    assert {port.owner for port in house.world.ports.values()} == {ids["loadbalancer"]}


async def test_whose_a_nested_object_is_follows_from_its_place(house: House, desk: Desk) -> None:
    books, eve = await classified(desk), house.desk("eve p2 member")
    before = await house.store.tree(books.fleet.ids["loadbalancer"])
    claims = {"loadbalancer_id": before.id, "project_id": "p1"}
    pool, member = SENT["pool"] | {"name": "a"}, SENT["member"] | {"project_id": "p1"}
    nestings: list[dict[str, Any]] = [
        {"listeners": [SENT["listener"] | claims]},
        {"pools": [pool | claims]},
        {"pools": [pool | {"members": [member]}]},
    ]
    for nested in nestings:
        body = {"loadbalancer": {"vip_subnet_id": SUBNET} | nested}
        answer = await eve.call("POST", LB, body, None)
        books.check(answer, body)
        if answer.status_code == 201:
            made = await house.store.tree(answer.json()["loadbalancer"]["id"])
            assert {one.project_id for one in made.objects.values()} == {"p2"}
    assert await house.store.tree(before.id) == before


async def test_nothing_is_given_to_another_project(house: House, desk: Desk) -> None:
    eve = house.desk("eve p2 member")
    await eve.post(LB, {"loadbalancer": {"vip_subnet_id": SUBNET, "project_id": "p1"}}, 403)
    await eve.post(LB, {"loadbalancer": {"vip_subnet_id": SUBNET, "tenant_id": "p1"}}, 403)
    own = await build(eve)
    for kind in KINDS:
        for name in ("project_id", "tenant_id"):
            body = {KINDS[kind].wrapper: {name: "p1"}}
            await eve.put(own.path(kind), body, 400)
    assert (await desk.get(LB))["loadbalancers"] == []
