"""Sums by day."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger import entry, tally
from tests.ledger.records import DAY, NOON, any_record, made


def rows(*records):
    return [entry.row(entry.line(record)) for record in records]


@given(st.lists(any_record, max_size=20), st.integers(0, 20))
def test_sums_do_not_depend_on_how_rows_are_cut_into_batches(records, cut):
    parts = Counter()
    for batch in (records[:cut], records[cut:]):
        for key, amounts in tally.tallies(rows(*batch)).items():
            parts.update({(key, name): int(amount) for name, amount in zip(tally.SUMS, amounts, strict=True)})
    whole = tally.tallies(rows(*records))
    assert {
        (key, name): int(a) for key, line in whole.items() for name, a in zip(tally.SUMS, line, strict=True)
    } == parts


@given(st.lists(any_record, max_size=20))
def test_every_dimension_but_tags_and_ids_adds_up_to_all(records):
    found = tally.tallies(rows(*records))
    sums = {}
    for (dimension, _, day), amounts in found.items():
        before = sums.get((dimension, day), [0] * len(amounts))
        sums[dimension, day] = [a + b for a, b in zip(before, amounts, strict=True)]
    for (dimension, day), amounts in sums.items():
        if dimension not in ("tag", tally.KEY_ID):
            assert amounts == sums[tally.ALL, day]


def test_lines_come_in_one_order():
    keys = list(tally.tallies(rows(made(1, end_user="b"), made(2, end_user="a"), made(3, at=NOON - DAY))))
    assert keys == sorted(keys)


def test_a_tag_given_twice_counts_once():
    found = tally.tallies(rows(made(tags=("a", "a", "b"))))
    assert [(key[1], amounts[0]) for key, amounts in found.items() if key[0] == "tag"] == [("a", 1), ("b", 1)]


def test_a_model_nobody_serves_is_counted_under_no_name():
    found = tally.tallies(rows(made(model="made up", error_type="model_not_found", outcome="error")))
    assert [key[1] for key in found if key[0] == "model"] == [""]


def test_days_are_utc():
    assert str(tally.day(20_000 * DAY)) == "2024-10-04"
    assert str(tally.day(20_000 * DAY - 1)) == "2024-10-03"


def test_what_cost_nothing_is_not_unpriced_unless_it_used_tokens():
    blocked = made(1, input_tokens=None, output_tokens=0, cost=None, outcome="blocked")
    unpriced = made(2, cost=None)
    amounts = dict(zip(tally.SUMS, tally.tallies(rows(blocked, unpriced))[tally.ALL, "", tally.day(NOON)], strict=True))
    assert (amounts["requests"], amounts["blocked"], amounts["unpriced"]) == (2, 1, 1)


def test_keys_are_counted_by_alias_and_by_id():
    found = tally.tallies(rows(made(1, key_id="key_1"), made(2, key_id="key_2"), made(3, key_id=None)))
    assert [(key[:2], amounts[0]) for key, amounts in found.items() if key[0].startswith("key")] == [
        (("key", "team"), 3),
        (("key_id", "key_1"), 1),
        (("key_id", "key_2"), 1),
    ]
