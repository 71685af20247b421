"""What `settled` promises, at every cut of texts with planted values, and what it does not hold."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.guards.base import Finding
from gateway.guards.pii.custom import CustomConfig
from gateway.guards.pii.guard import PiiConfig, PiiGuard, build
from tests.guards import pii_texts

OWN = (
    CustomConfig(name="EMPLOYEE_ID", regex=r"EMP-\d{4,6}", score=1.0),
    CustomConfig(name="CODE", regex=r"(?i)xk[a-f0-9]{3,9}"),
    CustomConfig(name="TICKET", regex=r"\b[A-Z]{2,4}[0-9]{3}\b", context=("ticket",), threshold=0.6),
)
GUARD = build(PiiConfig(custom=OWN))
assert isinstance(GUARD, PiiGuard)
CONTEXT = GUARD.shortest_context()


def held_to_its_word(text: str, cuts: list[int]) -> None:
    """Checks the contract of `SpanGuard.settled` and `shortest_context` at each cut of `text`."""
    whole = GUARD.find(text, "")
    for cut in cuts:
        begun = text[:cut]
        index = GUARD.settled(begun)
        assert 0 <= index <= cut
        before = [one for one in GUARD.find(begun, "") if one.start < index]
        assert before == [one for one in whole if one.start < index]
        assert all(one.end <= index for one in before)
        window = max(0, index - CONTEXT)
        after = [shifted(one, window) for one in GUARD.find(text[window:], "")]
        assert [one for one in after if one.start >= index] == [one for one in whole if one.start >= index]


def shifted(one: Finding, by: int) -> Finding:
    return Finding(one.guard, one.rule, one.category, one.action, one.path, one.start + by, one.end + by, one.score)


def planted(seed: str) -> str:
    return pii_texts.text(random.Random(seed))[:400]  # noqa: S311


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 1 << 40), st.lists(st.integers(0, 400), min_size=8, max_size=8))
def test_nothing_settled_changes_whatever_follows(seed: int, cuts: list[int]) -> None:
    text = planted(str(seed))
    held_to_its_word(text, [min(cut, len(text)) for cut in cuts])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(st.sampled_from("ab1930 .-:/@+(xX,E\u200b\uff11\u00e9MP[]ext#\n"), max_size=60))
def test_nothing_settled_changes_in_texts_of_few_characters(text: str) -> None:
    held_to_its_word(text, list(range(len(text) + 1)))


@pytest.mark.parametrize("value", pii_texts.VALUES)
def test_no_part_of_a_planted_value_is_settled_before_its_end(value: str) -> None:
    text = f"Account and SSN, passport: {value}, thanks EMP-12345 and ticket AB123."
    held_to_its_word(text, list(range(len(text) + 1)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_nothing_settled_changes_in_many_texts(seed: int) -> None:
    for index in range(150):
        text = planted(f"slow {seed}/{index}")
        held_to_its_word(text, list(range(len(text) + 1)))


@pytest.mark.parametrize(
    "prose",
    ["The quick brown fox ", "Hello, ", "He said so; ", "(as ever) ", "In 1999 the ", "Wait, what? ", "one - two "],
)
def test_prose_that_ends_in_a_space_is_not_held(prose: str) -> None:
    assert GUARD.settled(prose) == len(prose)


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("Call 212-555-", "212-555-"),
        ("Write to bob@corp.exa", "bob@corp.exa"),
        ("The card 4111 1111 ", "4111 1111 "),
        ("It is fine, ok", "ok"),
        ("IBAN DE89 3704 ", "DE89 3704 "),
        ("at 10.0.0.", "10.0.0."),
        ("EMP-1", "EMP-1"),
        ("b\u200bob", "b\u200bob"),
    ],
)
def test_only_what_may_become_a_finding_is_held(text: str, held: str) -> None:
    assert text[GUARD.settled(text) :] == held
