"""The ledger of one gateway, from when to when: who serves begins it, who calls in process has it by asking for it.

A server keeps a ledger unless its configuration says no. In process, and mounted in somebody's application, one is kept
only where the configuration names a `database_url` or a key of `ledger`, so that no file appears beside a script that
wanted none; its first request begins it, and the end of the process ends it, if nothing has before.
"""

import atexit
import os
import threading
import time
from contextlib import suppress
from weakref import WeakSet, finalize

from gateway.config.model import Settings
from gateway.errors import ConfigError, RequestError, Unavailable
from gateway.ledger.allowances import Amount, Rule
from gateway.ledger.ledger import Ledger, not_recorded
from gateway.ledger.losses import Losses
from gateway.ledger.options import Options, named, options
from gateway.ledger.ports import Log
from gateway.usage import UsageRecord

CLOSING_SECONDS = 5.0
"""How long what ends waits for its last records to be in the database; the rest stays in the journal."""

AGAIN_SECONDS = 5.0
"""How long a ledger that could not be begun is left alone."""

_FOLDER = "the folder of its journal cannot be used"
"""What everybody is told; the log says which folder, and why."""


class Books:
    """What is recorded of a gateway's requests, if anything is.

    Args:
        settings: the configuration.
        log: where faults are told.
    """

    def __init__(self, settings: Settings, log: Log) -> None:
        self.settings = settings.ledger
        self.options: Options = options(settings)
        self.losses = Losses()
        self._log = log
        self._named = named(settings)
        self._wanted = settings.ledger.enabled and self._named
        self._ledger: Ledger | None = None
        self._fault: str | None = None
        self._begin_at = float("-inf")
        self._collected: finalize[[Ledger], Books] | None = None
        self._lock = threading.Lock()
        _ALL.add(self)

    def __repr__(self) -> str:
        return f"<Books {self._ledger!r}>" if self._ledger else f"<Books {self.state[1]}>"

    @property
    def keeps(self) -> bool:
        """Whether requests are to be recorded."""
        return self._wanted

    @property
    def state(self) -> tuple[bool, str]:
        """For `/health/ready`: whether requests are served, and one line that names nobody."""
        if self._ledger is not None:
            return self._ledger.health()
        if not self._wanted:
            return True, "nothing is recorded"
        if self._fault is None:
            return True, "not begun"
        return self.options.when_full == "go_on", f"nothing is recorded: {_FOLDER}"

    def start(self) -> None:
        """Begin, for a server.

        Raises:
            ConfigError: the journal's folder cannot be used. Where nobody has chosen it requests go on unrecorded, the
                log and `/health/ready` say so, and it is tried again.
        """
        self._wanted = self.settings.enabled
        if self._wanted and self.ledger is None and self._named:
            raise ConfigError([f"ledger: {self._fault}"])

    def begin(self) -> None:
        """Begin now what the first request would."""
        if self._wanted and self._ledger is None:
            self._begun()

    @property
    def ledger(self) -> Ledger | None:
        """The ledger, begun if need be; None where nothing is recorded."""
        return self._ledger or (self._begun() if self._wanted else None)

    def _begun(self) -> Ledger | None:
        with self._lock:
            now = time.monotonic()
            if self._ledger is not None or now < self._begin_at:
                return self._ledger
            made = Ledger(self.options, self._log, self.losses)
            try:
                made.start()
            except ConfigError as error:
                self._begin_at = now + AGAIN_SECONDS
                fault = error.faults[0].removeprefix("ledger: ")
                if fault != self._fault:
                    lost = self.losses.gone
                    self._log.error("ledger_not_recording", what="requests", reason=fault, records_lost=lost)
                self._fault = fault
                return None
            self._ledger, self._fault = made, None
            self._collected = finalize(self, _end_beside, made)
            self._collected.atexit = False  # then there is `_end_all`
            return made

    def _taken(self) -> Ledger | None:
        """The ledger, which is somebody else's to end from now on."""
        ledger, self._ledger = self._ledger, None
        if self._collected is not None:
            self._collected.detach()
        return ledger

    def admit(self) -> bool:
        """Let a request begin, and say whether it is to be recorded.

        Raises:
            Unavailable: it could not be, and is not to be served then; see `Ledger.admit`.
        """
        if not self._wanted:
            return False
        ledger = self.ledger
        if ledger is not None:
            with suppress(RuntimeError):  # another thread has closed it just now: the record will have a new one
                ledger.admit()
        elif self.options.when_full == "refuse":
            raise not_recorded()
        return True

    def keep(self, record: UsageRecord) -> None:
        """Record one request: call it before the last byte of its answer leaves. It never fails a request."""
        for _ in range(2):
            ledger = self.ledger
            if ledger is not None:
                try:
                    ledger.append(record)
                    return
                except RuntimeError:
                    continue  # another thread has closed it just now: then a new one
        self.losses.add("not_begun")

    def lose(self, request_id: str) -> None:
        """Note that no record could be made of a request, because of the exception that is being handled."""
        self.losses.add("fault")
        self._log.error("ledger_record_lost", request_id=request_id, exc_info=True)

    async def spent(self, rule: Rule, since: float) -> Amount:
        """What was used under a budget since a time; nothing where nothing is recorded. See `Ledger.spent`.

        Raises:
            Unavailable: the database cannot be used.
        """
        ledger = self.ledger
        return Amount() if ledger is None else await ledger.spent(rule, since)

    def asked(self) -> Ledger:
        """The ledger, for somebody's question.

        Raises:
            RequestError: nothing is recorded here.
            Unavailable: it cannot be begun.
        """
        ledger = self.ledger
        if ledger is not None:
            return ledger
        if self._wanted:
            raise Unavailable(f"The ledger cannot be asked now: {_FOLDER}.", code="ledger_unavailable")
        raise RequestError(
            "No usage is recorded here; set ledger.enabled and general_settings.database_url.",
            status=404,
            code="not_found",
        )

    async def close(self) -> None:
        """Ship what is left, within `CLOSING_SECONDS`. In process, a later request begins anew."""
        with self._lock:
            ledger = self._taken()
        if ledger is not None:
            await ledger.close(CLOSING_SECONDS)

    def end(self) -> None:
        """`close`, where there is no event loop any more."""
        ledger, self._wanted = self._taken(), False
        if ledger is not None:
            ledger.end(CLOSING_SECONDS)

    def abandon(self) -> None:
        """Leave the ledger to the process it belongs to, from which this one was forked."""
        ledger, self._lock = self._taken(), threading.Lock()
        if ledger is not None:
            _LEFT.append(ledger)
            ledger.abandon()


_ALL: WeakSet[Books] = WeakSet()
_LEFT: list[Ledger] = []
"""Other processes' ledgers: kept, because to collect them would be to end their connections to the database."""


def _end_beside(ledger: Ledger) -> None:
    """End the ledger of a gateway that nobody has closed and nobody has any more, and make nobody wait for it."""
    threading.Thread(target=ledger.end, args=(CLOSING_SECONDS,), name="gateway-ledger-end", daemon=True).start()


def _end_all() -> None:
    for books in list(_ALL):
        books.end()


def _abandon_all() -> None:
    for books in list(_ALL):
        books.abandon()


atexit.register(_end_all)
os.register_at_fork(after_in_child=_abandon_all)
