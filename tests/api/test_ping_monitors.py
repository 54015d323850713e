"""Health monitors of type PING, which a deployment may not want."""

from typing import Any

from msgspec.structs import replace

from tests.api.conftest import LB, SUBNET, Desk, House

MONITOR = {"type": "PING", "delay": 5, "timeout": 3, "max_retries": 2}
MONITORS = "/v2/lbaas/healthmonitors"


async def test_a_deployment_may_allow_none(house: House) -> None:
    client = house.serving(replace(house.services, ping=False))
    desk = Desk(client, "mary p1 member", house)
    said = "The selected health monitor type is not allowed in this deployment: PING"
    served: dict[str, Any] = {"name": "p", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}
    tree = {"vip_subnet_id": SUBNET, "pools": [served | {"healthmonitor": MONITOR}]}
    assert (await desk.post(LB, {"loadbalancer": tree}, 400))["faultstring"] == said
    assert (await desk.get(LB))["loadbalancers"] == []
    pool = await desk.pool(loadbalancer_id=(await desk.balancer())["id"])
    given = MONITOR | {"pool_id": pool["id"]}
    assert (await desk.post(MONITORS, {"healthmonitor": given}, 400))["faultstring"] == said
    await desk.post(MONITORS, {"healthmonitor": given | {"type": "TCP"}})
    await client.aclose()


async def test_they_are_allowed_unless_it_says_so(desk: Desk) -> None:
    pool = await desk.pool(loadbalancer_id=(await desk.balancer())["id"])
    await desk.post(MONITORS, {"healthmonitor": MONITOR | {"pool_id": pool["id"]}})
