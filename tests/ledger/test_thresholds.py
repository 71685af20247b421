"""When a budget comes to its end, and that nobody is told twice."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.allowances import Rule, Standing
from gateway.ledger.thresholds import Thresholds

DAY = 86_400.0
MIDNIGHT = 1_800_057_600.0
BUDGET = Rule("all", "", "budget", "tokens", 100, "1d")


class Clock:
    def __init__(self) -> None:
        self.now = MIDNIGHT

    def __call__(self) -> float:
        return self.now


def percents(thresholds: Thresholds, left: int, held: int = 0, rule: Rule = BUDGET, *, refused: bool = False):
    return [each.percent for each in thresholds.look(Standing(rule, left, 1.0), held, refused=refused)]


def test_each_threshold_is_told_once_and_both_when_both_are_passed_at_once():
    one, two = Thresholds(Clock()), Thresholds(Clock())
    assert [percents(one, left) for left in (21, 20, 19, 1, 0, -5)] == [[], [80], [], [], [100], []]
    assert percents(two, -3) == [80, 100]


def test_what_is_only_reserved_is_not_spent():
    thresholds = Thresholds(Clock())
    assert percents(thresholds, 0, held=50) == []
    assert percents(thresholds, 10, held=10) == [80]


def test_a_refusal_ends_a_budget_that_is_mostly_spent_and_waits_for_nobody():
    thresholds = Thresholds(Clock())
    assert percents(thresholds, 60, refused=True) == [], "the request asked for much"
    assert percents(thresholds, 5, held=10, refused=True) == [80], "what is reserved may come back"
    assert percents(thresholds, 5, refused=True) == [100]


def test_each_window_begins_anew_and_so_does_a_changed_budget():
    clock = Clock()
    thresholds = Thresholds(clock)
    assert percents(thresholds, 10) == [80]
    clock.now += DAY - 1
    assert percents(thresholds, 10) == []
    clock.now += 1
    assert percents(thresholds, 10) == [80]
    assert percents(thresholds, 10, rule=Rule("all", "", "budget", "tokens", 101, "1d")) == [80]


def test_a_crossing_says_its_window():
    (day,) = Thresholds(Clock()).look(Standing(BUDGET, 15, 1.0), 0)
    assert (day.used, day.at, day.start, day.end) == (85, MIDNIGHT, MIDNIGHT, MIDNIGHT + DAY)
    (ever,) = Thresholds(Clock()).look(Standing(Rule("all", "", "budget", "tokens", 100), 15, 0.0), 0)
    assert (ever.start, ever.end) == (None, None)


@given(st.lists(st.tuples(st.integers(-10, 100), st.booleans()), max_size=60))
def test_whatever_comes_no_threshold_is_told_twice_and_none_before_it_is_reached(steps: list[tuple[int, bool]]):
    thresholds = Thresholds(Clock())
    told: list[int] = []
    for left, refused in steps:
        found = percents(thresholds, left, refused=refused)
        assert not found or left <= 20
        told += found
    assert told in ([], [80], [80, 100])
