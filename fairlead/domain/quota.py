"""How many objects of each kind a project may have.

PURE. The fields are the kinds of the tree. What an edit adds is compared with the limits in the
transaction that stores it (see store/quotas.py). An object that was asked to go counts no more,
except a load balancer: that has its machines and addresses until it is gone.
"""

from collections import Counter
from typing import Annotated

import msgspec
from msgspec import Struct

from fairlead.domain.model import Resource
from fairlead.domain.tree import Tree
from fairlead.domain.types import Access, field

UNLIMITED = -1
# Other names of fields, which are taken and shown as well.
ALIASES = {"load_balancer": "loadbalancer", "health_monitor": "healthmonitor"}


def _limit(plural: str) -> msgspec.Meta:
    return field(f"Most {plural}; -1 is no limit.", ge=UNLIMITED, le=2_000_000_000, example=100)


class Quota(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most objects of each kind that a project may have."""

    loadbalancer: Annotated[int, _limit("load balancers")] = UNLIMITED
    listener: Annotated[int, _limit("listeners")] = UNLIMITED
    pool: Annotated[int, _limit("pools")] = UNLIMITED
    member: Annotated[int, _limit("members")] = UNLIMITED
    healthmonitor: Annotated[int, _limit("health monitors")] = UNLIMITED
    l7policy: Annotated[int, _limit("L7 policies")] = UNLIMITED
    l7rule: Annotated[int, _limit("L7 rules")] = UNLIMITED

    def __post_init__(self) -> None:
        for kind in Quota.__struct_fields__:
            if getattr(self, kind) < UNLIMITED:
                raise ValueError(f"{kind} should be at least {UNLIMITED}, which is no limit")


class ProjectQuota(Quota, frozen=True, kw_only=True):
    """The limits of one project."""

    project_id: Annotated[str, field("Whose they are.", access=Access.READ, max_length=36)]


def growth(before: Tree | None, after: Tree) -> dict[str, int]:
    """By how many live objects an edit adds to each kind, where it adds."""
    known = {} if before is None else {one.id: one for one in before.everything()}
    added: Counter[str] = Counter()
    for one in after.everything():
        old = known.get(one.id)
        if old is not one:
            added[one.KIND] += _lives(one) - _lives(old)
    return {kind: number for kind, number in added.items() if number > 0}


def _lives(one: Resource | None) -> bool:
    return one is not None and one.deleted_gen is None
