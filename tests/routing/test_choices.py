"""What the gateway does with choices: keeping the best, and putting the prompt in front."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from math import inf

import pytest

from gateway.errors import UpstreamInvalidResponse
from gateway.routing.choices import Ranking, best, echoed, mean_logprob
from gateway.routing.reading import Repeated
from gateway.types import Call, Delta, TokenLogprob


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
    Delta(4 + 0, "worst", tokens(-3.0), "stop"),
    Delta(4 + 1, "best, in ", tokens(-0.5)),
    Delta(4 + 2, "middle", tokens(-1.0, -1.2), "length"),
    Delta(4 + 1, "two pieces", tokens(-0.1), "stop"),
    Delta(4 + 3, "of the other prompt", tokens(-9.0), "stop"),
    Delta(4 + 4, "better", tokens(-8.0), "stop"),
    Delta(4 + 5, "no logprobs", None, "stop"),
]
"""Three for each of two prompts, of which two choices each are kept."""


@pytest.mark.parametrize("keep", [True, False])
def test_the_candidates_with_the_highest_mean_logprob_are_kept_best_first(keep):
    kept = through(best(given(CANDIDATES), {1: Ranking(3, 2, keep), 0: Ranking(3, 2, keep)}, 4))
    texts: dict[int, str] = {}
    for delta in kept:
        texts[delta.index] = texts.get(delta.index, "") + delta.text
    assert texts == {0: "best, in two pieces", 1: "middle", 2: "better", 3: "of the other prompt"}
    assert any(delta.logprobs for delta in kept) == keep


def test_what_the_provider_chose_itself_passes_beside_what_is_chosen_here():
    chosen = [Delta(0, "chosen", None, "stop"), Delta(1, "second", None, "stop")]
    kept = through(best(given([*CANDIDATES[4:], *chosen]), {1: Ranking(3, 2, False)}, 4))
    assert [(delta.index, delta.text) for delta in kept] == [
        (0, "chosen"),
        (1, "second"),
        (2, "better"),
        (3, "of the other prompt"),
    ]


def test_the_mean_leaves_out_what_has_no_logprob():
    assert mean_logprob([Delta(logprobs=tokens(None, -1.0)), Delta(logprobs=tokens(-2.0))]) == -1.5
    assert mean_logprob([Delta(text="x")]) == -inf


def test_the_prompt_stands_once_in_front_of_each_of_its_choices():
    echoes = {0: "A", 1: "A", 2: "B", 3: "B"}
    deltas = [Delta(2, "c"), Delta(0, "a"), Delta(0, "a", None, "stop"), Delta(1, "b"), Delta(3, "d")]
    assert [(d.index, d.text) for d in through(echoed(given(deltas), echoes, set()))] == [
        (2, "Bc"),
        (0, "Aa"),
        (0, "a"),
        (1, "Ab"),
        (3, "Bd"),
    ]


def test_without_a_call_the_prompts_are_the_answer():
    assert through(echoed(given([]), dict(enumerate("AABB")), {3, 1, 0, 2})) == [
        Delta(index, text, finish_reason="length") for index, text in enumerate("AABB")
    ]


ECHOING = Call((), "one two", n=2, echo=True)


def looked_at(call: Call, deltas: Iterable[Delta]) -> None:
    repeated = Repeated(call, "p")
    for delta in deltas:
        repeated.check(delta)


@pytest.mark.parametrize("pieces", [["one two three"], ["one", " two", " three"], ["one ", "", "two"], ["one two"]])
def test_a_provider_that_repeats_the_prompt_is_believed(pieces):
    looked_at(ECHOING, [*(Delta(1, piece) for piece in pieces), Delta(1, finish_reason="stop")])


@pytest.mark.parametrize("pieces", [["three"], ["one", "two"], ["one"]])
def test_a_provider_that_was_to_repeat_the_prompt_and_did_not_is_refused(pieces):
    deltas = [Delta(0, piece) for piece in pieces] + [Delta(0, finish_reason="stop")]
    with pytest.raises(UpstreamInvalidResponse):
        looked_at(ECHOING, deltas)


@pytest.mark.parametrize("call", [Call((), "one two"), Call((), (1, 2), echo=True)])
def test_what_nobody_asked_to_repeat_or_nobody_can_read_is_not_looked_at(call):
    looked_at(call, [Delta(0, "anything", finish_reason="stop")])
