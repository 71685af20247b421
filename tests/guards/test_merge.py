"""Findings to edits: what overlaps is one edit, the gravest action wins, and nothing of a hidden value stays."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.guards.base import SEVERITY, Finding
from gateway.guards.merge import CHANGES, Edit, apply, edits
from gateway.guards.vault import PLAIN, Form, Vault


def found(*spans):
    """(start, end, action[, rule]) as findings of one text."""
    return [(Finding("g", *([rule[0]] if rule else ["R"]), "c", action, "p", start, end), PLAIN)
            for start, end, action, *rule in spans]  # fmt: skip


def spans(changes):
    return [(edit.start, edit.end, edit.action, edit.rule) for edit in changes]


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ([], []),
        ([(0, 3, "mask")], [(0, 3, "mask", "R")]),
        ([(5, 8, "mask"), (0, 3, "hash")], [(0, 3, "hash", "R"), (5, 8, "mask", "R")]),
        ([(0, 3, "mask"), (3, 6, "mask")], [(0, 3, "mask", "R"), (3, 6, "mask", "R")]),
        ([(0, 9, "mask", "LONG"), (2, 5, "mask", "SHORT")], [(0, 9, "mask", "LONG")]),
        ([(0, 5, "mask", "FIRST"), (3, 8, "mask", "SECOND")], [(0, 8, "mask", "FIRST")]),
        ([(0, 5, "mask", "SHORT"), (3, 9, "mask", "LONG")], [(0, 9, "mask", "LONG")]),
        ([(0, 9, "mask", "LONG"), (2, 5, "redact", "GRAVE")], [(0, 9, "redact", "GRAVE")]),
        ([(0, 9, "hash", "H"), (2, 5, "mask", "M")], [(0, 9, "mask", "M")]),
        ([(0, 5, "mask", "M"), (0, 5, "block", "B")], [(0, 5, "block", "B")]),
        ([(0, 4, "mask"), (3, 6, "mask"), (5, 9, "redact", "X")], [(0, 9, "redact", "X")]),
        ([(0, 5, "flag"), (2, 3, "allow")], []),
        ([(0, 9, "flag"), (2, 3, "mask")], [(2, 3, "mask", "R")]),
        ([(0, 0, "redact")], [(0, 10, "redact", "R")]),
    ],
)
def test_what_overlaps_is_one_edit_of_the_gravest_action_and_the_longest_name(given_, expected):
    assert spans(edits(found(*given_), 10)) == expected


def test_one_value_has_one_placeholder_and_another_the_next_number():
    text = "a@x b@y a@x"
    changes = edits(found((0, 3, "mask", "EMAIL"), (4, 7, "mask", "EMAIL"), (8, 11, "mask", "EMAIL")), len(text))
    assert apply(text, changes, Vault()) == "<EMAIL_1> <EMAIL_2> <EMAIL_1>"


def test_redact_removes_and_hash_is_the_same_for_the_same_value_and_key():
    text = "one two one"
    changes = edits(found((0, 3, "hash"), (4, 7, "redact"), (8, 11, "hash")), len(text))
    first = apply(text, changes, Vault(b"key"))
    assert first == apply(text, changes, Vault(b"key")) != apply(text, changes, Vault(b"other"))
    front, back = first.split("  ")
    assert front == back
    assert front.startswith("<R_")
    assert "one" not in first


def test_a_blocked_text_is_not_rewritten():
    with pytest.raises(ValueError, match="blocked"):
        apply("text", [Edit(0, 4, "block", "R", PLAIN)], Vault())


def test_each_guard_has_placeholders_of_its_own_form():
    forms = [PLAIN, Form("[{entity}:{n}]")]
    pairs = [(Finding("g", "R", "c", "mask", "p", at, at + 1), form) for at, form in enumerate(forms)]
    assert apply("ab", edits(pairs, 2), Vault()) == "<R_1>[R:1]"


actions = st.sampled_from(sorted(SEVERITY))
some = st.lists(st.tuples(st.integers(0, 29), st.integers(1, 10), actions), max_size=12).map(
    lambda rows: [(start, min(30, start + size), action) for start, size, action in rows]
)


@given(some)
def test_edits_do_not_overlap_and_cover_exactly_what_the_findings_cover(rows):
    made = edits(found(*rows), 30)
    assert all(one.end <= other.start for one, other in pairwise(made))
    covered = {at for start, end, action in rows if action in CHANGES for at in range(start, end)}
    assert covered == {at for edit in made for at in range(edit.start, edit.end)}
    for start, end, action in rows:
        if action in CHANGES:
            (over,) = [edit for edit in made if edit.start <= start and end <= edit.end]
            assert SEVERITY[over.action] >= SEVERITY[action]


@given(some)
def test_the_order_of_findings_does_not_matter_for_what_is_done(rows):
    assert [(e.start, e.end, e.action) for e in edits(found(*rows), 30)] == [
        (e.start, e.end, e.action) for e in edits(found(*reversed(rows)), 30)
    ]
