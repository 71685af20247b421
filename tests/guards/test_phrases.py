"""The guard `phrases`: words, globs and expressions, what excuses them, what they need, and the promise of streams."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.guards import expressions, phrases
from tests.guards.streams import check_settled, check_stream, growth, spans


def guard(*rules):
    made = ({"name": f"r{number}", **rule} for number, rule in enumerate(rules))
    return phrases.build(phrases.PhrasesConfig.model_validate({"rules": tuple(made)}))


def parts(made, text):
    """What is found, as text."""
    return [text[start:end] for _, start, end in spans(made, text)]


@pytest.mark.parametrize(
    ("rule", "text", "found"),
    [
        ({"words": ("acme",)}, "Acme beats ACME; acmeville, in_acme and beacme do not count.", ["Acme", "ACME"]),
        ({"words": ("acme",), "match_case": True}, "Acme acme", ["acme"]),
        ({"words": ("acme",), "whole_word": False}, "acmeville", ["acme"]),
        ({"words": ("wile e coyote",)}, "Wile  E\n\tCoyote; wile-e-coyote", ["Wile  E\n\tCoyote"]),
        ({"words": ("straße", "ΣΊΣΥΦΟΣ")}, "STRASSE, Σίσυφος, Straße", ["STRASSE", "Σίσυφος", "Straße"]),
        ({"words": ("c++", "#ad")}, "C++ or c++, not c+; an #ad", ["C++", "c++", "#ad"]),
        ({"words": ("東京",), "whole_word": False}, "私は東京へ行く", ["東京"]),
        ({"globs": ("spy*",)}, "Spyware spies on a spy, spyglasses' and 'jspy'.", ["Spyware", "spy", "spyglasses"]),
        (
            {"globs": ("*ware", "gr?y area")},
            "Hardware, aware: a grey  area, a groovy area",
            ["Hardware", "aware", "grey  area"],
        ),
        ({"globs": ("a.b*",)}, "a.bc axbc", ["a.bc"]),
        ({"globs": ("müll*",)}, "MÜLLEIMER “müllig”", ["MÜLLEIMER", "müllig"]),
        ({"regexes": (r"ticket-\d{4}",)}, "TICKET-1234, ticket-12345, xticket-1234", ["TICKET-1234"]),
        ({"regexes": (r"(?:cat|cats)",)}, "cats cat cat_", ["cats", "cat"]),
        ({"regexes": (r"\d{3}",), "whole_word": False}, "a1234", ["123", "234"]),
        ({"regexes": (r"(?i)no\b.{1,3}way",), "match_case": True}, "NO, WAY", ["NO, WAY"]),
    ],
)
def test_what_is_found(rule, text, found):
    assert parts(guard(rule), text) == found


def test_a_finding_says_what_its_rule_says():
    made = guard({"name": "rivals", "category": "topics", "action": "flag", "score": 0.5, "words": ("acme",)})
    (finding,) = made.find("by acme", "prompt[1]")
    assert (finding.guard, finding.rule, finding.category, finding.action) == ("phrases", "rivals", "topics", "flag")
    assert (finding.path, finding.start, finding.end, finding.score) == ("prompt[1]", 3, 7, 0.5)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Python eats; monty python sings.", ["Python"]),
        ("The Python Software Foundation keeps python.", ["python"]),
        ("python software", ["python"]),
        ("monty pythons", []),
        ("a monty, a python", ["python"]),
    ],
)
def test_an_exception_excuses_the_match_it_stands_around(text, found):
    rule = {"words": ("python",), "except": ("monty python", "python software foundation")}
    assert parts(guard(rule), text) == found


def test_an_exception_excuses_a_pattern_too():
    assert parts(guard({"globs": ("*ware",), "except": ("hardware store",)}), "a hardware store for hardware") == [
        "hardware"
    ]


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("Where can I buy some insulin?", True),
        ("I need a prescription, but no insulin", True),
        ("I buy bread. Insulin is a hormone.", False),
        ("I buy bread! “Really?” Insulin", False),
        ("I buy v2.5 of insulin", True),
        ("I buy bread\n\ninsulin", False),
        ("Insulin is what I buy", False),
        ("I rebuy insulin", False),
        ("buy " + "x " * 250 + "insulin", False),
        ("買う。insulin", False),
    ],
)
def test_a_condition_must_stand_before_the_match_in_its_sentence(text, holds):
    made = guard({"words": ("insulin",), "with": ("buy", "prescription")})
    assert bool(made.find(text, "a")) is holds


def test_a_rule_that_matches_twice_in_one_place_says_so_once():
    assert spans(guard({"words": ("spam",), "globs": ("spam",), "regexes": ("spam",)}), "spam") == [("r0", 0, 4)]


@pytest.mark.parametrize(
    ("rule", "text", "held"),
    [
        ({"words": ("acme", "wile e coyote")}, "we met wile  e", "wile  e"),
        ({"words": ("acme",)}, "the acm", "acm"),
        ({"words": ("acme",)}, "the acme", "acme"),
        ({"words": ("acme",)}, "the acme,", ""),
        ({"words": ("acme",)}, "the macm", ""),
        ({"words": ("acme",)}, "An ordinary sentence ends here. ", ""),
        ({"words": ("acme",), "except": ("acme street",)}, "the acme str", "acme str"),
        ({"words": ("acme",), "except": ("acme street",)}, "the acme is", ""),
        ({"words": ("python",), "except": ("monty python",)}, "by monty", ""),
        ({"words": ("insulin",), "with": ("buy",)}, "buy", ""),
        ({"words": ("insulin",), "with": ("buy",)}, "sell insulin", ""),
        ({"words": ("insulin",), "with": ("buy",)}, "buy insulin", "insulin"),
        ({"regexes": (r"ticket-\d{4}",)}, "a ticket-12", "ticket-12"),
        ({"regexes": (r"ticket-\d{4}",)}, "a ticket", "ticket"),
        ({"regexes": (r"ticket-\d{4}",)}, "a ticket to ride", ""),
        ({"globs": ("spy*",)}, "the spyglass", "spyglass"),
        ({"globs": ("spy*",)}, "the glass", ""),
    ],
)
def test_a_stream_is_held_only_while_a_phrase_may_be_coming(rule, text, held):
    assert guard(rule).settled(text) == len(text) - len(held)


@pytest.mark.parametrize(
    ("regex", "why"),
    [
        (r"a.*b", "write .0,64. instead of"),
        (r"a{3,}", "write .0,64. instead of"),
        (r"^a", "uses \\^ or"),
        (r"(?=a)b", "look-arounds"),
        (r"(a)\1", "escape"),
        (r"a?", "empty text"),
        (r"(a", "has a \\( too many"),
        (r"a)", "has a \\) too many"),
        (r"[b-a]", "RE2's syntax"),
        (r"(?:a{100}){100}", "more than 1000"),
        (r"\Aab", "escape"),
        ("(" * 30 + "a" + ")" * 30, "deep"),
    ],
)
def test_an_expression_that_is_not_bounded_or_not_linear_is_refused(regex, why):
    with pytest.raises(ValueError, match=why):
        expressions.expression(regex, match_case=True)


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"words": ("",)},
        {"words": (" ",)},
        {"words": ("a" * 201,)},
        {"globs": ("*",)},
        {"regexes": ("a*",)},
        {"words": ("a",), "action": "drop"},
        {"words": ("a",), "name": "has space"},
        {"words": ("a",), "unless": ("b",)},
    ],
)
def test_a_rule_that_means_nothing_is_refused(rule):
    with pytest.raises(ValidationError):
        guard(rule)


def test_two_rules_of_one_name_are_refused():
    with pytest.raises(ValidationError, match="two rules called a"):
        guard({"name": "a", "words": ("x",)}, {"name": "a", "words": ("y",)})


def test_a_lone_surrogate_is_no_letter():
    assert parts(guard({"words": ("acme",), "globs": ("spy*",)}), "\ud800acme\udc00 spy\udfff") == ["acme", "spy"]


def test_the_guard_shows_no_phrase():
    assert "acme" not in repr(guard({"words": ("acme",), "globs": ("acme*",), "regexes": ("acme",)}))


EVERYTHING = guard(
    {"words": ("acme", "wile e coyote", "straße", "c++"), "except": ("acme street", "the acme")},
    {"words": ("aa aa", "Ab"), "match_case": True},
    {"words": ("aab", "ba"), "whole_word": False, "except": ("aaba",)},
    {"globs": ("spy*", "*-a", "a b?"), "except": ("spy glass",)},
    {"regexes": (r"aa aa", r"[ab]{1,4}-\d{1,3}", r"b(?: a){1,3}\b")},
    {"regexes": (r"a[ab ]{2,5}b",), "whole_word": False},
    {"words": ("b",), "globs": ("*sse",), "with": ("a", "acme")},
)
_PIECES = st.sampled_from(
    ["a", "b", "aa", "ab", " ", "  ", "\n", "\n\n", ". ", "-", "1", "acme", "the ", " street", "wile ", "e", " coyote",
     "ß", "SS", "stra", "sse", "spy", " glass", "c+", "+", "İ", "é", "A", "\ud83d", "😀", "。"]
)  # fmt: skip
_TEXTS = st.lists(_PIECES, max_size=14).map("".join)


@given(text=_TEXTS, data=st.data())
@settings(max_examples=400, deadline=None)
def test_what_is_settled_stays(text, data):
    check_settled(EVERYTHING, text, data.draw(st.integers(0, len(text))))


@given(text=_TEXTS, cuts=st.lists(st.integers(0, 40), max_size=8))
@settings(max_examples=300, deadline=None)
def test_a_stream_gives_what_the_whole_text_gives(text, cuts):
    check_stream(EVERYTHING, text, cuts)


@pytest.mark.parametrize("piece", ["a", "straß", "b is what acme and the spies sell. "])
@pytest.mark.slow
def test_a_hostile_text_costs_no_more_per_kilobyte_when_it_is_longer(piece):
    assert growth(guard({"words": ("acme",), "globs": ("spy*",), "with": ("acme", "b")}), piece, bound=3) <= 3
