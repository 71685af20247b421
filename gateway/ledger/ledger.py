"""The ledger: one usage record per request, appended to a local journal at once and shipped to a database behind it.

Appending is one write(2) on the event loop, some 10 µs; everything that waits is done by one thread of its own.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING, TypeVar

from gateway.errors import ConfigError, Unavailable
from gateway.ledger import entry
from gateway.ledger.allowances import Amount, Rule
from gateway.ledger.journal import REFUSED, Journal
from gateway.ledger.losses import Losses
from gateway.ledger.options import Options
from gateway.ledger.ports import Log
from gateway.ledger.writer import SHOUT_SECONDS, Writer
from gateway.usage import UsageRecord

if TYPE_CHECKING:
    from gateway.ledger.reports import EndUser, Page, Report
    from gateway.ledger.shipper import Shipper
    from gateway.ledger.tally import By

T = TypeVar("T")

RETRY_AFTER = "5"
"""Seconds after which a request that could not be recorded may be tried again."""


def not_recorded() -> Unavailable:
    """The refusal of a request that could not be recorded."""
    return Unavailable(
        "Usage cannot be recorded at the moment; try again later.",
        code="ledger_full",
        headers={"retry-after": RETRY_AFTER},
    )


class Ledger:
    """One worker's ledger. Make it in the process that uses it, after any fork.

    Args:
        options: where usage is kept.
        log: where faults are told.
        losses: counts records that do not come into the database; None for a count of its own.
    """

    def __init__(self, options: Options, log: Log, losses: Losses | None = None) -> None:
        self.options = options
        self.losses = losses or Losses()
        self._log = log
        self._shouted_at = float("-inf")
        self._journal: Journal | None = None
        self._writer: Writer | None = None

    def __repr__(self) -> str:
        return f"<Ledger {self.health()[1]}>"

    def start(self) -> None:
        """Open the journal and start the thread; it does not wait for the database, which may be down.

        Raises:
            ConfigError: the journal's folder cannot be used.
        """
        try:
            self._journal = Journal(self.options.folder, self.losses)
        except OSError as error:
            where, why = self.options.folder, error.strerror or "unknown reason"
            raise ConfigError([f"ledger: the journal's folder {where} cannot be used: {why}"]) from error
        self._writer = Writer(self.options, self._journal, self._log, self.losses)
        self._writer.start()

    def admit(self) -> None:
        """Let a request begin, or not.

        Raises:
            Unavailable: it could not be recorded, because the journal is at its bound or its disk takes nothing, and
                `when_full` says to refuse it then.
        """
        if self.options.when_full == "refuse" and (self._held() or self._full()):
            self._shout("requests are refused")
            raise not_recorded()

    def append(self, record: UsageRecord) -> None:
        """Write one record to the journal: call it before the last byte of the answer leaves.

        It never fails a request: a record that the disk does not take is held in memory until it does. Where the
        journal is at its bound and requests go on, the record is lost; it is counted, and the log says so.

        Raises:
            RuntimeError: the ledger is not started, or is closed.
        """
        journal, writer = self._opened()
        if self.options.when_full == "go_on" and self._full():
            self.losses.add("journal_full")
            self._shout("requests go on and are not recorded")
            return
        try:
            journal.append(entry.line(record))
        except OSError as error:
            self._shout(f"the disk of the journal fails ({error.strerror})")
        writer.wake()

    def health(self) -> tuple[bool, str]:
        """For `/health/ready`: whether requests are served, and one line about the ledger that names nobody."""
        if self._journal is None or self._writer is None:
            return False, "not started"
        waiting = self._journal.waiting() + self._writer.others
        parts = [self._writer.fault or "ok", f"{waiting} bytes wait in the journal"]
        held, lost = self._held(), self.losses.gone
        if held:
            parts.append(f"{held} records are held in memory")
        if lost:
            parts.append(f"{lost} records lost")
        refused = self.options.when_full == "refuse" and bool(held or self._full())
        if refused:
            parts.append("requests are refused")
        return not refused, ", ".join(parts)

    async def close(self, seconds: float) -> None:
        """Ship what is left, for at most so many seconds; the rest stays in the journal for the next start."""
        await asyncio.to_thread(self.end, seconds)

    def end(self, seconds: float) -> None:
        """`close`, waiting: for a process that ends."""
        journal, writer = self._journal, self._writer
        if journal is None or writer is None:
            return
        ended = writer.stop(seconds)
        self._journal = self._writer = None
        left = journal.waiting()
        if left or journal.held:
            self.losses.add("disk", journal.held)
            self._log.warning("ledger_left_for_next_start", bytes=left, records_lost=journal.held)
        if ended:
            journal.close()

    def abandon(self) -> None:
        """Have nothing more to do with it, in a process that was forked from the one it belongs to."""
        if self._journal is not None:
            self._journal.abandon()
        self._journal = self._writer = None

    async def flush(self) -> None:
        """Wait until everything appended so far is in the database.

        Raises:
            Unavailable: the database cannot be used.
        """
        await self._ask(lambda shipper: shipper.own(), reads=False)

    async def usage(self, by: "By", since: date | None = None, until: date | None = None) -> "Report":
        """What was appended so far is in it, unless more waits than is shipped in a second. See
        `gateway.ledger.queries.usage`.

        Raises:
            InvalidValue: there is no such `by`.
            Unavailable: the database cannot be used.
        """

        def ask(shipper: "Shipper") -> "Report":
            from gateway.ledger import queries

            return queries.usage(shipper.store.engine, by, since, until)

        return await self._ask(ask)

    async def records(
        self,
        request_id: str | None = None,
        users: Sequence[str] | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> "Page":
        """See `gateway.ledger.queries.records`.

        Raises:
            InvalidValue: a wrong cursor or limit.
            Unavailable: the database cannot be used.
        """

        def ask(shipper: "Shipper") -> "Page":
            from gateway.ledger import queries

            return queries.records(shipper.store.engine, request_id, users, limit, cursor)

        return await self._ask(ask)

    async def end_users(self, limit: int = 1_000, after: str = "") -> "Sequence[EndUser]":
        """See `gateway.ledger.queries.end_users`.

        Raises:
            Unavailable: the database cannot be used.
        """

        def ask(shipper: "Shipper") -> "Sequence[EndUser]":
            from gateway.ledger import queries

            return queries.end_users(shipper.store.engine, limit, after)

        return await self._ask(ask)

    async def spent(self, rule: Rule, since: float) -> Amount:
        """What was used under a budget since a time, by what was appended so far; see `gateway.ledger.spent.spent`.

        Raises:
            Unavailable: the database cannot be used.
        """

        def ask(shipper: "Shipper") -> Amount:
            from gateway.ledger.spent import spent

            return spent(shipper.store.engine, rule, since)

        return await self._ask(ask)

    async def forget(self, end_user: str) -> int:
        """Delete one end user's records here and in every journal that ships to this database; how many there were.

        Sums by day stay, and are counted under nobody; see `gateway.ledger.store.Store.forget`. This worker's journal
        is emptied at once; other workers' within `gateway.ledger.shipper.SEGMENT_SECONDS`.

        Raises:
            Unavailable: the database cannot be used, and nothing is deleted; try again.
        """

        def ask(shipper: "Shipper") -> int:
            from gateway.ledger.shipper import forget_refused

            deleted = shipper.store.forget(end_user, time.time_ns())
            shipper.own(rotate=True)
            forget_refused(shipper.journal.folder / REFUSED, entry.name(end_user))
            return deleted

        return await self._ask(ask, reads=False)

    async def _ask(self, work: "Callable[[Shipper], T]", reads: bool = True) -> T:
        return await asyncio.wrap_future(self._opened()[1].submit(work, reads))

    def _opened(self) -> tuple[Journal, Writer]:
        if self._journal is None or self._writer is None:
            raise RuntimeError("the ledger is not started, or is closed")
        return self._journal, self._writer

    def _held(self) -> int:
        return self._journal.held if self._journal else 0

    def _full(self) -> bool:
        journal, writer = self._opened()
        return journal.waiting() + writer.others >= self.options.max_bytes

    def _shout(self, what: str) -> None:
        now = time.monotonic()
        if now - self._shouted_at >= SHOUT_SECONDS:
            self._shouted_at = now
            journal, writer = self._opened()
            self._log.error(
                "ledger_not_recording",
                what=what,
                reason=writer.fault or "the journal is full",
                waiting_bytes=journal.waiting() + writer.others,
                records_lost=self.losses.gone,
            )
