"""A streamed Anthropic message (https://platform.claude.com/docs/en/build-with-claude/streaming)."""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.errors import UpstreamConnectionError
from gateway.providers.anthropic import response
from gateway.providers.base import finish
from gateway.providers.failures import invalid_response, parse_object
from gateway.types import Delta
from gateway.wire import sse


class Decoder:
    """Events to deltas. Pings, signatures, tool calls and event types of later versions vanish.

    Usage comes in parts, each cumulative: input with `message_start`, output with `message_delta`; the last value of
    each count holds, and usage is given out once, at the end. A stream is complete when its stop reason is known or
    `message_stop` has come.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._sse = sse.Decoder()
        self._counts: dict[str, Any] = {}
        self._finished = False
        self._opened = False

    def feed(self, data: bytes) -> list[Delta]:
        try:
            events = self._sse.feed(data)
        except sse.EventTooLarge as error:
            raise invalid_response(self._provider, str(error)) from error
        deltas: list[Delta] = []
        for event in events:
            value = parse_object(event.data, self._provider)
            handle = _HANDLERS.get(str(value.get("type")))
            delta = handle(self, value) if handle else None
            if delta is not None:
                deltas.append(delta)
        return deltas

    def close(self) -> list[Delta]:
        if not self._finished:
            raise UpstreamConnectionError(
                f"The provider {self._provider} ended its stream before the answer was complete."
            )
        usage = response.usage(self._counts)
        return [Delta(usage=usage)] if usage else []

    def _message_start(self, event: Mapping[str, Any]) -> Delta | None:
        message = event["message"]
        self._count(message)
        if self._opened:
            return None
        self._opened = True
        return Delta(opening=response.opening(message))

    def _block_start(self, event: Mapping[str, Any]) -> Delta | None:
        return self._piece(event.get("content_block"))

    def _block_delta(self, event: Mapping[str, Any]) -> Delta | None:
        return self._piece(event.get("delta"))

    def _piece(self, block: Any) -> Delta | None:
        text, thought = response.piece(block, self._provider)
        return Delta(text=text, reasoning=thought) if text or thought else None

    def _message_delta(self, event: Mapping[str, Any]) -> Delta | None:
        self._count(event)
        reason = (event.get("delta") or {}).get("stop_reason")
        return self._finish(reason) if reason else None

    def _message_stop(self, event: Mapping[str, Any]) -> Delta | None:
        return self._finish(None)

    def _error(self, event: Mapping[str, Any]) -> Delta | None:
        raise response.reported(self._provider, event.get("error"))

    def _count(self, event: Mapping[str, Any]) -> None:
        counts = event.get("usage") or {}
        self._counts.update({name: value for name, value in counts.items() if value is not None})

    def _finish(self, reason: str | None) -> Delta | None:
        if self._finished:
            return None
        self._finished = True
        return Delta(finish_reason=finish(response.FINISH_REASONS, reason))


_HANDLERS: Mapping[str, Callable[[Decoder, Mapping[str, Any]], Delta | None]] = {
    "message_start": Decoder._message_start,
    "content_block_start": Decoder._block_start,
    "content_block_delta": Decoder._block_delta,
    "message_delta": Decoder._message_delta,
    "message_stop": Decoder._message_stop,
    "error": Decoder._error,
}
