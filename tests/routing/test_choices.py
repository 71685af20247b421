"""What the gateway does with choices: keeping the best, and putting the prompt in front."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from math import inf

import pytest

from gateway.errors import UpstreamInvalidResponse
from gateway.providers.translation import Placed, Translation
from gateway.routing.choices import echoed, mean_logprob, repeating, shaped
from gateway.types import Call, Delta, TokenLogprob

CALLS = (Placed(Call((), "p"), 0),)


def tokens(*logprobs: float | None) -> tuple[TokenLogprob, ...]:
    return tuple(TokenLogprob("t", logprob) for logprob in logprobs)


def through(deltas: AsyncIterator[Delta]) -> list[Delta]:
    async def gather() -> list[Delta]:
        return [delta async for delta in deltas]

    return asyncio.run(gather())


async def given(deltas: Iterable[Delta]) -> AsyncIterator[Delta]:
    for delta in deltas:
        yield delta


CANDIDATES = [
    Delta(0, "worst", tokens(-3.0), "stop"),
    Delta(1, "best, in ", tokens(-0.5)),
    Delta(2, "middle", tokens(-1.0, -1.2), "length"),
    Delta(1, "two pieces", tokens(-0.1), "stop"),
    Delta(3, "of the other prompt", tokens(-9.0), "stop"),
    Delta(4, "better", tokens(-8.0), "stop"),
    Delta(5, "no logprobs", None, "stop"),
]


@pytest.mark.parametrize("keep", [True, False])
def test_the_candidates_with_the_highest_mean_logprob_are_kept_best_first(keep):
    translation = Translation(CALLS, prompts=2, n=2, best_of=3, keep_logprobs=keep)
    kept = through(shaped(given(CANDIDATES), translation))
    texts: dict[int, str] = {}
    for delta in kept:
        texts[delta.index] = texts.get(delta.index, "") + delta.text
    assert texts == {0: "best, in two pieces", 1: "middle", 2: "better", 3: "of the other prompt"}
    assert any(delta.logprobs for delta in kept) == keep


def test_the_mean_leaves_out_what_has_no_logprob():
    assert mean_logprob([Delta(logprobs=tokens(None, -1.0)), Delta(logprobs=tokens(-2.0))]) == -1.5
    assert mean_logprob([Delta(text="x")]) == -inf


def test_the_prompt_stands_once_in_front_of_each_of_its_choices():
    translation = Translation(CALLS, prompts=2, n=2, echo=("A", "B"))
    deltas = [Delta(2, "c"), Delta(0, "a"), Delta(0, "a", None, "stop"), Delta(1, "b"), Delta(3, "d")]
    assert [(d.index, d.text) for d in through(echoed(given(deltas), translation))] == [
        (2, "Bc"),
        (0, "Aa"),
        (0, "a"),
        (1, "Ab"),
        (3, "Bd"),
    ]


def test_without_a_call_the_prompts_are_the_answer():
    translation = Translation((), prompts=2, n=2, echo=("A", "B"))
    assert through(echoed(given([]), translation)) == [
        Delta(index, text, finish_reason="length") for index, text in enumerate("AABB")
    ]


ECHOING = Translation((Placed(Call((), "one two", n=2, echo=True), 0), Placed(Call((), (1, 2), echo=True), 2)), 2, 2)


@pytest.mark.parametrize("pieces", [["one two three"], ["one", " two", " three"], ["one ", "", "two"], ["one two"]])
def test_a_provider_that_repeats_the_prompt_is_believed(pieces):
    deltas = [Delta(1, piece) for piece in pieces] + [Delta(1, finish_reason="stop"), Delta(2, "anything")]
    assert through(repeating(given(deltas), ECHOING, "p")) == deltas


@pytest.mark.parametrize("pieces", [["three"], ["one", "two"], ["one"]])
def test_a_provider_that_was_to_repeat_the_prompt_and_did_not_is_refused(pieces):
    deltas = [Delta(0, piece) for piece in pieces] + [Delta(0, finish_reason="stop")]
    with pytest.raises(UpstreamInvalidResponse):
        through(repeating(given(deltas), ECHOING, "p"))
