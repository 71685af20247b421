"""From the journal into the database: batch by batch, segment by segment, whoever has left them.

It waits for disk and database; the ledger's own thread calls it.
"""

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.ledger import breath, entry, journal
from gateway.ledger.journal import Journal, Segment
from gateway.ledger.losses import Losses
from gateway.ledger.ports import Log
from gateway.ledger.store import Batch, Row, Store
from gateway.wire import json

BATCH_ROWS = 200
"""Rows of one transaction: some 10 ms of work, during which other workers of the machine wait for the database."""

SEGMENT_BYTES = 1 << 22
SEGMENT_SECONDS = 60.0
"""A segment ends at this size or age: it is how long what was shipped, and what is forgotten, stays on the disk."""


class Shipper:
    """Ships one worker's journal, and what others have left in its folder.

    Args:
        between: called between two batches; False stops the work.
        losses: counts lines that cannot be read, and rows that the database does not take.
    """

    def __init__(
        self, store: Store, journal: Journal, log: Log, between: Callable[[], bool], losses: Losses | None = None
    ) -> None:
        self.store = store
        self.journal = journal
        self.shipped = 0
        self._log = log
        self._between = between
        self._losses = losses or Losses()

    def own(self, rotate: bool = False) -> None:
        """Ship what this worker has written, and delete the segments that are complete.

        Args:
            rotate: end the present segment too, so that nothing stays on the disk.

        Raises:
            SQLAlchemyError, OSError: the database or the disk cannot be used; nothing is lost.
        """
        self._ship(self.journal.active)
        active = self.journal.active
        if rotate or active.size > SEGMENT_BYTES or time.monotonic() - active.opened > SEGMENT_SECONDS:
            self.journal.rotate()
        for segment in tuple(self.journal.sealed):
            if self._ship(segment):
                self.journal.remove(segment)
                self.journal.release(segment)
                self.store.drop(segment.name)

    def adopt(self) -> None:
        """Ship and delete what workers that are gone have left.

        Raises:
            SQLAlchemyError, OSError: the database or the disk cannot be used; nothing is lost.
        """
        for segment in self.journal.orphans():
            try:
                if not self._ship(segment):
                    return
                self.journal.remove(segment)
            finally:
                self.journal.release(segment)
            self.store.drop(segment.name)
            self._log.info("ledger_segment_adopted", segment=segment.name, bytes=segment.size)

    def _ship(self, segment: Segment) -> bool:
        """Whether all of it is shipped."""
        while segment.shipped < segment.size:
            start, refusals = -1, 0

            def read(at: int) -> Batch:
                nonlocal start
                start = at
                texts, end = journal.read(segment, at, BATCH_ROWS)
                rows, damaged = entry.lines(breath.each(texts))
                return Batch(end, rows, damaged)

            def refused(row: Row, error: Exception) -> None:
                nonlocal refusals
                refusals += 1
                self._refused(row, error)

            batch = self.store.ship(segment.name, read, refused)
            self._losses.add("refused", refusals)
            self._losses.add("damaged", batch.damaged)
            segment.shipped = max(segment.shipped, batch.end)
            self.shipped += len(batch.rows)
            if batch.damaged:
                self._log.error("ledger_lines_damaged", segment=segment.name, before=batch.end, lines=batch.damaged)
            if batch.end == start:
                return True  # what is left is a line that was never finished
            if not self._between():
                return False
        return True

    def _refused(self, row: Row, error: Exception) -> None:
        cause = getattr(error, "orig", None) or error
        self._log.error("ledger_record_refused", request_id=row["request_id"], reason=type(cause).__name__)
        keep_refused(self.journal.folder / journal.REFUSED, row)


def keep_refused(path: Path, row: Row) -> None:
    """Add a row to the file of those that the database did not take, for the operator to look at.

    Raises:
        OSError: the disk fails.
    """
    with open(path, "ab", opener=_private) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(dict(row)) + b"\n")


def forget_refused(path: Path, end_user: str) -> None:
    """Delete one end user's rows from that file.

    Raises:
        OSError: the disk fails.
    """
    if not path.exists():
        return
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        kept = [line for line in file if _user(line) != end_user]
        file.seek(0)
        file.truncate()
        file.writelines(kept)


def _user(line: bytes) -> Any:
    try:
        return json.loads(line).get("end_user")
    except (ValueError, AttributeError):
        return None  # half a line, after a crash


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
