"""The ledger's own thread: it syncs the journal, ships it, and answers what is asked of the database.

One thread does all that waits, so that the event loop never does. While the database cannot be used, it is tried again
every few seconds, and said once a minute.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.errors import GatewayError, Unavailable
from gateway.ledger.faults import places
from gateway.ledger.journal import Journal
from gateway.ledger.losses import Losses
from gateway.ledger.options import Options
from gateway.ledger.ports import Log

if TYPE_CHECKING:
    from gateway.ledger.shipper import Shipper

T = TypeVar("T")

FIRST_SECONDS = 1.0
"""How long the thread leaves a starting process alone: loading the database's libraries takes a fifth of a second."""

TICK_SECONDS = 5.0
"""How often it looks for what others have left, and tries a database that could not be used."""

PATIENCE_SECONDS = 1.0
"""How long a question waits for a backlog to be shipped first."""

EXPIRE_SECONDS = 3_600.0
SHOUT_SECONDS = 60.0

CODE = "ledger_unavailable"


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be done on the thread, whether it only reads the database, and when it was asked for."""

    work: "Callable[[Shipper], Any]"
    future: "Future[Any]"
    reads: bool
    asked: float


class Writer:
    """The thread and what it shares with the event loop: plain values, each written by one side only.

    Args:
        options: see there.
        journal: what is shipped.
        log: where faults are told.
        losses: counts what does not come into the database.
    """

    def __init__(self, options: Options, journal: Journal, log: Log, losses: Losses) -> None:
        self.fault: str | None = None
        self.others = 0
        self._options = options
        self._journal = journal
        self._log = log
        self._losses = losses
        self._jobs: deque[_Job] = deque()
        self._wake, self._hurry, self._stopping = threading.Event(), threading.Event(), threading.Event()
        self._closing = threading.Lock()
        self._closed = self._prepared = False
        self._deadline = float("inf")
        self._shipper: Shipper | None = None
        self._retry_at = self._adopt_at = self._expire_at = 0.0
        self._shouted_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="gateway-ledger", daemon=True)

    def __repr__(self) -> str:
        return f"<Writer {self.fault or 'ok'}, {self.shipped} records shipped, {len(self._jobs)} questions wait>"

    @property
    def shipped(self) -> int:
        """Records that this process has shipped."""
        return self._shipper.shipped if self._shipper else 0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something to ship."""
        if not self._wake.is_set():
            self._wake.set()

    def submit(self, work: "Callable[[Shipper], T]", reads: bool = True) -> "Future[T]":
        """Run something on the thread, after what was appended so far is shipped.

        What only `reads` waits for that at most `PATIENCE_SECONDS`: there may be a backlog of hours. The future ends
        with `Unavailable` where the database cannot be used; errors of the gateway are passed on.

        Raises:
            Unavailable: the thread has ended.
        """
        future: Future[T] = Future()
        with self._closing:
            if self._closed:
                raise _unavailable("it is closed")
            self._jobs.append(_Job(work, future, reads, time.monotonic()))
        self._hurry.set()
        self._wake.set()
        return future

    def stop(self, seconds: float) -> bool:
        """Ship what is left and end the thread; False when that takes longer than so many seconds."""
        self._deadline = time.monotonic() + seconds
        self._stopping.set()
        self._hurry.set()
        self._wake.set()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        self._hurry.wait(FIRST_SECONDS)
        while not self._stopping.is_set():
            self._turn()
            self._wake.wait(TICK_SECONDS)
            self._wake.clear()
            self._hurry.wait(self._options.linger)
            self._hurry.clear()
        self._turn()
        with self._closing:
            self._closed = True
        self._refuse_jobs("it is closed")
        if self._shipper:
            self._shipper.store.close()

    def _turn(self) -> None:
        began, ending = time.monotonic(), self._stopping.is_set()
        disk = self._look_after_the_journal()
        if self._jobs or (not self._journal.empty if ending else time.monotonic() >= self._retry_at):
            fault = self._work(ending)
            self._settle(fault or disk)
            if fault:
                self._refuse_jobs(fault, began)  # each would wait for the database as long
        elif disk:
            self._settle(disk)
        while self._jobs and self._jobs[0].asked <= began:  # what is asked later wants more to be shipped first
            self._answer(self._jobs.popleft())

    def _look_after_the_journal(self) -> str | None:
        try:
            self._journal.retry()
            self._journal.sync()
            self.others = self._journal.others()
        except OSError as error:
            return _disk(error)
        return None

    def _work(self, ending: bool) -> str | None:
        try:
            shipper = self._ready()
            shipper.own(rotate=ending)
            if not ending:
                self._now_and_then(shipper)
        except Exception as error:
            return self._failed(error)
        self._retry_at = 0.0
        return None

    def _ready(self) -> "Shipper":
        """The shipper, its database open and its schema the newest. The libraries are imported here: they are slow."""
        if self._shipper is None:
            from gateway.ledger.shipper import Shipper
            from gateway.ledger.store import Store

            store = Store(self._options.database_url)
            self._shipper = Shipper(store, self._journal, self._log, self._between, self._losses)
        if not self._prepared:
            self._shipper.store.prepare()
            self._prepared = True
        return self._shipper

    def _now_and_then(self, shipper: "Shipper") -> None:
        now = time.monotonic()
        if now >= self._adopt_at:
            self._adopt_at = now + TICK_SECONDS
            shipper.adopt()
        if now >= self._expire_at:
            self._expire_at = now + EXPIRE_SECONDS
            options = self._options
            deleted = shipper.store.expire(time.time_ns(), options.retention_days, options.rollup_days)
            if deleted:
                self._log.info("ledger_records_expired", records=deleted, retention_days=options.retention_days)

    def _between(self) -> bool:
        """Between two batches: answer who has waited long enough; False when it is time to end."""
        time.sleep(0)  # the event loop may be waiting for the interpreter's lock
        now = time.monotonic()
        while self._jobs and self._jobs[0].reads and now - self._jobs[0].asked >= PATIENCE_SECONDS:
            self._answer(self._jobs.popleft())
        return now < self._deadline

    def _answer(self, job: _Job) -> None:
        future = job.future
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(job.work(self._ready()))
        except GatewayError as error:
            future.set_exception(error)
        except Exception as error:
            fault = self._failed(error)
            self._settle(fault)
            future.set_exception(_unavailable(fault))

    def _refuse_jobs(self, why: str, until: float = float("inf")) -> None:
        while self._jobs and self._jobs[0].asked <= until:
            future = self._jobs.popleft().future
            if future.set_running_or_notify_cancel():
                future.set_exception(_unavailable(why))

    def _failed(self, error: Exception) -> str:
        """What is wrong, in plain words; the schema is looked at again next time, and not at once."""
        self._prepared = False
        self._retry_at = time.monotonic() + TICK_SECONDS
        if isinstance(error, OSError):
            return _disk(error)
        from gateway.ledger import database

        if not database.expected(error):  # a fault of this program: where, and never with what values
            self._log.error("ledger_thread_fault", error=type(error).__name__, at=places(error))
        return database.reason(error)

    def _settle(self, fault: str | None) -> None:
        """Tell a fault when it is new and once a minute, and its end."""
        before, self.fault = self.fault, fault
        now = time.monotonic()
        if fault is not None and (fault != before or now - self._shouted_at >= SHOUT_SECONDS):
            self._shouted_at = now
            waiting = self._journal.waiting() + self.others
            self._log.error("ledger_not_shipped", reason=fault, waiting_bytes=waiting)
        elif fault is None and before is not None:
            self._log.warning("ledger_shipped_again", was=before)


def _disk(error: OSError) -> str:
    return f"the disk of the journal fails ({error.strerror})"


def _unavailable(why: str) -> Unavailable:
    return Unavailable(f"The ledger cannot be asked now: {why}.", code=CODE)
