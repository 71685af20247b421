"""A streamed answer of `streamGenerateContent?alt=sse`: one `GenerateContentResponse` per event."""

import re
from typing import Any

from gateway.errors import UpstreamError
from gateway.providers.base import finish
from gateway.providers.failures import cut, invalid_response, reported
from gateway.providers.gemini import response
from gateway.types import Delta, FinishReason, Usage
from gateway.wire import json, sse

_TAIL_BYTES = 16 * 1024
_BARE = re.compile(rb"\n([\[{].*)\Z", re.DOTALL)


class Decoder:
    """Chunks to deltas. Usage comes with every chunk: the last one counts and is given out once, at the end.

    Finish reasons are given out at the end too: early models send `STOP` with every chunk, so that the last one is
    known only then. A stream is complete when every choice has one; nothing else marks its end.
    """

    def __init__(self, provider: str, choices: int) -> None:
        self._provider = provider
        self._choices = choices
        self._reasons: dict[int, FinishReason] = {}
        self._sse = sse.Decoder()
        self._usage: Usage | None = None
        self._opened = False
        self._tail = b"\n"  # so that the start of the body is the start of a line

    def feed(self, data: bytes) -> list[Delta]:
        try:
            events = self._sse.feed(data)
        except sse.EventTooLarge as error:
            raise invalid_response(self._provider, str(error)) from error
        self._tail = (self._tail + data)[-_TAIL_BYTES:]
        deltas: list[Delta] = []
        for event in events:
            self._chunk(self._parse(event.data), deltas)
        return deltas

    def close(self) -> list[Delta]:
        error = self._bare_error()
        if error is not None:
            raise error
        if len(self._reasons) < self._choices:
            raise cut(self._provider)
        deltas = [Delta(index, finish_reason=reason) for index, reason in sorted(self._reasons.items())]
        return [*deltas, Delta(usage=self._usage)] if self._usage else deltas

    def _chunk(self, chunk: dict[str, Any], deltas: list[Delta]) -> None:
        if chunk.get("error"):
            raise reported(self._provider, chunk["error"])
        self._usage = response.usage(chunk.get("usageMetadata")) or self._usage
        if not self._opened and (chunk.get("responseId") or chunk.get("modelVersion")):
            self._opened = True
            deltas.append(Delta(opening=response.opening(chunk)))
        candidates = response.numbered(chunk, self._choices, self._provider)
        for index, candidate in candidates:
            piece = response.piece(index, candidate)
            if piece.text or piece.logprobs or piece.reasoning:
                deltas.append(piece)
            reason = candidate.get("finishReason")
            if reason and reason != response.UNFINISHED:
                self._reasons[index] = finish(response.FINISH_REASONS, reason)
        if not candidates and response.blocked(chunk):
            for index in range(self._choices):
                self._reasons.setdefault(index, "content_filter")

    def _parse(self, data: bytes) -> dict[str, Any]:
        """A chunk; an error may come wrapped in a list of one."""
        try:
            value = json.loads(data)
        except json.JSONDecodeError as error:
            raise invalid_response(self._provider, "a chunk of its stream is not JSON") from error
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if not isinstance(value, dict):
            raise invalid_response(self._provider, "a chunk of its stream is not a JSON object")
        return value

    def _bare_error(self) -> UpstreamError | None:
        """The error that Google writes after a stream's last event as indented JSON, which is no event of its own."""
        bare = _BARE.search(self._tail)
        if bare is None:
            return None
        try:
            value = json.loads(bare[1])
        except json.JSONDecodeError:
            return None
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, dict) and value.get("error"):
            return reported(self._provider, value["error"])
        return None
