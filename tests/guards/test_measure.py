"""Counting how well findings agree with labels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.guards.base import Action, Finding
from gateway.guards.measure import Quality, Span, exact, half, measured, overlaps, percentile, spans_of, total

LABELS: list[Span] = [("NAME", 0, 10), ("NAME", 20, 30), ("MAIL", 40, 60)]


@pytest.mark.parametrize(
    ("agrees", "found", "expected"),
    [
        (overlaps, [("NAME", 9, 12)], Quality(2, 1, 1, 1)),
        (overlaps, [("NAME", 10, 20)], Quality(2, 1, 0, 0)),
        (overlaps, [("NAME", 5, 25)], Quality(2, 1, 2, 1)),
        (overlaps, [("NAME", 0, 4), ("NAME", 6, 10)], Quality(2, 2, 1, 2)),
        (overlaps, [("MAIL", 0, 10)], Quality(2, 0, 0, 0)),
        (exact, [("NAME", 0, 10), ("NAME", 20, 29)], Quality(2, 2, 1, 1)),
        (half, [("NAME", 0, 5), ("NAME", 26, 31)], Quality(2, 2, 1, 2)),
        (half, [("NAME", 0, 2), ("NAME", 7, 10)], Quality(2, 2, 1, 2)),
    ],
)
def test_a_finding_agrees_with_a_label_of_its_entity(agrees, found, expected):
    assert measured([(LABELS, found)], agrees)["NAME"] == expected


def test_precision_recall_and_f2_are_those_of_the_definitions():
    quality = Quality(labelled=10, found=8, hit=5, right=6)
    assert (quality.precision, quality.recall) == (0.75, 0.5)
    assert quality.f2 == pytest.approx(5 * 0.75 * 0.5 / (4 * 0.75 + 0.5))


@pytest.mark.parametrize(
    ("quality", "expected"),
    [
        (Quality(), (None, None, None)),
        (Quality(labelled=3), (None, 0.0, 0.0)),
        (Quality(found=3), (0.0, None, None)),
        (Quality(3, 3, 0, 0), (0.0, 0.0, 0.0)),
        (Quality(3, 3, 3, 3), (1.0, 1.0, 1.0)),
    ],
)
def test_a_share_of_nothing_is_not_a_number(quality, expected):
    assert (quality.precision, quality.recall, quality.f2) == expected


def test_the_total_leaves_out_entities_that_the_data_never_labels():
    counts = measured([(LABELS, [("MAIL", 40, 60), ("PHONE", 0, 5)]), ([], [("NAME", 0, 1)])])
    assert list(counts) == ["MAIL", "NAME", "PHONE"]
    assert total(counts) == Quality(labelled=3, found=2, hit=1, right=1)


def finding(rule: str, category: str, start: int = 0, end: int = 0, action: Action = "mask") -> Finding:
    return Finding("guard", rule, category, action, "prompt[0]", start, end)


def test_findings_go_by_the_names_of_the_data():
    findings = [
        finding("EMAIL_ADDRESS", "pii", 3, 9),
        finding("EMAIL_ADDRESS", "pii", 3, 9),
        finding("aws-access-key", "secrets", 10, 20),
        finding("role-override", "prompt_injection"),
        finding("URL", "pii", 5, 6, "allow"),
    ]
    assert spans_of(findings, {"EMAIL_ADDRESS", "pii", "secrets"}, 50) == [
        ("EMAIL_ADDRESS", 3, 9),
        ("secrets", 10, 20),
        ("role-override", 0, 50),
    ]


spans = st.lists(
    st.tuples(st.sampled_from("AB"), st.integers(0, 20), st.integers(1, 5)).map(lambda s: (s[0], s[1], s[1] + s[2]))
)
rows = st.lists(st.tuples(spans, spans), max_size=4)


@given(rows)
def test_what_agrees_exactly_agrees_by_half_and_overlaps(rows):
    by_rule = [measured(rows, agrees) for agrees in (exact, half, overlaps)]
    for entity in by_rule[0]:
        strict, middle, loose = (counts[entity] for counts in by_rule)
        assert strict.hit <= middle.hit <= loose.hit <= strict.labelled
        assert strict.right <= middle.right <= loose.right <= strict.found


@given(rows)
def test_labels_and_findings_changing_places_change_precision_and_recall(rows):
    there, back = measured(rows), measured([(found, labels) for labels, found in rows])
    assert there.keys() == back.keys()
    for entity, quality in there.items():
        assert (quality.precision, quality.recall) == (back[entity].recall, back[entity].precision)


@given(st.lists(st.floats(0, 10), min_size=1).map(sorted), st.floats(0, 1))
def test_a_percentile_is_one_of_the_values(ordered, share):
    assert percentile(ordered, share) in ordered
    assert percentile([], share) == 0.0
