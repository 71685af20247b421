"""JSON that comes as text in pieces: its strings are found at any cut, and put together again it is what it was."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import jsontext
from gateway.wire.jsontext import Part, Reader, whole

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def strings(value: object) -> list[str]:
    """Every string of a value, keys too, in the order they are written."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, inner in value.items() for text in (key, *strings(inner))]
    return [text for inner in value for text in strings(inner)] if isinstance(value, list) else []


def pieces(text: str, cuts: list[int]) -> list[str]:
    places = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    return [text[a:b] for a, b in pairwise(places)]


def read(text: str, cuts: list[int]) -> list[Part]:
    reader = Reader()
    return [part for piece in pieces(text, cuts) for part in reader.feed(piece)] + reader.close()


def texts(parts: list[Part]) -> list[tuple[str, str]]:
    """The texts that the parts make, each with its kind."""
    found: list[tuple[str, str]] = []
    open_: str | None = None
    for part in parts:
        if part.kind == "signs":
            continue
        text = (open_ or "") + part.text
        if part.kind == "number" or part.ends:
            found.append((part.kind, text))
            open_ = None
        else:
            open_ = text
    return [*found, ("loose", open_)] if open_ is not None else found


@given(values, st.booleans(), st.sampled_from([None, 1]), st.lists(st.integers(0, 120), max_size=30))
def test_every_string_of_json_is_found_at_any_cut(value, ascii_, indent, cuts):
    text = json.dumps(value, ensure_ascii=ascii_, indent=indent)
    parts = read(text, cuts)
    assert "".join(part.raw for part in parts) == text
    assert [one for kind, one in texts(parts) if kind == "string"] == strings(value)
    assert not [part for part in parts if part.kind == "loose"]


@given(
    st.text(st.sampled_from('ab"\\{}[]:, 1e-.u0d8true\n\u00e9'), max_size=40), st.lists(st.integers(0, 40), max_size=40)
)
def test_of_any_text_nothing_is_lost_and_no_cut_matters(text, cuts):
    parts = read(text, cuts)
    assert "".join(part.raw for part in parts) == text
    assert texts(parts) == texts(whole(text))
    told = "".join(part.raw for part in parts if part.kind != "signs")
    assert set(text) - set('"{}[]:, \ntruefalsn') <= set(told)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"a\\u00e9b"', [("string", "aéb")]),
        ('"\\ud83e\\udd9c"', [("string", "🦜")]),
        ('"\\ud83e x"', [("string", "\ufffd x")]),
        ('"\\q \\u12"', [("string", "\\q \\u12")]),
        ('{"a": 41111, "b": 1}', [("string", "a"), ("number", "41111"), ("string", "b"), ("number", "1")]),
        ('["b", tru]', [("string", "b"), ("loose", "tru]")]),
        ("mail bob", [("loose", "mail bob")]),
        ("{'a': 'b'}", [("loose", "'a': 'b'}")]),
        ('"never closed', [("string", "never closed")]),
        ("1.5e3 -0 01", [("number", "1.5e3"), ("number", "-0"), ("loose", "01")]),
        ("", []),
    ],
)  # fmt: skip
def test_what_is_a_text(text, expected):
    assert texts(whole(text)) == expected


def test_a_text_is_escaped_as_json_wants_it():
    assert jsontext.escaped('a "b"\\\n é') == 'a \\"b\\"\\\\\\n é'
