"""Which silent amphorae are repaired now, and which are left alone for the time being.

PURE. Silence has two causes: an amphora is dead, or whoever listens is cut off. A dead one must be
repaired at once; repairing hundreds of healthy ones because a cable was pulled here would be the
outage. So an amphora counts as dead without doubt only when the compute driver says that its
machine does not run; when many fall silent without such proof, the trouble is taken to be on this
side and nothing is done. And nobody is in more of a hurry than a number of repairs a minute.
Called by controller/watch.py.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

_MINUTE = 60.0


class Limits(Struct, frozen=True, kw_only=True):
    """`share` of all amphorae, but never fewer than `least`, may be silent without proof.

    `per_minute` bounds repairs of either kind.
    """

    share: float = 0.5
    least: int = 3
    per_minute: int = 30


class Silent(Struct, frozen=True, kw_only=True):
    """An amphora that was not heard and does not answer either; `since` by the monotonic clock.

    `proven` means that its machine is known not to run, `begun` that its repair is under way.
    """

    amphora_id: str
    since: float
    proven: bool
    begun: bool = False


class Verdict(Struct, frozen=True, kw_only=True):
    """Amphorae to repair now, longest silent first, and why the others have to wait."""

    repair: tuple[str, ...] = ()
    held: Mapping[str, str] = {}


def judged(
    silent: Sequence[Silent],
    watched: int,
    begun: Sequence[float],
    limits: Limits,
    now: float,
) -> Verdict:
    """What to do about the silent ones among `watched` amphorae.

    `begun` are the times of earlier repairs; those of the last minute count.
    """
    doubtful = [one for one in silent if not one.proven]
    too_many = len(doubtful) > max(limits.least, limits.share * watched)
    budget = limits.per_minute - sum(now - at < _MINUTE for at in begun)
    repair: list[str] = []
    held: dict[str, str] = {}
    waiting = [one for one in silent if not one.begun]
    for one in sorted(waiting, key=lambda s: (not s.proven, s.since)):
        if too_many and not one.proven:
            held[one.amphora_id] = (
                f"{len(doubtful)} of {watched} amphorae are silent at once: taken for trouble of "
                "this controller or its network, nothing is repaired"
            )
        elif len(repair) >= budget:
            held[one.amphora_id] = (
                f"{limits.per_minute} repairs were begun within a minute: this one waits"
            )
        else:
            repair.append(one.amphora_id)
    return Verdict(repair=tuple(repair), held=held)
