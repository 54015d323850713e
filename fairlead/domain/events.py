"""What happened to a load balancer, for people to read.

PURE data. Every step the controller takes leaves an event; so do state changes and giving up.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

Outcome = Literal["ok", "retry", "failed", "info"]


class Event(Struct, frozen=True, kw_only=True):
    """One event: what (`step`), when, how long (`took_ms`), how it ended and why.

    `outcome` "retry" failed and is tried again, "failed" was given up on (a slow retry goes
    on), "info" is no step but worth knowing.
    """

    loadbalancer_id: str
    generation: int
    at: datetime
    step: str
    outcome: Outcome
    took_ms: float = 0.0
    amphora_id: str | None = None
    detail: str = ""
