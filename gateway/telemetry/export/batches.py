"""Encoded spans that wait for a receiver: bounded, sent in batches by one task, tried again where that may help.

Nobody waits for them. What a slow or dead receiver cannot take is dropped, the oldest first, counted, and told.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from gateway.telemetry.export.trouble import Trouble


@dataclass(frozen=True, slots=True)
class Limits:
    """How much waits, how long, and how often it is tried again.

    `spans`, `bytes`: what waits at most; beyond it the oldest are dropped. `batch`, `batch_bytes`: what is sent at one
    time. `fewest`: spans that are sent without waiting for more: so many that sending
    touches fewer than one request in a hundred, and so few that it takes well under a millisecond. `wait`:
    seconds a span waits for company. `backoff`: seconds before a second attempt, doubled each time, with full jitter,
    up to `longest`. `patience`: seconds after which a batch that is refused again and again gives way to the next, so
    that one which a receiver chokes on does not stop all others.
    """

    spans: int = 65_536
    bytes: int = 16 * 1024 * 1024
    batch: int = 512
    batch_bytes: int = 1024 * 1024
    fewest: int = 256
    wait: float = 1.0
    backoff: float = 0.5
    longest: float = 30.0
    patience: float = 300.0


class Outcome(NamedTuple):
    """What became of a batch: how many of it are lost, or, with `again`, that it may go better later.

    `after` is when, in seconds, where the receiver said so.
    """

    dropped: int = 0
    reason: str = ""
    again: bool = False
    after: float | None = None


Send = Callable[[list[bytes]], Awaitable[Outcome]]


class Batches:
    """What waits for one receiver. `put` is called on the event loop that `start` was called on."""

    def __init__(self, send: Send, trouble: Trouble, limits: Limits) -> None:
        self._send, self._trouble, self._limits = send, trouble, limits
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._sending = 0
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._idle = asyncio.Event()
        self._flushing = False
        self._task: asyncio.Task[None] | None = None
        self.sent = 0
        self.dropped = 0

    def __repr__(self) -> str:
        return f"{self._trouble.receiver} waiting={len(self._waiting)} sent={self.sent} dropped={self.dropped}"

    def start(self) -> None:
        """Begin to send."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def put(self, items: Iterable[bytes]) -> None:
        """Let encoded spans wait."""
        waiting, limits = self._waiting, self._limits
        before = len(waiting)
        for item in items:
            waiting.append(item)
            self._bytes += len(item)
        if self._closing.is_set() and (self._task is None or self._task.done()):
            self._drop_waiting(len(waiting) - before, "the gateway is closed")
        elif self._bytes > limits.bytes or len(waiting) > limits.spans:
            self._make_room()
        if len(waiting) >= limits.fewest:
            self._wake.set()

    def _make_room(self) -> None:
        over = 0
        while self._bytes > self._limits.bytes or len(self._waiting) > self._limits.spans:
            self._bytes -= len(self._waiting.popleft())
            over += 1
        self._drop(over, "spans come faster than they are taken")

    async def flush(self) -> None:
        """Return once all that waits is sent or dropped; at once where nothing sends."""
        if self._task is None or self._task.done() or not (self._waiting or self._sending):
            return
        self._idle.clear()
        self._flushing = True
        self._wake.set()
        await self._idle.wait()

    async def close(self, seconds: float) -> None:
        """Send what waits, each batch with one attempt; what has not left after so many seconds is dropped."""
        self._closing.set()
        self._wake.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=seconds)
            self._task.cancel()
            await asyncio.wait({self._task})
        left = len(self._waiting) + self._sending
        self._waiting.clear()
        self._bytes = self._sending = 0
        if left:
            self.dropped += left
            self._trouble.tell("the gateway closed before they were taken", left, now=True)
        self._trouble.last()

    async def _run(self) -> None:
        try:
            while self._waiting or not self._closing.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._limits.wait):
                        await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    await self._deliver(self._take())
                    if len(self._waiting) < self._limits.fewest and not (self._flushing or self._closing.is_set()):
                        break  # the few that came in the meantime wait for company
                if not self._waiting:
                    self._flushing = False
                    self._idle.set()
        finally:
            self._idle.set()

    def _take(self) -> list[bytes]:
        waiting, limits = self._waiting, self._limits
        batch = [waiting.popleft()]
        size = len(batch[0])
        while waiting and len(batch) < limits.batch and size + len(waiting[0]) <= limits.batch_bytes:
            batch.append(waiting.popleft())
            size += len(batch[-1])
        self._bytes -= size
        return batch

    async def _deliver(self, batch: list[bytes]) -> None:
        limits = self._limits
        self._sending = len(batch)
        until, backoff = monotonic() + limits.patience, limits.backoff
        while True:
            closing = self._closing.is_set()
            outcome = await self._send(batch)
            if not outcome.again:
                break
            if closing:
                self._give_up(outcome.reason)
                return
            if monotonic() >= until:
                outcome = Outcome(len(batch), outcome.reason)
                break
            self._trouble.tell(outcome.reason, waiting=len(self._waiting) + len(batch))
            pause = random.uniform(0, backoff) if outcome.after is None else outcome.after  # noqa: S311 - no secret
            backoff = min(backoff * 2, limits.longest)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(pause, limits.longest)):
                    await self._closing.wait()
        self._sending = 0
        self.sent += len(batch) - outcome.dropped
        if outcome.dropped:
            self._drop(outcome.dropped, outcome.reason)

    def _give_up(self, reason: str) -> None:
        """The receiver does not answer and the gateway closes: what waits has no better prospect."""
        batch, self._sending = self._sending, 0
        self._drop(batch, reason)
        self._drop_waiting(len(self._waiting), reason)

    def _drop_waiting(self, count: int, reason: str) -> None:
        for _ in range(count):
            self._bytes -= len(self._waiting.pop())
        if count:
            self._drop(count, reason)

    def _drop(self, count: int, reason: str) -> None:
        self.dropped += count
        self._trouble.tell(reason, count, len(self._waiting))
