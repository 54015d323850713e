"""Which changes haproxy can make while it runs, and with which commands."""

import pytest

from fairlead.agent.runtime import commands, equally_valid, surviving_state
from fairlead.wire.amphora import Server


def line(name: str = "m", **fields: object) -> Server:
    facts = {"weight": 1, "enabled": True, "options": "check inter 5s", **fields}
    return Server(backend="p:l", name=name, address="192.0.2.1", port=80, **facts)  # type: ignore[arg-type]


def texts(old: list[Server], new: list[Server]) -> list[str] | None:
    found = commands(old, new)
    return None if found is None else [command.text for command in found]


def test_nothing_to_do() -> None:
    assert texts([line()], [line()]) == []


def test_weight_and_state() -> None:
    assert texts([line()], [line(weight=7, enabled=False)]) == [
        "set server p:l/m weight 7",
        "set server p:l/m state maint",
    ]
    assert texts([line(enabled=False)], [line()]) == ["set server p:l/m state ready"]


def test_added_member_gets_its_checks_and_its_traffic() -> None:
    assert texts([], [line(weight=3)]) == [
        "add server p:l/m 192.0.2.1:80 check inter 5s weight 3",
        "enable health p:l/m",
        "set server p:l/m state ready",
    ]
    assert texts([], [line(options="", enabled=False)]) == [
        "add server p:l/m 192.0.2.1:80  weight 1"
    ]


def test_additions_come_before_removals() -> None:
    found = texts([line("a")], [line("b")])
    assert found is not None
    assert found[0].startswith("add server p:l/b")
    assert found[-2:] == ["set server p:l/a state maint", "del server p:l/a"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([line()], [line(options="check inter 9s")]),
        ([], [line(dynamic=False)]),
        ([line(dynamic=False)], []),
        ([], [line(options="check; show info")]),
        ([], [line(options="check\nshow info")]),
    ],
)
def test_what_needs_a_reload(old: list[Server], new: list[Server]) -> None:
    assert commands(old, new) is None


CHECKED = "backend p:l\n    server m 192.0.2.1:80 check inter 5s weight 1\n"


@pytest.mark.parametrize(
    ("tail", "valid"),
    [
        ("weight 1", True),
        ("weight 256", True),
        ("weight 0 disabled", True),
        ("weight 257", False),
        ("weight 1000", False),
        ("weight -1", False),
        ("weight 2 backup", False),
        ("weight 2 disabled disabled", False),
        ("weight 2\n    bogus", False),
    ],
)
def test_other_weights_and_states_need_no_check(tail: str, valid: bool) -> None:
    assert equally_valid(CHECKED, CHECKED.replace("weight 1", tail)) is valid


def test_everything_else_needs_a_check() -> None:
    assert not equally_valid(CHECKED, CHECKED.replace("192.0.2.1", "192.0.2.2"))
    assert not equally_valid(CHECKED, CHECKED + CHECKED.splitlines()[1] + "\n")
    assert not equally_valid("", CHECKED)
    assert not equally_valid("stick-table weight 1\n", "stick-table weight 2\n")


HEADER = "1\n# be_id be_name srv_id srv_name ...\n"
KEPT = "3 p:l 1 m 192.0.2.1 2 0 1 1 2 15 3 4 6 0 0 0 - 80 - 0 0 - - 0\n"


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        ([line()], [line()], True),
        ([line()], [line(weight=2)], False),
        ([line(weight=2)], [line()], True),
        ([line()], [line(enabled=False)], False),
        ([line()], [line(options="")], False),
        ([line()], [], False),
        ([], [line()], False),
    ],
)
def test_state_is_loaded_only_where_it_cannot_overrule_the_configuration(
    old: list[Server], new: list[Server], kept: bool
) -> None:
    assert surviving_state(HEADER + KEPT, old, new) == HEADER + (KEPT if kept else "")


def test_running_state_that_disagrees_is_dropped() -> None:
    for wrong in (KEPT.replace(" 80 ", " 81 "), KEPT.replace(" 2 0 1 ", " 2 1 1 ")):
        assert surviving_state(HEADER + wrong, [line()], [line()]) == HEADER
