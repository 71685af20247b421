"""How one deployment is chosen among those that can take a call: a function per strategy, and the table of them.

All are random where deployments are alike, by weight, so that workers that do not know of each other spread as well.
"""

import random
from collections.abc import Callable, Mapping, Sequence

from gateway.config.model import RoutingStrategy
from gateway.routing.groups import Entry

Strategy = Callable[[Sequence[Entry], float, random.Random], Entry]
"""Takes at least one candidate and the time, and gives one of them."""


def shuffle(entries: Sequence[Entry], _now: float, rng: random.Random) -> Entry:
    """By chance, in proportion to the weights, which are above 0."""
    if len(entries) == 1:
        return entries[0]
    total = 0.0
    for entry in entries:
        total += entry.weight
    point = rng.random() * total
    for entry in entries:
        point -= entry.weight
        if point < 0.0:
            return entry
    return entries[-1]  # what rounding has left over


def least_busy(entries: Sequence[Entry], now: float, rng: random.Random) -> Entry:
    """The one with the fewest calls under way for its weight."""
    return _least(entries, [entry.load.in_flight / entry.weight for entry in entries], now, rng)


def quickest(entries: Sequence[Entry], now: float, rng: random.Random) -> Entry:
    """The quicker of two that are drawn by weight, by the time to the first byte and the calls that wait for it.

    Two choices rather than all (Mitzenmacher, "The power of two choices in randomized load balancing", 2001): the
    slowest of three or more never wins, yet workers that have all seen the same one as quickest do not all run there.
    What was slow is tried again in time, because a measurement is forgotten (`Load.slowness`).
    """
    if len(entries) == 1:
        return entries[0]
    one = shuffle(entries, now, rng)
    other = shuffle([entry for entry in entries if entry is not one], now, rng)
    return other if other.load.slowness(now) < one.load.slowness(now) else one


def least_used(entries: Sequence[Entry], now: float, rng: random.Random) -> Entry:
    """The one with the lowest share of its requests or tokens per minute used, whichever is higher.

    One without bounds is measured by the highest of the others'; where none has any, by its weight.
    """
    requests = max((entry.terms.rpm or 0 for entry in entries), default=0)
    tokens = max((entry.terms.tpm or 0 for entry in entries), default=0)
    if requests or tokens:
        shares = [
            max(
                entry.load.requests.used(now) / (entry.terms.rpm or requests) if requests else 0.0,
                entry.load.reserved(now) / (entry.terms.tpm or tokens) if tokens else 0.0,
            )
            for entry in entries
        ]
    else:
        shares = [(entry.load.reserved(now) or entry.load.requests.used(now)) / entry.weight for entry in entries]
    return _least(entries, shares, now, rng)


def cheapest(entries: Sequence[Entry], now: float, rng: random.Random) -> Entry:
    """The one whose input and output token together cost least; one that nobody knows a price of comes last."""
    return _least(entries, [entry.price() for entry in entries], now, rng)


def _least(entries: Sequence[Entry], scores: Sequence[float], now: float, rng: random.Random) -> Entry:
    """The entry with the lowest score; among several, by weight."""
    lowest = min(scores)
    return shuffle([entry for entry, score in zip(entries, scores, strict=True) if score == lowest], now, rng)


STRATEGIES: Mapping[RoutingStrategy, Strategy] = {
    "simple-shuffle": shuffle,
    "least-busy": least_busy,
    "latency-based-routing": quickest,
    "usage-based-routing": least_used,
    "cost-based-routing": cheapest,
}
