"""The planner: what to do next so that the world becomes what the tree says.

PURE. `next_wave` compares a tree with the observed world and gives the next wave: steps that do
not depend on each other and may run at once. The caller runs them, observes again and asks
again, unless `foreseen` tells what it would see; an empty wave means the world is as desired and
recorded as such. There is no memory between calls, so a crash after any step only means asking
again. New things are built before old ones are torn down. Called by controller/reconciler.py.
"""

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from fairlead.domain import lifetimes, shape
from fairlead.domain.model import LoadBalancer
from fairlead.domain.observed import Amphora, AmphoraSeen, AmphoraStatus, Port, World
from fairlead.domain.tree import Tree
from fairlead.plan import steps
from fairlead.plan.steps import Step

Wave = tuple[Step, ...]
_NAMESPACE = uuid.UUID("5f8c2a4e-6d1b-4d0c-9a53-0c1de9f0a1d7")


def amphora_id(lb_id: str, slot: int, incarnation: int = 0) -> str:
    """The id of an incarnation of the amphora in a slot; always the same: it is found again."""
    later = f":{incarnation}" if incarnation else ""
    return str(uuid.uuid5(_NAMESPACE, f"{lb_id}:{slot}{later}"))


def amphora_ids(tree: Tree) -> tuple[str, ...]:
    """Ids of the amphorae the tree asks for, by slot: none when it is deleted."""
    slots = () if tree.deleted else tree.root.slots
    return tuple(amphora_id(tree.id, n, slot.incarnation) for n, slot in enumerate(slots))


def wanted_ports(tree: Tree, networks: Mapping[str, str]) -> Mapping[str, tuple[str, ...]]:
    """Subnets by network that an amphora needs addresses on: the VIP's and the members'.

    `networks` are the networks of subnets; a subnet missing there does not exist any more.
    """
    root = tree.root
    wanted: dict[str, set[str]] = {}
    if root.vip_network_id is not None:
        wanted[root.vip_network_id] = set(root.vip_subnet_ids)
    for pool in tree.pools:
        for member in tree.members(pool.id):
            network = networks.get(member.subnet_id or "")
            if network is not None and member.subnet_id is not None:
                wanted.setdefault(network, set()).add(member.subnet_id)
    return {network: tuple(sorted(subnets)) for network, subnets in wanted.items()}


def has_addresses(root: LoadBalancer, vip: Port | None) -> bool:
    """Whether the VIP's port is there, with every address the load balancer answers on."""
    return vip is not None and set(root.vip_addresses) <= {ip.address for ip in vip.fixed_ips}


def next_wave(tree: Tree, world: World, now: datetime) -> Wave:
    """The next steps, or nothing when there is nothing left to do.

    Certificates that are due are renewed beside whatever else is done, last in the wave.
    """
    if tree.deleted:
        return _teardown(tree, world, now)
    kept, _ = _sorted_out(tree, world)
    return (*_asked_for(tree, world, now), *_renewals(world, kept, now))


def _asked_for(tree: Tree, world: World, now: datetime) -> Wave:
    wanted = wanted_ports(tree, world.networks)
    kept, surplus = _sorted_out(tree, world)
    return (
        tuple(_foundations(tree, world, kept, wanted, now))
        or tuple(_dead(kept, now))
        or tuple(_machines(kept, wanted))
        or tuple(_cards(kept, wanted))
        or tuple(_configurations(kept))
        or tuple(_records(tree, world, kept, now))
        or tuple(_unread(world))
        or tuple(_leftovers(world, kept, surplus, wanted, now))
        or tuple(_missing_subnets(tree, world))
        or _settled(tree)
    )


def foreseen(world: World, wave: Wave) -> World | None:
    """The world after a wave that worked; None when it takes a look to know.

    What an agent acknowledged or the store recorded need not be asked for again.
    """
    revisions, records = {}, {}
    for step in wave:
        match step:
            case steps.Configure():
                revisions[step.amphora_id] = step.revision
            case steps.RecordAmphora():
                records[step.amphora_id] = step.record
            case _:
                return None
    return msgspec.structs.replace(
        world,
        amphorae=tuple(
            msgspec.structs.replace(
                seen,
                revision=revisions.get(seen.id, seen.revision),
                record=records.get(seen.id, seen.record),
            )
            for seen in world.amphorae
        ),
    )


def _sorted_out(tree: Tree, world: World) -> tuple[list[AmphoraSeen], list[AmphoraSeen]]:
    """The amphorae to care for and those to remove.

    Where several are replaced, it is one after another: a slot whose turn has not come keeps the
    amphora it had, and nothing is done about either.
    """
    seen = {a.id: a for a in world.amphorae}
    wanted = amphora_ids(tree)
    surplus = [a for a in world.amphorae if a.id not in wanted]
    replaced = sorted({a.record.slot for a in surplus if a.record is not None})
    waiting = set(replaced[1:]) & set(range(len(wanted)))
    kept = [seen.get(i, AmphoraSeen(id=i)) for n, i in enumerate(wanted) if n not in waiting]
    return kept, [a for a in surplus if a.record is None or a.record.slot not in waiting]


def _foundations(
    tree: Tree,
    world: World,
    kept: Iterable[AmphoraSeen],
    wanted: Mapping[str, tuple[str, ...]],
    now: datetime,
) -> Iterable[Step]:
    """What must exist before a machine can: the VIP, records and ports."""
    if not _vip_in_order(tree.root, world.vip_port):
        yield steps.RestoreVip()
    for seen in kept:
        if seen.record is None:
            fresh = Amphora(
                id=seen.id, loadbalancer_id=tree.id, slot=amphora_ids(tree).index(seen.id),
                compute_id=seen.id, role="STANDALONE", status="BOOTING", created_at=now,
                cached_zone=shape.of_zone(tree.root.zone_data).compute_zone,
            )  # fmt: skip
            yield steps.RecordAmphora(amphora_id=seen.id, record=fresh)
        if seen.management is None:
            yield steps.EnsureManagementPort(amphora_id=seen.id)
        for network, subnets in wanted.items():
            port = seen.ports.get(network)
            if port is None or not set(subnets) <= {ip.subnet_id for ip in port.fixed_ips}:
                yield steps.EnsurePort(amphora_id=seen.id, network_id=network, subnet_ids=subnets)


def _vip_in_order(root: LoadBalancer, vip: Port | None) -> bool:
    if vip is None or not has_addresses(root, vip):
        return False
    return (vip.qos_policy_id, set(vip.sg_ids)) == (root.vip_qos_policy_id, set(root.vip_sg_ids))


def _dead(kept: Iterable[AmphoraSeen], now: datetime) -> Iterable[Step]:
    """Operators see that an amphora died before it is repaired."""
    for seen in kept:
        machine = seen.instance
        alive = machine is not None and machine.running and seen.reachable
        if not alive and seen.record is not None and seen.record.status == "ALLOCATED":
            yield _recorded(seen.record, "ERROR", now)


def _recorded(record: Amphora, status: AmphoraStatus, now: datetime) -> Step:
    changed = msgspec.structs.replace(record, status=status, updated_at=now)
    return steps.RecordAmphora(amphora_id=record.id, record=changed)


def _machines(kept: Iterable[AmphoraSeen], wanted: Iterable[str]) -> Iterable[Step]:
    """A machine that has all its cards was up before: when it is silent, starting is not enough.

    One without is new, and gets its cards while its agent starts.
    """
    for seen in kept:
        machine = seen.instance
        if machine is not None and all(seen.ports[n].mac in machine.macs for n in wanted):
            if not (machine.running and seen.reachable):
                yield steps.Revive(amphora_id=seen.id)
        elif machine is None or not machine.running:
            yield steps.Boot(amphora_id=seen.id)


def _cards(kept: Iterable[AmphoraSeen], wanted: Mapping[str, tuple[str, ...]]) -> Iterable[Step]:
    """Cards are plugged while the agent starts."""
    for seen in kept:
        plugged = seen.instance.macs if seen.instance else frozenset()
        for network in wanted:
            if seen.ports[network].mac not in plugged:
                yield steps.Attach(amphora_id=seen.id, network_id=network)
        if not seen.reachable:
            yield steps.AwaitAgent(amphora_id=seen.id)


def _configurations(kept: Iterable[AmphoraSeen]) -> Iterable[Step]:
    for seen in kept:
        if seen.wanted is not None and seen.revision != seen.wanted:
            yield steps.Configure(amphora_id=seen.id, revision=seen.wanted)


def _renewals(world: World, kept: Iterable[AmphoraSeen], now: datetime) -> Iterable[Step]:
    for seen in kept:
        ends = seen.certificate_ends
        if seen.reachable and ends is not None and lifetimes.is_due(ends, world.life, now):
            yield steps.Renew(amphora_id=seen.id, ends=ends)


def _unread(world: World) -> Iterable[Step]:
    """Nothing more is done while a certificate lacks: what serves goes on as it is."""
    for kind, reference in world.unread:
        yield steps.ReadSecret(kind=kind, reference=reference)


def _leftovers(
    world: World,
    kept: Iterable[AmphoraSeen],
    surplus: Iterable[AmphoraSeen],
    wanted: Mapping[str, tuple[str, ...]],
    now: datetime,
) -> Iterable[Step]:
    """What is not wanted any more, once nothing uses it: a card before its port."""
    for seen in kept:
        needed = {port.mac for network, port in seen.ports.items() if network in wanted}
        for mac in seen.instance.macs - needed if seen.instance else ():
            yield steps.Detach(amphora_id=seen.id, mac=mac)
        for network, port in seen.ports.items():
            plugged = seen.instance is not None and port.mac in seen.instance.macs
            if network not in wanted and not plugged:
                yield steps.ReleasePort(amphora_id=seen.id, port_id=port.id)
            elif {ip.subnet_id for ip in port.fixed_ips} - set(wanted.get(network, ())):
                subnets = wanted.get(network, ())
                if subnets:
                    yield steps.EnsurePort(
                        amphora_id=seen.id, network_id=network, subnet_ids=subnets
                    )
    for seen in surplus:
        yield from _dismantled(seen, now)
        if seen.instance is None and seen.ports:
            yield from (steps.Announce(amphora_id=one.id, gone=seen.id) for one in kept)
    for port in world.stray_ports:
        yield steps.ReleasePort(port_id=port.id)


def _records(
    tree: Tree, world: World, kept: Iterable[AmphoraSeen], now: datetime
) -> Iterable[Step]:
    """Records say what came to be."""
    vip = world.vip_port
    for seen in kept:
        if seen.record is None or seen.revision is None:
            continue
        front = seen.ports.get(tree.root.vip_network_id or "")
        management, ends = seen.management, seen.certificate_ends
        current = msgspec.structs.replace(
            seen.record,
            status="ALLOCATED",
            compute_id=seen.id,
            lb_network_ip=management.fixed_ips[0].address if management else None,
            vrrp_ip=front.fixed_ips[0].address if front and front.fixed_ips else None,
            vrrp_port_id=front.id if front else None,
            ha_ip=tree.root.vip_address,
            ha_port_id=vip.id if vip else None,
            cert_expiration=ends,
            cert_busy=ends is not None and lifetimes.is_due(ends, world.life, now),
        )
        if current != seen.record:
            record = msgspec.structs.replace(current, updated_at=now)
            yield steps.RecordAmphora(amphora_id=seen.id, record=record)


def _missing_subnets(tree: Tree, world: World) -> Iterable[Step]:
    """A member in a subnet that was deleted cannot be reached, whatever is configured."""
    for pool in tree.pools:
        for member in tree.members(pool.id):
            if member.subnet_id is not None and member.subnet_id not in world.networks:
                yield steps.FindSubnet(subnet_id=member.subnet_id, member_id=member.id)


def _settled(tree: Tree) -> Wave:
    if tree.applied < tree.generation:
        return (steps.Settle(generation=tree.generation),)
    return ()


def _teardown(tree: Tree, world: World, now: datetime) -> Wave:
    """Machines first, then what they used, then the tree itself."""
    going = [step for seen in world.amphorae for step in _dismantled(seen, now)]
    if any(seen.instance is not None for seen in world.amphorae):
        return tuple(going)
    ports = [*([world.vip_port] if world.vip_port else []), *world.stray_ports]
    going += [steps.ReleasePort(port_id=port.id) for port in ports]
    return tuple(going) or (steps.Settle(generation=tree.generation),)


def _dismantled(seen: AmphoraSeen, now: datetime) -> Iterable[Step]:
    if seen.instance is not None:
        if seen.record is not None and seen.record.status != "PENDING_DELETE":
            yield _recorded(seen.record, "PENDING_DELETE", now)
        yield steps.Destroy(amphora_id=seen.id)
        return
    for port in [*seen.ports.values(), *([seen.management] if seen.management else [])]:
        yield steps.ReleasePort(amphora_id=seen.id, port_id=port.id)
    if seen.record is not None:
        yield steps.ForgetAmphora(amphora_id=seen.id)
