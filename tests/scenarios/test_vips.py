"""The VIP's port: every address of the load balancer, restored when lost, given back at the end."""

from msgspec.structs import replace

from fairlead.domain.model import AdditionalVip
from fairlead.ports import VipRequest
from tests.scenarios.stage import Stage

SECOND = AdditionalVip(
    subnet_id="5d8a3fb2-8c5e-4f0a-9b9c-0d5c6d1f7a0b", ip_address="2001:db8::9", port_id=None
)


async def test_an_additional_vip_is_served_restored_and_given_back(stage: Stage) -> None:
    lb = await stage.create(*stage.web(), additional_vips=(SECOND,))
    tree = await stage.settled(lb)
    vips = tree.root.vip_addresses
    assert vips[1] == "2001:db8::9"
    config = stage.machine(lb).config
    assert [line.split()[1] for line in config.haproxy_cfg.splitlines() if "bind" in line] == [
        f"{vips[0]}:80", "[2001:db8::9]:80",
    ]  # fmt: skip
    own = [address.partition("/")[0] for address in config.interfaces[0].addresses]
    assert own[-2:] == list(vips)
    assert len(own) == 4, "it has addresses of its own on both subnets"
    port = stage.world.ports[tree.root.vip_port_id]
    stage.world.ports[port.id] = replace(port, fixed_ips=port.fixed_ips[:1])
    await stage.queue.put(lb)
    await stage.sleep(1)
    assert stage.world.ports[port.id].fixed_ips == port.fixed_ips
    assert (await stage.told(lb))[-1] == "RestoreVip ok"
    assert stage.machine(lb).config is config, "nothing changed for the amphora"
    await stage.delete(lb)
    await stage.gone(lb)
    stage.assert_nothing_left()


async def test_a_port_of_the_users_that_is_gone_is_replaced_by_one_with_the_same_addresses(
    stage: Stage,
) -> None:
    lb = await stage.create(*stage.web(), additional_vips=(SECOND,))
    tree = await stage.settled(lb)
    lost = stage.world.ports.pop(tree.root.vip_port_id)
    await stage.queue.put(lb)
    await stage.sleep(1)
    (vip,) = [p for p in stage.world.ports.values() if p.name == f"vip:{lb}"]
    assert {ip.address for ip in vip.fixed_ips} == {ip.address for ip in lost.fixed_ips}


async def test_policy_and_groups_reach_the_vips_port(stage: Stage) -> None:
    stage.world.capabilities |= {"qos_policy", "security_group"}
    lb = await stage.create(*stage.web())
    tree = await stage.settled(lb)
    await stage.change(lb, "loadbalancer", lb, vip_qos_policy_id="gold", vip_sg_ids=("web",))
    await stage.settled(lb)
    port = stage.world.ports[tree.root.vip_port_id]
    assert (port.qos_policy_id, port.sg_ids) == ("gold", ("web",))
    request = VipRequest.of((await stage.store.tree(lb)).root)
    assert (request.qos_policy_id, request.sg_ids) == ("gold", ("web",))
