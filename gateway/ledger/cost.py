"""What a call costs: its token counts times its deployment's prices, in exact decimal arithmetic.

Everything here is plain values and one pure function, because it runs once per call: `gateway.ledger.prices` has found
the prices when the configuration was read. Measured: 1 to 3 µs for a call.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal

from gateway.types import MONEY, Cost, CostSource, Usage

_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per token of each kind, and per call.

    `input` is for what was neither read from a cache nor written to one, `output` for what was not reasoning.
    """

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal
    cache_write_1h: Decimal
    reasoning: Decimal
    call: Decimal = _NOTHING


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates of calls with more than `above` input tokens. They count for all tokens of such a call, the first too."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Period:
    """Tiers that hold from a day on (`since`), or at a time of every day (`daily`: from, and up to), all in UTC.

    `tiers` is in order of `above`, and the first one's is -1: it always applies.
    """

    tiers: tuple[Tier, ...]
    since: date | None = None
    daily: tuple[time, time] | None = None

    def holds(self, now: datetime) -> bool:
        """Whether it holds at `now`, a time in UTC."""
        if self.since is not None:
            return now.date() >= self.since
        if self.daily is None:
            return True
        start, end = self.daily
        clock = now.time()
        return start <= clock < end if start <= end else clock >= start or clock < end


@dataclass(frozen=True, slots=True)
class Price:
    """A deployment's prices: the last of `periods` that holds, else the first."""

    source: CostSource
    version: str
    periods: tuple[Period, ...]

    def __repr__(self) -> str:
        rates = self.periods[0].tiers[0].rates
        million = f"{rates.input * 1_000_000:f} in, {rates.output * 1_000_000:f} out"
        return f"<Price {self.source} {self.version} USD per million: {million}>"

    def rates(self, input_tokens: int, now: datetime | None = None) -> Rates:
        """The rates of a call with so many input tokens that ends at `now` (UTC; the present when left out)."""
        tiers = self.periods[0].tiers
        if len(self.periods) > 1:
            now = now or datetime.now(UTC)
            tiers = next((period.tiers for period in reversed(self.periods) if period.holds(now)), tiers)
        if len(tiers) > 1:
            return next(tier.rates for tier in reversed(tiers) if input_tokens > tier.above)
        return tiers[0].rates


def cost(usage: Usage, price: Price | None, now: datetime | None = None) -> Cost:
    """What a call that used `usage` costs: what the provider says, else what `price` makes it, else nobody knows.

    Sub-counts are taken out of the counts they are part of, so that no token is paid for twice; sub-counts that are
    larger than the whole leave nothing of it. A provider that bills other numbers than it counts is believed, and
    those have no sub-counts.

    Args:
        now: when the call ended, in UTC, which decides about prices by day or hour; the present when left out.
    """
    if usage.cost is not None:
        return Cost(usage.cost, "provider")
    if price is None:
        return Cost(None, "unpriced")
    rates = price.rates(usage.input_tokens, now)
    if usage.billed is not None:
        read = MONEY.multiply(rates.input, usage.billed[0])
        written = MONEY.multiply(rates.output, usage.billed[1])
    else:
        read, written = _input(usage, rates), _output(usage, rates)
    total = MONEY.add(read, written)
    if rates.call:
        total = MONEY.add(total, rates.call)
    return Cost(total, price.source, price.version, read, written)


def _input(usage: Usage, rates: Rates) -> Decimal:
    cached, kept = usage.cached_tokens, usage.cache_write_tokens
    if not cached and not kept:
        return MONEY.multiply(rates.input, usage.input_tokens)
    long = min(usage.cache_write_1h_tokens, kept)
    total = MONEY.multiply(rates.input, max(usage.input_tokens - cached - kept, 0))
    total = MONEY.fma(rates.cache_read, cached, total)
    total = MONEY.fma(rates.cache_write, kept - long, total)
    return MONEY.fma(rates.cache_write_1h, long, total)


def _output(usage: Usage, rates: Rates) -> Decimal:
    thought = usage.reasoning_tokens
    if not thought or rates.reasoning == rates.output:
        return MONEY.multiply(rates.output, usage.output_tokens)
    total = MONEY.multiply(rates.output, max(usage.output_tokens - thought, 0))
    return MONEY.fma(rates.reasoning, thought, total)
