"""What a request to a foreign app is thought to use at most: read from any body, whatever is wrong with it."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.assembly.entering import estimator
from gateway.ledger.allowances import Amount
from gateway.middleware.foreign.prices import Prices
from gateway.middleware.foreign.prices import given as priced
from gateway.middleware.foreign.weight import UNSAID, weighed
from gateway.wire import chat
from gateway.wire.paths import Language

PRICES = Prices("openai", priced("openai", {"m": {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}}))
HELLO = [{"role": "user", "content": "Say hello"}]
AROUND = 3 + 4
"""Tokens of a chat, and of its one message."""


def amount(value: Any, language: Language, model: str = "gpt-4o") -> Amount:
    request = chat.request({**value, "model": model} if isinstance(value, dict) else value, language, None)
    return asyncio.run(estimator(PRICES)(weighed(value, language, request)))


TEXTS: list[tuple[dict[str, Any], int]] = [
    ({"prompt": "Say hello"}, 2 + 16),
    ({"prompt": "Say hello", "max_tokens": 5}, 2 + 5),
    ({"prompt": "Say hello", "max_tokens": 5, "n": 3}, 2 + 15),
    ({"prompt": "Say hello", "max_tokens": 5, "n": 2, "best_of": 4}, 2 + 20),
    ({"prompt": ["Say hello", "Say hello"], "max_tokens": 5, "n": 2}, 4 + 20),
    ({"prompt": "Say hello", "suffix": "Say hello", "max_tokens": 5}, 4 + 5),
    ({"prompt": [1, 2, 3], "max_tokens": 5}, 3 + 5),
    ({"prompt": [[1, 2, 3], [4]], "max_tokens": 5}, 4 + 10),
    ({"prompt": "Say hello", "max_tokens": 5, "max_completion_tokens": 9}, 2 + 9),
    ({"prompt": "Say hello", "max_tokens": -1}, 2 + UNSAID["chat"]),
    ({"prompt": "Say hello", "max_tokens": None}, 2 + 16),
    ({}, 16),
]


@pytest.mark.parametrize(("body", "tokens"), TEXTS)
def test_a_text_completion_may_use_its_prompts_and_every_choice(body, tokens):
    assert amount(body, "completions").tokens == tokens


CHATS: list[tuple[dict[str, Any], int]] = [
    ({}, 2 + AROUND + UNSAID["chat"]),
    ({"max_tokens": 5, "n": 3}, 2 + AROUND + 15),
    ({"max_completion_tokens": 5, "max_tokens": 1}, 2 + AROUND + 5),
    ({"max_tokens": 0}, 2 + AROUND),
]


@pytest.mark.parametrize(("body", "tokens"), CHATS)
def test_a_chat_may_use_its_messages_and_every_choice(body, tokens):
    assert amount({"messages": HELLO, **body}, "chat").tokens == tokens


MORE: list[dict[str, Any]] = [
    {"tools": [{"type": "function", "function": {"name": "weather", "description": "of a city"}}]},
    {"functions": [{"name": "weather"}]},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "weather"}}},
    {"messages": [*HELLO, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}]},
    {"messages": [*HELLO, {"role": "user", "content": [{"type": "text", "text": "Say hello"}, {"type": "image_url"}]}]},
]


@pytest.mark.parametrize("more", MORE, ids=lambda more: next(iter(more)))
def test_whatever_else_a_model_reads_counts_too(more):
    plain = {"messages": HELLO, "max_tokens": 5}
    assert amount({**plain, **more}, "chat").tokens > amount(plain, "chat").tokens


def test_a_model_with_a_price_costs_what_it_may_read_and_write_and_another_nothing():
    body = {"prompt": "Say hello", "max_tokens": 5}
    unknown = amount(body, "completions", "m")
    assert unknown.tokens >= 2 + 5, "its vocabulary is not known: a bound"
    assert unknown.picodollars == ((unknown.tokens - 5) + 2 * 5) * 10**6
    assert amount(body, "completions", "nobody-knows-it").picodollars == 0


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["model", "prompt", "messages", "n", "best_of", "max_tokens", "max_completion_tokens", "suffix", "tools"]
)


@given(ANYTHING | st.dictionaries(KEYS, ANYTHING), st.sampled_from(["completions", "chat"]))
def test_any_body_has_a_weight_that_is_neither_negative_nor_too_large_to_count(value, language):
    found = amount(value, language)
    assert 0 <= found.tokens < 2**63
    assert 0 <= found.picodollars < 2**63
