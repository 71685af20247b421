"""A deployment's price, found once when the configuration is read.

In this order, and what is found first counts: the prices of the deployment's own settings; the catalogue's for its
`base_model`; the catalogue's for its model at its provider. A setting replaces its own price only, in all the
catalogue's tiers and hours; prices that are not set stay the catalogue's. Where neither says what input or output
costs, the deployment has no price: its calls cost nobody-knows, which is not 0.

Servers that people run themselves (`hosted_vllm`, `ollama`, `llama_cpp`, …) are in no catalogue. What they cost is the
operator's to say; a free one has its prices set to 0. The built-in demo model is ours, and free.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeVar

from gateway.ledger import catalogue
from gateway.ledger.cost import Period, Price, Rates, Tier

T = TypeVar("T")

SELLERS: Mapping[str, str] = {
    "openai": "openai",
    "text-completion-openai": "openai",
    "azure": "azure",
    "azure_text": "azure",
    "anthropic": "anthropic",
    "bedrock": "aws",
    "gemini": "google",
    "vertex_ai": "google",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "codestral": "mistral",
    "text-completion-codestral": "mistral",
    "mistral": "mistral",
    "text-completion-deepseek": "deepseek",
    "deepseek": "deepseek",
    "groq": "groq",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "xai": "x-ai",
    "perplexity": "perplexity",
    "openrouter": "openrouter",
    "cerebras": "cerebras",
    "novita": "novita",
    "text-completion-novita": "novita",
    "baseten": "baseten",
    "moonshot": "moonshotai",
    "zai": "zai",
    "minimax": "minimax",
    "databricks": "databricks",
    "cloudflare": "cloudflare",
}
"""The catalogue's name for each provider of ours that it has."""

FREE = frozenset({"demo", "text-completion-demo"})
"""Providers inside the gateway: a call costs 0. That is the gateway's own setting, so its source is `config`."""

ANYWHERE = frozenset({"openai", "text-completion-openai", "openai_like"})
"""Providers whose language others speak too: their `api_base` says who is asked."""

SETTINGS: Mapping[str, str] = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "output_cost_per_reasoning_token": "reasoning",
}
"""Which rate a setting of a deployment is."""

_NO_CHARGE = {"input": Decimal(0), "output": Decimal(0)}


def preload() -> None:
    """Read the catalogue now, where models are named by requests, so that none of those waits for it."""
    catalogue.preload()


def resolve(
    provider: str, model: str, *, base_model: str | None, api_base: str | None, settings: Mapping[str, float]
) -> Price | None:
    """The price of `provider`'s `model`, or None where nobody says what it costs.

    Args:
        base_model: the catalogue's name for the model, also as `provider/model`.
        api_base: the operator's address for the provider, None for its own.
        settings: the deployment's own prices, USD per token, by the names in `SETTINGS`.
    """
    own = {SETTINGS[name]: Decimal(repr(value)) for name, value in settings.items()}
    listed = _listed(provider, model, base_model, api_base)
    if listed is not None:
        periods = tuple(_period(each, own) for each in listed)
        if own:
            return Price("config", f"config+{catalogue.version()}", periods)
        return Price("catalogue", catalogue.version(), periods)
    if provider in FREE:
        own = {**_NO_CHARGE, **own}
    if not {"input", "output"} <= own.keys():
        return None
    return Price("config", "config", (Period((Tier(-1, _rates(own)),)),))


def _period(listed: catalogue.Listed, own: Mapping[str, Decimal]) -> Period:
    tiers = tuple(Tier(above, _rates({**prices, **own})) for above, prices in listed.tiers)
    return Period(tiers, listed.since, listed.daily)


def _rates(given: Mapping[str, Decimal]) -> Rates:
    """A kind without a price of its own costs what the kind it is part of costs."""
    kept = given.get("cache_write", given["input"])
    return Rates(
        input=given["input"],
        output=given["output"],
        cache_read=given.get("cache_read", given["input"]),
        cache_write=kept,
        cache_write_1h=given.get("cache_write_1h", kept),
        reasoning=given.get("reasoning", given["output"]),
        call=given.get("call", Decimal(0)),
    )


def _listed(
    provider: str, model: str, base_model: str | None, api_base: str | None
) -> tuple[catalogue.Listed, ...] | None:
    """The catalogue's prices for `base_model`, else for the model itself."""
    seller, name = _seller(provider, model, api_base)
    if base_model and (found := _named(base_model, seller, catalogue.find)):
        return found
    return catalogue.find(name, seller) if seller else None


def window(provider: str, model: str, *, base_model: str | None, api_base: str | None) -> int | None:
    """How many tokens `provider`'s `model` takes as the catalogue has it, found as its price is; None where it does
    not say."""
    seller, name = _seller(provider, model, api_base)
    if base_model and (found := _named(base_model, seller, catalogue.window)):
        return found
    return catalogue.window(name, seller) if seller else None


def _named(base_model: str, seller: str | None, find: Callable[[str, str | None], T | None]) -> T | None:
    """What `find` has for a name the operator gives: at the provider it names, at the deployment's own, at its
    maker's."""
    head, _, tail = base_model.partition("/")
    if tail and head in SELLERS and (found := find(tail, SELLERS[head])):
        return found
    return (find(base_model, seller) if seller else None) or find(base_model, None)


def _seller(provider: str, model: str, api_base: str | None) -> tuple[str | None, str]:
    """Who sells the model, and what it is called there, in the catalogue's words.

    At an address the catalogue does not know, a model of a name that only OpenAI sells is taken for OpenAI's, behind
    somebody's proxy; its open-weight models (`gpt-oss`) may be anybody's.
    """
    seller = SELLERS.get(provider)
    if provider == "huggingface":
        name, _, served_by = model.partition(":")  # org/model:provider, at that provider's price
        seller = f"huggingface_{served_by}"
        return (seller if served_by and seller in catalogue.sellers() else None), name
    if seller == "azure":
        return seller, model.replace("gpt-35-", "gpt-3.5-")  # Azure's spelling, which the catalogue has for some only
    if api_base and provider in ANYWHERE:
        known = catalogue.seller_at(api_base)
        return known or (None if model.startswith("gpt-oss") else seller), model
    return seller, model
