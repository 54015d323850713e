"""Networks, subnets and ports of a project are nothing to another one, on the real local driver.

What is foreign is answered for exactly as what does not exist, wherever it is named.
"""

from typing import Any

import pytest

from tests.api.conftest import LB, Desk
from tests.api.test_networks import Town, network, own_network, town
from tests.api.test_resources import UNKNOWN

__all__ = ["own_network", "town"]  # fixtures
pytestmark = pytest.mark.root
SECRET = "classified"


class Private:
    """A network of p1 with a subnet and a port, and a load balancer of p2."""

    def __init__(self, ids: dict[str, str], pool: str) -> None:
        self.ids, self.pool = ids, pool

    @classmethod
    async def made(cls, town: Town) -> "Private":
        net, subnet = await network(town.mary, name=SECRET)
        body = {"port": {"network_id": net["id"], "name": SECRET}}
        port = (await town.mary.post("/v2.0/ports", body))["port"]
        (shared,) = (await town.eve.get("/v2.0/networks"))["networks"]
        lb = await town.eve.balancer(vip_subnet_id=shared["subnets"][0])
        pool = await town.eve.pool(loadbalancer_id=lb["id"])
        ids = {"network": net["id"], "subnet": subnet["id"], "port": port["id"]}
        return cls(ids | {"shared": shared["id"], "open": shared["subnets"][0]}, pool["id"])


def naming(private: Private, kind: str, object_id: str) -> list[tuple[str, str, Any]]:
    """Every request of eve's that can name a network, a subnet or a port."""
    members = f"/v2/lbaas/pools/{private.pool}/members"
    member = {"address": "10.7.0.77", "protocol_port": 80, "subnet_id": object_id}
    own = {"vip_subnet_id": private.ids["open"]}
    extra = [{"subnet_id": object_id}]
    fixed = [{"subnet_id": object_id}]
    path = f"/v2.0/{kind}s/{object_id}"
    found: dict[str, list[tuple[str, str, Any]]] = {
        "network": [
            ("POST", LB, {"loadbalancer": {"vip_network_id": object_id}}),
            ("POST", "/v2.0/subnets", {"subnet": {"network_id": object_id, "cidr": "10.9.0.0/24"}}),
            ("POST", "/v2.0/ports", {"port": {"network_id": object_id}}),
        ],
        "subnet": [
            ("POST", LB, {"loadbalancer": {"vip_subnet_id": object_id}}),
            ("POST", LB, {"loadbalancer": {**own, "additional_vips": extra}}),
            ("POST", members, {"member": member}),
            ("PUT", members, {"members": [member]}),
            ("POST", "/v2.0/ports",
             {"port": {"network_id": private.ids["shared"], "fixed_ips": fixed}}),
        ],
        "port": [("POST", LB, {"loadbalancer": {"vip_port_id": object_id}})],
    }  # fmt: skip
    by_id = [("GET", f"/v2.0/{kind}s?id={object_id}", None), ("GET", path, None),
             ("DELETE", path, None)]  # fmt: skip
    return [*found[kind], *by_id]


async def said(desk: Desk, method: str, path: str, body: Any, object_id: str) -> tuple[int, str]:
    answer = await desk.call(method, path, body, None)
    assert SECRET not in answer.text
    return answer.status_code, answer.text.replace(object_id, UNKNOWN)


@pytest.mark.parametrize("kind", ["network", "subnet", "port"])
async def test_what_is_foreign_does_not_exist(town: Town, kind: str) -> None:
    private = await Private.made(town)
    before = await everything(town)
    foreign = private.ids[kind]
    await town.mary.get(f"/v2.0/{kind}s/{foreign}")  # there it is, for its own project
    for mine, others in zip(
        naming(private, kind, foreign), naming(private, kind, UNKNOWN), strict=True
    ):
        answer = await said(town.eve, *mine, foreign)
        assert answer == await said(town.eve, *others, UNKNOWN), mine
        assert answer[0] in (400, 404) or answer[1] == f'{{"{kind}s":[]}}', answer
    assert await everything(town) == before


async def everything(town: Town) -> Any:
    kinds = ("/v2.0/networks", "/v2.0/subnets", "/v2.0/ports", LB, "/v2/lbaas/pools")
    return [await town.root.get(path) for path in kinds]


async def test_lists_and_filters_show_none_of_it(town: Town) -> None:
    private = await Private.made(town)
    for kind in ("network", "subnet", "port"):
        filters = [{}, {"name": SECRET}, {"project_id": "p1"}, {"tenant_id": "p1"},
                   {"network_id": private.ids["network"]}]  # fmt: skip
        for query in filters:
            answer = await town.eve.call("GET", f"/v2.0/{kind}s", status=None, params=query)
            assert SECRET not in answer.text
            for made in private.ids.values():
                open_to_all = made in (private.ids["shared"], private.ids["open"])
                assert open_to_all or made not in answer.text


@pytest.mark.parametrize(
    "user", ["eve p1", "eve system admin", "eve domain member", "s p2 service"]
)
async def test_without_a_role_in_a_project_there_are_no_networks(town: Town, user: str) -> None:
    private = await Private.made(town)
    nobody = Desk(town.mary.client, user, town.mary.house)
    for kind in ("network", "subnet", "port"):
        await nobody.get(f"/v2.0/{kind}s", 403)
        await nobody.get(f"/v2.0/{kind}s/{private.ids[kind]}", 403)
        await nobody.delete(f"/v2.0/{kind}s/{private.ids[kind]}", 403)


async def test_a_network_is_not_given_to_another_project(town: Town) -> None:
    for kind, body in (
        ("network", {"name": "gift"}),
        ("network", {"name": "trap", "shared": True}),
    ):
        given = body if "shared" in body else body | {"project_id": "p1"}
        await town.eve.post(f"/v2.0/{kind}s", {kind: given}, 403)
    assert len((await town.mary.get("/v2.0/networks"))["networks"]) == 1
