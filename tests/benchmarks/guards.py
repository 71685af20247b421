"""What guarding costs, and what it is meant to: `python tests/benchmarks/guards.py [--dense FILE] [--texts N]`.

Everything is measured in this process, on one core and in processor time, which other programs do not lengthen; but for
names, whose model runs in a process of its own and is timed by the clock on the wall. The default pack is judged as a
request is: `engine.judge` for whole texts, `AnswerGuard` for streams. Presidio alone, with the same recognizers, takes
turns with it, so that the ratios are those of one run; the times are of this machine.
"""

import argparse
import asyncio
import os
import resource
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from random import Random

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from gateway.guards import engine, load, ner  # noqa: E402
from gateway.guards.answer import AnswerGuard  # noqa: E402
from gateway.guards.assemble import assembled  # noqa: E402
from gateway.guards.base import Context, Text  # noqa: E402
from gateway.guards.cache import VerdictCache  # noqa: E402
from gateway.guards.pii.guard import EntityConfig, PiiConfig  # noqa: E402
from gateway.guards.policy import Policy  # noqa: E402
from gateway.guards.ports import Ports  # noqa: E402
from gateway.guards.vault import Vault  # noqa: E402
from gateway.types import Delta  # noqa: E402

PROSE = "The quarterly review covered onboarding latency, retention cohorts and the migration of the billing job. "
YEARS = "In 2024 the team of 12 shipped version 3.1 to 250 customers; 85 of them renewed for $1,200 a year. "
DENSE = ROOT.parent / "shared" / "data" / "datafog" / "core_1kb_dense.txt"
SAMPLES, ROUNDS = 300, 5
ALL_CORES = os.sched_getaffinity(0)
OUTPUT, INPUT = Context("output", stream=True), Context("input")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; times in microseconds. `most` is the target, None where there is none."""

    what: str
    measured: float
    most: float | None
    unit: str = "µs"
    beside: str = ""

    def __str__(self) -> str:
        target = f"<= {self.most:,.0f} {self.unit}" if self.most is not None else ""
        met = "" if self.most is None else "yes" if self.measured <= self.most else "NO"
        return f"{self.what:<58}{target:>14}{self.measured:>14,.1f} {self.unit:<3}{met:>5}   {self.beside}"


def finished(work: Coroutine[object, object, object]) -> None:
    """Run a coroutine that waits for nobody, without a loop."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise RuntimeError("it waits for somebody")


def timed(work: Callable[[], object], count: int = SAMPLES) -> list[float]:
    taken = []
    for _ in range(count):
        began = time.process_time()
        work()
        taken.append((time.process_time() - began) * 1e6)
    return taken


def percentiles(*works: Callable[[], object], count: int = SAMPLES) -> list[tuple[float, float]]:
    """Median and 99th percentile of each in microseconds; they take turns, a round each."""
    taken: list[list[float]] = [[] for _ in works]
    for work in works:
        timed(work, 5)
    for _ in range(ROUNDS):
        for number, work in enumerate(works):
            taken[number] += timed(work, count // ROUNDS)
    return [(statistics.median(one), sorted(one)[int(len(one) * 0.99)]) for one in taken]


def whole_texts(policy: Policy, dense: str) -> Iterator[Row]:
    """The default pack next to Presidio alone, on whole texts."""
    from tests.guards.pii_engine import engine as presidio

    def judging(text: str, cache: VerdictCache | None = None) -> Callable[[], object]:
        texts = [Text("prompt[0]", text)]
        return lambda: finished(engine.judge([policy], texts, INPUT, vault=Vault(), cache=cache))

    clean, years = (PROSE * 12)[:1_024], (YEARS * 12)[:1_024]
    for name, text, middle, worst in (
        ("default pack, clean 1 KB", clean, 60.0, 300.0),
        ("default pack, clean 1 KB full of years and amounts", years, None, None),
        (f"default pack, dense {len(dense) / 1_000:.1f} KB", dense, 1_000.0, None),
    ):
        ours, theirs = percentiles(judging(text), lambda text=text: presidio().analyze(text, "en"), count=100)  # type: ignore[misc]
        ours = percentiles(judging(text))[0] if middle is not None else ours
        beside = f"Presidio alone {theirs[0]:,.0f} µs, {theirs[0] / ours[0]:.0f} times as much"
        yield Row(f"{name}, p50", ours[0], middle, beside=beside)
        yield Row(f"{name}, p99", ours[1], worst)
    cache = VerdictCache()
    ((again, _),) = percentiles(judging(clean, cache))
    yield Row("repeated text, 1 KB", again, 5.0)


def streams(policy: Policy) -> Iterator[Row]:
    """The default pack on an answer word by word: all that guarding adds to a stream, per chunk."""
    for name, text in (("prose", PROSE * 10), ("digits", YEARS * 10), ("card numbers", "4111 1111 1111 1112, " * 40)):
        words = [f"{word} " for word in text.split(" ")]
        deltas = [*(Delta(0, word) for word in words), Delta(0, finish_reason="stop")]

        async def source(deltas: list[Delta] = deltas) -> AsyncIterator[Delta]:
            for delta in deltas:
                yield delta

        async def bare() -> int:
            return len([delta async for delta in source()])

        async def guarded() -> list[Delta]:
            guard = AnswerGuard([policy], OUTPUT, choices=1)
            return [delta async for delta in guard.guarded(source())]

        (base, _), (middle, _) = percentiles(lambda: finished(bare()), lambda: finished(guarded()), count=60)
        left = asyncio.run(guarded())
        at_once = sum(one.text == other.text for one, other in zip(left, deltas, strict=False)) == len(deltas)
        beside = "each chunk left in the call that brought it" if at_once else "some chunks were held"
        yield Row(f"stream, per chunk: {name}", (middle - base) / len(deltas), 20.0, beside=beside)


async def names(text: str) -> list[Row]:
    """Names in 1 KB, by the model in its own process: the time it takes, and how late the event loop is meanwhile."""
    guard = ner.build(PiiConfig(entities={"PERSON": EntityConfig(engine="ner")}))
    if guard is None:
        return []
    lags: list[float] = []
    texts = [Text("prompt[0]", text)]
    for _ in range(5):
        await guard.check(texts, INPUT)

    async def watch(into: list[float]) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            into.append((time.perf_counter() - began) * 1e3 - 1)

    idle: list[float] = []
    resting = asyncio.create_task(watch(idle))
    await asyncio.sleep(0.5)
    resting.cancel()
    watching = asyncio.create_task(watch(lags))
    taken = []
    for _ in range(60):
        began = time.perf_counter()
        await guard.check(texts, INPUT)
        taken.append((time.perf_counter() - began) * 1e6)
    watching.cancel()
    guard.processes.close()
    late, usual = sorted(lags)[len(lags) * 99 // 100], sorted(idle)[len(idle) * 99 // 100]
    return [
        Row("names (NER), 1 KB, p50", statistics.median(taken), 25_000.0),
        Row("  event-loop lag meanwhile, p50", statistics.median(lags), 2.0, "ms"),
        Row("  event-loop lag meanwhile, p99", late, None, "ms", f"{usual:.1f} ms when nothing is asked"),
    ]


def answers(count: int) -> Row:
    """How many of `count` generated texts get another answer than Presidio's."""
    from tests.guards import pii_texts
    from tests.guards.pii_engine import found, theirs

    differ = compared = 0
    for number in range(count):
        text = pii_texts.text(Random(f"benchmark {number}"))  # noqa: S311 - texts to try
        expected = theirs(text)
        if expected is not None:
            compared += 1
            differ += expected != found(text)
    return Row("answers that differ from Presidio's, of generated texts", differ, 0.0, "", f"{compared:,} compared")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--dense", type=Path, default=DENSE, help="a dense text of about 1.2 KB")
    arguments.add_argument("--texts", type=int, default=5_000, help="texts compared with Presidio's answers")
    asked = arguments.parse_args()
    from tests.guards.hostile import DENSE as OWN

    dense = asked.dense.read_text("utf-8") if asked.dense.exists() else (OWN * 2)[:1_200]
    began = time.perf_counter()
    policy = assembled(load.load(["default"], environ={}).policies[0], Ports(count=len))
    print(f"default pack loaded in {time.perf_counter() - began:.2f} s, Presidio's import with it")
    print(f"\n{'what':<58}{'target':>14}{'measured':>14}    {'met':>5}   beside it")
    rows: list[Row] = []
    for row in (*whole_texts(policy, dense), *streams(policy), answers(asked.texts)):
        print(row, flush=True)
        rows.append(row)
    os.sched_setaffinity(0, ALL_CORES)
    if find_spec("spacy") is not None and find_spec(ner.MODEL) is not None:
        for row in asyncio.run(names((PROSE * 12)[:1_024])):
            print(row, flush=True)
            rows.append(row)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    missed = [row.what.strip() for row in rows if row.most is not None and row.measured > row.most]
    print(f"\n{memory:,.0f} MB at most in this process; targets missed: {', '.join(missed) or 'none'}")


if __name__ == "__main__":
    os.sched_setaffinity(0, {min(ALL_CORES)})
    main()
