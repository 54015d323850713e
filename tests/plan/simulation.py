"""A pure world for the planner: what each step does, without any driver."""

from datetime import UTC, datetime

from msgspec.structs import replace

from fairlead.domain.observed import AmphoraSeen, FixedIp, Instance, Port, World
from fairlead.domain.tree import Tree
from fairlead.plan import steps
from fairlead.plan.planner import amphora_ids, wanted_ports
from fairlead.plan.steps import Step

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VIP = "10.0.0.9"


def port(name: str, network_id: str, subnet_ids: tuple[str, ...]) -> Port:
    return Port(
        id=f"port-{name}",
        name=name,
        owner="lb",
        network_id=network_id,
        mac=f"mac-{name}",
        mtu=1500,
        fixed_ips=tuple(
            FixedIp(subnet_id=s, address=f"address-{name}-{s}", cidr="10.0.0.0/24", gateway=None)
            for s in subnet_ids
        ),
        segment="br",
    )


def vip_port(tree: Tree) -> Port:
    """What allocating the VIP gives."""
    root = tree.root
    places = zip(root.vip_subnet_ids, root.vip_addresses, strict=True)
    fixed_ips = (
        FixedIp(subnet_id=s, address=a, cidr="10.0.0.0/24", gateway=None) for s, a in places
    )
    return replace(
        port("vip", root.vip_network_id or "net", ()),
        fixed_ips=tuple(fixed_ips), qos_policy_id=root.vip_qos_policy_id, sg_ids=root.vip_sg_ids,
    )  # fmt: skip


def wanted(tree: Tree, world: World, seen: AmphoraSeen) -> str | None:
    """Stands for rendering: follows the tree and the ports it needs, None without them."""
    networks = wanted_ports(tree, world.networks)
    if tree.deleted or not seen.ports.keys() >= networks.keys():
        return None
    ports = sorted((n, tuple(ip.subnet_id for ip in seen.ports[n].fixed_ips)) for n in networks)
    return f"generation {tree.generation} on {ports}"


def observed(tree: Tree, world: World) -> World:
    """What an observer would report: `wanted` filled in, agents asked only where one runs."""
    looked = []
    for seen in world.amphorae:
        running = seen.instance is not None and seen.instance.running
        found = replace(
            seen,
            reachable=seen.reachable and running,
            revision=seen.revision if running else None,
        )
        if found != AmphoraSeen(id=seen.id):
            kept = seen.id in amphora_ids(tree)
            looked.append(replace(found, wanted=wanted(tree, world, seen) if kept else None))
    return replace(world, amphorae=tuple(looked))


def apply(step: Step, tree: Tree, world: World) -> tuple[Tree, World]:
    """The world after a step."""
    match step:
        case steps.Settle():
            return replace(tree, applied=step.generation), world
        case steps.FindSubnet():
            found = {**world.networks, step.subnet_id: f"net-of-{step.subnet_id}"}
            return tree, replace(world, networks=found)
        case steps.ReadSecret():
            left = tuple(u for u in world.unread if u != (step.kind, step.reference))
            return tree, replace(world, unread=left)
        case steps.RestoreVip():
            vip = vip_port(tree)
            return tree, replace(world, vip_port=vip)
        case steps.ReleasePort(amphora_id=None):
            vip = world.vip_port
            if vip is not None and vip.id == step.port_id:
                return tree, replace(world, vip_port=None)
            strays = tuple(p for p in world.stray_ports if p.id != step.port_id)
            return tree, replace(world, stray_ports=strays)
    seen = {a.id: a for a in world.amphorae}
    amphora = seen.get(str(step.amphora_id), AmphoraSeen(id=str(step.amphora_id)))
    after = _amphora(step, tree, amphora)
    if after == AmphoraSeen(id=amphora.id):
        seen.pop(amphora.id, None)
    else:
        seen[amphora.id] = after
    return tree, replace(world, amphorae=tuple(seen.values()))


def _amphora(step: Step, tree: Tree, seen: AmphoraSeen) -> AmphoraSeen:
    instance = seen.instance
    match step:
        case steps.RecordAmphora():
            return replace(seen, record=step.record)
        case steps.EnsureManagementPort():
            return replace(seen, management=port(f"{seen.id}-mgmt", "mgmt", ("mgmt",)))
        case steps.EnsurePort():
            made = port(f"{seen.id}-{step.network_id}", step.network_id, step.subnet_ids)
            return replace(seen, ports={**seen.ports, step.network_id: made})
        case steps.Boot():
            assert seen.record is not None, "an amphora is booted only once it is recorded"
            assert seen.management is not None
            macs = instance.macs if instance else frozenset()
            return replace(seen, instance=Instance(amphora_id=seen.id, running=True, macs=macs))
        case steps.Revive():
            assert instance is not None
            return replace(seen, instance=replace(instance, running=True), reachable=True)
        case steps.AwaitAgent():
            assert instance is not None
            assert instance.running
            return replace(seen, reachable=True)
        case steps.Attach():
            assert instance is not None
            macs = instance.macs | {seen.ports[step.network_id].mac}
            return replace(seen, instance=replace(instance, macs=macs))
        case steps.Configure():
            assert seen.reachable
            assert instance is not None
            assert tree.root.vip_network_id is not None
            assert seen.ports[tree.root.vip_network_id].mac in instance.macs, "cards come first"
            return replace(seen, revision=step.revision)
        case steps.Renew():
            assert seen.reachable
            return replace(seen, not_after=NOW + World().life)
        case steps.Announce():
            assert seen.reachable
            return seen
        case steps.Detach():
            assert instance is not None
            return replace(seen, instance=replace(instance, macs=instance.macs - {step.mac}))
        case steps.ReleasePort():
            if seen.management is not None and seen.management.id == step.port_id:
                return replace(seen, management=None)
            released = next(p for p in seen.ports.values() if p.id == step.port_id)
            assert instance is None or released.mac not in instance.macs, "still plugged in"
            kept = {n: p for n, p in seen.ports.items() if p.id != step.port_id}
            return replace(seen, ports=kept)
        case steps.Destroy():
            return replace(seen, instance=None, reachable=False, revision=None)
        case steps.ForgetAmphora():
            return replace(seen, record=None)
    raise AssertionError(f"unknown step {step}")
