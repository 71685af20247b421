"""YAML as it is written in configurations, and everything about it that must not be believed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import document
from gateway.config.document import parse, scalar


def faults(text):
    return [(line, message) for line, _, message in parse(text).faults]


def test_every_value_has_its_line_merged_ones_too():
    read = parse("base: &b\n  t: 1\n  u: 2\nx:\n  - <<: *b\n    t: 3\n")
    assert read.value == {"base": {"t": 1, "u": 2}, "x": ({"t": 3, "u": 2},)}
    assert [read.lines[path] for path in (("base",), ("x",), ("x", 0, "t"), ("x", 0, "u"))] == [1, 4, 6, 3]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-02-01", "2024-02-01"),
        ("1e-6", 1e-6),
        ("1.5e-06", 1.5e-6),
        ("0.0000015", 0.0000015),
        ("1e5abc", "1e5abc"),
        ("80_000", 80_000),
        ("true", True),
        ("~", None),
        ("os.environ/X", "os.environ/X"),
        ("[a, [b]]", ("a", ("b",))),
    ],
)
def test_values_are_what_an_operator_means(text, value):
    assert parse(f"k: {text}").value == {"k": value}


@pytest.mark.parametrize(("key", "name"), [("on", "on"), ("1", "1"), ("null", "null"), ("gpt-4: x\n'4'", "4")])
def test_a_key_is_always_text(key, name):
    assert name in parse(f"{key}: x").value


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "is given twice; the first is on line 1"),
        ("x:\n- {a: 1, a: 2}", 2, "is given twice; the first is on line 2"),
        ("a: [1,\n", 2, "is not YAML: did not find expected node content"),
        ("\nx: a: b", 2, "is not YAML: mapping values are not allowed in this context"),
        ("a: 1\n---\nb: 2", 2, "is not YAML: but found another document"),
        (
            "a: !!python/object/apply:os.system [x]",
            1,
            "is not YAML: tags are not read; put text that begins with ! in quotes",
        ),
        ("? [a]\n: b", 1, "a key must be text"),
        ("a: \x00", None, "is not YAML: it holds a control character"),
        ("a: \ud800", None, "is not YAML: a value cannot be read"),
        ("&a [*a]", None, "is not YAML: an alias stands inside what it names"),
        ("a: !!int x", None, "is not YAML: a value cannot be read"),
    ],
)
def test_what_is_not_plain_yaml_is_told_with_its_line(text, line, message):
    assert faults(text) == [(line, message)]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_does_not_overflow_the_stack(opening):
    assert faults(opening * 200_000) == [(1, "is nested more than 40 levels deep")]


def test_aliases_do_not_blow_up():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert faults("\n".join(lines)) == [(1, "holds more than 100000 values, aliases written out")]
    nested = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 3000)]
    assert faults("\n".join(nested)) == [(1, "is nested more than 40 levels deep")]
    merged = ["a0: &a0 {x: 1}"] + [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 9)]
    assert faults("\n".join(merged)) == [(1, "holds more than 100000 values, aliases written out")]


@pytest.mark.parametrize(
    ("text", "value"),
    [("60", 60), ("0.5", 0.5), ("True", True), ("no", False), ("sixty", "sixty"), ("[" * 99, "[" * 99), ("", "")],
)
def test_a_scalar_is_read_without_yaml(text, value):
    assert scalar(text) == value


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@`, \n\t1.<\u00fc\x85", max_size=60))
def test_no_text_raises(text):
    read = parse(text)
    assert read.faults or read.value is None or read.lines


def test_the_pure_python_loader_reads_the_same(monkeypatch):
    import yaml

    class Pure(yaml.SafeLoader):
        yaml_implicit_resolvers = document._Loader.yaml_implicit_resolvers

    text = "a: [1, {b: 2024-02-01}]\nc: 1e-6\non: x\n"
    fast = parse(text)
    monkeypatch.setattr(document, "_Loader", Pure)
    assert parse(text) == fast
    assert faults("a: *secret-alias") == [(1, "is not YAML: found undefined alias …")]
