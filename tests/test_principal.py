"""Words of who is calling: globs, names, and what a principal may use."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.hashing import END_USERS, VIRTUAL_KEYS, derive
from gateway.principal import MASTER_PRINCIPAL, MAX_NAME, Principal, clean_name, fits


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*", "", True), ("*", "anything/at all", True), ("a", "a", True), ("a", "A", False), ("a", "a ", False),
        ("gpt-*", "gpt-4o", True), ("gpt-*", "gpt-", True), ("gpt-*", "xgpt-4", False), ("*-8b", "llama-8b", True),
        ("*-8b", "llama-8b-x", False), ("a*b*c", "aXbYc", True), ("a*b*c", "acb", False), ("a*a", "a", False),
        ("g?t", "gpt", False), ("[g]pt", "gpt", False), ("a.c", "abc", False), ("**", "x", True),
        ("a\n*", "a\nb", True),
        ("groq/*", "groq/a\nb", True), ("", "", True), ("", "a", False),
    ],
)  # fmt: skip
def test_a_star_is_any_run_of_characters_and_everything_else_is_itself(pattern, name, expected):
    assert fits(pattern, name) is expected


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_globs_agree_with_the_standard_librarys(pattern, name):
    assert fits(pattern, name) == fnmatchcase(name, pattern)


def test_a_glob_of_many_stars_takes_no_time_that_grows_with_them():
    assert not fits("a*" * 500 + "b", "a" * 20_000)


def test_no_models_is_every_model_and_a_list_is_those():
    assert MASTER_PRINCIPAL.may_use("anything")
    some = Principal("key", "k", "a", models=("demo", "gpt-*"))
    assert [some.may_use(name) for name in ("demo", "gpt-4", "Demo", "demo ", "demo\0", "other")] == [
        True, True, False, False, False, False,
    ]  # fmt: skip


@given(st.text())
def test_a_clean_name_is_printable_bounded_and_stays_as_it_is(text):
    name = clean_name(text)
    if name is None:
        return
    assert name.isprintable()
    assert name == name.strip()
    assert 0 < len(name) <= MAX_NAME
    assert clean_name(name) == name


@pytest.mark.parametrize(
    ("one", "other"),
    [("é", "e\u0301"), ("bob", "b\u200bob"), ("bob", " bob\n"), ("bob", "bo\0b"), ("é", "e\u200b\u0301")],
)
def test_one_name_in_two_spellings_is_one_name(one, other):
    assert clean_name(one) == clean_name(other)


@pytest.mark.parametrize("text", [None, "", " ", "\n\t", "\u200b", "\0"])
def test_of_nothing_no_name_is_left(text):
    assert clean_name(text) is None


def test_a_hash_is_of_its_secret_and_its_purpose():
    keys = [derive(secret, purpose) for secret in ("one", "two") for purpose in (VIRTUAL_KEYS, END_USERS)]
    assert len({key.id for key in keys}) == 4
    assert len({key.digest("x") for key in keys}) == 4
    assert derive("one", VIRTUAL_KEYS) == derive("one", VIRTUAL_KEYS)
    assert all(len(key.digest("x")) == 32 for key in keys)


def test_a_hash_key_does_not_print_itself():
    key = derive("one", VIRTUAL_KEYS)
    assert repr(key) == f"HashKey(id='{key.id}')"


def test_a_pseudonym_names_its_key_and_not_its_owner():
    old, new = derive("old", END_USERS), derive("new", END_USERS)
    assert old.pseudonym("bob") == old.pseudonym("bob") != new.pseudonym("bob") != new.pseudonym("eve")
    kind, key_id, rest = old.pseudonym("bob").split("-")
    assert (kind, key_id, len(rest)) == ("eu", old.id, 32)
    assert "bob" not in old.pseudonym("bob")


@given(st.text(), st.text())
def test_any_two_names_have_pseudonyms_of_their_own(one, other):
    key = derive("secret", END_USERS)
    assert (key.pseudonym(one) == key.pseudonym(other)) == (one == other)
