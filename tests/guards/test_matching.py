"""For whom a policy is: globs, conditions, samples."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.guards.base import Context
from gateway.guards.conditions import ConditionError, compiled
from gateway.guards.document import Match
from gateway.guards.matching import draw, matcher, matches
from gateway.principal import fits

CONTEXT = Context("output", "groq/llama-3", "ann@corp", "team-a", ("beta", "eu"), "r1")
NOBODY = Context("output", "gpt-4")


@pytest.mark.parametrize(
    ("glob", "value", "expected"),
    [
        ("*", "", True),
        ("*", "anything\nat all", True),
        ("gpt-4", "gpt-4", True),
        ("gpt-4", "gpt-4o", False),
        ("gpt-4", "GPT-4", False),
        ("gpt-*", "gpt-", True),
        ("groq/*", "groq/llama-3", True),
        ("*-instruct", "gpt-3.5-turbo-instruct", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*a", "aba", True),
        ("a*bb*a", "abba", True),
        ("a*bb*ba", "abba", False),
        ("**a**", "xax", True),
        ("a?c", "abc", False),
        ("a[b]c", "a[b]c", True),
        ("a[b]c", "abc", False),
        ("", "", True),
    ],
)
def test_a_star_is_the_only_special_character_of_a_glob(glob, value, expected):
    assert fits(glob, value) is expected


@settings(max_examples=500)
@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_globs_agree_with_a_pattern_that_backtracks(glob, value):
    pattern = re.compile(".*".join(map(re.escape, glob.split("*"))), re.DOTALL)
    assert fits(glob, value) is bool(pattern.fullmatch(value))


def test_a_hostile_name_does_not_make_a_glob_slow():
    assert not fits("*a" * 50 + "*b", "a" * 1_000_000)


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({}, True),
        ({"models": ("groq/*",)}, True),
        ({"models": ("gpt-*",)}, False),
        ({"models": ("gpt-*", "groq/*")}, True),
        ({"end_users": ("*@corp",)}, True),
        ({"end_users": ("*@corp",), "keys": ("team-b",)}, False),
        ({"tags": ("eu",)}, True),
        ({"tags": ("us", "b*")}, True),
        ({"tags": ("us",)}, False),
        ({"models": (), "end_users": (), "keys": (), "tags": ()}, True),
    ],
)
def test_all_four_lists_must_hold_and_one_glob_of_each_is_enough(match, expected):
    assert matches(Match(**match), CONTEXT) is expected


@pytest.mark.parametrize("field", ["end_users", "keys", "tags"])
def test_only_a_star_holds_for_what_a_request_does_not_have(field):
    assert matches(Match(**{field: ("*",)}), NOBODY)
    assert not matches(Match(**{field: ("a*", "**x")}), NOBODY)


def test_the_condition_is_asked_last_and_its_failure_is_an_error():
    assert matcher(Match(), None)(NOBODY)
    assert matcher(Match(), compiled('request.model == "gpt-4"'))(NOBODY)
    assert not matcher(Match(), compiled('request.model != "gpt-4"'))(NOBODY)
    broken = compiled("request.max_tokens / 0 == 1")
    assert not matcher(Match(models=("other",)), broken)(NOBODY)
    with pytest.raises(ConditionError):
        matcher(Match(), broken)(NOBODY)


def test_a_sample_is_the_same_every_time_and_about_as_large_as_asked():
    drawn = [draw("p", f"req_{n:05}") for n in range(4_000)]
    assert drawn == [draw("p", f"req_{n:05}") for n in range(4_000)]
    assert all(0 <= each < 1 for each in drawn)
    assert 1_080 <= sum(each < 0.3 for each in drawn) <= 1_320  # 1,200 and four standard deviations


def test_policies_draw_apart_and_a_salt_makes_the_draw_a_secret():
    assert len({draw("p", "r"), draw("q", "r"), draw("p", "s"), draw("p", "r", b"salt")}) == 4
