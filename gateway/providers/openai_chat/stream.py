"""A streamed OpenAI chat answer (https://platform.openai.com/docs/api-reference/chat-streaming)."""

import re
from collections.abc import Mapping
from typing import Any

from gateway.errors import UpstreamConnectionError, UpstreamError
from gateway.providers.base import error_from, finish, invalid_response, parse_object
from gateway.providers.openai_chat import response
from gateway.types import Delta, Usage
from gateway.wire import sse


class Decoder:
    """Chunks to deltas. Role-only openings, pings and empty chunks vanish; usage is taken from wherever it comes.

    Some servers send usage in every chunk, some with the last choice, some in a chunk of its own without choices:
    the last one counts and is given out once, at the end. A stream is complete when every choice has its finish
    reason, whether or not `[DONE]` follows.
    """

    def __init__(self, provider: str, choices: int) -> None:
        self._provider = provider
        self._open = set(range(choices))
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
            raise in_stream_error(self._provider, chunk["error"])
        self._usage = response.usage(chunk.get("usage")) or _groq_usage(chunk) or self._usage
        if not self._opened and chunk.get("id"):
            self._opened = True
            deltas.append(Delta(opening=response.opening(chunk)))
        for choice in chunk.get("choices") or ():
            delta = self._delta(choice)
            if delta.text or delta.logprobs or delta.finish_reason or delta.reasoning:
                deltas.append(delta)

    def _delta(self, choice: dict[str, Any]) -> Delta:
        message = choice.get("delta") or {}
        reason = choice.get("finish_reason")
        index = choice.get("index", 0)
        if reason and index not in self._open:
            reason = None  # a second finish reason for one choice says nothing new
        if reason:
            self._open.discard(index)
        return Delta(
            index=index,
            text=response.text_of(message),
            logprobs=response.logprobs(choice.get("logprobs")) or None,
            finish_reason=finish(response.FINISH_REASONS, reason) if reason else None,
            reasoning=response.reasoning_of(message),
        )


def _groq_usage(chunk: Mapping[str, Any]) -> Usage | None:
    groq = chunk.get("x_groq")
    return response.usage(groq.get("usage")) if isinstance(groq, Mapping) else None


def in_stream_error(provider: str, error: Any) -> UpstreamError:
    """The error a provider reports inside a 200 stream. Its `code` is a status at some providers; else it is a 500."""
    if not isinstance(error, Mapping):
        return error_from(provider, 500, {}, str(error))
    code = str(error.get("code") or error.get("status"))
    status = int(code) if re.fullmatch("[45][0-9][0-9]", code) else 500
    return error_from(provider, status, {}, error.get("message"))


def cut(provider: str) -> UpstreamError:
    """The error for a stream that ended before its answer did."""
    return UpstreamConnectionError(f"The provider {provider} ended its stream before the answer was complete.")
