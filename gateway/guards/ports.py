"""What guards are given by higher floors, so that they need to know none of them: HTTP, models, a pool, a clock."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, ClassVar, TypeVar

from gateway.types import HttpRequest

T = TypeVar("T")

Caller = Callable[[HttpRequest, float], Awaitable[tuple[int, bytes]]]
"""Sends one HTTP request and gives its status and whole body. The number is the seconds it may take; it raises
`TimeoutError` or `UpstreamTimeout` after them, and any other `GatewayError` or `OSError` when there is no answer."""

Ask = Callable[[str, str], Awaitable[str]]
"""Asks a model, by its alias here, with a prompt; gives the text of its answer."""


Note = Callable[[str, Mapping[str, str | int | float]], None]
"""Writes one event to the log: its name, and attributes that never hold text."""


def unnoted(_event: str, _attributes: Mapping[str, str | int | float]) -> None:
    """Writes nothing."""


class GuardFailed(Exception):
    """A guard could not judge: what it asked gave no usable answer. The message never holds judged text.

    `reason` is what verdicts tell.
    """

    reason: ClassVar[str] = "GuardFailed"


class Pool:
    """A bounded pool of threads for guards that block.

    A thread that hangs cannot be stopped: what is bounded is how many hang and how many wait, beyond which a guard
    fails at once instead of queueing.
    """

    def __init__(self, threads: int = 4, waiting: int = 64) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="guard")
        self._threads = threads
        self._waiting = waiting
        self._taken = 0
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"<Pool {self._taken} taken, {self._threads} threads, {self._waiting} may wait>"

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """What `function(*args)` returns or raises, from a thread of the pool.

        Raises:
            GuardFailed: every thread is busy and as many calls wait as may.
        """
        if self._taken >= self._threads + self._waiting:
            raise GuardFailed("the pool of threads for guards is full")
        with self._lock:
            self._taken += 1
        future = self._executor.submit(function, *args)
        # The place is free when the thread is, not when the caller stops waiting for it.
        future.add_done_callback(self._give_back)
        return await asyncio.wrap_future(future)

    def _give_back(self, _: Future[Any]) -> None:
        with self._lock:
            self._taken -= 1

    def close(self) -> None:
        """Take no more work and drop what waits; a function that runs is not waited for."""
        self._executor.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class Ports:
    """What a guard may need when it is built. `seconds` is its policy's `timeout_ms`.

    A port that is None is not to be had here: guards that need it cannot be built, which is a fault of the document.
    `count` gives the number of tokens of any text, `clock` the seconds since the epoch; `note` writes to the log.
    """

    call: Caller | None = field(default=None, repr=False)
    ask: Ask | None = field(default=None, repr=False)
    pool: Pool | None = None
    count: Callable[[str], int] | None = field(default=None, repr=False)
    seconds: float = 0.2
    clock: Callable[[], float] = field(default=time.time, repr=False)
    note: Note = field(default=unnoted, repr=False)
