"""The demo's model: a pure function whose tokens are its text, whatever limit, stop and seed it is given."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ledger import tokens
from gateway.providers.demo.text import ENCODING, MAX_TOP, generate, score

quick = settings(max_examples=60, deadline=None)
prompts = st.text(max_size=40) | st.text(max_size=20).map(lambda text: f"say {text}")
seeds = st.none() | st.integers(-(2**63), 2**63 - 1)


def scored(generation, top):
    return score(generation.ids, generation.raw, generation.key, top)


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("Say this is a test", " This is a test."),
        ("say: hello!", " Hello!"),
        ('Say "good morning"', " Good morning."),
        ("SAY\nétude", " Étude."),
    ],
)
def test_say_is_answered_with_what_it_asks_for(prompt, text):
    made = generate(prompt)
    assert made.text == text
    assert made.finish_reason == "stop"
    assert generate(prompt, seed=7).text == text
    assert generate(prompt, index=1).text.startswith(text + " ")


def test_a_message_is_answered_without_a_space_before():
    assert generate("Say this is a test", lead="").text == "This is a test."
    assert generate("Why?", lead="").text[0].isupper()


@given(prompt=prompts, seed=seeds, index=st.integers(0, 200), limit=st.none() | st.integers(0, 100))
@quick
def test_the_tokens_are_the_text_and_no_more_than_asked_for(prompt, seed, index, limit):
    made = generate(prompt, seed=seed, index=index, max_tokens=limit)
    assert made == generate(prompt, seed=seed, index=index, max_tokens=limit)
    assert b"".join(made.raw).decode("utf-8", "replace") == made.text
    assert tokens.token_bytes(made.ids, ENCODING) == list(made.raw)
    assert made.sampled == len(made.raw)
    if limit is not None:
        assert len(made.raw) <= limit
        assert (made.finish_reason == "length") == (len(made.raw) == limit)


@given(prompt=st.text(max_size=40).filter(lambda text: not text.lower().lstrip().startswith("say")), seed=seeds)
@quick
def test_left_alone_it_stops_after_20_to_80_tokens(prompt, seed):
    made = generate(prompt, seed=seed)
    assert 20 <= len(made.raw) <= 80
    assert made.finish_reason == "stop"
    assert made.ids == tuple(tokens.encode(made.text, ENCODING))


@given(prompt=prompts, limit=st.integers(0, 80))
@quick
def test_a_lower_limit_gives_the_beginning_of_the_same_tokens(prompt, limit):
    assert generate(prompt, max_tokens=limit).ids == generate(prompt).ids[:limit]


@given(prompt=prompts, seed=seeds)
@quick
def test_another_choice_says_something_else(prompt, seed):
    assert len({generate(prompt, seed=seed, index=index).text for index in range(4)}) == 4


def test_another_seed_or_context_says_something_else():
    texts = {generate("Why?", seed=seed, context=context).text for seed in (None, 0, 1) for context in ("", "a")}
    assert len(texts) == 6


@given(prompt=prompts, index=st.integers(0, 20), data=st.data())
@quick
def test_a_stop_is_cut_exactly_and_never_shown(prompt, index, data):
    whole = generate(prompt, index=index)
    start = data.draw(st.integers(0, len(whole.text) - 1))
    stop = whole.text[start : start + data.draw(st.integers(1, 8))]
    made = generate(prompt, index=index, stop=("never said \x00", stop))
    assert made.text == whole.text.partition(stop)[0]
    assert made.finish_reason == "stop"
    assert b"".join(made.raw).decode() == made.text
    assert all(made.raw)
    shown = b"".join(whole.raw[: made.sampled])
    assert stop.encode() in shown, "the stop's own tokens are sampled too"
    assert stop.encode() not in b"".join(whole.raw[: made.sampled - 1])


def test_of_several_stops_the_first_in_the_text_counts():
    assert generate("Say one two three", stop=("three", "two")).text == " One "


def test_a_stop_after_the_limit_is_not_reached():
    made = generate("Say one two three", max_tokens=2, stop=("three",))
    assert (made.text, made.finish_reason) == (" One two", "length")


@given(prompt=prompts, top=st.integers(0, MAX_TOP))
@quick
def test_logprobs_are_negative_and_alternatives_the_best_first(prompt, top):
    made = generate(prompt, max_tokens=12)
    found = scored(made, top)
    assert [token.raw for token in found] == list(made.raw)
    for token in found:
        assert token.logprob < 0
        assert len(token.top) == top
        assert [p for _, p in token.top] == sorted((p for _, p in token.top), reverse=True)
        assert len({raw for raw, _ in token.top}) == top
        assert sum(math.exp(p) for _, p in token.top) < 1
        alternatives = dict(token.top)
        if token.raw in alternatives:
            assert alternatives[token.raw] == token.logprob
        else:
            assert all(p > token.logprob for p in alternatives.values())


def test_the_same_tokens_score_the_same_and_some_are_not_the_likeliest():
    made = generate("Why?")
    assert scored(made, 5) == scored(made, 5)
    likeliest = [token.top[0][0] == token.raw for token in scored(made, 1)]
    assert any(likeliest)
    assert not all(likeliest)


def test_parts_of_characters_happen():
    halves = 0
    for index in range(40):
        for raw in generate("Where?", index=index).raw:
            try:
                raw.decode()
            except UnicodeDecodeError:
                halves += 1
    assert halves > 5
