"""Listeners of protocol PROMETHEUS, and a deployment that has none."""

from msgspec.structs import replace

from tests.api.conftest import LB, SUBNET, Desk, House


async def test_one_is_made_like_any_other(desk: Desk) -> None:
    lb = await desk.balancer()
    made = await desk.listener(lb["id"], 8088, protocol="PROMETHEUS")
    assert (made["protocol"], made["default_pool_id"]) == ("PROMETHEUS", None)
    path = f"/v2/lbaas/listeners/{made['id']}"
    pool = await desk.pool(loadbalancer_id=lb["id"])
    await desk.put(path, {"listener": {"default_pool_id": pool["id"]}}, 400)
    policy = {"listener_id": made["id"], "action": "REJECT"}
    await desk.post("/v2/lbaas/l7policies", {"l7policy": policy}, 400)
    await desk.put(path, {"listener": {"insert_headers": {"X-Forwarded-For": "true"}}}, 400)
    again = await desk.put(path, {"listener": {"allowed_cidrs": ["10.0.0.0/8"]}})
    assert again["listener"]["allowed_cidrs"] == ["10.0.0.0/8"]


async def test_a_deployment_may_allow_none(house: House) -> None:
    client = house.serving(replace(house.services, prometheus=False))
    desk = Desk(client, "mary p1 member", house)
    listener = {"protocol": "PROMETHEUS", "protocol_port": 8088}
    said = "The selected protocol is not allowed in this deployment: PROMETHEUS"
    tree = {"vip_subnet_id": SUBNET, "listeners": [listener]}
    assert (await desk.post(LB, {"loadbalancer": tree}, 400))["faultstring"] == said
    assert (await desk.get(LB))["loadbalancers"] == []
    lb = await desk.balancer()
    given = {"listener": listener | {"loadbalancer_id": lb["id"]}}
    assert (await desk.post("/v2/lbaas/listeners", given, 400))["faultstring"] == said
    await desk.listener(lb["id"])
    await client.aclose()
