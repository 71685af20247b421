"""What calls cost: recorded answers of providers, through their translators, against sums done by hand; and what holds
for every usage and every price."""

from datetime import UTC, date, datetime, time
from decimal import Decimal, localcontext
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.secret import Secret
from gateway.ledger.cost import Period, Price, Rates, Tier, cost
from gateway.providers.anthropic.language import AnthropicMessages
from gateway.providers.azure.language import AzureChat
from gateway.providers.base import Target
from gateway.providers.bedrock.language import BedrockConverse
from gateway.providers.gemini.language import bind as gemini
from gateway.providers.openai_chat.response import usage as read
from gateway.providers.registry import PROVIDERS
from gateway.types import Cost, Usage
from tests.providers.eventstream import event
from tests.providers.kit import call, decode, golden, usage


def million(read, written, cached=None, kept=None, kept_1h=None, thought=None) -> Rates:
    """Rates from prices in USD per million tokens, as providers list them."""
    cached, kept, thought = cached or read, kept or read, thought or written
    kinds = (read, written, cached, kept, kept_1h or kept, thought)
    return Rates(*(Decimal(kind).scaleb(-6) for kind in kinds))


def priced(*periods: Period | Rates) -> Price:
    flat = (each if isinstance(each, Period) else Period((Tier(-1, each),)) for each in periods)
    return Price("catalogue", "test", tuple(flat))


def at(provider: str, model: str, **more: object):
    return PROVIDERS[provider].bind(Target(provider, model, api_key=Secret("k"), **more))


def bedrock_stream() -> bytes:
    written = [{"ttl": "1h", "inputTokens": 100}, {"ttl": "5m", "inputTokens": 148}]
    counts = {"inputTokens": 12, "outputTokens": 503, "totalTokens": 2563, "cacheReadInputTokens": 1800}
    return b"".join(
        (
            event("messageStart", role="assistant"),
            event("contentBlockDelta", contentBlockIndex=0, delta={"text": "Yes."}),
            event("messageStop", stopReason="end_turn"),
            event("metadata", usage={**counts, "cacheWriteInputTokens": 248, "cacheDetails": written}),
        )
    )


OPENAI = at("openai", "gpt-5")
AZURE = AzureChat(Target("azure", "mine", base_url="https://x.openai.azure.com", api_key=Secret("k")))
ANTHROPIC = AnthropicMessages(Target("anthropic", "claude-sonnet-4-5", api_key=Secret("k")))
GEMINI = gemini(Target("gemini", "gemini-2.5-pro", api_key=Secret("k")))
BEDROCK = BedrockConverse(Target("bedrock", "m", api_key=Secret("k"), options={"aws_region_name": "us-east-1"}))
DEEPSEEK = at("deepseek", "deepseek-reasoner")

GPT_5 = priced(million("1.25", "10", cached="0.125"))
GPT_4_1 = priced(million("2", "8", cached="0.5"))
SONNET = priced(million("3", "15", cached="0.3", kept="3.75", kept_1h="6"))
SONNET_AWS = priced(million("3.3", "16.5", cached="0.33", kept="4.125", kept_1h="6.6"))
GEMINI_PRO = priced(
    Period((Tier(-1, million("1.25", "10", cached="0.125")), Tier(200_000, million("2.5", "15", cached="0.25"))))
)
REASONER = priced(
    million("0.135", "0.55", cached="0.035"),
    Period((Tier(-1, million("0.55", "2.19", cached="0.14")),), daily=(time(0, 30), time(16, 30))),
)
COMMAND_A = priced(million("2.5", "10"))

NOON = datetime(2025, 7, 1, 12, tzinfo=UTC)
EVENING = datetime(2025, 7, 1, 18, tzinfo=UTC)

# prompt_tokens includes 1,920 cached ones, completion_tokens 256 of reasoning:
# 86 x 1.25 + 1920 x 0.125 + 300 x 10 = 107.5 + 240 + 3000 millionths of a dollar
_GPT_5 = "0.0033475"
# the same shape: 86 x 2 + 1920 x 0.5 + 44 x 8 = 172 + 960 + 352
_GPT_4_1 = "0.001484"
# input_tokens leaves out the cached and the written: 2048 x 3 + 1800 x 0.3 + 148 x 3.75 + 100 x 6 + 503 x 15
# = 6144 + 540 + 555 + 600 + 7545; thinking_tokens are in output_tokens
_SONNET = "0.015384"
# likewise inputTokens: 12 x 3.3 + 1800 x 0.33 + 148 x 4.125 + 100 x 6.6 + 503 x 16.5
# = 39.6 + 594 + 610.5 + 660 + 8299.5
_SONNET_AWS = "0.0102036"
# prompt_cache_hit_tokens are in prompt_tokens: 64 x 0.55 + 1536 x 0.14 + 1000 x 2.19 = 35.2 + 215.04 + 2190
_REASONER = "0.00244024"
# the same off peak: 64 x 0.135 + 1536 x 0.035 + 1000 x 0.55 = 8.64 + 53.76 + 550
_REASONER_OFF = "0.0006124"


@pytest.mark.parametrize(
    ("translator", "recorded", "price", "now", "expected"),
    [
        (OPENAI, "cost/openai_answer.json", GPT_5, None, _GPT_5),
        (OPENAI, "cost/openai_stream.sse", GPT_5, None, _GPT_5),
        # 11 x 1.25 + 8 x 0.125 + 10 x 10: cached and reasoning in a documented answer
        (OPENAI, "openai_chat/answer.json", GPT_5, None, "0.00011475"),
        (AZURE, "cost/azure_answer.json", GPT_4_1, None, _GPT_4_1),
        (AZURE, "cost/azure_stream.sse", GPT_4_1, None, _GPT_4_1),
        (ANTHROPIC, "cost/anthropic_answer.json", SONNET, None, _SONNET),
        (ANTHROPIC, "cost/anthropic_stream.sse", SONNET, None, _SONNET),
        # 21 x 3 + 1000 x 0.3 + 188 x 3.75 + 393 x 15 = 63 + 300 + 705 + 5895
        (ANTHROPIC, "anthropic/answer.json", SONNET, None, "0.006963"),
        # 5 x 3 + 11 x 0.3 + 7 x 3.75 + 89 x 15 = 15 + 3.3 + 26.25 + 1335, its input told twice
        (ANTHROPIC, "anthropic/stream_thinking.sse", SONNET, None, "0.00137955"),
        # over 200,000 input tokens, cached ones among them, the higher tier is for all:
        # 10000 x 2.5 + 200000 x 0.25 + (12 + 988 thoughts beside them) x 15 = 25000 + 50000 + 15000
        (GEMINI, "cost/gemini_answer.json", GEMINI_PRO, None, "0.09"),
        # 200,000 are not over it: 200000 x 1.25 + 1000 x 10; usage grows from chunk to chunk, the last one counts
        (GEMINI, "cost/gemini_stream.sse", GEMINI_PRO, None, "0.26"),
        (BEDROCK, "cost/bedrock_answer.json", SONNET_AWS, None, _SONNET_AWS),
        (BEDROCK, bedrock_stream(), SONNET_AWS, None, _SONNET_AWS),
        (DEEPSEEK, "cost/deepseek_answer.json", REASONER, NOON, _REASONER),
        (DEEPSEEK, "cost/deepseek_stream.sse", REASONER, NOON, _REASONER),
        (DEEPSEEK, "cost/deepseek_answer.json", REASONER, EVENING, _REASONER_OFF),
        # billed_units 5 and 418 of 71 and 418 tokens, 64 of them cached: 5 x 2.5 + 418 x 10
        (at("cohere", "command-a-03-2025"), "cohere/answer.json", COMMAND_A, None, "0.0041925"),
        # billed_units 3 and 6 of 69 and 9 tokens: 3 x 2.5 + 6 x 10
        (at("cohere", "command-a-03-2025"), "cohere/stream.sse", COMMAND_A, None, "0.0000675"),
    ],
)
def test_a_recorded_answer_costs_what_it_costs_by_hand(translator, recorded, price, now, expected):
    body = golden(recorded) if isinstance(recorded, str) else recorded
    if body.startswith(b"{"):
        deltas = translator.answer(call(), body)
    else:
        deltas = decode(translator.stream(call(stream=True)), [body])
    counted = usage(deltas)
    assert counted is not None
    found = cost(counted, price, now)
    assert (found.total, found.source, found.version) == (Decimal(expected), "catalogue", "test")
    assert found.input is not None
    assert found.output is not None
    assert found.input + found.output == found.total


@pytest.mark.parametrize(
    ("provider", "recorded", "expected"),
    [
        ("openrouter", "compatible/openrouter.json", "0.95"),
        ("openrouter", "cost/openrouter_byok_answer.json", "0.0006426"),  # a fee of 0.0000306 on 0.000612 elsewhere
        ("perplexity", "compatible/perplexity.json", "0.4531"),
        ("deepinfra", "compatible/deepinfra.json", "0.0000268"),
        ("xai", "cost/xai_answer.json", "0.0037756"),  # 37,756,000 ticks of a ten-thousand-millionth dollar
    ],
)
def test_what_the_provider_says_it_costs_wins_over_every_price(provider, recorded, expected):
    counted = usage(at(provider, "m").answer(call(), golden(recorded)))
    assert counted is not None
    assert cost(counted, GPT_5) == Cost(Decimal(expected), "provider")


@pytest.mark.parametrize("said", [-1, "0.5", True, 1e300, None, [], {"total_cost": "1"}])
def test_what_is_no_amount_of_money_is_not_a_cost(said):
    counted = read({"prompt_tokens": 1, "completion_tokens": 1, "cost": said})
    assert counted is not None
    assert counted.cost is None


def test_without_a_price_a_call_costs_nobody_knows_what_and_that_is_not_0():
    assert cost(Usage(10, 10), None) == Cost(None, "unpriced")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2025, 12, 31, 21, 59, tzinfo=UTC), "1"),
        (datetime(2026, 1, 1, 2, 0, tzinfo=UTC), "2"),
        (datetime(2026, 1, 1, 22, 0, tzinfo=UTC), "3"),
        (datetime(2026, 1, 2, 1, 59, tzinfo=UTC), "3"),
        (datetime(2026, 1, 2, 2, 0, tzinfo=UTC), "2"),
    ],
)
def test_the_last_price_that_holds_at_the_end_of_the_call_counts(now, expected):
    price = priced(
        million("1", "1"),
        Period((Tier(-1, million("2", "2")),), since=date(2026, 1, 1)),
        Period((Tier(-1, million("3", "3")),), daily=(time(22), time(2))),
    )
    assert cost(Usage(1_000_000, 0), price, now).total == Decimal(expected)


def test_a_price_by_hour_is_the_presents_when_nobody_says_when():
    always = Period((Tier(-1, million("2", "2")),), daily=(time(0), time.max))
    assert cost(Usage(1_000_000, 0), priced(million("1", "1"), always)).total == Decimal(2)


def test_a_price_per_call_is_in_the_total():
    rates = Rates(*[Decimal(0)] * 6, call=Decimal("0.005"))
    assert cost(Usage(9, 9), priced(rates)) == Cost(Decimal("0.005"), "catalogue", "test", Decimal(0), Decimal(0))


def test_a_sum_is_as_sure_as_its_least_sure_part_and_a_least_where_a_part_is_unknown():
    known = Cost(Decimal(2), "provider") + Cost(Decimal(1), "config", "config", Decimal(1), Decimal(0))
    assert known == Cost(Decimal(3), "config")
    assert known + Cost(None, "unpriced") == Cost(Decimal(3), "unpriced")
    same = Cost(Decimal(1), "catalogue", "1", Decimal(1), Decimal(0))
    assert same + same == Cost(Decimal(2), "catalogue", "1", Decimal(2), Decimal(0))


amounts = st.decimals(0, 1000, places=9).map(lambda value: value.scaleb(-6))
all_rates = st.builds(Rates, amounts, amounts, amounts, amounts, amounts, amounts, amounts)
counts = st.integers(0, 10**9)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Usage as a translator makes it: sub-counts within the counts they are part of."""
    read, written = draw(counts), draw(counts)
    cached = draw(st.integers(0, read))
    kept = draw(st.integers(0, read - cached))
    return Usage(
        read, written, cached, kept, draw(st.integers(0, written)), cache_write_1h_tokens=draw(st.integers(0, kept))
    )


def total(of: Usage, rates: Rates) -> Decimal:
    found = cost(of, priced(rates)).total
    assert found is not None
    return found


@given(st.builds(Usage, counts, counts, counts, counts, counts, cache_write_1h_tokens=counts), all_rates)
def test_a_cost_is_never_negative_whatever_a_provider_counts(of, rates):
    assert total(of, rates) >= 0


@given(usages(), usages(), all_rates)
def test_the_costs_of_two_calls_add_up_to_that_of_their_tokens(one, other, rates):
    both = cost(one, priced(rates)) + cost(other, priced(rates))
    assert both.total == total(one + other, rates) + rates.call


@given(usages(), amounts, amounts)
def test_where_all_kinds_cost_the_same_each_token_is_paid_for_once(of, read, written):
    rates = Rates(read, written, read, read, read, written)
    assert total(of, rates) == read * of.input_tokens + written * of.output_tokens


@given(usages(), all_rates)
def test_every_kind_costs_its_own_price_exactly(of, rates):
    kinds = (
        (of.input_tokens - of.cached_tokens - of.cache_write_tokens, rates.input),
        (of.cached_tokens, rates.cache_read),
        (of.cache_write_tokens - of.cache_write_1h_tokens, rates.cache_write),
        (of.cache_write_1h_tokens, rates.cache_write_1h),
        (of.output_tokens - of.reasoning_tokens, rates.output),
        (of.reasoning_tokens, rates.reasoning),
        (1, rates.call),
    )
    with localcontext(prec=80):
        assert total(of, rates) == sum(number * rate for number, rate in kinds)


@given(usages(), all_rates)
def test_a_host_applications_decimal_context_changes_no_cost(of, rates):
    exact = total(of, rates)
    with localcontext(prec=3):
        assert total(of, rates) == exact


@given(st.lists(counts, min_size=2, max_size=5))
def test_more_input_never_costs_less_where_tiers_rise(reads):
    found = [cost(Usage(read, 0), GEMINI_PRO).total for read in sorted(reads)]
    assert all(less is not None and more is not None and less <= more for less, more in pairwise(found))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}}, (4, 3)),  # openai, openrouter
        ({"prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 6}, (4, 0)),  # deepseek
        ({"cached_tokens": 4}, (4, 0)),  # moonshot
        ({"prompt_tokens_details": {"cached_tokens": 4, "cache_creation_input_tokens": 3}}, (4, 3)),  # dashscope
        ({"cache_read_input_tokens": 4, "cache_creation_input_tokens": 3}, (4, 3)),  # databricks, litellm_proxy
        ({"prompt_tokens_details": None, "completion_tokens_details": None}, (0, 0)),
    ],
)
def test_cached_tokens_are_found_under_each_name_and_are_part_of_the_prompt(counts, expected):
    counted = read({"prompt_tokens": 10, "completion_tokens": 2, **counts})
    assert counted is not None
    assert counted.input_tokens == 10
    assert (counted.cached_tokens, counted.cache_write_tokens) == expected
