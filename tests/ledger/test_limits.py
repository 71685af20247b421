"""The arithmetic of rates, budgets and requests at a time, by itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.allowances import Amount, Standing
from gateway.ledger.limits import IDLE, SLICES, Budget, Parallel, Rate, asked, identity, refusal, settles
from gateway.ledger.periods import SECOND
from tests.ledger.counted import START, budget, parallel, rate

NOW = int(START * SECOND)
MINUTE = 60 * SECOND

GAPS = st.lists(st.tuples(st.integers(0, 20 * SECOND), st.integers(1, 30)), max_size=60)


def filled(gaps: list[tuple[int, int]]) -> tuple[Rate, list[tuple[int, int]], int]:
    """A rate that counted amounts, each some time after the one before; those; and the time it is then."""
    counter, now, counted = Rate(rate(10**6, "tokens")), NOW, []
    for gap, amount in gaps:
        now += gap
        counter.counted(now)
        counter.take(amount, now)
        counted.append((now, amount))
    return counter, counted, now


@given(GAPS)
def test_a_rate_counts_all_of_the_last_period_and_nothing_older_than_a_slice_more(gaps):
    counter, counted, now = filled(gaps)
    exact = sum(amount for at, amount in counted if at > now - MINUTE)
    loose = sum(amount for at, amount in counted if at > now - MINUTE - MINUTE // SLICES)
    assert exact <= counter.counted(now) <= loose


@given(GAPS, st.data())
def test_after_the_wait_there_is_room_and_a_moment_before_there_is_not(gaps, data):
    counter, _, now = filled(gaps)
    total = counter.counted(now)
    if not total:
        return
    missing = data.draw(st.integers(1, total))
    wait = counter.wait(missing, now)
    assert wait is not None
    assert counter.counted(now + wait - 1) > total - missing
    assert counter.counted(now + wait) <= total - missing


@given(GAPS)
def test_a_rate_is_whole_at_its_reset_and_not_before(gaps):
    counter, _, now = filled(gaps)
    if counter.counted(now):
        reset = counter.reset(now)
        assert counter.counted(now + reset - 1) > 0
        assert counter.counted(now + reset) == counter.reset(now + reset) == 0
        assert counter.idle(now + reset)


@given(GAPS, st.data())
def test_what_is_given_back_is_as_if_it_had_never_been_taken(gaps, data):
    counter, _, now = filled(gaps)
    later = now + data.draw(st.integers(0, 70 * SECOND))
    other, _, _ = filled(gaps)
    counter.take(17, now)
    counter.counted(later)
    counter.give(17, now)
    if later < now + MINUTE:
        assert counter.counted(later) == other.counted(later)


def test_nothing_counts_as_nothing():
    counter = Rate(rate(10, "tokens"))
    counter.take(5, NOW)
    counter.take(0, NOW + 500_000)
    assert counter.reset(NOW + 500_000) == MINUTE - 500_000


def test_more_is_never_given_back_than_was_taken():
    counter = Rate(rate(10, "tokens"))
    counter.take(5, NOW)
    counter.give(9, NOW)
    assert counter.counted(NOW) == 0


def test_requests_further_apart_than_a_slice_are_counted_exactly():
    counter = Rate(rate(60))
    for second in range(60):
        counter.take(1, NOW + second * SECOND)
    assert counter.counted(NOW + 60 * SECOND - 1) == 60
    assert [counter.counted(NOW + (60 + second) * SECOND) for second in range(3)] == [59, 58, 57]


def test_a_rate_keeps_no_more_slices_than_a_period_has():
    counter = Rate(rate(10**9))
    for step in range(5_000):
        counter.counted(NOW + step * 50_000)
        counter.take(1, NOW + step * 50_000)
    assert len(counter._slices) <= SLICES + 2


@pytest.mark.parametrize("back", [SECOND, 59 * SECOND])
def test_a_clock_set_back_a_little_gives_nothing_away(back):
    counter = Rate(rate(10))
    counter.take(7, NOW)
    assert counter.counted(NOW - back) == 7
    counter.take(2, NOW - back)
    assert counter.counted(NOW + MINUTE - 1) == 9


def test_a_clock_set_back_far_leaves_nobody_waiting():
    counter = Rate(rate(10))
    counter.take(7, NOW)
    assert counter.counted(NOW - 2 * MINUTE) == 0


def test_a_budget_is_free_again_in_its_next_window_and_old_requests_do_not_count_there():
    counter = Budget(budget(100, "1m"))
    assert counter.counted(NOW) == 0
    counter.take(70, NOW)
    assert counter.reset(NOW) == counter.wait(70, NOW) == 10 * SECOND
    assert counter.counted(NOW + 10 * SECOND) == 0
    counter.take(5, NOW + 10 * SECOND)
    counter.give(70, NOW)
    counter.add(30, NOW, NOW + 11 * SECOND)
    assert counter.counted(NOW + 11 * SECOND) == 5


def test_a_budget_for_ever_gives_nothing_back():
    counter = Budget(budget(100, None))
    counter.counted(NOW)
    counter.take(70, NOW)
    assert counter.wait(1, NOW) is None
    assert counter.reset(NOW) == 0
    assert counter.counted(NOW + 10**15) == 70


def test_what_the_ledger_knows_raises_a_count_and_never_lowers_it():
    counter = Budget(budget(100))
    counter.counted(NOW)
    counter.take(20, NOW)
    counter.learn(50, counter.start)
    counter.learn(30, counter.start)
    counter.learn(90, counter.start - 3_600 * SECOND)
    assert counter.counted(NOW) == 50


def test_a_budget_is_idle_when_it_counts_nothing_and_nobody_looks_at_it():
    counter = Budget(budget(100, "1d"))
    counter.counted(NOW)
    assert not counter.idle(NOW)
    assert counter.idle(NOW + IDLE + 1)
    counter.take(1, NOW)
    assert not counter.idle(NOW + IDLE + 1)
    assert counter.idle(NOW + 24 * 3_600 * SECOND)


def test_places_come_back_and_a_request_that_is_over_takes_none():
    counter = Parallel(parallel(2))
    counter.take(1, NOW)
    counter.add(1, NOW, NOW)
    assert counter.counted(NOW) == 1
    counter.give(1, NOW)
    assert counter.idle(NOW)


@pytest.mark.parametrize(
    ("rule", "amount", "changes"),
    [(rate(5), 1, False), (rate(5, "tokens"), 7, True), (budget(5), 9, True), (parallel(5), 1, True)],
)
def test_a_rule_asks_for_its_unit(rule, amount, changes):
    assert asked(rule, Amount(7, 9)) == amount
    assert settles(rule) is changes


def test_rules_that_differ_in_their_bound_only_count_together():
    assert identity(rate(5)) == identity(rate(6)) != identity(rate(5, name="other"))


@pytest.mark.parametrize(
    ("waits", "place", "seconds"),
    [
        ([(0, 5 * SECOND)], 0, 5.0),
        ([(0, 5 * SECOND), (2, 9 * SECOND)], 2, 9.0),
        ([(0, None), (2, 9 * SECOND)], 0, None),
        ([(0, 5 * SECOND), (1, None), (2, None)], 1, None),
        ([(1, 5 * SECOND), (2, 5 * SECOND)], 1, 5.0),
    ],
)
def test_the_rule_with_the_longest_wait_refuses(waits, place, seconds):
    standings = tuple(Standing(rate(n), n, 0.0) for n in range(3))
    found = refusal(standings, waits)
    assert (found.standing, found.retry_after, found.standings) == (standings[place], seconds, standings)
