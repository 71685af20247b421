"""A streamed Converse answer (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html)."""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.errors import GatewayError, UpstreamConnectionError
from gateway.providers.base import finish
from gateway.providers.bedrock import eventstream, response
from gateway.providers.failures import invalid_response, message_in, parse_object
from gateway.types import Delta, Usage


class Decoder:
    """Events to deltas. Role-only openings, tool calls, signatures and event types of later versions vanish.

    Usage comes after the answer, in a `metadata` event, and is given out at the end. A stream is complete when
    `messageStop` has come. Text that came with a failure is given out before it.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._messages = eventstream.Decoder()
        self._usage: Usage | None = None
        self._finished = False
        self._failure: GatewayError | None = None

    def feed(self, data: bytes) -> list[Delta]:
        try:
            messages = self._messages.feed(data)
        except eventstream.Malformed as error:
            raise invalid_response(self._provider, str(error)) from error
        deltas: list[Delta] = []
        for message in messages:
            try:
                delta = self._message(message)
            except GatewayError as error:
                self._failure = error  # raised when what came before it has been given out
                break
            if delta is not None:
                deltas.append(delta)
        if self._failure is not None and not deltas:
            raise self._failure
        return deltas

    def close(self) -> list[Delta]:
        if self._failure is not None:
            raise self._failure
        if not self._finished:
            raise UpstreamConnectionError(
                f"The provider {self._provider} ended its stream before the answer was complete."
            )
        return [Delta(usage=self._usage)] if self._usage else []

    def _message(self, message: eventstream.Message) -> Delta | None:
        kind = message.header(":message-type")
        if kind == "exception":
            raise response.failure(self._provider, message.header(":exception-type"), message_in(message.payload)[0])
        if kind == "error":
            raise response.failure(self._provider, message.header(":error-code"), message.header(":error-message"))
        handle = _HANDLERS.get(message.header(":event-type"))
        return handle(self, parse_object(message.payload, self._provider)) if handle else None

    def _block_delta(self, event: Mapping[str, Any]) -> Delta | None:
        delta = event["delta"]
        text = response.string(delta, "text", self._provider)
        thought = response.string(delta.get("reasoningContent") or {}, "text", self._provider)
        return Delta(text=text, reasoning=thought) if text or thought else None

    def _message_stop(self, event: Mapping[str, Any]) -> Delta | None:
        if self._finished:
            return None
        self._finished = True
        return Delta(finish_reason=finish(response.FINISH_REASONS, event.get("stopReason")))

    def _metadata(self, event: Mapping[str, Any]) -> Delta | None:
        self._usage = response.usage(event.get("usage")) or self._usage
        return None


_HANDLERS: Mapping[str, Callable[[Decoder, Mapping[str, Any]], Delta | None]] = {
    "contentBlockDelta": Decoder._block_delta,
    "messageStop": Decoder._message_stop,
    "metadata": Decoder._metadata,
}
