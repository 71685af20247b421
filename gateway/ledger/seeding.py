"""What the ledger knows of budgets, for counters that begin empty: after a start, after a crash, for another process.

The ledger is asked once when a budget's window is first touched, and those who touch it meanwhile wait for the answer;
then about once a minute while the window is in use. It never lowers a count: what is reserved is not in the ledger yet.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import Context
from dataclasses import dataclass
from math import inf
from typing import Any

from gateway.errors import GatewayError
from gateway.ledger import limits, periods
from gateway.ledger.allowances import Rule, Spent
from gateway.ledger.faults import places
from gateway.ledger.ports import Log

PATIENCE_SECONDS = 1.0
"""How long a request waits for the ledger; then it goes on with what is counted, and the answer counts later."""

AGAIN_SECONDS = 60.0
SHOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Touched:
    """A budget's window that was touched: its rule, and its start (µs)."""

    rule: Rule
    start: int


Learn = Callable[[Touched, int], Awaitable[None]]
"""Told of a window and what was spent in it, at the least."""


class Seeding:
    """Asks the ledger.

    Args:
        spent: the ledger.
        learn: is told what it knows.
        in_use: the windows to ask for again.
        log: where it is told, once a minute, that the ledger cannot be asked.
    """

    def __init__(self, spent: Spent, learn: Learn, in_use: Callable[[], Iterable[Touched]], log: Log) -> None:
        self._spent = spent
        self._learn = learn
        self._in_use = in_use
        self._log = log
        self._asking: dict[tuple[limits.Identity, int], asyncio.Task[bool]] = {}
        self._answered: dict[tuple[limits.Identity, int], float] = {}
        self._shouted_at = -inf
        self._loop = Repeated(AGAIN_SECONDS, self.again)

    async def first(self, touched: Sequence[Touched], since: float = inf) -> list[Touched]:
        """Ask for windows that nobody asked for yet, all side by side; wait for the answers, but not long. Gives those
        that are not answered. An answer that came after `since` (of `time.monotonic`) will do."""
        self._loop.wake()
        touched = [one for one in touched if self._answered.get(_key(one), -inf) < since]
        if not touched:
            return []
        tasks = [self._ask(one) for one in touched]
        done, _ = await asyncio.wait(tasks, timeout=PATIENCE_SECONDS)
        return [one for one, task in zip(touched, tasks, strict=True) if task not in done or not task.result()]

    async def again(self) -> None:
        """Ask for every window in use, one after the other."""
        before = time.monotonic() - AGAIN_SECONDS
        self._answered = {key: at for key, at in self._answered.items() if at > before}
        for one in tuple(self._in_use()):
            if not await asyncio.shield(self._ask(one)):
                return  # the others would be told the same

    async def close(self) -> None:
        """Ask no more."""
        await self._loop.close()
        for task in tuple(self._asking.values()):
            cancel(task)

    def _ask(self, touched: Touched) -> "asyncio.Task[bool]":
        key = _key(touched)
        task = self._asking.get(key)
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            task = self._asking[key] = asyncio.create_task(self._answer(touched), context=Context())
            task.add_done_callback(lambda done: self._asking.get(key) is done and self._asking.pop(key))
        return task

    async def _answer(self, touched: Touched) -> bool:
        rule = touched.rule
        try:
            amount = await self._spent(rule, touched.start / periods.SECOND)
            await self._learn(touched, amount.tokens if rule.unit == "tokens" else amount.picodollars)
        except (GatewayError, OSError) as error:  # the ledger, or the counters, cannot be asked now
            self._shout(error)
            return False
        except Exception as error:  # a fault of ours: requests go on, and the log says where it is
            self._shout(error, at=places(error))
            return False
        self._answered[_key(touched)] = time.monotonic()
        return True

    def _shout(self, error: Exception, **more: list[str]) -> None:
        now = time.monotonic()
        if now - self._shouted_at >= SHOUT_SECONDS:
            self._shouted_at = now
            self._log.error("budgets_not_seeded", error=type(error).__name__, **more)


def _key(touched: Touched) -> tuple[limits.Identity, int]:
    return limits.identity(touched.rule), touched.start


def seedable(rule: Rule) -> bool:
    """Whether the ledger knows what was spent under a rule."""
    return rule.kind == "budget" and rule.unit != "requests"


INSISTING = 0.1
"""Seconds after which a task is told again to end: a client that connects may lose the cancellation that comes then."""


def cancel(task: "asyncio.Task[Any]") -> None:
    """End a task, whichever loop it is on: an application may run in one loop and be called from another."""
    loop = task.get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(task.cancel)


class Repeated:
    """Work done every so many seconds in the background, from the first `wake` on the loop that runs then."""

    def __init__(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        self._seconds = seconds
        self._work = work
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Begin, if it has not begun, or its loop is gone."""
        task = self._task
        if task is None or task.done() or task.get_loop().is_closed():
            self._task = asyncio.create_task(self._run(), context=Context())  # it outlives the request it began in

    async def close(self) -> None:
        """End it, in the middle of its work too."""
        task, self._task = self._task, None
        if task is not None:
            cancel(task)
            while task.get_loop() is asyncio.get_running_loop() and not task.done():
                await asyncio.wait([task], timeout=INSISTING)
                cancel(task)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            await self._work()
