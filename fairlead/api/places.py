"""Where members may be: addresses that are theirs to have, on subnets that reach them.

An amphora has a card on each network that members name. An address outside its subnet would be
looked for in vain there, and two networks with the same addresses could not be told apart: both
are refused when they are asked for. Called by writing.py and balancers.py.
"""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from fairlead.api.calls import Call
from fairlead.domain.bodies import refused
from fairlead.domain.observed import Subnet
from fairlead.domain.tree import Tree
from fairlead.errors import NotFound, Refused

Values = Mapping[str, Any]


def check_protocols(call: Call, listeners: Iterable[Values]) -> None:
    """`Refused` when a listener's protocol is disabled by this deployment."""
    if not call.services.prometheus and any(v.get("protocol") == "PROMETHEUS" for v in listeners):
        raise Refused("The selected protocol is not allowed in this deployment: PROMETHEUS")


def check_monitor_types(call: Call, monitors: Iterable[Values]) -> None:
    """`Refused` when a health monitor's type is disabled by this deployment."""
    if not call.services.ping and any(v.get("type") == "PING" for v in monitors):
        raise Refused("The selected health monitor type is not allowed in this deployment: PING")


def check_addresses(call: Call, members: Iterable[Values]) -> None:
    """`Refused` when a member would lead into the management network."""
    for values in members:
        for name in ("address", "monitor_address"):
            address = values.get(name)
            if address and call.services.network.is_management(address):
                raise refused(name, address, "The address is reserved.")


async def check_subnets(call: Call, lb_id: str, members: Iterable[Values]) -> None:
    """`Refused` when new members of a load balancer cannot be on the subnets they name."""
    placed = [m for m in members if m.get("subnet_id")]
    if placed:
        tree = await call.services.store.tree(lb_id)
        call.allow(tree.root.project_id)
        await check_places(call, tree, placed)


async def check_places(call: Call, tree: Tree, members: Iterable[Values]) -> None:
    """As `check_subnets`, for members that may be in the tree already."""
    placed = [m for m in members if m.get("subnet_id")]
    if not placed:
        return
    project_id = str(tree.root.project_id)
    wanted: dict[str, Subnet] = {}
    for values in placed:
        subnet_id = values["subnet_id"]
        if subnet_id not in wanted:
            wanted[subnet_id] = await _subnet(call, subnet_id, project_id)
        if ip_address(values["address"]) not in ip_network(wanted[subnet_id].cidr):
            raise refused(
                "address", values["address"],
                f"It is outside the range {wanted[subnet_id].cidr} of subnet {subnet_id}.",
            )  # fmt: skip
    others = await _subnets_of(call, tree, wanted)
    for one in wanted.values():
        _check_apart(one, others)
        others.append(one)


async def _subnet(call: Call, subnet_id: str, project_id: str) -> Subnet:
    try:
        return await call.services.network.subnet(subnet_id, project_id)
    except NotFound:
        raise Refused(f"Subnet {subnet_id} not found.") from None


async def _subnets_of(call: Call, tree: Tree, known: Iterable[str]) -> list[Subnet]:
    """The subnets a load balancer is on, without the known ones and those that are gone."""
    members = (m.subnet_id for pool in tree.pools for m in tree.members(pool.id))
    used = {*tree.root.vip_subnet_ids, *(s for s in members if s)} - set(known)
    found = []
    for subnet_id in sorted(used):
        try:
            found.append(await call.services.network.subnet(subnet_id))
        except NotFound:
            continue
    return found


def _check_apart(one: Subnet, others: Iterable[Subnet]) -> None:
    for other in others:
        elsewhere = other.network_id != one.network_id
        if elsewhere and ip_network(one.cidr).overlaps(ip_network(other.cidr)):
            raise refused(
                "subnet_id", one.id,
                f"Its range {one.cidr} overlaps {other.cidr} of subnet {other.id}, which is on "
                "another network of the load balancer.",
            )  # fmt: skip
