"""The guard `secrets`: what it finds, what it lets pass, and that a stream keeps its promise."""

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.guards import secrets
from gateway.guards.secrets_checks import checksum_fits, entropy
from gateway.guards.secrets_rules_generic import RULES
from gateway.guards.shapes import regex
from tests.guards.secrets_table import ROWS, text_of
from tests.guards.streams import check_settled, check_stream, growth, spans

GUARD = secrets.build(secrets.SecretsConfig())
EXAMPLES = [(row[0], template) for row in ROWS for template in row[1:]]
FOUND = [(row[0], template) for row in ROWS for template in row[1:3]]
NEAR = [(row[0], template) for row in ROWS for template in row[3:]]

PROSE = (
    "Please change the password of the shared account, as the old token is no secret any more. ",
    "The API key belongs in the vault; a bearer of bad news asked for basic training and an access key. ",
    "In AWS, Azure and Heroku, and with Datadog, Twilio or Mistral, rotate keys every 90 days. ",
    "See https://example.com/docs?page=2 and postgres://localhost:5432/db for details. ",
    "Das Passwort läuft ab: bitte erneuern! Пароль скоро истечёт. パスワードを変更してください。",
    "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b fixes the tokenizer; id 123e4567-e89b-42d3-a456-426614174000. ",
)


def guard(**config):
    return secrets.build(secrets.SecretsConfig.model_validate(config))


@pytest.mark.parametrize(("rule", "template"), FOUND)
def test_a_secret_is_found_from_its_first_character_to_its_last(rule, template):
    text, secret = text_of(template)
    start = text.index(secret)
    assert [span for span in spans(GUARD, text) if span[0] == rule] == [(rule, start, start + len(secret))]


@pytest.mark.parametrize(("rule", "template"), NEAR)
def test_what_is_only_like_a_secret_is_not_found(rule, template):
    assert rule not in {found for found, _, _ in spans(GUARD, text_of(template)[0])}


def test_every_rule_has_its_examples_and_a_name_of_its_own():
    ids = [rule.id for rule in RULES]
    assert len(ids) == len(set(ids)) >= 60
    assert sorted(ids) == sorted(row[0] for row in ROWS)
    assert all(len(set(row[1:3])) == len(set(row[3:])) == 2 for row in ROWS)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_shapes_are_regular_expressions_of_the_linear_kind_that_fit_the_same_examples(rule):
    compiled = [re2.compile(regex(source)) for source in rule.sources]
    for name, template in FOUND:
        if name == rule.id:
            assert any(pattern.search(text_of(template)[0]) for pattern in compiled)


@pytest.mark.parametrize("text", PROSE)
def test_prose_about_keys_and_passwords_passes_and_flows(text):
    assert spans(GUARD, text) == []
    assert GUARD.settled(text) == len(text)


@pytest.mark.parametrize(
    ("text", "held"),
    [("the s", "s"), ("my password is swordfis", ""), ("password = ", ""), ("see gh", "gh"), ("aws fade", "fade"),
     ("risk", ""), ("https://bob:sw0rd", "sw0rd"), ("https://example.com/a:9", "")],
)  # fmt: skip
def test_a_stream_is_held_only_from_where_a_secret_may_have_begun(text, held):
    assert GUARD.settled(text) == len(text) - len(held)


def test_the_checksum_is_githubs():
    assert checksum_fits("ghp" + "_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ" + "0mLq17")
    assert not checksum_fits("ghp" + "_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ" + "0mLq18")


@pytest.mark.parametrize(("value", "bits"), [("", 0), ("aaaa", 0), ("abab", 1), ("abcd", 2), ("abcd" * 1_000, 2)])
def test_entropy_is_in_bits_per_character(value, bits):
    assert entropy(value) == pytest.approx(bits)


def test_the_most_particular_action_counts():
    token, _ = text_of("glpat-{url:20} and npm_{crc:30} and AKIA{b32:16}")
    config = {"*": "flag", "vcs": "mask", "gitlab-token": "redact", "cloud": {"action": "hash"}}
    found = guard(rules=config).find(token, "prompt[0]")
    assert [(f.rule, f.category, f.action, f.path) for f in found] == [
        ("gitlab-token", "secrets", "redact", "prompt[0]"),
        ("npm-token", "secrets", "flag", "prompt[0]"),
        ("aws-access-key", "secrets", "hash", "prompt[0]"),
    ]


def test_without_settings_everything_is_blocked():
    text, _ = text_of("glpat-{url:20}")
    assert [f.action for f in GUARD.find(text, "a")] == ["block"]


def test_rules_that_are_allowed_or_not_sure_enough_are_not_run():
    text, _ = text_of('AKIA{b32:16} password = "{alnum:12}"')
    assert {rule for rule, _, _ in spans(guard(rules={"cloud": "allow"}), text)} == {"password-assignment"}
    assert {rule for rule, _, _ in spans(guard(rules={"*": {"score": 0.9}}), text)} == {"aws-access-key"}
    assert guard(rules={"*": "allow"}).settled("gh") == 2


def test_a_text_of_the_allow_list_is_no_secret():
    text, secret = text_of("key «AKIA{b32:16}» of the tutorial")
    assert spans(guard(allow_list=(secret,)), text) == []


def test_the_operator_says_how_random_a_password_is():
    text = 'password = "' + "Summer" + '2026"'
    assert spans(guard(entropy=2.5), text)
    assert not spans(guard(entropy=3.5), text)


@pytest.mark.parametrize(
    "config",
    [{"rules": {"github-tokne": "block"}}, {"rules": {"vcs": "drop"}}, {"entropy": -1.0}, {"keys": ()},
     {"rules": {"vcs": {"score": 2.0}}}],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(config):
    with pytest.raises(ValidationError):
        secrets.SecretsConfig.model_validate(config)


def test_the_closest_rule_is_named():
    with pytest.raises(ValidationError, match='did you mean "github-token"'):
        secrets.SecretsConfig.model_validate({"rules": {"github-tokne": "block"}})


def test_a_growing_key_reaches_to_the_end_of_the_text_and_is_held_from_its_start():
    text, key = text_of("here:\n«{pem:BEGIN RSA PRIVATE KEY}\n{b64:64}\n{b64:64}\n{pem:END RSA PRIVATE KEY}»\nDone.")
    confirmed = text.index(key) + len("-----BEGIN RSA PRIVATE KEY-----\n") + 16
    for cut in range(confirmed, text.index(key) + len(key) + 1):
        assert spans(GUARD, text[:cut]) == [("rsa-private-key", text.index(key), cut)]
        assert GUARD.settled(text[:cut]) == text.index(key)
    assert spans(GUARD, text) == [("rsa-private-key", text.index(key), text.index(key) + len(key))]
    assert GUARD.settled(text) == len(text)


def test_neither_a_finding_nor_the_guard_shows_a_secret():
    text, secret = text_of("«glpat-{url:20}»")
    made = guard(allow_list=(secret,))
    assert secret not in repr(made)
    assert secret not in repr(GUARD.find(text, "prompt[0]"))


def test_a_lone_surrogate_hides_nothing():
    _, secret = text_of("«glpat-{url:20}»")
    assert spans(GUARD, f"\ud800 {secret} \udfff") == [("gitlab-token", 2, 2 + len(secret))]


_PARTS = st.one_of(
    st.sampled_from([text_of(template)[0] for _, template in EXAMPLES]).flatmap(
        lambda text: st.one_of(
            st.just(text),
            st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).map(lambda c: text[min(c) : max(c)]),
        )
    ),
    st.sampled_from(
        [*PROSE, " ", "\n", "é", "İ", "\\n", "%3D", "=", "-", '"', "sk-", "ghp_", "eyJ", "aws ", "Bearer ", "token=", "://a:"]
    ),
    st.text(max_size=5),
)  # fmt: skip
_TEXTS = st.lists(_PARTS, min_size=1, max_size=6).map("".join)


@given(text=_TEXTS, data=st.data())
@settings(max_examples=150, deadline=None)
def test_what_is_settled_stays(text, data):
    check_settled(GUARD, text, data.draw(st.integers(0, len(text))))


@given(text=_TEXTS, cuts=st.lists(st.integers(0, 2_000), max_size=12))
@settings(max_examples=100, deadline=None)
def test_a_stream_gives_what_the_whole_text_gives(text, cuts):
    check_stream(GUARD, text, cuts)


@pytest.mark.parametrize(
    "template", ["aws_secret_access_key = {b64:40} x", "u: https://a:{alnum:9}@h", "ghp_{crc:30}."]
)
def test_a_stream_of_single_characters_gives_what_the_whole_text_gives(template):
    text = text_of(template)[0]
    check_stream(GUARD, text, range(len(text)))


@pytest.mark.parametrize("piece", ["a", "eyJ.", "password=", "-----BEGIN RSA PRIVATE KEY-----\n" + "A" * 16])
@pytest.mark.slow
def test_a_hostile_text_costs_no_more_per_kilobyte_when_it_is_longer(piece):
    assert growth(GUARD, piece, bound=3) <= 3
