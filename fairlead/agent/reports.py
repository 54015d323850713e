"""haproxy's statistics as the wire's reports.

PURE. A frontend is named after its listener. A backend is named POOL:LISTENER, one for each
listener that uses the pool; a server is named after its member. A member's state is the worst
that any of its backends sees, and MAINT only if all of them agree. Called by observer.
"""

from collections.abc import Iterable, Mapping

from fairlead.agent.master import StatRow
from fairlead.wire.heartbeat import Counters, ListenerReport, MemberReport

# haproxy's first word -> ours. NOLB: takes no new sessions; "no" begins "no check".
_STATES = {
    "UP": "UP",
    "DOWN": "DOWN",
    "DRAIN": "DRAIN",
    "NOLB": "DRAIN",
    "MAINT": "MAINT",
    "no": "NOCHECK",
}
_WORST_LAST = ("MAINT", "UP", "NOCHECK", "DRAIN", "DOWN")


def listener_reports(
    rows: Iterable[StatRow], totals: Mapping[str, Counters]
) -> tuple[ListenerReport, ...]:
    """One per frontend, with the running `totals` by listener id."""
    return tuple(
        ListenerReport(
            id=row.proxy, state=_frontend_state(row), counters=totals.get(row.proxy, Counters())
        )
        for row in rows
        if row.is_frontend
    )


def member_reports(rows: Iterable[StatRow]) -> tuple[MemberReport, ...]:
    """One per member of a pool."""
    states: dict[tuple[str, str], str] = {}
    for row in rows:
        if row.is_frontend:
            continue
        member = (row.proxy.partition(":")[0], row.name)
        state = _server_state(row)
        states[member] = max(state, states.get(member, state), key=_WORST_LAST.index)
    return tuple(
        MemberReport(pool_id=pool, id=name, state=state) for (pool, name), state in states.items()
    )


def counters(rows: Iterable[StatRow]) -> dict[str, Counters]:
    """What one worker has counted, by listener id."""
    return {
        row.proxy: Counters(
            bytes_in=row.bytes_in,
            bytes_out=row.bytes_out,
            active_connections=row.sessions,
            total_connections=row.total_sessions,
            request_errors=row.request_errors,
        )
        for row in rows
        if row.is_frontend
    }


def _server_state(row: StatRow) -> str:
    state = _STATES.get(row.status.partition(" ")[0], "DOWN")
    # haproxy itself calls a server of weight 0 "UP".
    return "DRAIN" if row.weight == 0 and state in ("UP", "NOCHECK") else state


def _frontend_state(row: StatRow) -> str:
    if row.status == "OPEN" and row.session_limit and row.sessions >= row.session_limit:
        return "FULL"
    return row.status if row.status in ("OPEN", "FULL") else "STOP"
