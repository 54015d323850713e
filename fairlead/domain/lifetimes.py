"""When Fairlead's own certificates are renewed, and when one that was not is told of.

PURE. A certificate is due when two thirds of its life are over, and late when five sixths are: then
renewing it must have failed for a sixth of its life, and as much is left to mend that. `life` is
how long a new one is good. Called by the planner, the observer and the drivers of the authority.
"""

from datetime import datetime, timedelta


def is_due(ends: datetime, life: timedelta, now: datetime) -> bool:
    """Whether a third of its life or less remains."""
    return ends - now <= life / 3


def is_late(ends: datetime, life: timedelta, now: datetime) -> bool:
    """Whether a sixth of its life or less remains."""
    return ends - now <= life / 6
