"""What a guard may spend that costs money with every call, and what it has spent: counts of one process, no text."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.guards.ports import GuardFailed

MINUTE = 60.0


class OverBudget(GuardFailed):
    """One more call is not to be had now. Verdicts tell it as `budget`."""

    reason = "budget"


@dataclass(slots=True)
class Spent:
    """What has been spent since the policies were loaded: calls made and refused, characters sent and received."""

    calls: int = 0
    refused: int = 0
    sent: int = 0
    received: int = 0


class Budget:
    """How many calls a guard may make.

    Args:
        per_minute: calls begun within any 60 seconds; None for no bound.
        parallel: calls under way at one time.
        clock: seconds, of any beginning, that never go back.

    One call more is refused at once: whoever waits for a place waits with a request that a person waits for.
    """

    __slots__ = ("_begun", "_clock", "_parallel", "_per_minute", "_under_way", "exhausted", "spent")

    def __init__(self, per_minute: int | None, parallel: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._parallel = parallel
        self._clock = clock
        self._begun: deque[float] = deque()
        self._under_way = 0
        self.spent = Spent()
        self.exhausted = False
        """Whether the last call that was asked for has been refused."""

    def __repr__(self) -> str:
        spent = self.spent
        return f"<Budget {spent.calls} calls, {spent.refused} refused, {self._under_way} under way>"

    @contextmanager
    def call(self, characters: int) -> Iterator[None]:
        """A call that sends so many characters, while it lasts.

        Raises:
            OverBudget: no more calls now.
        """
        if self._under_way >= self._parallel or not self._in_time():
            self.spent.refused += 1
            self.exhausted = True
            raise OverBudget("as many calls have been made as may")
        self.exhausted = False
        self._under_way += 1
        self.spent.calls += 1
        self.spent.sent += characters
        try:
            yield
        finally:
            self._under_way -= 1

    def _in_time(self) -> bool:
        """Whether this minute has a call left; if so it is taken."""
        if self._per_minute is None:
            return True
        now = self._clock()
        while self._begun and self._begun[0] <= now - MINUTE:
            self._begun.popleft()
        if len(self._begun) >= self._per_minute:
            return False
        self._begun.append(now)
        return True
