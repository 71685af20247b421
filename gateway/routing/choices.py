"""What the gateway does with the choices of an answer that a provider did not do itself: `best_of`, `echo`, and no more
alternatives per token than were asked for.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Set
from dataclasses import dataclass, replace
from math import inf

from gateway.types import Delta, TokenLogprob


def bounded(delta: Delta, wanted: int) -> Delta:
    """`delta` with at most `wanted` alternatives per token: llama.cpp gives 20 when it is asked for none."""
    if delta.logprobs and any(len(token.top) > wanted for token in delta.logprobs):
        return replace(delta, logprobs=tuple(_likeliest(token, wanted) for token in delta.logprobs))
    return delta


def _likeliest(token: TokenLogprob, wanted: int) -> TokenLogprob:
    return replace(token, top=tuple(sorted(token.top, key=lambda pair: -pair[1])[:wanted]))


@dataclass(frozen=True, slots=True)
class Ranking:
    """How the best choices of one prompt are found: among so many `candidates`, the `n` best are kept, with their
    logprobs or without."""

    candidates: int
    n: int
    keep_logprobs: bool


async def best(deltas: AsyncIterator[Delta], rankings: Mapping[int, Ranking], choices: int) -> AsyncIterator[Delta]:
    """`deltas` with the best candidates of each ranked prompt as its choices, best first: those with the highest mean
    token logprob.

    Args:
        rankings: by the prompt's number; read at the end of `deltas`, when they are all known.
        choices: of the whole request. Candidates are numbered from there on, prompt by prompt; what has a lower number
            is a choice already and passes.
    """
    found: dict[int, list[Delta]] = {}
    async for delta in deltas:
        if delta.index < choices:
            yield delta
        else:
            found.setdefault(delta.index - choices, []).append(delta)
    for prompt, ranking in sorted(rankings.items()):
        indexes = range(prompt * ranking.candidates, (prompt + 1) * ranking.candidates)
        ranked = sorted(indexes, key=lambda index: mean_logprob(found.get(index, [])), reverse=True)
        for place, index in enumerate(ranked[: ranking.n]):
            for delta in found.get(index, []):
                logprobs = delta.logprobs if ranking.keep_logprobs else None
                yield replace(delta, index=prompt * ranking.n + place, logprobs=logprobs)


def mean_logprob(deltas: list[Delta]) -> float:
    """The mean logprob of a choice's tokens; minus infinity for a choice without any."""
    values = [token.logprob for delta in deltas for token in delta.logprobs or () if token.logprob is not None]
    return sum(values) / len(values) if values else -inf


async def echoed(deltas: AsyncIterator[Delta], echoes: Mapping[int, str], uncalled: Set[int]) -> AsyncIterator[Delta]:
    """`deltas` with its prompt in front of each choice, and last the choices that nobody is called for
    (`max_tokens: 0`), which are their prompts alone.

    Comes after every filter, so that what a policy made of the prompt is what is echoed.

    Args:
        echoes: the text in front of a choice, by its index; known when its first delta comes.
        uncalled: the choices without a call; known at the end.
    """
    seen: set[int] = set()
    async for delta in deltas:
        if delta.index not in seen:
            seen.add(delta.index)
            text = echoes.get(delta.index)
            if text:
                delta = replace(delta, text=text + delta.text)
        yield delta
    for index in sorted(uncalled):
        yield Delta(index, echoes.get(index, ""), finish_reason="length")


async def withheld(message: str, choices: int) -> AsyncGenerator[Delta, None]:
    """`message` in place of every choice, where a policy lets the prompt go to nobody."""
    for index in range(choices):
        yield Delta(index, message, finish_reason="content_filter")
