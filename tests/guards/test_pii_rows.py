"""Of matches that overlap, which ones count."""

from gateway.guards.pii.rows import CONTEXT, LONGEST, ROW, Hit, Span, picked, under_way


def every(span: Span) -> Hit:
    return (*span, 1.0)


def spans(count: int, step: int = 5, length: int = 19, start: int = 0) -> list[Span]:
    return [(start + step * index, start + step * index + length) for index in range(count)]


def test_matches_that_do_not_overlap_all_count() -> None:
    assert picked([(0, 5), (5, 9), (12, 15)], every) == [(0, 5, 1.0), (5, 9, 1.0), (12, 15, 1.0)]


def test_of_a_few_that_overlap_those_count_that_a_search_from_left_to_right_finds() -> None:
    assert picked(spans(6), every) == [(0, 19, 1.0), (20, 39, 1.0)]


def test_a_spoilt_match_hides_what_overlaps_it_as_in_presidio() -> None:
    assert picked(spans(3), lambda span: every(span) if span[0] == 5 else None) == []


def test_in_a_row_only_the_sure_ones_hide_what_overlaps_them() -> None:
    assert picked(spans(20), lambda span: every(span) if span[0] in (10, 50, 55) else None) == [
        (10, 29, 1.0), (50, 69, 1.0),
    ]  # fmt: skip


def test_in_a_row_of_sure_ones_each_counts_up_to_the_next() -> None:
    assert picked(spans(20), every)[:2] == [(0, 5, 1.0), (5, 10, 1.0)]
    assert picked(spans(20), every)[-1] == (95, 114, 1.0)


def test_what_remains_of_a_match_counts_too() -> None:
    assert picked([(0, 9), (4, 15)], every, lambda span, done: (done, span[1])) == [(0, 9, 1.0), (9, 15, 1.0)]


def test_a_long_match_stands_for_itself() -> None:
    assert picked([(0, LONGEST + 20), (80, 100)], every) == [(0, 80, 1.0), (80, 100, 1.0)]


def test_what_a_row_is_does_not_hang_on_where_it_begins() -> None:
    for row in (spans(200), spans(400, 1, 40), spans(60, 17, 18), spans(90, 7, LONGEST)):
        whole = picked(row, every)
        for start, _ in row[::3]:
            later = picked([span for span in row if span[0] >= start - CONTEXT], every)
            assert [hit for hit in later if hit[0] >= start] == [hit for hit in whole if hit[0] >= start]


def test_where_something_is_under_way_what_overlaps_it_is_held() -> None:
    assert under_way(spans(3), every, 40) == 40
    assert under_way(spans(3), every, 12) == 0
    assert under_way(spans(40), lambda span: None, 150) == 150
    assert under_way(spans(40), every, 152) == 150


def test_a_row_fits_into_what_is_looked_back_at() -> None:
    assert ROW + LONGEST < CONTEXT
