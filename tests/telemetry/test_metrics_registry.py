"""Numbers in plain arrays: what is recorded is what is read."""

import sys
from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from math import fsum, inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.instruments import Instrument, Kind
from gateway.telemetry.registry import MAX_SERIES, OTHER, SEGMENT, Registry
from tests.telemetry.metrics_kit import counts, series

COUNTER = Instrument("c", Kind.COUNTER, "{x}", "", ("a",))
GAUGE = Instrument("g", Kind.GAUGE, "{x}", "", ("a",))
HISTOGRAM = Instrument("h", Kind.HISTOGRAM, "s", "", ("a", "b"), (0.1, 1.0, 10.0))


def registry() -> Registry:
    return Registry([COUNTER, GAUGE, HISTOGRAM])


@given(st.lists(st.floats(min_value=0, max_value=1e6, allow_nan=False)))
def test_every_value_is_in_the_one_bucket_whose_bound_it_does_not_pass(values):
    made = registry()
    for value in values:
        made.distributions("h").at(("x", "")).record(value)
    found = series(made.own(), "h").get(("x", ""), (0, 0, 0, 0, 0))
    assert list(found[:-1]) == [
        sum(bisect_left(HISTOGRAM.bounds, value) == bucket for value in values) for bucket in range(4)
    ]
    assert found[-1] == pytest.approx(fsum(values))


def test_a_bound_is_inclusive():
    made = registry()
    made.distributions("h").at(("", "")).record(1.0)
    assert series(made.own(), "h")["", ""] == (0, 1, 0, 0, 1.0)


@pytest.mark.parametrize("nonsense", [-1e-9, nan, inf, -inf])
def test_what_would_spoil_a_sum_is_left_out(nonsense):
    made = registry()
    made.distributions("h").at(("", "")).record(nonsense)
    assert series(made.own(), "h")["", ""] == (0, 0, 0, 0, 0)


def test_series_beyond_the_bound_are_counted_as_one():
    made = registry()
    for number in range(MAX_SERIES + 50):
        made.numbers("c").at((str(number),)).add()
    found = counts(made.own(), "c")
    assert len(found) == MAX_SERIES + 1
    assert found[OTHER,] == 50


def test_series_spread_over_as_many_arrays_as_they_need():
    made = registry()
    wanted = SEGMENT // HISTOGRAM.width + 10
    for number in range(wanted):
        made.distributions("h").at((str(number), "")).record(number)
    found = series(made.own(), "h")
    assert {labels: values[-1] for labels, values in found.items()} == {(str(n), ""): n for n in range(wanted)}


def test_a_series_with_other_labels_than_its_instrument_is_refused():
    with pytest.raises(ValueError, match=r"c has the labels \('a',\), not 2"):
        registry().numbers("c").at(("x", "y"))


def test_several_threads_lose_nothing():
    made = registry()

    def count(name: str) -> None:
        for number in range(2000):
            made.numbers("c").at((str(number % 50),)).add()
            made.distributions("h").at((name, "")).record(1.0)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(count, "aabbccdd"))
    finally:
        sys.setswitchinterval(before)
    assert set(counts(made.own(), "c").values()) == {8 * 2000 / 50}
    assert counts(made.own(), "h") == {(name, ""): 4000 for name in "abcd"}


def test_what_is_watched_is_read_when_somebody_looks():
    made, depth = registry(), {("spans",): 3.0}
    made.watch("g", lambda: depth)
    assert counts(made.own(), "g") == {("spans",): 3}
    depth = {("records",): 1.0}
    assert counts(made.own(), "g") == {("spans",): 0, ("records",): 1}


def test_several_may_tell_of_one_counter():
    made = registry()
    made.watch("c", lambda: {("spans",): 2.0})
    made.watch("c", lambda: {("metrics",): 5.0})
    assert counts(made.everyone(), "c") == {("spans",): 2, ("metrics",): 5}


def test_a_snapshot_is_in_the_order_of_the_table_and_of_the_labels():
    made = registry()
    for label in "zax":
        made.distributions("h").at((label, "")).record(1)
        made.numbers("c").at((label,)).add()
    snapshot = made.own()
    assert [points.instrument.name for points in snapshot.points] == ["c", "h"]
    assert [labels[0] for labels in snapshot.points[0].series] == ["a", "x", "z"]
    assert snapshot.start < snapshot.time


def test_the_repr_counts_series():
    made = registry()
    made.numbers("c").at(("x",)).add()
    assert repr(made) == "<Registry 3 instruments, 1 series in <Private>>"
