"""haproxy's answers, read and summed up."""

import pytest

from fairlead.agent.haproxy import complaint
from fairlead.agent.master import StatRow, parse_processes, parse_statistics
from fairlead.agent.reports import counters, listener_reports, member_reports
from fairlead.agent.totals import Totals
from fairlead.errors import Retryable
from fairlead.wire.heartbeat import Counters


def row(proxy: str, name: str, status: str, **fields: object) -> StatRow:
    facts = StatRow(proxy, name, status, name == "FRONTEND", 0, 0, 0, 0, 0, 0, weight=1)
    return facts._replace(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("UP", "UP"), ("UP 1/3", "UP"), ("DOWN", "DOWN"), ("DOWN 1/2", "DOWN"), ("NOLB", "DRAIN"),
        ("NOLB 1/2", "DRAIN"), ("MAINT", "MAINT"), ("MAINT (via p/m)", "MAINT"),
        ("no check", "NOCHECK"), ("DRAIN", "DRAIN"), ("DRAIN 1/2", "DRAIN"), ("", "DOWN"),
    ],
)  # fmt: skip
def test_server_states(status: str, state: str) -> None:
    [report] = member_reports([row("p:l", "m", status)])
    assert (report.pool_id, report.id, report.state) == ("p", "m", state)


@pytest.mark.parametrize(
    ("status", "state"),
    [("UP", "DRAIN"), ("UP 1/3", "DRAIN"), ("no check", "DRAIN"), ("DOWN", "DOWN"),
     ("MAINT", "MAINT")],
)  # fmt: skip
def test_a_server_of_weight_0_drains_unless_it_is_worse(status: str, state: str) -> None:
    [report] = member_reports([row("p:l", "m", status, weight=0)])
    assert report.state == state


def test_worst_state_of_a_pool_that_two_listeners_use() -> None:
    rows = [row("p:l1", "m", "UP"), row("p:l2", "m", "DOWN 1/2"), row("p:l2", "n", "MAINT")]
    assert {r.id: r.state for r in member_reports(rows)} == {"m": "DOWN", "n": "MAINT"}
    rows = [row("p:l1", "m", "MAINT"), row("p:l2", "m", "UP")]
    assert [r.state for r in member_reports(rows)] == ["UP"]


def test_frontend_states() -> None:
    rows = [
        row("a", "FRONTEND", "OPEN", sessions=4, session_limit=5),
        row("b", "FRONTEND", "OPEN", sessions=5, session_limit=5),
        row("c", "FRONTEND", "STOP"),
        row("a:b", "m", "UP"),
    ]
    states = {report.id: report.state for report in listener_reports(rows, {})}
    assert states == {"a": "OPEN", "b": "FULL", "c": "STOP"}


def test_statistics_are_found_by_column_name() -> None:
    text = (
        "# pxname,svname,qcur,scur,slim,stot,bin,bout,ereq,status,weight,type,check_desc,\n"
        'l,FRONTEND,,1,9,5,10,20,3,OPEN,,0,"a, ""b""",\n'
        "p:l,m,0,0,,0,0,0,,no check,4,2,,\n\n"
    )
    front, member = parse_statistics(text)
    assert front == StatRow("l", "FRONTEND", "OPEN", True, 1, 9, 5, 10, 20, 3)
    assert (member.name, member.status, member.is_frontend) == ("m", "no check", False)
    assert member.weight == 4
    assert counters([front])["l"].bytes_out == 20
    with pytest.raises(Retryable):
        list(parse_statistics("Can't find the target PID"))


def test_processes() -> None:
    text = """#<PID>          <type>          <reloads>       <uptime>        <version>
10465           master          12 [failed: 3]  0d00h00m01s     2.6.12-1+deb12u4
# workers
10603           worker          0               0d00h00m01s     2.6.12-1+deb12u4
# old workers
10466           worker          1               0d00h00m01s     2.6.12-1+deb12u4
# programs
"""
    assert parse_processes(text) == (12, 3, (10603, 10466))
    with pytest.raises(Retryable):
        parse_processes("")


def test_totals_outlive_workers() -> None:
    totals = Totals()

    def shown(value: int) -> dict[str, Counters]:
        return {"l": Counters(bytes_in=value, active_connections=1)}

    assert totals.update({"1:1": shown(10)})["l"] == Counters(bytes_in=10, active_connections=1)
    both = totals.update({"1:1": shown(12), "2:5": shown(3)})["l"]
    assert both == Counters(bytes_in=15, active_connections=2)
    assert totals.update({"2:5": shown(4)})["l"] == Counters(bytes_in=16, active_connections=1)
    assert totals.update({})["l"] == Counters(bytes_in=16)
    assert totals.update({"1:9": shown(1)})["l"] == Counters(bytes_in=17, active_connections=1)


def test_listeners_that_are_gone_are_forgotten_after_many_others() -> None:
    totals = Totals()
    for number in range(300):
        seen = {"always": Counters(bytes_in=1), f"l{number}": Counters(bytes_in=1)}
        totals.update({f"{number}:1": seen})
    assert len(totals.ended) < 110
    last = totals.update({"again:1": {"l299": Counters(bytes_in=1)}})
    assert last["l299"] == Counters(bytes_in=2), "it was only out of service"
    assert last["always"] == Counters(bytes_in=300)
    assert totals.update({})["always"] == Counters(bytes_in=300)


def test_complaints_name_lines_and_no_paths() -> None:
    said = """[NOTICE]   (9101) : haproxy version is 2.6.12-1+deb12u4
[ALERT]    (9101) : config : parsing [/x/y.cfg:19] : unknown keyword 'bogus' in 'backend' section
[ALERT]    (9101) : config : Error(s) found in configuration file : /x/y.cfg
[ALERT]    (9101) : config : Fatal errors found in configuration.
"""
    assert complaint(said) == "line 19: unknown keyword 'bogus' in 'backend' section"
    assert complaint("no such option") == "no such option"
    assert complaint("") == "haproxy gave no reason"
