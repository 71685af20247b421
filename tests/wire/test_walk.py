"""Every text of a JSON value: found by construction, told without a word of the client's, and written back."""

import json as plain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidValue
from gateway.wire import json, walk
from gateway.wire.walk import Walker

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
names = st.sampled_from(["messages", "content", "type", "role", "id", "model", "text", "arguments", "name"]) | texts
bodies = st.recursive(
    texts | st.integers(-5, 5) | st.none() | st.integers(10**11, 10**13),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


def masked(value: Any) -> tuple[Any, list[str]]:
    """The value with every text replaced by its length in stars; their paths."""
    found = Walker(chat=True).walk(value)
    new = {path: "*" * len(text) for path, text in walk.texts(found.leaves)}
    walk.rewrite(found.leaves, new)
    return found.value, list(new)


@given(bodies)
def test_paths_are_each_of_their_own_and_hold_no_word_of_the_clients(value):
    found = Walker(chat=True).walk(value)
    paths = [path for path, _ in walk.texts(found.leaves)]
    assert len(paths) == len(set(paths))
    assert all(set(path) <= set("abcdefghijklmnopqrstuvwxyz_[].0123456789$ADIOPRef") for path in paths)


@given(bodies)
def test_what_is_not_written_back_stays_as_it_was(value):
    before = plain.dumps(value)
    found = Walker(chat=True).walk(value)
    walk.rewrite(found.leaves, dict(walk.texts(found.leaves)))
    assert plain.dumps(found.value) == before


KNOWN = {
    "model": "m",
    "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
    "tools": [{"type": "function", "function": {"name": "b", "parameters": {"type": "object"}}}],
    "tool_choice": "auto",
    "response_format": {"type": "json_object"},
    "seed": 10**14,
}


def test_what_is_known_to_be_no_text_is_left_alone():
    value, paths = masked(KNOWN)
    assert paths == ["messages[0].content[0].text", "tools[0].function.name"]
    assert value["messages"][0]["content"][0] == {"type": "text", "text": "*"}


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"role": "secret"}, "role"),
        ({"metadata": {"id": "secret"}}, "metadata.id"),
        ({"metadata": {"model": "secret"}}, "metadata.model"),
        ({"tool_choice": "secret"}, "tool_choice"),
        ({"type": {"type": "secret"}}, "type.type"),
        ({"secret": 1}, "body[0].key"),
        ({"a": {"b": "secret"}}, "body[0][0]"),
        (["secret"], "[0]"),
        ("secret", "body"),
        ({"x": 4111111111111111}, "body[0]"),
        ({"image_url": "secret"}, "image_url"),
    ],
)  # fmt: skip
def test_a_known_name_alone_hides_nothing(value, path):
    assert path in masked(value)[1]


def test_keys_that_become_the_same_are_kept_apart():
    found = Walker(chat=True).walk({"aa": 1, "bb": 2, "cc": {"dd": "x"}})
    walk.rewrite(found.leaves, {leaf.path: "k" for leaf in found.leaves if leaf.kind == "key"})
    assert found.value == {"k": 1, "k_2": 2, "k_3": {"k": "x"}}


@pytest.mark.parametrize(
    "value", [{"a": 1}, [{"a": {"a": 2}}, {"b": []}], "x", {"a": 'b": 1, "c": 2'}, {"\\": {'\\"': 3}}, []]
)
def test_members_are_counted_alike_in_bytes_and_values(value):
    assert walk.members_in(json.dumps(value)) == walk.members(value)


@given(bodies, st.sampled_from([None, 1]))
def test_members_are_counted_alike_in_any_value(value, indent):
    assert walk.members_in(plain.dumps(value, indent=indent).encode()) == walk.members(value)


def test_a_repeated_key_is_counted_each_time():
    assert walk.members_in(b'{"a": 1, "a" : 2}') == 2
    assert walk.members(json.loads(b'{"a": 1, "a" : 2}')) == 1


def test_nesting_has_a_bound():
    value: Any = "x"
    for _ in range(walk.MAX_DEPTH + 1):
        value = [value]
    with pytest.raises(InvalidValue, match="deeper"):
        Walker(chat=True).walk(value)


def test_a_leaf_shows_no_text():
    (leaf,) = Walker(chat=True).walk({"prompt": "secret"}).leaves
    assert "secret" not in repr(leaf)
