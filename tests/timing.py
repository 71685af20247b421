"""Comparing costs on a machine that others use too."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TRIES = 6


def seconds(work: Callable[[], object], runs: int = 2) -> float:
    """Processor time of this thread in `work`, the best of several runs, each without the garbage collector.

    What a collection costs hangs on what else the process holds, and whether one is due on how much `work` makes: it
    makes a long text dearer per character than a short one, though the work on it is not.
    """
    best = float("inf")
    for _ in range(runs):
        with _no_collector():
            began = time.thread_time()
            work()
            best = min(best, time.thread_time() - began)
    return best


@contextmanager
def _no_collector() -> Iterator[None]:
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


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

    def cost(size: int, runs: int) -> float:
        text = (piece * (size // len(piece) + 1))[:size]
        return seconds(lambda: work(text), runs) / size

    return lowest(lambda: cost(long, 2) / (cost(short, 6) + 2.5e-8), bound)
