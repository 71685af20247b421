"""Placeholders: numbered, of one request alone, and turned back wherever they are cut."""

import json

import pytest

from gateway.guards.vault import PLAIN, Form, Restorer, Vault, fault
from tests.guards import kit

BACK = Form(restore=True)


def issued(*values, form=BACK, texts=()):
    vault = Vault()
    vault.avoid(texts)
    return vault, [vault.replacement("mask", "EMAIL", form, value) for value in values]


def restored(restorer, pieces):
    return "".join(map(restorer.feed, pieces)) + restorer.close()


def test_the_same_value_gets_the_same_placeholder():
    assert issued("a", "b", "a")[1] == ["<EMAIL_1>", "<EMAIL_2>", "<EMAIL_1>"]


def test_each_entity_is_numbered_by_itself():
    vault = Vault()
    assert vault.replacement("mask", "EMAIL", PLAIN, "a") == "<EMAIL_1>"
    assert vault.replacement("mask", "aws-access-key", PLAIN, "b") == "<AWS_ACCESS_KEY_1>"


def test_rules_that_look_the_same_in_a_placeholder_share_their_numbers():
    vault = Vault()
    made = [vault.replacement("mask", rule, PLAIN, value) for rule, value in (("a-b", "x"), ("a_b", "y"), ("A.B", "z"))]
    assert made == ["<A_B_1>", "<A_B_2>", "<A_B_3>"]


def test_what_the_caller_wrote_out_is_not_issued():
    vault, names = issued("a", "b", texts=["I write <EMAIL_1> and <EMAIL_3> myself"])
    assert names == ["<EMAIL_2>", "<EMAIL_4>"]
    restorer = vault.restorer()
    assert restored(restorer, ["<EMAIL_1><EMAIL_2>"]) == "<EMAIL_1>a"


def test_a_nonce_is_of_the_request():
    form = Form("<{entity}_{nonce}_{n}>", restore=True)
    (one,), (other,) = issued("a", form=form)[1], issued("a", form=form)[1]
    assert one != other
    assert len(one) == len("<EMAIL_12345678_1>")


def test_another_requests_placeholder_means_nothing():
    mine, _ = issued("secret of mine")
    theirs, _ = issued("x", "y")
    assert restored(theirs.restorer(), ["<EMAIL_2> <EMAIL_3>"]) == "y <EMAIL_3>"
    assert restored(mine.restorer(), ["<EMAIL_2>"]) == "<EMAIL_2>"


def test_what_is_not_to_be_restored_is_not():
    vault = Vault()
    vault.replacement("mask", "EMAIL", PLAIN, "a")
    vault.replacement("hash", "EMAIL", BACK, "a")
    vault.replacement("redact", "EMAIL", BACK, "a")
    assert vault.restorer() is None


def test_the_same_value_to_be_restored_here_and_not_there_has_two_placeholders():
    vault = Vault()
    kept = vault.replacement("mask", "EMAIL", PLAIN, "a")
    back = vault.replacement("mask", "EMAIL", BACK, "a")
    assert restored(vault.restorer(), [kept, back]) == "<EMAIL_1>a"


def test_a_branch_goes_on_numbering_and_restores_nothing_of_its_own():
    vault, _ = issued("a")
    one, other = vault.branch(), vault.branch()
    assert one.replacement("mask", "EMAIL", BACK, "a") == "<EMAIL_1>"
    assert one.replacement("mask", "EMAIL", BACK, "b") == "<EMAIL_2>"
    assert other.replacement("mask", "EMAIL", BACK, "c") == "<EMAIL_2>"
    assert one.restorer() is None
    assert restored(vault.restorer(), ["<EMAIL_1> <EMAIL_2>"]) == "a <EMAIL_2>"


def test_in_tool_arguments_a_value_is_escaped_as_json():
    value = 'quote " backslash \\ line\nend'
    vault, (name,) = issued(value)
    arguments = '{"to": "' + name + '"}'
    assert json.loads(restored(vault.restorer(in_json=True), [arguments])) == {"to": value}
    assert restored(vault.restorer(), [name]) == value


def test_a_restored_value_is_not_looked_at_again():
    vault, names = issued("<EMAIL_2>", "<EMAIL_1>")
    assert restored(vault.restorer(), names) == "<EMAIL_2><EMAIL_1>"


def test_prose_is_not_held_back():
    restorer = issued("a")[0].restorer()
    assert restorer.feed("1 < 2 and ") == "1 < 2 and "
    assert restorer.feed("<EMA") == ""
    assert restorer.feed("CS> said") == "<EMACS> said"
    assert restorer.feed("<") == ""
    assert restorer.close() == "<"
    assert not restorer.changed


def test_every_cut_gives_the_same():
    pieces = ["<EMAIL_1>", "<EMAIL_11>", "<EMAIL_111>", "<EMAIL_", "<", ">", "1", "[E:2]", "[E:", "word ", "\U0001f600"]
    for seed in range(2_000):
        random = kit.seeded(seed)
        values = {"<EMAIL_1>": "one", "<EMAIL_11>": "<EMAIL_1>", "<EMAIL_12>": "", "[E:2]": "two"}
        text = "".join(random.choice(pieces) for _ in range(random.randint(0, 12)))
        expected, at = "", 0
        while at < len(text):
            name = next((name for name in values if text.startswith(name, at)), None)
            expected, at = (expected + values[name], at + len(name)) if name else (expected + text[at], at + 1)
        for width in (1, 2, 3, random.randint(1, 40)):
            cuts = [text[at : at + width] for at in range(0, len(text), width)]
            assert restored(Restorer(values), cuts) == expected, seed


def test_nothing_prints_a_value():
    vault, _ = issued("bob@corp.example")
    assert "bob" not in repr(vault) + repr(vault.restorer()) + repr(vault.branch())


@pytest.mark.parametrize("placeholder", ["<{entity}_{n}>", "[{n}]", "<<{nonce}.{entity}.{n}>", "<{n}:{entity}>"])
def test_forms_that_are_fine(placeholder):
    assert fault(placeholder) is None


@pytest.mark.parametrize(
    "placeholder",
    ["", "x", "<{entity}>", "{entity}_{n}", "<{n}_{n}>", "<{who}_{n}>", "<{n}", "{n}>", "<{entity}{n}>",
     "<{n}{entity}>", "<{entity}_{n}>>", "<a>{n}>", "<{n}}>", "<{n!r}>", "<1{n}>", "_{n}_"],
)  # fmt: skip
def test_forms_that_would_be_ambiguous_are_refused(placeholder):
    assert fault(placeholder)


def test_many_values_and_a_hostile_text_are_linear():
    vault, _ = issued(*map(str, range(20_000)))
    restorer = vault.restorer()
    assert restored(restorer, ["<EMAIL_" * 100_000]) == "<EMAIL_" * 100_000
    assert restored(restorer, ["<" * 1_000_000]) == "<" * 1_000_000
