"""Settlements on their way to counters that may be away: each is tried at once, and again until it is done or too late.

A settlement is made by a task of its own, so that a request that is cancelled meanwhile takes nothing with it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.errors import Unavailable
from gateway.ledger.allowances import Amount, Rule, Standing
from gateway.ledger.faults import places
from gateway.ledger.ports import Log
from gateway.ledger.seeding import Repeated, cancel

AGAIN_SECONDS = 1.0
SHOUT_SECONDS = 60.0

MOST = 50_000
"""How many wait, some 50 MB; the oldest goes for one more. Its reservation is over with its lease, and what it used is
found in the ledger."""


@dataclass(slots=True)
class Settlement:
    """What is to be settled: `used` of a reservation made at `at` (µs) with a lease until `until`, or None for one of
    which nobody knows whether it was made."""

    id: str
    rules: tuple[Rule, ...]
    amounts: tuple[int, ...]
    at: int
    until: int
    epoch: str
    used: Amount | None = None


Attempt = Callable[[Settlement], Awaitable[tuple[Standing, ...]]]


class Settling:
    """Makes settlements.

    Args:
        attempt: makes one; raises `Unavailable` where it may be tried again.
        late: whether one is too late.
        log: where it is told, once a minute, that some are given up.
    """

    def __init__(self, attempt: Attempt, late: Callable[[Settlement], bool], log: Log) -> None:
        self._attempt = attempt
        self._late = late
        self._log = log
        self._waiting: dict[str, Settlement] = {}
        self._tasks: dict[str, asyncio.Task[tuple[Standing, ...]]] = {}
        self._loop = Repeated(AGAIN_SECONDS, self.again)
        self._shouted_at = float("-inf")
        self.lost = 0

    def __len__(self) -> int:
        return len(self._waiting)

    async def make(self, one: Settlement) -> tuple[Standing, ...]:
        """Settle now, or in the background.

        Raises:
            Unavailable: it could not be done now.
        """
        return await asyncio.shield(self.begin(one))

    def begin(self, one: Settlement) -> "asyncio.Task[tuple[Standing, ...]]":
        """Settle in the background."""
        if len(self._waiting) >= MOST:
            self._give_up(next(iter(self._waiting)))
        self._waiting[one.id] = one
        return self._try(one)

    async def again(self) -> None:
        """Try what waits, the oldest first, until one fails."""
        for one in tuple(self._waiting.values()):
            if one.id not in self._waiting:
                continue
            if self._late(one):
                self._give_up(one.id)
                continue
            if one.id in self._tasks:
                continue
            task = self._try(one)
            await asyncio.wait([task])
            if one.id in self._waiting:
                return

    async def close(self, seconds: float) -> None:
        """Settle what waits, for at most so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while self._waiting:
                    if mine := self._on_this_loop():
                        await asyncio.wait(mine)
                    await self.again()
                    if self._waiting:
                        await asyncio.sleep(AGAIN_SECONDS / 10)
        except TimeoutError:
            self._log.warning("allowances_not_settled", reservations=len(self._waiting))
        await self._loop.close()
        for task in tuple(self._tasks.values()):
            cancel(task)

    def _on_this_loop(self) -> "list[asyncio.Task[tuple[Standing, ...]]]":
        loop = asyncio.get_running_loop()
        return [task for task in self._tasks.values() if task.get_loop() is loop]

    def _try(self, one: Settlement) -> "asyncio.Task[tuple[Standing, ...]]":
        task = asyncio.get_running_loop().create_task(self._run(one))
        self._tasks[one.id] = task
        task.add_done_callback(self._done)
        return task

    async def _run(self, one: Settlement) -> tuple[Standing, ...]:
        try:
            standings = await self._attempt(one)
        except Unavailable:
            self._loop.wake()
            raise
        except Exception:  # a fault of ours, told by `_done`: it would be the same again
            self._waiting.pop(one.id, None)
            raise
        finally:
            self._tasks.pop(one.id, None)
        self._waiting.pop(one.id, None)
        return standings

    def _done(self, task: "asyncio.Task[tuple[Standing, ...]]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Unavailable):
            self._log.error("allowances_settling_fault", error=type(error).__name__, at=places(error))

    def _give_up(self, name: str) -> None:
        del self._waiting[name]
        self.lost += 1
        now = time.monotonic()
        if now - self._shouted_at >= SHOUT_SECONDS:
            self._shouted_at = now
            self._log.error("allowances_given_up", reservations=self.lost, waiting=len(self._waiting))
