"""The price catalogue: list prices of providers' models, from the data inside the `genai-prices` package.

It is asked when a configuration is read, never while a request waits, and nothing is downloaded: its updater is not
used, so prices are as new as the installed package. What a model costs there is copied into plain values of our own.

The package is imported at first use: it takes 35 ms, 5 MB and seventy modules, and a gateway whose models all have
prices of their own, or none, needs none of that.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import version as installed
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

_KINDS = {
    "input_mtok": ("input", -6),
    "output_mtok": ("output", -6),
    "cache_read_mtok": ("cache_read", -6),
    "cache_write_mtok": ("cache_write", -6),
    "cache_write_1h_mtok": ("cache_write_1h", -6),
    "output_reasoning_mtok": ("reasoning", -6),
    "requests_kcount": ("call", -3),
}
"""The catalogue's prices that a text completion can have to pay: our name, and the power of ten to one token or call.
The others are for sounds, pictures, pages and searches."""


_LONGEST = 512
"""Characters of a model's name; a longer one is not looked up, because matching it costs time."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One price list of a model, and when it holds: from a day on, or at a time of every day (from, up to), in UTC.

    `tiers` holds, for calls with more input tokens than its number, the prices in USD by the names of
    `gateway.ledger.cost.Rates`; the first number is -1. Only prices that the catalogue has are in it.
    """

    tiers: tuple[tuple[int, Mapping[str, Decimal]], ...]
    since: date | None = None
    daily: tuple[time, time] | None = None


@functools.cache
def version() -> str:
    """The catalogue's version, which says how new its prices are."""
    return installed("genai-prices")


def preload() -> None:
    """Read the catalogue now, so that no request waits for it."""
    _sellers()


def sellers() -> frozenset[str]:
    """The catalogue's names of providers."""
    return frozenset(_sellers())


def seller_at(url: str) -> str | None:
    """The catalogue's name of the provider whose API is at `url`, or None."""
    return next((name for name, seller in _sellers().items() if re.match(seller.api_pattern, url)), None)


def find(model: str, seller: str | None = None) -> tuple[Listed, ...] | None:
    """What `model` costs at `seller`, or at the maker of models of that name; None where the catalogue does not say.

    The last list that holds counts, else the first. A model without a price for input and one for output (a speech
    model, an entry that is only a name) has none.
    """
    found = _model(model, seller)
    if found is None:
        return None
    listed = tuple(_listed(found))
    complete = all({"input", "output"} <= prices.keys() for each in listed for _, prices in each.tiers)
    return listed if complete else None


def window(model: str, seller: str | None = None) -> int | None:
    """How many tokens `model` takes at `seller`, or at its maker; None where the catalogue does not say."""
    found = _model(model, seller)
    return found.context_window if found is not None else None


def _model(model: str, seller: str | None) -> "ModelInfo | None":
    if len(model) > _LONGEST:
        return None
    known = _sellers()
    if seller is None:
        at = next((each for each in known.values() if each.model_match and each.model_match.is_match(model)), None)
    else:
        at = known.get(seller)
    # The package's own look-up remembers every name for ever, and those of a wildcard are clients' words.
    return at.find_model(model, all_providers=list(known.values())) if at else None


@functools.cache
def _sellers() -> "Mapping[str, Provider]":
    from genai_prices.data import providers

    return {provider.id: provider for provider in providers}


def _listed(model: "ModelInfo") -> Iterator[Listed]:
    if not isinstance(model.prices, list):
        yield Listed(_tiers(model.prices))
        return
    for conditional in model.prices:
        when: Any = conditional.constraint
        since = getattr(when, "start_date", None)
        hours = (_clock(when.start_time), _clock(when.end_time)) if hasattr(when, "start_time") else None
        yield Listed(_tiers(conditional.prices), since, hours)


def _clock(when: time) -> time:
    """A time of day in UTC; one that names no zone is."""
    aware = datetime.combine(date(2000, 1, 1), when, when.tzinfo or UTC)
    return aware.astimezone(UTC).time()


def _tiers(prices: "ModelPrice") -> tuple[tuple[int, Mapping[str, Decimal]], ...]:
    given = {name: price for name, price in vars(prices).items() if name in _KINDS and price is not None}
    starts = {tier.start for price in given.values() for tier in getattr(price, "tiers", ())}
    return tuple((above, _above(given, above)) for above in sorted({-1, *starts}))


def _above(given: Mapping[str, Any], above: int) -> Mapping[str, Decimal]:
    """The prices of calls with more than `above` input tokens."""
    found: dict[str, Decimal] = {}
    for name, price in given.items():
        kind, power = _KINDS[name]
        if not isinstance(price, Decimal):
            price = next((tier.price for tier in reversed(price.tiers) if above >= tier.start), price.base)
        found[kind] = price.scaleb(power).normalize()
    return found
