"""A streamed Cohere v2 chat answer (https://docs.cohere.com/v2/docs/streaming): typed events, the type in the JSON."""

from collections.abc import Mapping
from typing import Any

from gateway.providers.base import finish
from gateway.providers.cohere import response
from gateway.providers.failures import cut, invalid_response, parse_object
from gateway.types import Delta, Opening, Usage
from gateway.wire import sse


class Decoder:
    """Events to deltas. Tool calls, citations and debug events carry no text of the answer and vanish.

    The stream is complete at `message-end`, which has the finish reason and the usage; what follows it is not read.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._sse = sse.Decoder()
        self._usage: Usage | None = None
        self._ended = False

    def feed(self, data: bytes) -> list[Delta]:
        try:
            events = self._sse.feed(data)
        except sse.EventTooLarge as error:
            raise invalid_response(self._provider, str(error)) from error
        deltas: list[Delta] = []
        for event in events:
            if self._ended:
                break
            if event.data != b"[DONE]":
                self._event(parse_object(event.data, self._provider), deltas)
        return deltas

    def close(self) -> list[Delta]:
        if not self._ended:
            raise cut(self._provider)
        return [Delta(usage=self._usage)] if self._usage else []

    def _event(self, event: dict[str, Any], deltas: list[Delta]) -> None:
        kind = event.get("type")
        delta = event.get("delta") or {}
        if kind == "message-start":
            deltas.append(Delta(opening=Opening(event.get("id"))))
        elif kind in ("content-start", "content-delta", "tool-plan-delta"):
            piece = _piece(delta.get("message") or {}, event.get("logprobs"))
            if piece.text or piece.reasoning or piece.logprobs:
                deltas.append(piece)
        elif kind == "message-end":
            response.raise_if_failed(delta, self._provider)
            self._ended = True
            self._usage = response.usage(delta.get("usage"))
            deltas.append(Delta(finish_reason=finish(response.FINISH_REASONS, delta.get("finish_reason"))))
        elif kind is None:
            raise response.in_stream_error(event, self._provider)


def _piece(message: Mapping[str, Any], logprobs: Mapping[str, Any] | None) -> Delta:
    """A piece of text or of thought. Logprobs belong to shown text only."""
    content = message.get("content") or {}
    text = content.get("text") or ""
    thought = (content.get("thinking") or "") + (message.get("tool_plan") or "")
    tokens = (response.token(logprobs, logprobs.get("text") or text),) if logprobs and text else None
    return Delta(text=text, logprobs=tokens, reasoning=thought)
