"""What the ledger costs: `python tests/benchmarks/ledger.py [--rows 1000000] [--users 1000] [--url postgresql://…]`.

Four figures: what a request pays (one record into the journal); how fast the thread behind ships; how much the event
loop is late meanwhile; and how long the questions people ask take over so many rows of a year. Without `--url` the
database is an SQLite file in a folder of its own; one that is given must be empty, and is left full.

The targets: at most 15 µs for a record, 300 ms for usage by user over a million rows.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from statistics import median, quantiles

HERE = Path(__file__).parent
sys.path[0] = str(HERE.parent.parent)

from gateway.ledger import entry, queries, tally  # noqa: E402
from gateway.ledger.allowances import Rule, Scope  # noqa: E402
from gateway.ledger.journal import Journal  # noqa: E402
from gateway.ledger.ledger import Ledger  # noqa: E402
from gateway.ledger.options import Options  # noqa: E402
from gateway.ledger.spent import spent  # noqa: E402
from gateway.ledger.store import Batch, Store  # noqa: E402
from gateway.telemetry import logs  # noqa: E402
from gateway.usage import UsageRecord  # noqa: E402
from tests.ledger.records import DAY, NOON, made  # noqa: E402

ROUNDS = 5
BATCH = 2_000
RATE = 2_000
"""Records a second while the event loop's lateness is measured."""


def varied(number: int, users: int) -> UsageRecord:
    """One of a year's records: a thousandth of the users each, ten models, three tags."""
    return made(
        number,
        at=NOON - (number * 7919 % 365) * DAY,
        end_user=f"user-{number * 31 % users}",
        model=f"model-{number % 10}",
        tags=(f"tag-{number % 3}",),
    )


def appending(folder: Path) -> tuple[float, float, float]:
    """Microseconds for a record: encoded; encoded and written; written by a ledger that ships meanwhile."""
    record = made()
    journal = Journal(folder / "bare")
    count = 20_000
    encoded = _each(lambda: entry.line(record), count)
    written = _each(lambda: journal.append(entry.line(record)), count)
    journal.close()

    async def whole() -> float:
        ledger = Ledger(Options(f"sqlite:///{folder}/append.db", folder / "whole"), logs.make("library"))
        ledger.start()
        took = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            for _ in range(200):
                ledger.append(record)
            took.append((time.perf_counter() - began) / 200 * 1e6)
            await ledger.flush()
        await ledger.close(30)
        return median(took)

    return encoded, written, asyncio.run(whole())


def _each(work: Callable[[], object], count: int) -> float:
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(count):
            work()
        rounds.append((time.perf_counter() - began) / count * 1e6)
    return median(rounds)


async def lateness(folder: Path, url: str, ships: bool) -> list[float]:
    """Milliseconds by which the event loop woke late, every millisecond for three seconds."""
    ledger = Ledger(Options(url, folder / f"late-{ships}"), logs.make("library"))
    ledger.start()
    ledger.append(made())
    await ledger.flush()
    late = []
    for number in range(3_000):
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        late.append((time.perf_counter() - began - 0.001) * 1000)
        for _ in range(RATE // 1000 if ships else 0):
            ledger.append(made(number))
    await ledger.close(30)
    return late


def filled(store: Store, rows: int, users: int) -> float:
    """Rows stored per second, in batches of `BATCH`."""
    began = time.perf_counter()
    for start in range(0, rows, BATCH):
        batch = [entry.row(entry.line(varied(number, users))) for number in range(start, min(start + BATCH, rows))]
        store.ship("benchmark", lambda at, batch=batch: Batch(at + 1, batch), _never)
    return rows / (time.perf_counter() - began)


def _never(row: object, error: Exception) -> None:
    raise error


async def shipping(folder: Path, url: str) -> float:
    """Records per second from a journal into the database, as the thread does it."""
    ledger = Ledger(Options(url, folder / "ship"), logs.make("library"))
    ledger.start()
    ledger.append(made())
    await ledger.flush()
    for number in range(20_000):
        ledger.append(varied(number, 1000))
    began = time.perf_counter()
    await ledger.flush()
    took = time.perf_counter() - began
    await ledger.close(30)
    return 20_000 / took


def asking(store: Store) -> dict[str, float]:
    """Milliseconds of each question, the median of some."""
    engine, today = store.engine, tally.day(NOON)
    questions: dict[str, Callable[[], object]] = {
        **{f"usage by {by}": lambda by=by: queries.usage(engine, by) for by in ("user", "model", "tag", "day")},
        "usage by user, 7 days": lambda: queries.usage(engine, "user", since=today - timedelta(days=6)),
        "end users, first 1,000": lambda: queries.end_users(engine),
        "newest 100 records": lambda: queries.records(engine),
        "newest 100 of a user": lambda: queries.records(engine, users=["user-7"]),
        "days of 40 users, a year": lambda: queries.trends(engine, "user", [f"user-{n}" for n in range(40)]),
        "spent by a user, a month": lambda: spent(engine, _rule("end_user", "user-7"), (NOON - 30 * DAY) / 10**9),
        "spent by a tag, a day": lambda: spent(engine, _rule("tag", "tag-1"), (NOON - DAY) / 10**9),
        "spent by all, a month": lambda: spent(engine, _rule("all", ""), (NOON - 30 * DAY) / 10**9),
        "one request": lambda: queries.records(engine, request_id="req_4711"),
    }
    return {name: _each(question, 1) / 1000 for name, question in questions.items()}


def _rule(scope: Scope, name: str) -> Rule:
    return Rule(scope, name, "budget", "picodollars", 10**12, "1mo")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--url")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = given.url or f"sqlite:///{folder}/gateway.db"
        encoded, written, whole = appending(folder)
        print(f"a record: {encoded:.1f} µs encoded, {written:.1f} µs with its write, {whole:.1f} µs by the ledger")
        for ships in (False, True):
            late = quantiles(asyncio.run(lateness(folder, url, ships)), n=1000)
            what = f"{RATE} records/s" if ships else "nothing"
            print(
                f"event loop late, {what:>15} shipped: p50 {late[499]:.2f} p99 {late[989]:.2f} p99.9 {late[998]:.2f} ms"
            )
        print(f"shipping: {asyncio.run(shipping(folder, url)):,.0f} records/s")
        store = Store(url)
        print(f"storing {given.rows:,} rows: {filled(store, given.rows, given.users):,.0f} rows/s")
        for question, took in asking(store).items():
            print(f"{question:>24}: {took:8.1f} ms")
        store.close()


if __name__ == "__main__":
    main()
