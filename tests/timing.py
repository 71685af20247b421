"""Comparing costs on a machine that others use too."""

import time
from collections.abc import Callable

TRIES = 6


def seconds(work: Callable[[], object], runs: int = 2) -> float:
    """Processor time of `work`, the best of several runs."""
    best = float("inf")
    for _ in range(runs):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


def lowest(ratio: Callable[[], float], bound: float) -> float:
    """A ratio of two costs, measured again while it is over `bound`: a neighbour's load passes, a fault stays."""
    best = float("inf")
    for _ in range(TRIES):
        best = min(best, ratio())
        if best <= bound:
            break
    return best


def growth(work: Callable[[str], object], piece: str, short: int, long: int, bound: float) -> float:
    """How much dearer a character of a repeated `piece` is in a `long` text than in a `short` one."""

    def cost(size: int) -> float:
        text = (piece * size)[:size]
        return seconds(lambda: work(text)) / size

    return lowest(lambda: cost(long) / (cost(short) + 2.5e-8), bound)
