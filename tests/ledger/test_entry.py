"""A record as a line, as a row, and back."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger import entry
from gateway.usage import Decision, UsageRecord
from gateway.wire import json
from tests.ledger.records import ONE, any_record, made


def read_back(record: UsageRecord) -> UsageRecord:
    return entry.record(entry.row(entry.line(record)))


@given(any_record)
def test_what_is_written_is_read_back(record):
    kept = UsageRecord(*map(_without_nul, record))
    assert read_back(record) == kept


def _without_nul(value):
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, Decision):
        return replace(value, policy=_without_nul(value.policy))
    return tuple(map(_without_nul, value)) if isinstance(value, tuple) else value


def test_everything_but_texts_is_kept():
    assert set(entry.COLUMNS) == set(UsageRecord._fields) - {"inputs", "outputs"}
    line = entry.line(ONE._replace(inputs="a guarded prompt", outputs="a guarded answer"))
    assert b"guarded" not in line


def test_a_record_is_one_line():
    line = entry.line(made(end_user="two\nlines", tags=("a\nb",)))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1


def test_text_that_is_not_unicode_is_written_down_all_the_same():
    record = made(
        end_user="a\ud800b", tags=("\udfff",), decisions=(Decision("\ud800", 1, "input", "allow", True, "ok", 0),)
    )
    back = read_back(record)
    assert (back.end_user, back.tags, back.decisions[0].policy) == ("a?b", ("?",), "?")


def test_no_nul_gets_into_a_database_and_a_backslash_stays_one():
    assert read_back(made(end_user="a\0b", session="\\u0000")).end_user == "a\ufffdb"
    assert read_back(made(end_user="a\0b", session="\\u0000")).session == "\\u0000"


@pytest.mark.parametrize(
    ("cost", "kept"),
    [
        ("0.0000000375", "0.0000000375"),
        ("0.000000000001", "0.000000000001"),
        ("0.0000000000005", "0"),  # half to even
        ("0.0000000000015", "0.000000000002"),
        ("99999.999999999999", "99999.999999999999"),
        ("1e30", "100000"),
        ("-1e30", "-100000"),
        ("NaN", None),
        ("Infinity", None),
    ],
)
def test_amounts_are_kept_to_the_picodollar(cost, kept):
    assert read_back(made(cost=Decimal(cost))).cost == (None if kept is None else Decimal(kept))


def test_an_absurd_number_of_tokens_is_bounded():
    assert read_back(made(input_tokens=10**30, output_tokens=2**64)).input_tokens == entry.MOST_TOKENS


@given(st.text(min_size=513, max_size=600), st.text(min_size=513, max_size=600))
def test_over_long_names_fit_an_index_and_stay_apart(one, other):
    kept = entry.name(one), entry.name(other)
    assert max(map(len, kept)) == entry.LONGEST_NAME
    assert (kept[0] == kept[1]) == (one == other)
    assert entry.name(kept[0]) == kept[0]


@pytest.mark.parametrize("value", [{}, 2**63, [1], True])
@pytest.mark.parametrize("column", ["at", "request_id", "status", "end_user", "output_tokens", "cost", "tags"])
def test_a_line_with_a_wrong_value_is_damaged(column, value):
    values = {**json.loads(entry.line(ONE)), column: value}
    assert entry.lines([json.dumps(values), entry.line(ONE)])[1] == 1


@pytest.mark.parametrize("column", ["at", "request_id", "output_tokens", "decisions"])
def test_a_line_without_a_value_is_damaged(column):
    values = json.loads(entry.line(ONE))
    del values[column]
    assert entry.lines([json.dumps(values)]) == ([], 1)


@given(st.binary())
def test_any_bytes_are_a_row_or_damaged(text):
    rows, damaged = entry.lines([text, entry.line(ONE)])
    assert (len(rows), damaged) == (1, 1)


@given(any_record, st.data())
def test_a_line_without_its_end_is_damaged(record, data):
    line = entry.line(record)
    cut = data.draw(st.integers(0, len(line) - 2))
    assert entry.lines([line[:cut]]) == ([], 1)


def test_a_line_of_an_older_version_is_read_with_what_it_did_not_know_at_none():
    values = json.loads(entry.line(made(resumed=2)))
    assert entry.record(entry.row(json.dumps(values))).resumed == 2
    del values["resumed"]
    assert entry.record(entry.row(json.dumps(values))).resumed == 0
