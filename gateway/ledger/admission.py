"""What a step needs to admit requests under one configuration, and what a finished request is settled to."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.exchange import Exchange
from gateway.ledger.allowances import Amount, Rule
from gateway.ledger.counting import Counting
from gateway.ledger.entry import MOST_TOKENS, picodollars
from gateway.ledger.rules import Bounds
from gateway.types import CompletionRequest

Estimate = Callable[[CompletionRequest], Awaitable[Amount]]
"""What a request may use at most; see `gateway.routing.estimating`."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The rules of one configuration, and the counters, which outlive it. `go_on` says that requests are served while
    the counters cannot be reached."""

    bounds: Bounds
    estimate: Estimate
    counting: Counting
    go_on: bool = False


def weighs(rules: tuple[Rule, ...]) -> bool:
    """Whether it matters under these rules how much a request uses."""
    for rule in rules:  # noqa: SIM110 - any() of a generator takes four times as long, for every request
        if rule.unit != "requests":
            return True
    return False


def used(exchange: Exchange, rules: Sequence[Rule]) -> Amount:
    """What a finished request used, so far as these rules ask: the tokens and the cost of all its calls together, those
    that failed, were cut or were made in vain too. What nobody knows the price of costs nothing; without a call nothing
    was used."""
    if not exchange.calls:
        return Amount()
    usage, cost, spent = exchange.usage, exchange.cost, 0
    tokens = 0 if usage is None else usage.input_tokens + usage.output_tokens
    if cost is not None and cost.total is not None:
        for rule in rules:
            if rule.unit == "picodollars":
                spent = picodollars(cost.total) or 0
                break
    if 0 <= tokens <= MOST_TOKENS and spent >= 0:
        return Amount(tokens, spent)
    return Amount(min(max(tokens, 0), MOST_TOKENS), max(spent, 0))
