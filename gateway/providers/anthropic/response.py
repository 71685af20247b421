"""A whole Anthropic message, and the parts of it that stream events share.

Shapes: https://platform.claude.com/docs/en/api/messages; errors: https://platform.claude.com/docs/en/api/errors.
"""

import re
from collections.abc import Mapping
from typing import Any

from gateway.errors import UpstreamError
from gateway.providers.base import finish
from gateway.providers.failures import error_from, invalid_response, parse_object
from gateway.types import Delta, FinishReason, Opening, Usage

FINISH_REASONS: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}

_STATUSES: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The status each error type has outside a stream."""

_PARAMETER = re.compile(r"`?(temperature|top_p|top_k|max_tokens|stop_sequences)\b")
"""How a refusal names its parameter: "`temperature` is deprecated for this model", "top_p: Input should be …"."""

_TEXT = {"text": "text", "text_delta": "text"}
_THOUGHT = {"thinking": "thinking", "thinking_delta": "thinking"}


def parse(body: bytes, provider: str) -> list[Delta]:
    """One delta with the joined text of the message, then one with usage and opening.

    Raises:
        UpstreamInvalidResponse: no list of content blocks, or blocks of another shape.
        UpstreamError: the body is an error object.
    """
    message = parse_object(body, provider)
    if message.get("type") == "error":
        raise reported(provider, message.get("error"))
    blocks = message.get("content")
    if not isinstance(blocks, list):
        raise invalid_response(provider, "it has no content")
    pieces = [piece(block, provider) for block in blocks]
    return [
        Delta(
            text="".join(text for text, _ in pieces),
            reasoning="".join(thought for _, thought in pieces),
            finish_reason=finish(FINISH_REASONS, message.get("stop_reason")),
        ),
        Delta(usage=usage(message.get("usage")), opening=opening(message)),
    ]


def piece(block: Any, provider: str) -> tuple[str, str]:
    """The text and the thought in a content block or in a delta of one.

    Redacted thinking, signatures, tool calls and citations hold nothing that a text completion shows.
    """
    if not isinstance(block, dict):
        raise invalid_response(provider, "a content block is not an object")
    kind = block.get("type", "")
    name = _TEXT.get(kind) or _THOUGHT.get(kind)
    if name is None:
        return "", ""
    value = block.get(name)
    if not isinstance(value, str):
        raise invalid_response(provider, f"a {kind} block has no {name}")
    return (value, "") if kind in _TEXT else ("", value)


def opening(message: Mapping[str, Any]) -> Opening:
    """The message's own id and model."""
    return Opening(message.get("id"), message.get("model"))


def usage(counts: Mapping[str, Any] | None) -> Usage | None:
    """Anthropic's usage object.

    Its `input_tokens` leaves out what was read from and written to the prompt cache; ours has them in it
    (https://platform.claude.com/docs/en/build-with-claude/prompt-caching, "Tracking cache performance").
    """
    if not counts:
        return None
    cached = counts.get("cache_read_input_tokens") or 0
    written = counts.get("cache_creation_input_tokens") or 0
    return Usage(
        input_tokens=(counts.get("input_tokens") or 0) + cached + written,
        output_tokens=counts.get("output_tokens") or 0,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=(counts.get("output_tokens_details") or {}).get("thinking_tokens") or 0,
        cache_write_1h_tokens=(counts.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0,
    )


def reported(provider: str, error: Any) -> UpstreamError:
    """The error of an `{"type", "message"}` object inside a 200 answer; an unknown type counts as a 500."""
    if not isinstance(error, Mapping):
        return failure(provider, 500, {}, None)
    message = error.get("message")
    status = _STATUSES.get(str(error.get("type")), 500)
    return failure(provider, status, {}, message if isinstance(message, str) else None)


def failure(provider: str, status: int, headers: Mapping[str, str], message: str | None) -> UpstreamError:
    """The error of a non-2xx status.

    Newer models refuse sampling parameters that older ones take: `param` says which, under the client's name.
    """
    named = _PARAMETER.match(message or "")
    param = named[1].replace("stop_sequences", "stop") if named else None
    return error_from(provider, status, headers, message, param)
