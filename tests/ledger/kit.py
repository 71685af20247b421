"""What the ledger's tests share: a log to look at, records in a store, and what is in a database."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gateway.ledger import entry, queries
from gateway.ledger.ledger import Ledger
from gateway.ledger.options import Options
from gateway.ledger.store import Batch, Store
from gateway.usage import UsageRecord


class Log:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **attributes: Any) -> None:
        self.events.append((event, attributes))

    warning = error = info

    def names(self) -> list[str]:
        """The events, in order."""
        return [event for event, _ in self.events]


def never(row: Any, error: Exception) -> None:
    """For rows that a database must take."""
    raise AssertionError(error)


def put(store: Store, records: Iterable[UsageRecord], segment: str = "segment") -> Batch:
    """Store records as the next lines of a segment."""
    rows = [entry.row(entry.line(record)) for record in records]
    return store.ship(segment, lambda start: Batch(start + len(rows), rows), never)


def stored(store: Store) -> list[str]:
    """The request ids in a database, the oldest first."""
    found: list[str] = []
    cursor = None
    while True:
        page = queries.records(store.engine, limit=1000, cursor=cursor)
        found += [record.request_id for record in page.records]
        cursor = page.cursor
        if cursor is None:
            return found[::-1]


def ledger(folder: Path, log: Log, url: str = "", **options: Any) -> Ledger:
    """A started ledger whose journal and SQLite file are in `folder`."""
    url = url or f"sqlite:///{folder}/gateway.db"
    made = Ledger(Options(url, folder / "journal", **{"linger": 0.0, **options}), log)
    made.start()
    return made


def segments(folder: Path) -> list[Path]:
    """The journal's files."""
    return sorted((folder / "journal").glob("*.jsonl"))
