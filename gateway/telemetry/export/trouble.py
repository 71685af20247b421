"""Trouble with a collector, told once a minute however often it happens."""

from time import monotonic

from gateway.telemetry.logs import Logger

QUIET = 60.0
"""Seconds between two lines about the same receiver."""


class Trouble:
    """Writes one line a minute about one receiver, with how many spans were dropped since the last.

    Args:
        log: where it is written.
        receiver: an address or a path, without a key in it.
    """

    def __init__(self, log: Logger, receiver: str) -> None:
        self._log, self.receiver = log, receiver
        self._told = -QUIET
        self._untold = 0

    def tell(self, reason: str, dropped: int = 0, waiting: int = 0, *, now: bool = False) -> None:
        """Say what goes wrong, or keep the count for the next line; `now` says it whenever the last one was."""
        self._untold += dropped
        at = monotonic()
        if not now and at - self._told < QUIET:
            return
        self._told = at
        self._log.warning(
            "telemetry_trouble", receiver=self.receiver, reason=reason, dropped=self._untold, waiting=waiting
        )
        self._untold = 0

    def end(self, reason: str) -> None:
        """Say that nothing more is sent there, and why; it is how the receiver is, and no trouble."""
        self._log.info("telemetry_not_sent", receiver=self.receiver, reason=reason)

    def last(self) -> None:
        """Tell what has not been told: nothing more will happen."""
        if self._untold:
            self.tell("the gateway closes", now=True)
