"""Where prices come from: the operator's settings, the name the operator gives the model, the catalogue."""

import socket
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices.data import providers as sellers
from genai_prices.types import ModelInfo, Provider
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ledger import catalogue, prices
from gateway.ledger.cost import Price, cost
from gateway.providers.registry import PROVIDERS
from gateway.types import Usage
from tests.ledger.test_cost import usages

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def found(
    provider: str, model: str, base_model: str | None = None, at: str | None = None, **own: float
) -> Price | None:
    return prices.resolve(provider, model, base_model=base_model, api_base=at, settings=own)


def million(price: Price | None) -> tuple[Decimal, Decimal]:
    """Input and output, USD per million tokens."""
    assert price is not None
    rates = price.rates(1, NOW)
    return rates.input * 1_000_000, rates.output * 1_000_000


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o"),
        ("openai", "gpt-4o-mini-2024-07-18"),
        ("text-completion-openai", "gpt-3.5-turbo-instruct"),
        ("text-completion-openai", "davinci-002"),
        ("azure", "gpt-4.1"),
        ("azure_text", "gpt-35-turbo-instruct"),
        ("anthropic", "claude-sonnet-4-5"),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("bedrock", "converse/eu-west-1/amazon.nova-lite-v1:0"),
        ("gemini", "gemini-2.5-pro"),
        ("vertex_ai", "gemini-2.5-flash"),
        ("vertex_ai", "claude-sonnet-4-5@20250929"),
        ("deepseek", "deepseek-chat"),
        ("text-completion-deepseek", "deepseek-chat"),
        ("text-completion-codestral", "codestral-latest"),
        ("mistral", "mistral-small-latest"),
        ("cohere_chat", "command-r-plus-08-2024"),
        ("groq", "llama-3.3-70b-versatile"),
        ("together_ai", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
        ("xai", "grok-4"),
        ("perplexity", "sonar"),
        ("moonshot", "kimi-k2-0905-preview"),
        ("minimax", "MiniMax-M2"),
        ("zai", "glm-4.6"),
        ("huggingface", "deepseek-ai/DeepSeek-R1:novita"),
    ],
)
def test_a_model_that_is_sold_has_the_catalogues_price(provider, model):
    price = found(provider, model)
    assert price is not None
    assert (price.source, price.version) == ("catalogue", catalogue.version())
    assert all(rate > 0 for rate in million(price))


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-99"),
        ("openai", "ft:unheard-of:org::1"),
        ("openai", "text-embedding-3-small"),  # has no price for output
        ("azure", "my-deployment"),
        ("bedrock", "arn:aws:bedrock:us-east-1:1:application-inference-profile/abcd"),
        ("openai", "gpt-4o" + "o" * 1_000_000),
        ("huggingface", "deepseek-ai/DeepSeek-R1"),
        ("huggingface", "deepseek-ai/DeepSeek-R1:nobody"),
        *((name, "llama3") for name in ("hosted_vllm", "ollama", "llama_cpp", "lm_studio", "llamafile", "tgi")),
    ],
)
def test_a_model_nobody_sells_under_that_name_has_no_price(provider, model):
    assert found(provider, model) is None


def test_every_provider_is_one_the_gateway_has_and_every_seller_one_the_catalogue_has():
    assert prices.SELLERS.keys() | prices.FREE | prices.ANYWHERE <= PROVIDERS.keys()
    assert set(prices.SELLERS.values()) <= catalogue.sellers()


def test_the_operators_prices_win_over_the_catalogue():
    price = found("openai", "gpt-4o", input_cost_per_token=1e-6, output_cost_per_token=3e-6)
    assert million(price) == (1, 3)
    assert price is not None
    assert price.source == "config"
    assert price.version == f"config+{catalogue.version()}"


def test_a_price_alone_replaces_its_own_only_and_in_every_tier():
    price, listed = found("gemini", "gemini-2.5-pro", input_cost_per_token=0.5), found("gemini", "gemini-2.5-pro")
    assert price is not None
    assert listed is not None
    for read in (1, 200_001):
        mine, theirs = price.rates(read, NOW), listed.rates(read, NOW)
        assert mine.input == Decimal("0.5")
        assert (mine.output, mine.cache_read) == (theirs.output, theirs.cache_read)


def test_prices_of_a_model_nobody_knows_are_its_own_and_kinds_cost_what_they_are_part_of():
    price = found("hosted_vllm", "llama3", input_cost_per_token=1e-7, output_cost_per_token=0.0)
    assert price is not None
    assert (price.source, price.version) == ("config", "config")
    rates = price.rates(1)
    assert rates.cache_read == rates.cache_write == rates.cache_write_1h == Decimal("1E-7")
    assert rates.reasoning == 0


def test_kinds_with_a_price_of_their_own_have_it():
    own = {name: float(place) for place, name in enumerate(prices.SETTINGS, start=1)}
    price = found("ollama", "x", **own)
    assert price is not None
    rates = price.rates(1)
    assert {name: float(getattr(rates, kind)) for name, kind in prices.SETTINGS.items()} == own


@pytest.mark.parametrize("own", [{"input_cost_per_token": 1.0}, {"cache_read_input_token_cost": 1.0}])
def test_a_part_of_a_price_is_none(own):
    assert found("hosted_vllm", "llama3", **own) is None


@pytest.mark.parametrize(
    ("provider", "model", "base_model", "same_as"),
    [
        ("azure", "mine", "gpt-4.1", ("azure", "gpt-4.1")),
        ("azure", "mine", "azure/gpt-4.1", ("azure", "gpt-4.1")),
        ("bedrock", "arn:x", "amazon.nova-lite-v1:0", ("bedrock", "amazon.nova-lite-v1:0")),
        ("hosted_vllm", "mine", "groq/llama-3.3-70b-versatile", ("groq", "llama-3.3-70b-versatile")),
        ("litellm_proxy", "mine", "claude-sonnet-4-5", ("anthropic", "claude-sonnet-4-5")),
        ("openai", "gpt-4o", "gpt-4o-mini", ("openai", "gpt-4o-mini")),
        ("azure", "gpt-4o", "azure/eu/unheard-of", ("azure", "gpt-4o")),
    ],
)
def test_the_name_the_operator_gives_the_model_is_looked_up_first(provider, model, base_model, same_as):
    assert million(found(provider, model, base_model)) == million(found(*same_as))


@pytest.mark.parametrize(
    ("model", "address", "same_as"),
    [
        ("gpt-4o", "https://eu.api.openai.com/v1", ("openai", "gpt-4o")),
        ("gpt-4o", "http://127.0.0.1:9/v1", ("openai", "gpt-4o")),  # somebody's proxy: only OpenAI sells it
        ("llama-3.3-70b-versatile", "https://api.groq.com/openai/v1", ("groq", "llama-3.3-70b-versatile")),
        ("gpt-4o", "https://api.groq.com/openai/v1", None),  # not sold there
        ("gpt-oss-20b", "http://127.0.0.1:9/v1", None),  # anybody's
    ],
)
def test_openais_language_at_another_address_costs_what_whoever_is_there_asks(model, address, same_as):
    price = found("openai", model, None, address)
    assert price is None if same_as is None else million(price) == million(found(*same_as))


@pytest.mark.parametrize("provider", sorted(prices.FREE))
def test_the_built_in_model_costs_0_unless_the_operator_says_otherwise(provider):
    free = cost(Usage(100, 100), found(provider, "demo"))
    assert (free.total, free.source) == (0, "config")
    assert million(found(provider, "demo", output_cost_per_token=2e-6)) == (0, 2)


def test_a_price_prints_in_one_line():
    assert repr(found("ollama", "x", input_cost_per_token=1e-6, output_cost_per_token=2.5e-6)) == (
        "<Price config config USD per million: 1.000000 in, 2.5000000 out>"
    )


def test_no_price_is_looked_up_over_the_network(monkeypatch):
    monkeypatch.setattr(socket, "socket", None)  # calling it would fail
    catalogue._sellers.cache_clear()
    assert found("openai", "gpt-4o") is not None
    assert found("openai", "gpt-99") is None


ALL = [(seller, model) for seller in sellers for model in seller.models if not set(vars(model)) & {"audio_hours"}]
WHEN = st.datetimes(datetime(2024, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))


@settings(max_examples=300)
@given(st.sampled_from(ALL), usages(), WHEN)
def test_every_model_costs_what_the_catalogues_own_calculator_makes_it(sold: tuple[Provider, ModelInfo], of, now):
    seller, model = sold
    theirs = model.calc_price(
        TheirUsage(
            input_tokens=of.input_tokens,
            output_tokens=of.output_tokens,
            cache_read_tokens=of.cached_tokens,
            cache_write_tokens=of.cache_write_tokens,
            cache_write_1h_tokens=of.cache_write_1h_tokens,
            output_reasoning_tokens=of.reasoning_tokens,
        ),
        seller,
        genai_request_timestamp=now,
    ).total_price
    listed = catalogue.find(model.id, seller.id)
    if listed is None:
        return  # no price for tokens
    ours = Price("catalogue", "", tuple(prices._period(each, {}) for each in listed))
    assert cost(of, ours, now).total == theirs
