"""The `usage` object of a foreign app's answer: OpenAI's, with the names that its imitators give to parts of it.

An app may be a proxy of any provider, so the names are those that `gateway.providers.openai_chat` reads. What is no
count is read as absent.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from gateway.types import Usage

_MOST_TOKENS = 2**53
_MOST_USD = 10**9

_CACHED = ("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")
"""Beside the usual place in the details: deepseek, moonshot, databricks."""


def usage(value: Any) -> Usage | None:
    """The counts of an answer; None where it has none."""
    if not isinstance(value, dict):
        return None
    prompt, output = _count(value, "prompt_tokens"), _count(value, "completion_tokens")
    if prompt is None and output is None:
        return None
    asked, answered = _details(value, "prompt_tokens_details"), _details(value, "completion_tokens_details")
    read, written = prompt or 0, output or 0
    apart = _count(value, "reasoning_tokens") or 0  # perplexity
    thought = _count(answered, "reasoning_tokens") or apart
    if thought and (apart > written or value.get("total_tokens") == read + written + thought):
        written += thought  # xai counts thought in the total only; OpenAI's rule is that it is part of the output
    return Usage(
        input_tokens=read,
        output_tokens=written,
        cached_tokens=_count(asked, "cached_tokens") or next(filter(None, (_count(value, n) for n in _CACHED)), 0),
        cache_write_tokens=_count(asked, "cache_write_tokens")
        or _count(asked, "cache_creation_input_tokens")
        or _count(value, "cache_creation_input_tokens")
        or 0,
        reasoning_tokens=thought,
        cost=_cost(value),
    )


def _details(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _count(value: Mapping[str, Any], name: str) -> int | None:
    found = value.get(name)
    return found if type(found) is int and 0 <= found < _MOST_TOKENS else None


def _cost(value: Mapping[str, Any]) -> Decimal | None:
    """USD where the app passes on what its provider says (openrouter's `cost`, perplexity's, deepinfra's)."""
    cost = value.get("cost")
    if isinstance(cost, dict):
        cost = cost.get("total_cost")
    if cost is None:
        cost = value.get("estimated_cost")
    if not isinstance(cost, int | float) or isinstance(cost, bool) or not 0 <= cost < _MOST_USD:
        return None
    return Decimal(repr(cost))
