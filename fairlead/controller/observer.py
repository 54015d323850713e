"""Observation: what exists on behalf of one load balancer, gathered from the drivers.

Port names tell what a port is for: "amphora:{id}:{network}" and "amphora:{id}:management" are
an amphora's, "vip:{lb_id}" (or the user's own port) is the VIP's. Called by reconciler.py.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from fairlead.controller.certificates import Certificates, Material, read_all
from fairlead.domain import lifetimes
from fairlead.domain.observed import Amphora, AmphoraSeen, Port, World, serving
from fairlead.domain.tls import needs_of
from fairlead.domain.tree import Tree
from fairlead.errors import NotFound, Permanent, Retryable
from fairlead.plan.planner import amphora_ids, has_addresses, wanted_ports
from fairlead.ports import Amphorae, Clock, Compute, Network, Secrets, Store, Vault
from fairlead.wire.amphora import AmphoraConfig, File

MANAGEMENT = "management"
ANSWER_SECONDS = 2.0
"""How long an agent may take to say how it is: a runner waits for it."""


def port_name(amphora_id: str, network: str) -> str:
    """The deterministic name of an amphora's port on a network."""
    return f"amphora:{amphora_id}:{network}"


class Renderer(Protocol):
    """Gives the configuration a tree asks of an amphora with these ports."""

    def __call__(
        self,
        tree: Tree,
        ports: Mapping[str, Port],
        vip: Port,
        *,
        slot: int,
        epoch: int,
        files: Mapping[str, File],
    ) -> AmphoraConfig:
        """Pure; `slot` is the amphora's place in the topology."""
        ...


class Drivers(Struct, frozen=True, kw_only=True):
    """What observation and execution need of the outside."""

    store: Store
    network: Network
    compute: Compute
    amphorae: Amphorae
    secrets: Secrets
    vault: Vault
    clock: Clock


class Observation(Struct, frozen=True, kw_only=True):
    """The world, and the configurations the tree asks for by amphora id.

    `notes` are what an operator should know of certificates.
    """

    world: World
    configs: Mapping[str, AmphoraConfig]
    notes: tuple[str, ...] = ()


async def observe(
    tree: Tree, drivers: Drivers, render: Renderer, epoch: int, read: dict[str, Material]
) -> Observation:
    """Look at everything the load balancer has, as much as possible at once.

    `read` are certificates that need not be read again.
    """
    ports, records, networks, certificates = await asyncio.gather(
        drivers.network.ports(tree.id),
        drivers.store.amphorae(tree.id),
        _networks(tree, drivers.network),
        read_all(needs_of(tree), drivers.vault, tree.root.project_id, read),
    )
    known = {r.id: r for r in records}
    current = amphora_ids(tree)
    ids = [*current, *(i for i in known if i not in current)]
    named = {p.name: p for p in ports}
    vip = next((p for p in ports if _is_vip(tree, p)), None)
    amphorae = await asyncio.gather(
        *(_amphora(i, known.get(i), ports, named, drivers, ask=i in current) for i in ids)
    )
    wanted = wanted_ports(tree, networks)
    kept = [a for a in amphorae if a.id in current]
    old = bool(serving(records, current) - set(current))
    configs = _configs(tree, kept, vip, wanted, render, epoch, certificates, another_serves=old)
    amphorae = [
        replace(a, wanted=configs[a.id].revision if a.id in configs else None) for a in amphorae
    ]
    theirs = {p.id for a in amphorae for p in [*a.ports.values(), a.management] if p}
    strays = tuple(p for p in ports if p.id not in theirs and p is not vip)
    unread = {s for a in kept for s in certificates.errors if s not in a.held}
    world = World(
        vip_port=vip,
        amphorae=tuple(amphorae),
        stray_ports=strays,
        networks=networks,
        unread=tuple((s.partition(" ")[0], s.partition(" ")[2]) for s in sorted(unread)),
        life=drivers.secrets.life,
    )
    notes = {n: None for a in kept for n in certificates.notes(drivers.clock.now(), a.held)}
    return Observation(world=world, configs=configs, notes=(*notes, *_late(kept, drivers)))


def _late(kept: Sequence[AmphoraSeen], drivers: Drivers) -> list[str]:
    """Certificates of Fairlead's own that should have been renewed."""
    life, now = drivers.secrets.life, drivers.clock.now()
    told = [
        f"The certificate of amphora {one.id} ends on {ends:%Y-%m-%d at %H:%M:%S} and could not be "
        "renewed: see the events of Renew"
        for one in kept
        if (ends := one.certificate_ends) is not None and lifetimes.is_late(ends, life, now)
    ]
    return [*told, *drivers.secrets.late()] if kept else []


def _is_vip(tree: Tree, port: Port) -> bool:
    return port.id == tree.root.vip_port_id or port.name == f"vip:{tree.id}"


async def _networks(tree: Tree, network: Network) -> dict[str, str]:
    wanted = {m.subnet_id for pool in tree.pools for m in tree.members(pool.id) if m.subnet_id}
    found = {}
    for subnet_id in sorted(wanted):
        try:
            found[subnet_id] = (await network.subnet(subnet_id)).network_id
        except NotFound:
            continue
    return found


async def _amphora(
    amphora_id: str,
    record: Amphora | None,
    ports: Sequence[Port],
    named: Mapping[str, Port],
    drivers: Drivers,
    *,
    ask: bool,
) -> AmphoraSeen:
    """`ask` its agent, too: what one that is to go would say matters to nobody."""
    instance = await drivers.compute.observe(amphora_id)
    management = named.get(port_name(amphora_id, MANAGEMENT))
    prefix = port_name(amphora_id, "")
    seen = AmphoraSeen(
        id=amphora_id,
        record=record,
        instance=instance,
        management=management,
        ports={
            p.network_id: p for p in ports
            if p.name.startswith(prefix) and p is not management
        },
    )  # fmt: skip
    if not ask or instance is None or not instance.running or management is None:
        return seen
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            status = await drivers.amphorae.status(amphora_id, management.fixed_ips[0].address)
    except (TimeoutError, Retryable, Permanent):
        return seen
    revision = status.revision if status.report.healthy else None
    return replace(
        seen, reachable=True, revision=revision, held=status.held, not_after=status.not_after
    )


def _configs(
    tree: Tree,
    amphorae: Sequence[AmphoraSeen],
    vip: Port | None,
    wanted: Collection[str],
    render: Renderer,
    epoch: int,
    certificates: Certificates,
    *,
    another_serves: bool,
) -> dict[str, AmphoraConfig]:
    """Configurations of the amphorae that have all the ports they need, and for no others.

    One that serves is left as it is while it lacks a certificate; one that does not serve yet
    begins with what there is, unless it shall replace another one that has more.
    """
    if tree.deleted or vip is None or not has_addresses(tree.root, vip):
        return {}
    found = {}
    for one in amphorae:
        lacks = certificates.errors.keys() - one.held.keys()
        busy = one.revision is not None or another_serves
        if one.ports.keys() >= set(wanted) and not (lacks and busy):
            ports = {n: one.ports[n] for n in wanted}
            files, slot = certificates.files(one.held), amphora_ids(tree).index(one.id)
            found[one.id] = render(tree, ports, vip, slot=slot, epoch=epoch, files=files)
    return found
