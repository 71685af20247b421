"""What the gateway does with the choices of an answer that a provider did not do itself: `best_of`, `echo`, and no more
alternatives per token than were asked for.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from math import inf

from gateway.providers.failures import invalid_response
from gateway.providers.translation import Translation
from gateway.types import Delta, TokenLogprob


def shaped(deltas: AsyncIterator[Delta], translation: Translation) -> AsyncIterator[Delta]:
    """`deltas` with the best choices kept and logprobs that only the ranking needed taken out."""
    wanted = translation.calls[0].call.logprobs if translation.calls and translation.keep_logprobs else None
    if wanted is not None:
        deltas = _bounded(deltas, wanted)
    if translation.best_of is None:
        return deltas
    return _best(deltas, translation, translation.best_of)


async def _bounded(deltas: AsyncIterator[Delta], wanted: int) -> AsyncIterator[Delta]:
    """`deltas` with at most `wanted` alternatives per token: llama.cpp gives 20 when it is asked for none."""
    async for delta in deltas:
        if delta.logprobs and any(len(token.top) > wanted for token in delta.logprobs):
            delta = replace(delta, logprobs=tuple(_likeliest(token, wanted) for token in delta.logprobs))
        yield delta


def _likeliest(token: TokenLogprob, wanted: int) -> TokenLogprob:
    return replace(token, top=tuple(sorted(token.top, key=lambda pair: -pair[1])[:wanted]))


async def _best(deltas: AsyncIterator[Delta], translation: Translation, candidates: int) -> AsyncIterator[Delta]:
    """The `n` candidates of each prompt with the highest mean token logprob, best first."""
    found: dict[int, list[Delta]] = {}
    async for delta in deltas:
        found.setdefault(delta.index, []).append(delta)
    for prompt in range(translation.prompts):
        indexes = range(prompt * candidates, (prompt + 1) * candidates)
        ranked = sorted(indexes, key=lambda index: mean_logprob(found.get(index, [])), reverse=True)
        for place, index in enumerate(ranked[: translation.n]):
            for delta in found.get(index, []):
                logprobs = delta.logprobs if translation.keep_logprobs else None
                yield replace(delta, index=prompt * translation.n + place, logprobs=logprobs)


def mean_logprob(deltas: list[Delta]) -> float:
    """The mean logprob of a choice's tokens; minus infinity for a choice without any."""
    values = [token.logprob for delta in deltas for token in delta.logprobs or () if token.logprob is not None]
    return sum(values) / len(values) if values else -inf


async def echoed(deltas: AsyncIterator[Delta], translation: Translation) -> AsyncIterator[Delta]:
    """`deltas` with each prompt in front of its choices; without calls (`max_tokens: 0`) the prompts alone.

    Comes after every filter, so that what a policy made of the prompt is what is echoed.
    """
    texts = translation.echo or ()
    if not translation.calls:
        for index in range(translation.prompts * translation.n):
            yield Delta(index, texts[index // translation.n] if texts else "", finish_reason="length")
        return
    seen: set[int] = set()
    async for delta in deltas:
        if texts and delta.index not in seen:
            seen.add(delta.index)
            delta = replace(delta, text=texts[delta.index // translation.n] + delta.text)
        yield delta


async def repeating(deltas: AsyncIterator[Delta], translation: Translation, provider: str) -> AsyncIterator[Delta]:
    """`deltas` as they are, as long as each choice begins with the prompt that its provider was asked to repeat.

    Raises:
        UpstreamInvalidResponse: it does not: some servers ignore `echo` without a word.
    """
    prompts = {
        placed.first + choice: placed.call.prompt for placed in translation.calls for choice in range(placed.call.n)
    }
    missing = {index: prompt for index, prompt in prompts.items() if isinstance(prompt, str)}
    async for delta in deltas:
        rest = missing.get(delta.index)
        if rest:
            if not (rest.startswith(delta.text) or delta.text.startswith(rest)):
                raise invalid_response(provider, "it was asked to repeat the prompt and did not")
            missing[delta.index] = rest[len(delta.text) :]
            if missing[delta.index] and delta.finish_reason:
                raise invalid_response(provider, "it was asked to repeat the prompt and did not")
        yield delta


async def withheld(message: str, choices: int) -> AsyncGenerator[Delta, None]:
    """`message` in place of every choice, where a policy lets the prompt go to nobody."""
    for index in range(choices):
        yield Delta(index, message, finish_reason="content_filter")
