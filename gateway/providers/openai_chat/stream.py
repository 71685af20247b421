"""A streamed OpenAI answer (https://platform.openai.com/docs/api-reference/chat-streaming).

Chat and text completions stream alike: server-sent events of chunks with choices. Only what one choice of a chunk
holds differs, so the decoder takes the function that reads it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from gateway.providers.base import finish
from gateway.providers.failures import cut, invalid_response, parse_object, reported
from gateway.providers.openai_chat import response
from gateway.types import Delta, FinishReason, Usage
from gateway.wire import sse

ReadChoice = Callable[[Mapping[str, Any], int, FinishReason | None], Delta]
"""Reads one choice of a chunk, given its index and finish reason. What it raises on a choice of another shape
(KeyError, TypeError, ValueError, AttributeError) becomes an invalid response."""


def read(choice: Mapping[str, Any], index: int, reason: FinishReason | None) -> Delta:
    """One choice of a chat chunk."""
    message = choice.get("delta") or {}
    text = response.text_of(message)
    return Delta(
        index=index,
        text=text,
        logprobs=response.logprobs(choice.get("logprobs"), text) or None,
        finish_reason=reason,
        reasoning=response.reasoning_of(message),
    )


class Decoder:
    """Chunks to deltas. Role-only openings, pings and empty chunks vanish; usage is taken from wherever it comes.

    Some servers send usage in every chunk, some with the last choice, some in a chunk of its own without choices:
    the last one counts and is given out once, at the end. A stream is complete when every choice has its finish
    reason, whether or not `[DONE]` follows.
    """

    def __init__(self, provider: str, choices: int, read: ReadChoice = read) -> None:
        self._provider = provider
        self._several = choices > 1
        self._open = set(range(choices))
        self._read = read
        self._sse = sse.Decoder()
        self._usage: Usage | None = None
        self._opened = False

    def feed(self, data: bytes) -> list[Delta]:
        try:
            events = self._sse.feed(data)
        except sse.EventTooLarge as error:
            raise invalid_response(self._provider, str(error)) from error
        deltas: list[Delta] = []
        for event in events:
            if event.data != b"[DONE]":
                self._chunk(parse_object(event.data, self._provider), deltas)
        return deltas

    def close(self) -> list[Delta]:
        if self._open:
            raise cut(self._provider)
        return [Delta(usage=self._usage)] if self._usage else []

    def _chunk(self, chunk: dict[str, Any], deltas: list[Delta]) -> None:
        if chunk.get("error"):
            raise reported(self._provider, chunk["error"])
        if chunk.get("object") == "error":  # vLLM before 0.10
            raise reported(self._provider, chunk)
        try:
            self._count(chunk)
            if not self._opened and chunk.get("id"):
                self._opened = True
                deltas.append(Delta(opening=response.opening(chunk)))
            for choice in chunk.get("choices") or ():
                delta = self._delta(choice)
                if delta.text or delta.logprobs or delta.finish_reason or delta.reasoning:
                    deltas.append(delta)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise invalid_response(self._provider, "a chunk of its stream has another shape") from error

    def _count(self, chunk: Mapping[str, Any]) -> None:
        counted = response.usage(chunk.get("usage")) or _groq_usage(chunk) or _moonshot_usage(chunk)
        if counted is None:
            return
        if self._several and self._usage and "timings" in chunk:
            # llama.cpp, told by its timings, counts each choice by itself: the prompt is shared, the output adds up
            counted = replace(counted, output_tokens=self._usage.output_tokens + counted.output_tokens)
        self._usage = counted

    def _delta(self, choice: Mapping[str, Any]) -> Delta:
        reason = choice.get("finish_reason")
        index = choice.get("index", 0)
        if reason and index not in self._open:
            reason = None  # a second finish reason for one choice says nothing new
        if reason:
            self._open.discard(index)
        return self._read(choice, index, finish(response.FINISH_REASONS, reason) if reason else None)


def _groq_usage(chunk: Mapping[str, Any]) -> Usage | None:
    groq = chunk.get("x_groq")
    return response.usage(groq.get("usage")) if isinstance(groq, Mapping) else None


def _moonshot_usage(chunk: Mapping[str, Any]) -> Usage | None:
    """Moonshot counts inside a choice."""
    return next((response.usage(choice["usage"]) for choice in chunk.get("choices") or () if choice.get("usage")), None)
