"""Where a load balancer answers, as far as the API decides it.

What the deployment allows is in vip_rules.py; what VIP ports can have is the network driver's
capability, and what it cannot is refused by name. Which address it becomes is the driver's
decision. Called by balancers.py and writing.py.
"""

from collections.abc import Collection, Mapping
from typing import Any

from fairlead.api.calls import Call
from fairlead.domain.model import LoadBalancer
from fairlead.domain.observed import Vip
from fairlead.errors import Refused
from fairlead.ports import Capability, VipRequest

# Fields that need a capability of the network's, and what is said where it lacks.
_NEEDS: dict[str, tuple[Capability, str, str]] = {
    "vip_qos_policy_id": (
        "qos_policy", "VIP QoS Policy is not allowed in this deployment.", "QoS Policy",
    ),
    "vip_sg_ids": (
        "security_group", "VIP Security Groups are not allowed in this deployment.",
        "Security Group",
    ),
}  # fmt: skip


async def check_carried(call: Call, project_id: str | None, values: Mapping[str, Any]) -> None:
    """`Refused` when the VIP's port cannot have what the values say, or it does not exist."""
    network = call.services.network
    for name, (capability, without, word) in _NEEDS.items():
        given = values.get(name)
        if not given:
            continue
        if capability not in network.capabilities:
            raise Refused(f"Validation failure: {without} ({name})")
        for object_id in (given,) if isinstance(given, str) else given:
            if not await network.knows(capability, object_id, str(project_id)):
                raise Refused(f"{word} {object_id} not found. ({name})")


async def allocated(call: Call, root: LoadBalancer, valid: Collection[str] = ()) -> Vip:
    """The VIP a load balancer asks for, on a network that is allowed.

    The provider makes it, if it does such things.
    """
    network = call.services.network
    theirs = await call.services.providers.get(root.provider).allocate_vip(root)
    vip = theirs or await network.allocate_vip(root.id, str(root.project_id), VipRequest.of(root))
    try:
        call.services.vips.check_network(vip.vip_network_id, valid)
    except Refused:
        await network.release(vip.vip_port_id)
        raise
    return vip
