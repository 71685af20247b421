"""How long the personal-data guard takes next to Presidio alone: `python tests/benchmarks/guards.py [--ner]`.

Both run on one core of this machine, in this process, in turns; figures are of one machine, read the ratios. Texts: a
clean kilobyte, one with years and amounts, DataFog's dense kilobyte where it is at hand, and a stream of words.
"""

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from gateway.guards import ner
from gateway.guards.base import Context, Text
from gateway.guards.pii.guard import EntityConfig, PiiConfig, PiiGuard, build

DENSE = Path("/work/shared/data/datafog/core_1kb_dense.txt")
PROSE = "The quarterly review covered onboarding latency, retention cohorts and the migration of the billing job. "
YEARS = "In 2024 the team of 12 shipped version 3.1 to 250 customers; 85 of them renewed for $1,200 a year. "
SAMPLES = 400
ALL_CORES = os.sched_getaffinity(0)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Median and 99th percentile in microseconds."""
    work()
    taken = []
    until = time.perf_counter() + 3.0
    while len(taken) < SAMPLES and (time.perf_counter() < until or len(taken) < 10):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1e6)
    taken.sort()
    return statistics.median(taken), taken[int(len(taken) * 0.99)]


def row(name: str, ours: Callable[[], object], theirs: Callable[[], object] | None = None) -> None:
    middle, worst = timed(ours)
    other = f"{timed(theirs)[0]:>12,.0f}" if theirs else " " * 12
    print(f"{name:<44}{middle:>12,.1f}{worst:>12,.1f}{other}")


def stream(guard: PiiGuard, text: str) -> Callable[[], object]:
    """Feeds `text` word by word, as an engine would: judge what is unsent, send what is settled."""

    def run() -> None:
        sent, seen = 0, 0
        words = text.split(" ")
        for word in words:
            seen += len(word) + 1
            window = max(0, sent - guard.shortest_context())
            sent = window + guard.judge(text[window:seen], "p")[1]

    return run


async def names(text: str) -> None:
    guard = ner.build(PiiConfig(entities={"PERSON": EntityConfig(engine="ner")}))
    assert guard
    context = Context("input")
    await guard.check([Text("p", text)], context)
    lags: list[float] = []

    async def watch() -> None:
        while True:
            start = time.perf_counter()
            await asyncio.sleep(0.001)
            lags.append((time.perf_counter() - start - 0.001) * 1e3)

    watching = asyncio.create_task(watch())
    taken = []
    for _ in range(40):
        start = time.perf_counter()
        await guard.check([Text("p", text)], context)
        taken.append((time.perf_counter() - start) * 1e6)
    watching.cancel()
    lags.sort()
    print(f"{'names, 1 KB, in a process of their own':<44}{statistics.median(taken):>12,.1f}{max(taken):>12,.1f}")
    name, late = "  event-loop lag meanwhile, ms", lags[len(lags) * 99 // 100]
    print(f"{name:<44}{statistics.median(lags):>12,.2f}{late:>12,.2f}")
    guard.processes.close()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--ner", action="store_true", help="also time names")
    asked = arguments.parse_args()
    start = time.perf_counter()
    guard = build(PiiConfig())
    print(f"built in {time.perf_counter() - start:.2f} s, Presidio's import with it\n")

    from tests.guards.pii_engine import engine

    presidio = engine()
    clean = (PROSE * 12)[:1_024]
    years = (YEARS * 12)[:1_024]
    texts = [("clean, 1 KB", clean), ("clean, 1 KB, full of years and amounts", years)]
    if DENSE.exists():
        texts.append(("dense, 1.2 KB", DENSE.read_text()))
    print(f"{'microseconds':<44}{'p50':>12}{'p99':>12}{'Presidio':>12}")
    for name, text in texts:
        row(name, lambda t=text: guard.find(t, "p"), lambda t=text: presidio.analyze(t, "en"))  # type: ignore[misc]
    for name, text in texts:
        count = len(text.split(" "))
        middle, worst = timed(stream(guard, text))
        print(f"{f'stream, per word: {name}':<44}{middle / count:>12,.1f}{worst / count:>12,.1f}")
    if asked.ner:
        os.sched_setaffinity(0, ALL_CORES)
        asyncio.run(names(clean))


if __name__ == "__main__":
    os.sched_setaffinity(0, {min(ALL_CORES)})
    main()
