"""A whole OpenAI chat answer, and the parts of it that chunks share.

Shapes: https://platform.openai.com/docs/api-reference/chat/object. What the many OpenAI-like servers leave out or
send as null (usage details, logprobs, content) is read as absent.
"""

from collections.abc import Mapping
from typing import Any

from gateway.providers.base import finish, invalid_response, parse_object
from gateway.types import Delta, FinishReason, Opening, TokenLogprob, Usage

FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
    "tool_calls": "stop",
    "function_call": "stop",
    "eos": "stop",  # together_ai, tgi
    "eos_token": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_length": "length",  # mistral
    "error": "stop",
}


def parse(body: bytes, provider: str) -> list[Delta]:
    """One delta per choice, in order of index, then one with usage and opening.

    Raises:
        UpstreamInvalidResponse: no choices, or choices of another shape.
    """
    answer = parse_object(body, provider)
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        raise invalid_response(provider, "it has no choices")
    deltas = [_choice(choice, position, provider) for position, choice in enumerate(choices)]
    deltas.sort(key=lambda delta: delta.index)
    deltas.append(Delta(usage=usage(answer.get("usage")), opening=opening(answer)))
    return deltas


def _choice(choice: Any, position: int, provider: str) -> Delta:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise invalid_response(provider, "a choice has no message")
    return Delta(
        index=choice.get("index", position),
        text=text_of(message),
        logprobs=logprobs(choice.get("logprobs")),
        finish_reason=finish(FINISH_REASONS, choice.get("finish_reason")),
        reasoning=reasoning_of(message),
    )


def text_of(message: Mapping[str, Any]) -> str:
    """The text a message or a chunk's delta shows: its content, or its refusal when that is all there is."""
    content = message.get("content")
    if isinstance(content, list):  # mistral and databricks send typed parts for some models
        content = "".join(str(part.get("text", "")) for part in content if part.get("type") == "text")
    return content or message.get("refusal") or ""


def reasoning_of(message: Mapping[str, Any]) -> str:
    """The text the model thought: `reasoning_content` (deepseek, vLLM) or `reasoning` (groq, openrouter)."""
    thought = message.get("reasoning_content") or message.get("reasoning") or ""
    return thought if isinstance(thought, str) else ""


def opening(answer: Mapping[str, Any]) -> Opening:
    """The answer's own id, model and build."""
    return Opening(answer.get("id"), answer.get("model"), answer.get("system_fingerprint"))


def usage(counts: Mapping[str, Any] | None) -> Usage | None:
    """OpenAI's usage object, with the names of DeepSeek, Perplexity and OpenRouter for cached tokens and cost."""
    if not counts:
        return None
    prompt_details = counts.get("prompt_tokens_details") or {}
    output_details = counts.get("completion_tokens_details") or {}
    cost = counts.get("cost")
    if isinstance(cost, Mapping):  # perplexity
        cost = cost.get("total_cost")
    return Usage(
        input_tokens=counts.get("prompt_tokens") or 0,
        output_tokens=counts.get("completion_tokens") or 0,
        cached_tokens=prompt_details.get("cached_tokens") or counts.get("prompt_cache_hit_tokens") or 0,
        reasoning_tokens=output_details.get("reasoning_tokens") or 0,
        cost=cost,
    )


def logprobs(value: Mapping[str, Any] | None) -> tuple[TokenLogprob, ...] | None:
    """Chat-shaped logprobs (`content`, or `refusal` when the model refused) as tokens; None when there are none."""
    content = (value.get("content") or value.get("refusal")) if value else None
    if content is None:
        return None
    return tuple(
        TokenLogprob(
            token=entry["token"],
            logprob=entry["logprob"],
            raw=bytes(entry["bytes"]) if entry.get("bytes") is not None else None,
            top=tuple((top["token"], top["logprob"]) for top in entry.get("top_logprobs") or ()),
        )
        for entry in content
    )
