"""A whole Converse answer, the parts of it that stream events share, and Bedrock's errors.

Shapes: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html.
"""

from collections.abc import Mapping
from typing import Any

from gateway.errors import UpstreamError
from gateway.providers.base import finish
from gateway.providers.failures import error_from, invalid_response, parse_object
from gateway.types import Delta, FinishReason, Usage

FINISH_REASONS: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "stop",
    "malformed_model_output": "stop",
    "malformed_tool_use": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}

_STATUSES: Mapping[str, int] = {
    "validationException": 400,
    "accessDeniedException": 403,
    "expiredTokenException": 403,
    "unrecognizedClientException": 403,
    "invalidSignatureException": 403,
    "incompleteSignatureException": 403,  # HTTP 400, yet about the gateway's credentials, not about the request
    "missingAuthenticationTokenException": 403,
    "resourceNotFoundException": 404,
    "modelTimeoutException": 504,  # HTTP 408
    "modelErrorException": 502,  # HTTP 424
    "modelStreamErrorException": 502,  # HTTP 424
    "throttlingException": 429,
    "modelNotReadyException": 429,
    "serviceQuotaExceededException": 429,  # HTTP 400
    "internalServerException": 500,
    "serviceUnavailableException": 503,
}
"""What each error's name means, where its HTTP status is missing (in a stream) or says something else."""


def parse(body: bytes, provider: str) -> list[Delta]:
    """One delta with the joined text of the message, then one with usage.

    Raises:
        UpstreamInvalidResponse: no message, or content blocks of another shape.
    """
    answer = parse_object(body, provider)
    output = answer.get("output")
    message = output.get("message") if isinstance(output, dict) else None
    blocks = message.get("content") if isinstance(message, dict) else None
    if not isinstance(blocks, list):
        raise invalid_response(provider, "it has no message")
    pieces = [_block(block, provider) for block in blocks]
    return [
        Delta(
            text="".join(text for text, _ in pieces),
            reasoning="".join(thought for _, thought in pieces),
            finish_reason=finish(FINISH_REASONS, answer.get("stopReason")),
        ),
        Delta(usage=usage(answer.get("usage"))),
    ]


def _block(block: Any, provider: str) -> tuple[str, str]:
    """The text and the thought in a content block; tool calls, images and redacted thought hold neither."""
    if not isinstance(block, dict):
        raise invalid_response(provider, "a content block is not an object")
    cited = block.get("citationsContent")
    if cited is not None:  # generated text with its sources: the text is in parts
        return "".join(string(part, "text", provider) for part in cited.get("content") or ()), ""
    reasoning = block.get("reasoningContent") or {}
    return string(block, "text", provider), string(reasoning.get("reasoningText") or {}, "text", provider)


def string(holder: Mapping[str, Any], name: str, provider: str) -> str:
    """The string `name` of `holder`, empty when it is absent.

    Raises:
        UpstreamInvalidResponse: it is not a string.
    """
    value = holder.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise invalid_response(provider, f"its {name} is not a string")
    return value


def usage(counts: Mapping[str, Any] | None) -> Usage | None:
    """Converse's token usage.

    Its `inputTokens` leaves out what was read from and written to the prompt cache; ours has them in it
    (https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html).
    `cacheDetails` says for how long the written ones are kept.
    """
    if not counts:
        return None
    cached = counts.get("cacheReadInputTokens") or 0
    written = counts.get("cacheWriteInputTokens") or 0
    return Usage(
        input_tokens=(counts.get("inputTokens") or 0) + cached + written,
        output_tokens=counts.get("outputTokens") or 0,
        cached_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=sum(
            detail.get("inputTokens") or 0 for detail in counts.get("cacheDetails") or () if detail.get("ttl") == "1h"
        ),
    )


def failure(
    provider: str, name: str, message: str | None, status: int = 500, headers: Mapping[str, str] | None = None
) -> UpstreamError:
    """The error of that `name` (`ThrottlingException`, `throttlingException`, with or without a namespace or URI).

    `status` counts only for names that the table does not have.
    """
    bare = name.split(":", 1)[0].rsplit("#", 1)[-1]
    status = _STATUSES.get(bare[:1].lower() + bare[1:], status)
    return error_from(provider, status, headers or {}, message)
