"""A whole Cohere v2 chat answer, and the parts of it that events share (https://docs.cohere.com/reference/chat)."""

from collections.abc import Mapping
from typing import Any

from gateway.errors import UpstreamError, UpstreamTimeout
from gateway.providers.base import finish
from gateway.providers.failures import error_from, invalid_response, parse_object
from gateway.types import Delta, FinishReason, Opening, TokenLogprob, Usage

FINISH_REASONS: Mapping[str, FinishReason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "TOOL_CALL": "stop",
    "MAX_TOKENS": "length",
}


def parse(body: bytes, provider: str) -> list[Delta]:
    """One delta with the answer, one with usage and opening.

    Raises:
        UpstreamInvalidResponse: no message.
        UpstreamError: the generation failed or ran out of time.
    """
    answer = parse_object(body, provider)
    message = answer.get("message")
    if not isinstance(message, dict):
        raise invalid_response(provider, "it has no message")
    raise_if_failed(answer, provider)
    text, thought = content(message)
    tokens = logprobs(answer.get("logprobs"))
    return [
        Delta(
            text=text,
            logprobs=tokens if tokens is None or not thought else _of_the_text(tokens, text),
            finish_reason=finish(FINISH_REASONS, answer.get("finish_reason")),
            reasoning=thought,
        ),
        Delta(usage=usage(answer.get("usage")), opening=Opening(answer.get("id"))),
    ]


def raise_if_failed(end: Mapping[str, Any], provider: str) -> None:
    """Raise what a finish reason of ERROR or TIMEOUT, or a message-end with an `error`, means."""
    reason = end.get("finish_reason")
    if reason == "TIMEOUT":
        raise UpstreamTimeout(f"The provider {provider} ran out of time before its answer was complete; try again.")
    if reason == "ERROR" or end.get("error"):
        raise error_from(provider, 500, {}, None)


def content(message: Mapping[str, Any]) -> tuple[str, str]:
    """The text a message shows, and the text the model thought: its thinking and its plan for tools."""
    blocks = message.get("content") or ()
    text = "".join(block.get("text") or "" for block in blocks if block.get("type") == "text")
    thought = "".join(block.get("thinking") or "" for block in blocks if block.get("type") == "thinking")
    return text, thought + (message.get("tool_plan") or "")


def logprobs(items: list[Mapping[str, Any]] | None) -> tuple[TokenLogprob, ...] | None:
    """Cohere's logprobs: each item is a piece of text with the logprobs of the tokens it was made from.

    The text of the single tokens is not given, so a piece counts as one token, with the logprob of the whole piece.
    """
    return None if items is None else tuple(token(item, item.get("text") or "") for item in items)


def token(item: Mapping[str, Any], text: str) -> TokenLogprob:
    """One `LogprobItem` for `text`."""
    values = item.get("logprobs")
    return TokenLogprob(text, sum(values) if values else None)


def _of_the_text(tokens: tuple[TokenLogprob, ...], text: str) -> tuple[TokenLogprob, ...]:
    """The last of `tokens`, as many as make `text`: what was thought comes before it and is not shown."""
    missing = len(text)
    start = len(tokens)
    while start and missing > 0:
        start -= 1
        missing -= len(tokens[start].token)
    return tokens[start:]


def usage(counts: Mapping[str, Any] | None) -> Usage | None:
    """What the model read and wrote (`tokens`), else what is billed; Cohere's counts are JSON floats.

    It may bill fewer tokens than the model reads and writes (its own template is not the client's to pay):
    `billed_units` at https://docs.cohere.com/reference/chat.
    """
    if not counts:
        return None
    units = counts.get("billed_units") or {}
    told = _in_and_out(counts.get("tokens") or units)
    billed = _in_and_out(units) if units else told
    return Usage(
        input_tokens=told[0],
        output_tokens=told[1],
        cached_tokens=int(counts.get("cached_tokens") or 0),
        billed=billed if billed != told else None,
    )


def _in_and_out(counts: Mapping[str, Any]) -> tuple[int, int]:
    return int(counts.get("input_tokens") or 0), int(counts.get("output_tokens") or 0)


def in_stream_error(event: Mapping[str, Any], provider: str) -> UpstreamError:
    """The error for an event that is an error body (`{"id", "message"}`) instead of a typed event."""
    message = event.get("message")
    return error_from(provider, 500, {}, message if isinstance(message, str) else None)
