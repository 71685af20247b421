"""A whole OpenAI chat answer, and the parts of it that chunks share.

Shapes: https://platform.openai.com/docs/api-reference/chat/object. What the many OpenAI-like servers leave out or
send as null (usage details, logprobs, content) is read as absent.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from gateway.errors import UpstreamError
from gateway.providers.base import finish
from gateway.providers.failures import error_from, invalid_response, parse_object, reported
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
    "model_context_window_exceeded": "length",  # zai
    "insufficient_system_resource": "length",  # deepseek, when it breaks off
    "time_limit": "length",  # watsonx
    "sensitive": "content_filter",  # zai
    "error": "stop",
}

_MINIMAX_STATUS = {1002: 429, 1039: 429, 1004: 401, 2049: 401, 1008: 402, 2013: 400, 1026: 400}
"""MiniMax's own codes (https://platform.minimax.io/docs/api-reference/errorcode) as HTTP statuses; others are 500."""


def parse(body: bytes, provider: str) -> list[Delta]:
    """One delta per choice, in order of index, then one with usage and opening.

    Raises:
        UpstreamError: the provider reports an error under a 200.
        UpstreamInvalidResponse: no choices, or choices of another shape.
    """
    answer = parse_object(body, provider)
    reported = _reported(answer, provider)
    if reported is not None:
        raise reported
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        raise invalid_response(provider, "it has no choices")
    deltas = [_choice(choice, position, provider) for position, choice in enumerate(choices)]
    deltas.sort(key=lambda delta: delta.index)
    # llama.cpp, told by its timings, counts only one of several choices: better to count than to believe that
    counted = None if len(deltas) > 1 and "timings" in answer else usage(answer.get("usage"))
    deltas.append(Delta(usage=counted, opening=opening(answer)))
    return deltas


def _reported(answer: Mapping[str, Any], provider: str) -> UpstreamError | None:
    """The error in a 200 answer: OpenRouter's `error`, of the answer or of a choice, and MiniMax's `base_resp`."""
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    error = answer.get("error") or (first.get("error") if isinstance(first, dict) else None)
    if error:
        return reported(provider, error)
    outcome = answer.get("base_resp")
    if isinstance(outcome, dict) and outcome.get("status_code"):
        status, message = _MINIMAX_STATUS.get(outcome["status_code"], 500), outcome.get("status_msg")
        return error_from(provider, status, {}, message if isinstance(message, str) else None)
    return None


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
        content = _texts(content, "text")
    return content or message.get("refusal") or ""


def reasoning_of(message: Mapping[str, Any]) -> str:
    """The text the model thought.

    It is `reasoning_content` (deepseek, vLLM), `reasoning` (groq, openrouter), the texts of `reasoning_details`
    (minimax), or a part of the content: `thinking` (mistral) or a `summary` (databricks).
    """
    for name in ("reasoning_content", "reasoning"):
        if isinstance(thought := message.get(name), str) and thought:
            return thought
    if isinstance(details := message.get("reasoning_details"), list):
        return _texts(details)
    content = message.get("content")
    if not isinstance(content, list):
        return ""
    inner = [part.get("thinking") or part.get("summary") for part in content if isinstance(part, dict)]
    return "".join(thought if isinstance(thought, str) else _texts(thought or []) for thought in inner)


def _texts(parts: list[Any], kind: str | None = None) -> str:
    """The texts of typed parts, those of one `kind` or of all."""
    wanted = (part for part in parts if isinstance(part, dict) and kind in (None, part.get("type")))
    return "".join(str(part.get("text") or "") for part in wanted)


def opening(answer: Mapping[str, Any]) -> Opening:
    """The answer's own id, model and build."""
    return Opening(answer.get("id"), answer.get("model"), answer.get("system_fingerprint"))


def usage(counts: Mapping[str, Any] | None) -> Usage | None:
    """OpenAI's usage object, with the names that others give to cached tokens and cost.

    Output that leaves thought out (xAI counts it in the total only, Perplexity nowhere) is brought to OpenAI's rule,
    where it is part of the output.
    """
    if not counts:
        return None
    prompt_details = counts.get("prompt_tokens_details") or {}
    output_details = counts.get("completion_tokens_details") or {}
    prompt, output = counts.get("prompt_tokens") or 0, counts.get("completion_tokens") or 0
    apart = counts.get("reasoning_tokens") or 0  # perplexity
    thought = output_details.get("reasoning_tokens") or apart
    if thought and (apart > output or counts.get("total_tokens") == prompt + output + thought):
        output += thought
    return Usage(
        input_tokens=prompt,
        output_tokens=output,
        cached_tokens=prompt_details.get("cached_tokens")
        or counts.get("prompt_cache_hit_tokens")  # deepseek
        or counts.get("cached_tokens")  # moonshot
        or counts.get("cache_read_input_tokens")  # databricks
        or 0,
        cache_write_tokens=prompt_details.get("cache_write_tokens")  # openai, openrouter
        or prompt_details.get("cache_creation_input_tokens")  # dashscope
        or counts.get("cache_creation_input_tokens")  # litellm_proxy
        or 0,
        reasoning_tokens=thought,
        cost=_cost(counts),
    )


def _cost(counts: Mapping[str, Any]) -> Decimal | None:
    """What the provider says the call costs, in USD, under the name it has there; None where it says nothing."""
    ticks = _usd(counts.get("cost_in_usd_ticks"))  # xai, https://docs.x.ai/developers/cost-tracking
    if ticks is not None:
        return ticks.scaleb(-10)
    cost = counts.get("cost")  # openrouter
    if isinstance(cost, Mapping):  # perplexity
        cost = cost.get("total_cost")
    found = _usd(counts.get("estimated_cost") if cost is None else cost)  # deepinfra
    if found is not None and counts.get("is_byok") is True:
        # openrouter, with a key of the operator's own: `cost` is its fee, and the model's provider bills the rest.
        # https://openrouter.ai/docs/use-cases/usage-accounting
        found += _usd((counts.get("cost_details") or {}).get("upstream_inference_cost")) or 0
    return found


def _usd(value: Any) -> Decimal | None:
    """A number of JSON as it was written; None for what is no amount of money."""
    if type(value) not in (int, float) or not 0 <= value < _MOST_USD:
        return None
    return Decimal(repr(value))


_MOST_USD = 10**15
"""No call costs as much; in ticks, that is still 100,000 USD."""


def logprobs(value: Any, text: str = "") -> tuple[TokenLogprob, ...] | None:
    """A choice's logprobs as tokens; None when there are none.

    They are chat-shaped (`content`, or `refusal` when the model refused), or parallel lists (together_ai), or in a
    chunk the one number that belongs to its `text` (together_ai).
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (TokenLogprob(text, value),) if text else None
    if not isinstance(value, Mapping):
        return None
    if value.get("tokens"):
        return _parallel(value)
    content = value.get("content") or value.get("refusal")
    if content is None:
        return None
    return tuple(
        TokenLogprob(
            token=entry["token"],
            logprob=entry["logprob"],
            raw=bytes([*entry["bytes"]]) if entry.get("bytes") is not None else None,
            top=tuple((top["token"], top["logprob"]) for top in entry.get("top_logprobs") or ()),
        )
        for entry in content
    )


def _parallel(value: Mapping[str, Any]) -> tuple[TokenLogprob, ...]:
    tokens = value["tokens"]
    chosen = value.get("token_logprobs") or [None] * len(tokens)
    tops = value.get("top_logprobs") or [None] * len(tokens)
    return tuple(
        TokenLogprob(token, logprob, top=tuple(top.items()) if isinstance(top, Mapping) else ())
        for token, logprob, top in zip(tokens, chosen, tops, strict=True)
    )
