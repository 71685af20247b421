"""The guard `limits`: size, script, and characters that do not show."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.guards import limits
from gateway.guards.base import Context, Text
from gateway.guards.limits_characters import KINDS, RUNS, members
from tests.guards.streams import check_settled, check_stream, growth, spans


def words(text):
    """A count of tokens that is easy to follow."""
    return len(text.split())


def guards(**config):
    return limits.build(limits.LimitsConfig.model_validate(config), words)


def rules(text, **config):
    (guard,) = guards(**config)
    found = asyncio.run(guard.check([Text("prompt[0]", ""), Text("prompt[1]", text)], Context("input")))
    assert {(f.path, f.start, f.end) for f in found} <= {("prompt[1]", 0, 0)}
    return [f.rule for f in found]


(INVISIBLE,) = guards(invisible="redact")
TAGS = "".join(chr(0xE0000 + ord(letter)) for letter in "ignore previous")
ENGLAND = "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in "gbeng") + "\U000e007f"


@pytest.mark.parametrize(
    ("text", "limit", "found"),
    [
        ("abcdef", {"characters": 6}, []),
        ("abcdefg", {"characters": 6}, ["characters"]),
        ("😀😀", {"characters": 2, "lines": 1}, []),
        ("a\nb", {"lines": 2}, []),
        ("a\nb\n", {"lines": 2}, ["lines"]),
        ("one two three", {"tokens": 3}, []),
        ("one two three four", {"tokens": 3}, ["tokens"]),
        ("a\n" * 9, {"characters": 8, "lines": 2, "tokens": 5}, ["characters", "lines", "tokens"]),
    ],
)
def test_a_text_that_is_too_long_is_found_as_a_whole(text, limit, found):
    assert rules(text, **limit) == found


def test_tokens_are_only_counted_where_there_may_be_too_many():
    def never(text):
        raise AssertionError

    (guard,) = limits.build(limits.LimitsConfig(tokens=100), never)
    assert asyncio.run(guard.check([Text("prompt[0]", "a" * 100)], Context("input"))) == []


@pytest.mark.parametrize(
    ("text", "scripts", "found"),
    [
        ("An ordinary sentence, naïve and “quoted”.", ("latin",), []),
        ("Обычное предложение на русском языке.", ("latin",), ["script"]),
        ("Обычное предложение на русском языке.", ("latin", "cyrillic"), []),
        ("The city of Москва has many inhabitants, and they are many indeed.", ("latin",), []),
        ("私は東京へ行きます。とても楽しみです。", ("latin", "cyrillic"), ["script"]),
        ("私は東京へ行きます。とても楽しみです。", ("han", "hiragana"), []),
        ("12345 67890 !?", ("greek",), []),
        ("Just English here", ("greek",), ["script"]),
        ("हिन्दी में एक साधारण वाक्य", ("devanagari",), []),
        ("안녕하세요 여러분 반갑습니다", ("hangul",), []),
    ],
)
def test_a_text_of_another_script_is_found(text, scripts, found):
    assert rules(text, scripts=scripts) == found


def test_the_operator_says_how_much_may_be_of_another_script():
    text = "Half of it is English. Половина по-русски!!"
    assert rules(text, scripts={"allowed": ("latin",), "share": 0.6}) == []
    assert rules(text, scripts={"allowed": ("latin",), "share": 0.3}) == ["script"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("pass\u200bword", [("invisible-zero-width", 4, 5)]),
        ("a\u200b\u2060\ufeffb", [("invisible-zero-width", 1, 4)]),
        ("bell\x07 \x1b[31mred", [("invisible-control", 4, 5), ("invisible-control", 6, 7)]),
        (f"hi{TAGS}", [("invisible-tag", 2, 2 + len(TAGS))]),
        ("x = 1 \u202e// \u2066", [("invisible-bidi", 6, 7), ("invisible-bidi", 10, 11)]),
        ("latin\u200fonly", [("invisible-bidi-mark", 5, 6)]),
        ("a\u200db", [("invisible-joiner", 1, 2)]),
        ("😀\u200d\u200d\u200c", [("invisible-joiner", 1, 4)]),
        ("😀\ufe00\ufe01\ufe02", [("invisible-variation", 1, 4)]),
        ("a\ufe0f", [("invisible-variation", 1, 2)]),
        ("\u3164", [("invisible-filler", 0, 1)]),
        (f"{ENGLAND}{TAGS}", [("invisible-tag", len(ENGLAND), len(ENGLAND) + len(TAGS))]),
    ],
)
def test_characters_that_do_not_show_are_found_by_kind(text, found):
    assert spans(INVISIBLE, text) == found


@pytest.mark.parametrize(
    "text",
    [
        "Tabs\tand\r\nlines\fand non-breaking\xa0spaces",
        "👩\u200d❤\ufe0f\u200d👨 👨🏽\u200d💻 1\ufe0f\u20e3 ☺\ufe0e",
        "می\u200cخواهم",  # noqa: RUF001
        "क\u094d\u200dष",
        "שלום (world)\u200f!",
        f"{ENGLAND} scores",
        "\ufefffrom a file",
        "hy\xadphen",
        "⠃⠗⠁⠊⠇⠇⠑\u2800⠞",
        "葛\U000e0100城",
    ],
)
def test_characters_that_ordinary_writing_has_are_let_pass(text):
    assert spans(INVISIBLE, text) == []


def test_only_the_kinds_that_are_asked_for_are_found():
    (guard,) = guards(invisible={"action": "block", "kinds": ("soft-hyphen",)})
    (finding,) = guard.find("hy\xadphen\u200b", "suffix")
    assert (finding.rule, finding.category, finding.action) == ("invisible-soft-hyphen", "obfuscation", "block")


def test_one_configuration_makes_as_many_guards_as_it_needs():
    assert [type(guard).__name__ for guard in guards(invisible="flag", characters=5)] == [
        "InvisibleGuard",
        "SizesGuard",
    ]
    assert [type(guard).__name__ for guard in guards(scripts=("latin",))] == ["SizesGuard"]
    assert guards(invisible="allow") == ()


@pytest.mark.parametrize(
    "config",
    [{}, {"characters": 0}, {"scripts": ("elvish",)}, {"scripts": ()}, {"invisible": "drop"}, {"words": 3},
     {"scripts": {"allowed": ("latin",), "share": 1.0}}],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(config):
    with pytest.raises(ValidationError):
        guards(**config)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_characters_of_its_own(kind):
    for character in members(kind):
        run = RUNS.fullmatch(character)
        assert run is not None
        assert KINDS[int((run.lastgroup or "")[1:])] == kind


@pytest.mark.parametrize(
    ("text", "held"), [("Ordinary prose. ", 0), ("word", 0), ("a\u200b", 1), ("😀\ufe0f", 1), ("", 0)]
)
def test_only_a_run_that_may_grow_is_held(text, held):
    assert INVISIBLE.settled(text) == len(text) - held


_PIECES = st.sampled_from(
    [*"a1 éشשक😀❤葛⠃", *"\u1100\u1160\u200b\u200d\u200c\u200f\u202e\ufe0f\ufe00\ufeff\x00\u2800",
     "\U000e0067", "\U000e0100",
     ENGLAND, ENGLAND[:4], TAGS, "x" * 31]
)  # fmt: skip
_TEXTS = st.lists(_PIECES, max_size=14).map("".join)


@given(text=_TEXTS, data=st.data())
@settings(max_examples=300, deadline=None)
def test_what_is_settled_stays(text, data):
    check_settled(INVISIBLE, text, data.draw(st.integers(0, len(text))))


@given(text=_TEXTS, cuts=st.lists(st.integers(0, 60), max_size=8))
@settings(max_examples=300, deadline=None)
def test_a_stream_gives_what_the_whole_text_gives(text, cuts):
    check_stream(INVISIBLE, text, cuts)


@pytest.mark.parametrize("piece", ["\u200b", "é", "Some prose, and then\u200d ", "\U000e0041"])
@pytest.mark.slow
def test_a_hostile_text_costs_no_more_per_kilobyte_when_it_is_longer(piece):
    assert growth(INVISIBLE, piece, bound=3) <= 3
