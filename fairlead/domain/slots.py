"""The places of a load balancer's amphorae, as its tree remembers them.

PURE. Ids of amphorae follow from these (plan/planner.py); edits.py raises the numbers.
"""

from msgspec import Struct


class Slot(Struct, frozen=True, kw_only=True):
    """The place of one amphora.

    `incarnation` counts the amphorae that filled it, the newest one was asked for in generation
    `since`; `pushes` counts how often its configuration was asked to be sent anew.
    """

    incarnation: int = 0
    since: int = 1
    pushes: int = 0
