"""Picks one deployment of those that are eligible: one that is well, one that has failed before, or one of the ill."""

import random
from collections.abc import Collection, Sequence
from dataclasses import replace

from gateway.routing.groups import Entry, Level
from gateway.routing.strategies import Strategy


def pick(
    levels: Sequence[Level], avoid: Collection[str], now: float, strategy: Strategy, rng: random.Random
) -> Entry | None:
    """One that is well and has room, of the first level that has any; None where none has.

    One whose cooldown is over comes before the others of its level: the request is its probe. `avoid` are ids.
    """
    for level in levels:
        found: list[Entry] = []
        slowly = False
        for entry in level:
            breaker = entry.breaker
            if avoid and entry.bound.id in avoid:
                continue
            if entry.limited and entry.load.full(entry.terms, now) is not None:
                continue
            if not breaker.well:
                share = breaker.share(now)
                if share == 0.0:
                    if breaker.probes(now):
                        breaker.claim(now)
                        return entry
                    continue
                slowly = True
            found.append(entry)
        if found:
            return strategy(_eased(found, now, rng) if slowly else found, now, rng)
    return None


def _eased(entries: list[Entry], now: float, rng: random.Random) -> list[Entry]:
    """`entries` without those that have come back only lately, each left out more rarely as time passes."""
    kept = [entry for entry in entries if entry.breaker.well or rng.random() < entry.breaker.share(now)]
    return kept or entries


def pick_ill(levels: Sequence[Level], avoid: Collection[str], now: float, *, lone: bool) -> Entry | None:
    """One whose breaker is open, where nobody is well: the one with the fewest calls under way, then the one that
    failed longest ago. None of those that cannot be well before somebody mends them, unless it is the only one."""
    found = [
        entry
        for level in levels
        for entry in level
        if entry.breaker.health != "closed"
        and (lone or not entry.breaker.permanent)
        and entry.bound.id not in avoid
        and not (entry.limited and entry.load.full(entry.terms, now) is not None)
    ]
    return min(found, key=lambda entry: (entry.load.in_flight, entry.breaker.failed), default=None)


def pick_again(
    levels: Sequence[Level], called: Sequence[str], barred: Collection[str], now: float, *, lone: bool
) -> Entry | None:
    """One that has been called for this prompt before: the first to be ready, then the one called least."""
    found = [
        entry
        for level in levels
        for entry in level
        if entry.bound.id in called
        and entry.bound.id not in barred
        and (lone or not entry.breaker.permanent)
        and not (entry.limited and entry.load.full(entry.terms, now) is not None)
    ]
    return min(found, key=lambda entry: (max(entry.breaker.asked, now), called.count(entry.bound.id)), default=None)


def pick_busy(levels: Sequence[Level], now: float) -> Sequence[Entry]:
    """Those that are well and only have as many calls under way as they take at one time, of the first level that has
    any: a place there is worth waiting for. The one with the fewest calls for its bound comes first."""
    for level in levels:
        found = [
            entry
            for entry in level
            if entry.breaker.health == "closed"
            and entry.terms.parallel is not None
            and entry.load.in_flight >= entry.terms.parallel
            and entry.load.full(replace(entry.terms, parallel=None), now) is None
        ]
        if found:
            return sorted(found, key=lambda entry: entry.load.in_flight / (entry.terms.parallel or 1))
    return ()
