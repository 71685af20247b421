"""What the gateway does with the choices of an answer that a provider could not do itself: `best_of` and `echo`."""

from collections.abc import AsyncIterator
from dataclasses import replace
from math import inf

from gateway.providers.translation import Translation
from gateway.types import Delta


def shaped(deltas: AsyncIterator[Delta], translation: Translation) -> AsyncIterator[Delta]:
    """`deltas` with the best choices kept and logprobs that only the ranking needed taken out."""
    if translation.best_of is None:
        return deltas
    return _best(deltas, translation, translation.best_of)


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
