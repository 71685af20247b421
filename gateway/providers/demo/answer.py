"""What the demo answers, in OpenAI's shapes: a whole object, or the chunks of a stream.

Shapes: https://platform.openai.com/docs/api-reference/chat/object, …/chat/streaming and …/completions/object. A whole
answer is made as a stream of one piece per choice, so both always say the same.
"""

import codecs
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.providers.demo.ask import Ask
from gateway.providers.demo.logprobs import ChatLogprobs, TextLogprobs, joined
from gateway.providers.demo.text import Generation, generate, score

FINGERPRINT = "fp_demo"
_EVERYTHING = 2**63


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice: the prompt it answers, as a number, and what was generated."""

    index: int
    prompt: int
    generation: Generation


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a choice's text and its logprobs in the language's own shape."""

    index: int
    text: str
    logprobs: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """Everything there is to say to one request."""

    ask: Ask
    head: dict[str, Any]
    choices: tuple[Choice, ...]
    usage: dict[str, Any]


def answer(ask: Ask, filter_after: int | None = None) -> Answer:
    """The answer to `ask`; with `filter_after`, a content filter ends every choice after so many tokens."""
    kept: list[Choice] = []
    sampled = 0
    for number, prompt in enumerate(ask.prompts):
        candidates = [_generated(ask, prompt, candidate, filter_after) for candidate in range(ask.best_of)]
        sampled += sum(candidate.sampled for candidate in candidates)
        if ask.best_of > ask.n:
            candidates.sort(key=_likelihood, reverse=True)
        for place, generation in enumerate(candidates[: ask.n]):
            kept.append(Choice(number * ask.n + place, number, generation))
    return Answer(ask, _head(ask), tuple(kept), _usage(ask.prompt_tokens, sampled))


def whole(said: Answer) -> dict[str, Any]:
    """The object of an answer that is not streamed."""
    choices = []
    for choice in said.choices:
        pieces = _pieces(said.ask, choice, _EVERYTHING)
        text = "".join(piece.text for piece in pieces)
        logprobs = joined([piece.logprobs for piece in pieces]) if pieces else None
        if said.ask.chat:
            message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
            entry = {"index": choice.index, "message": message, "logprobs": logprobs}
        else:
            entry = {"text": text, "index": choice.index, "logprobs": logprobs}
        choices.append({**entry, "finish_reason": choice.generation.finish_reason})
    return {**said.head, "choices": choices, "usage": said.usage}


@dataclass(frozen=True, slots=True)
class Chunks:
    """A stream's chunks: those that open it, those with text, those that end it, the one with usage."""

    opening: list[dict[str, Any]]
    content: list[dict[str, Any]]
    closing: list[dict[str, Any]]
    usage: list[dict[str, Any]]


def chunks(said: Answer, size: int) -> Chunks:
    """The chunks of a streamed answer, `size` tokens in each; the choices take turns."""
    ask = said.ask
    turns = itertools.zip_longest(*(_pieces(ask, choice, size) for choice in said.choices))
    pieces = [piece for turn in turns for piece in turn if piece]
    first: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
    opening = [_chunk(said, choice.index, first) for choice in said.choices] if ask.chat else []
    content = [_chunk(said, p.index, {"content": p.text} if ask.chat else p.text, p.logprobs) for p in pieces]
    last: Any = {} if ask.chat else ""
    closing = [_chunk(said, c.index, last, finish=c.generation.finish_reason) for c in said.choices]
    usage = [{**_stream_head(said), "choices": [], "usage": said.usage}] if ask.include_usage else []
    return Chunks(opening, content, closing, usage)


def _chunk(said: Answer, index: int, what: Any, logprobs: Any = None, finish: str | None = None) -> dict[str, Any]:
    name = "delta" if said.ask.chat else "text"
    choice = {"index": index, name: what, "logprobs": logprobs, "finish_reason": finish}
    usage = {"usage": None} if said.ask.include_usage else {}
    return {**_stream_head(said), "choices": [choice], **usage}


def _head(ask: Ask) -> dict[str, Any]:
    unique = os.urandom(12).hex()
    return {
        "id": f"{'chatcmpl' if ask.chat else 'cmpl'}-{unique}",
        "object": "chat.completion" if ask.chat else "text_completion",
        "created": int(time.time()),
        "model": ask.model,
        "system_fingerprint": FINGERPRINT,
    }


def _stream_head(said: Answer) -> dict[str, Any]:
    return {**said.head, "object": "chat.completion.chunk"} if said.ask.chat else said.head


def _usage(prompt: int, completion: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _generated(ask: Ask, prompt: str, candidate: int, filter_after: int | None) -> Generation:
    lead = "" if ask.chat or prompt[-1:].isspace() else " "
    made = generate(
        prompt,
        context=ask.context,
        seed=ask.seed,
        index=candidate,
        max_tokens=ask.max_tokens,
        stop=ask.stop,
        lead=lead,
    )
    if filter_after is None:
        return made
    kept = made.raw[:filter_after]
    return replace(
        made,
        raw=kept,
        ids=made.ids[:filter_after],
        finish_reason="content_filter",
        sampled=min(made.sampled, filter_after),
    )


def _likelihood(generation: Generation) -> float:
    found = [token.logprob for token in score(generation.ids, generation.raw, generation.key, 0)]
    return sum(found) / len(found) if found else 0.0


def _pieces(ask: Ask, choice: Choice, size: int) -> list[Piece]:
    """A choice in pieces of at least `size` tokens, each of whole characters; an echoed prompt is one before them."""
    generation, prompt = choice.generation, ask.prompts[choice.prompt]
    pieces: list[Piece] = []
    if ask.chat or ask.logprobs is None:
        chat = ChatLogprobs(generation, ask.logprobs) if ask.logprobs is not None else None
        take = chat.take if chat else _no_logprobs
        before = None
    else:
        listed = TextLogprobs(generation, ask.logprobs, prompt)
        take = listed.take
        before = listed.prompt(ask.prompt_ids[choice.prompt]) if ask.echo else None
    if ask.echo and prompt:
        pieces.append(Piece(choice.index, prompt, before))
    pieces.extend(Piece(choice.index, text, take(start, end)) for start, end, text in _cuts(generation.raw, size))
    return pieces


def _no_logprobs(start: int, end: int) -> None:
    """For a request without them."""


def _cuts(raw: Sequence[bytes], size: int) -> Iterator[tuple[int, int, str]]:
    """Where the tokens are cut into pieces, and each piece's text."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    start, text = 0, ""
    for position, token in enumerate(raw, 1):
        text += decoder.decode(token)
        within = bool(decoder.getstate()[0])
        if position - start >= size and not within and position < len(raw):
            yield start, position, text
            start, text = position, ""
    if start < len(raw):
        yield start, len(raw), text + decoder.decode(b"", final=True)
