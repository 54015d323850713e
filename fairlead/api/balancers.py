"""Creating a load balancer, alone or with a whole tree below it.

Everything the request itself can be wrong about is found before an address is taken. The VIP is
allocated first and given back when a later step fails, so that the answer carries it at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog
from litestar import Response

from fairlead.api import answers, vips
from fairlead.api.calls import Call
from fairlead.api.certificates import Reader
from fairlead.api.faults import json_response
from fairlead.api.offers import chosen, vip_networks
from fairlead.api.places import (
    check_addresses,
    check_monitor_types,
    check_places,
    check_protocols,
)
from fairlead.api.telling import announcing
from fairlead.domain import bodies, planting
from fairlead.domain.model import HealthMonitor, Listener, LoadBalancer, Member
from fairlead.domain.observed import Vip
from fairlead.domain.tree import Tree
from fairlead.domain.views import entry
from fairlead.errors import Refused

log = structlog.get_logger()


async def create_balancer(call: Call) -> Response[bytes]:
    """A load balancer with its VIP, and the tree below it: 201."""
    given = await call.body("loadbalancer")
    own, nested = planting.split(given) if isinstance(given, dict) else (given, {})
    root = await _root(call, bodies.creation("loadbalancer", own))
    await vips.check_carried(call, root.project_id, msgspec.structs.asdict(root))
    draft = planting.plant(
        root,
        nested,
        new_id=call.services.new_id,
        now=root.created_at,
        policy=call.services.tls,
    )
    members = [o for o in draft.objects.values() if isinstance(o, Member)]
    placed = [msgspec.structs.asdict(m) for m in members]
    listeners = [o for o in draft.objects.values() if isinstance(o, Listener)]
    check_protocols(call, [msgspec.structs.asdict(one) for one in listeners])
    monitors = [o for o in draft.objects.values() if isinstance(o, HealthMonitor)]
    check_monitor_types(call, [msgspec.structs.asdict(one) for one in monitors])
    check_addresses(call, placed)
    await check_places(call, draft, placed)
    await Reader(call.services).all_of(draft.objects.values(), root.project_id)
    tree = await _stored(call, draft, placed)
    await call.services.queue.put(tree.id)
    log.info("accepted", method="POST", kind="loadbalancer", lb_id=tree.id, generation=1,
             user=call.caller.user)  # fmt: skip
    shown = answers.shown_tree(tree) if nested else answers.shown(entry(tree, tree.root))
    return json_response({"loadbalancer": shown}, 201)


async def _root(call: Call, values: dict[str, Any]) -> LoadBalancer:
    """The load balancer as asked for, without what the network will decide."""
    project_id = values.pop("project_id", None) or call.caller.project_id
    call.allow(project_id)
    if project_id is None:
        raise Refused("Validation failure: Missing project ID in request where one is required.")
    values |= await chosen(call, values)
    call.services.vips.check_fields(values)
    if values.get("vip_sg_ids"):
        call.allow(project_id, "post:vip_sg_ids")
    return LoadBalancer(
        id=call.services.new_id(),
        project_id=project_id,
        created_at=call.services.clock.now(),
        **values,
    )


async def _stored(call: Call, draft: Tree, members: Sequence[Mapping[str, Any]]) -> Tree:
    """Allocate the VIP and store the tree with it; on failure the VIP is given back."""
    vip = await vips.allocated(call, draft.root, vip_networks(draft.root))
    try:
        # Rules about addresses and the VIP's networks can only be checked now.
        tree = planting.placed(draft, _with_vip(draft.root, vip))
        await check_places(call, tree, members)
        return await call.services.store.create(tree, announcing(call.services))
    except BaseException:
        await call.services.network.release(vip.vip_port_id)
        raise


def _with_vip(root: LoadBalancer, vip: Vip) -> LoadBalancer:
    return msgspec.structs.replace(root, **msgspec.structs.asdict(vip))
