"""Lengths, and the windows of budgets: aligned in UTC, one after the other, without a gap."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.periods import DAY, FOREVER, SECOND, length, window

PERIODS = st.builds(lambda n, unit: f"{n}{unit}", st.integers(1, 400), st.sampled_from(["s", "m", "h", "d", "w", "mo"]))
TIMES = st.integers(0, int(datetime(2200, 1, 1, tzinfo=UTC).timestamp()) * SECOND)


def at(text: str) -> int:
    """A time of the calendar, in microseconds."""
    return int(datetime.fromisoformat(text + "+00:00").timestamp()) * SECOND


@pytest.mark.parametrize(
    ("period", "now", "start", "end"),
    [
        ("30s", "2026-03-01T10:00:59", "2026-03-01T10:00:30", "2026-03-01T10:01:00"),
        ("1m", "2026-03-01T10:00:00", "2026-03-01T10:00:00", "2026-03-01T10:01:00"),
        ("1h", "2026-03-01T10:59:59", "2026-03-01T10:00:00", "2026-03-01T11:00:00"),
        ("1d", "2026-12-31T23:59:59", "2026-12-31T00:00:00", "2027-01-01T00:00:00"),
        ("1w", "2026-03-01T12:00:00", "2026-02-23T00:00:00", "2026-03-02T00:00:00"),
        ("1w", "2026-03-02T00:00:00", "2026-03-02T00:00:00", "2026-03-09T00:00:00"),
        ("1mo", "2028-02-29T12:00:00", "2028-02-01T00:00:00", "2028-03-01T00:00:00"),
        ("3mo", "2026-05-15T00:00:00", "2026-04-01T00:00:00", "2026-07-01T00:00:00"),
        ("12mo", "2026-05-15T00:00:00", "2026-01-01T00:00:00", "2027-01-01T00:00:00"),
    ],
)
def test_a_window_is_the_calendars(period, now, start, end):
    assert window(period, at(now)) == (at(start), at(end))


def test_a_budget_for_ever_has_one_window():
    assert window(None, at("2026-03-01T10:00:00")) == (0, FOREVER)


@given(PERIODS, TIMES)
def test_every_time_is_in_its_window_and_the_next_begins_where_it_ends(period, now):
    start, end = window(period, now)
    assert start <= now < end
    assert window(period, start) == (start, end)
    assert window(period, end - 1) == (start, end)
    assert window(period, end)[0] == end


@pytest.mark.parametrize("period", ["99999999999999d", "99999999999999mo"])
def test_a_window_longer_than_time_ends_with_it(period):
    start, end = window(period, at("2026-03-01T10:00:00"))
    assert (start, end) == (0, FOREVER)


@pytest.mark.parametrize(("period", "seconds"), [("1s", 1), ("15m", 900), ("2h", 7_200), ("1w", 604_800)])
def test_a_length_is_in_microseconds(period, seconds):
    assert length(period) == seconds * SECOND


def test_a_month_that_slides_has_thirty_days():
    assert length("2mo") == 60 * DAY


@pytest.mark.parametrize("period", ["", "m", "0m", "01m", "1", "1y", "-1d", "1.5h", "1 d", "1om", "²m"])
def test_what_is_no_length_is_refused(period):
    with pytest.raises(ValueError, match="is not a period"):
        length(period)
