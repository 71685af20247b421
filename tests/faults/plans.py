"""Which fault strikes which call: scripts, rates by seed, windows of rate limiting.

A plan is a callable from the number of a call (from 0, in the order requests were read) to its fault. Those that draw
lots do so from a source of their own for each call, so that a seed gives call 7 the same fault in every run, however
calls before it overlapped.
"""

from collections.abc import Callable, Mapping
from random import Random
from time import monotonic

from tests.faults.faults import WELL, Fault, limited

Plan = Callable[[int], Fault]


def always(fault: Fault = WELL) -> Plan:
    """Every call meets it."""
    return lambda number: fault


def script(*faults: Fault, then: Fault = WELL) -> Plan:
    """The first calls meet these, in order; every later one `then`."""
    return lambda number: faults[number] if number < len(faults) else then


def mixed(seed: int, rates: Mapping[Fault, float], otherwise: Fault = WELL) -> Plan:
    """Each fault for its share of the calls (0 to 1, together at most 1), drawn by `seed`."""

    def plan(number: int) -> Fault:
        drawn = Random(f"{seed}:{number}").random()  # noqa: S311 - a script, not a secret
        for fault, share in rates.items():
            drawn -= share
            if drawn < 0:
                return fault
        return otherwise

    return plan


def windows(
    requests: int, seconds: float, otherwise: Fault = WELL, date: bool = False, clock: Callable[[], float] = monotonic
) -> Plan:
    """So many requests in each window; the rest are told 429 and, in `retry-after`, when the next window begins."""
    window, taken = -1, 0

    def plan(number: int) -> Fault:
        nonlocal window, taken
        now = clock()
        current = int(now // seconds)
        if current != window:
            window, taken = current, 0
        taken += 1
        if taken <= requests:
            return otherwise
        return limited(max(1.0, round((current + 1) * seconds - now)), date)

    return plan
