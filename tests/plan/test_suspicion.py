"""Who is repaired: a table of situations."""

import pytest

from fairlead.plan.suspicion import Limits, Silent, Verdict, judged

LIMITS = Limits(share=0.5, least=3, per_minute=4)


def silent(number: int, *, proven: bool = False, begun: bool = False) -> list[Silent]:
    return [
        Silent(amphora_id=f"a{n}", since=100.0 - n, proven=proven, begun=begun)
        for n in range(number)
    ]


def judge(found: list[Silent], watched: int, begun: tuple[float, ...] = ()) -> Verdict:
    return judged(found, watched, begun, LIMITS, now=200.0)


def test_a_few_silent_ones_are_repaired_the_longest_silent_first() -> None:
    assert judge(silent(3), 3).repair == ("a2", "a1", "a0")


def test_most_of_them_at_once_are_left_alone() -> None:
    verdict = judge(silent(51), 100)
    assert verdict.repair == ()
    assert len(verdict.held) == 51
    assert "51 of 100 amphorae are silent at once" in verdict.held["a0"]


def test_what_is_known_not_to_run_is_repaired_all_the_same() -> None:
    dead = [Silent(amphora_id="dead", since=150.0, proven=True)]
    assert judge([*silent(51), *dead], 100).repair == ("dead",)
    doubtful = [Silent(amphora_id="b", since=150.0, proven=False)]
    verdict = judge([*silent(99, proven=True), *doubtful], 100)
    assert "within a minute" in verdict.held["b"], "those that are known to be dead raise no doubt"


def test_those_under_repair_count_for_the_share_and_are_not_begun_again() -> None:
    assert judge(silent(49, begun=True), 100) == Verdict()
    late = [Silent(amphora_id=f"b{n}", since=0.0, proven=False) for n in range(2)]
    assert judge([*silent(49, begun=True), *late], 100).repair == ()


@pytest.mark.parametrize(
    ("begun", "repaired"),
    [((), 4), ((190.0, 199.0), 2), ((141.0,) * 4, 0), ((140.0,) * 4, 4), ((190.0,) * 9, 0)],
)
def test_no_more_than_so_many_in_a_minute(begun: tuple[float, ...], repaired: int) -> None:
    verdict = judge(silent(10, proven=True), 100, begun)
    assert len(verdict.repair) == repaired
    assert all("within a minute" in why for why in verdict.held.values())
    assert len(verdict.held) == 10 - repaired
