"""`otlp_protocol: auto`: an endpoint is asked once, at the start, whether it takes OTLP/JSON; until it answers, spans
wait. With a yes they go the lean path, with a no to the official exporter."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from gateway.telemetry.export import otlp_json
from gateway.telemetry.export.aside import aside
from gateway.telemetry.export.lean import RETRIED, Target
from gateway.telemetry.export.port import Exporter, Post
from gateway.telemetry.export.trouble import Trouble
from gateway.telemetry.logs import Logger
from gateway.telemetry.span import Span

MOST = 2048
"""Spans that wait for the answer at most; beyond it the oldest are dropped."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before an endpoint that did not answer is asked again, doubled each time, with full jitter."""

Ask = Callable[[], Awaitable[tuple[bool | None, str]]]
"""Does the endpoint take OTLP/JSON? None with a reason where it did not answer."""


class AutoExporter:
    """An exporter that is chosen by what the endpoint says.

    Args:
        receiver: the endpoint, for the log.
        ask: the question.
        lean: makes the exporter for a yes.
        official: makes the one for a no; it may load libraries, and is called in a thread.
        log: where trouble is told.
        most: how many spans wait.
        pause: the first pause before asking again, in seconds.
    """

    def __init__(
        self,
        receiver: str,
        ask: Ask,
        lean: Callable[[], Exporter],
        official: Callable[[], Exporter],
        log: Logger,
        *,
        most: int = MOST,
        pause: float = FIRST_PAUSE,
    ) -> None:
        self._ask, self._lean, self._official = ask, lean, official
        self._trouble = Trouble(log, receiver)
        self._pause = pause
        self._most = most
        self._waiting: deque[Span] = deque()
        self._dropped = 0
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._chosen: Exporter | None = None

    def __repr__(self) -> str:
        if self._chosen is not None:
            return f"<AutoExporter {self._chosen!r}>"
        return (
            f"<AutoExporter {self._trouble.receiver} unanswered waiting={len(self._waiting)} dropped={self._dropped}>"
        )

    def start(self) -> None:
        """Begin to ask."""
        if self._task is None:
            self._task = asyncio.create_task(self._choose())

    def add(self, spans: Sequence[Span]) -> None:
        """See `Exporter`."""
        if self._chosen is not None:
            self._chosen.add(spans)
            return
        if self._closing.is_set() and (self._task is None or self._task.done()):
            self._drop(len(spans), "the gateway is closed")
            return
        self._waiting.extend(spans)
        if (over := len(self._waiting) - self._most) > 0:
            for _ in range(over):
                self._waiting.popleft()
            self._drop(over, "the collector has not answered yet")

    async def flush(self) -> None:
        """See `Exporter`; an endpoint that has not answered is waited for."""
        if self._task is not None:
            await asyncio.wait({self._task})
        if self._chosen is not None:
            await self._chosen.flush()

    async def close(self, seconds: float) -> None:
        """See `Exporter`. An endpoint that has not answered is asked a last time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        self._closing.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=seconds)
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._chosen is not None:
            await self._chosen.close(max(until - loop.time(), 0.0))
        elif self._waiting:
            left = len(self._waiting)
            self._waiting.clear()
            self._dropped += left
            self._trouble.tell("the gateway closed before the collector had answered", left, now=True)
        self._trouble.last()

    def dropped(self) -> int:
        """See `Exporter`."""
        return self._dropped + (self._chosen.dropped() if self._chosen is not None else 0)

    async def _choose(self) -> None:
        pause = self._pause
        while True:
            last = self._closing.is_set()
            takes, reason = await self._ask()
            if takes is not None:
                break
            self._trouble.tell(reason, waiting=len(self._waiting))
            if last:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(0, pause)):  # noqa: S311 - no secret
                    await self._closing.wait()
            pause = min(pause * 2, LONGEST_PAUSE)
        chosen = self._lean() if takes else await aside(self._official)
        chosen.start()
        chosen.add(tuple(self._waiting))
        self._waiting.clear()
        self._chosen = chosen

    def _drop(self, count: int, reason: str) -> None:
        self._dropped += count
        self._trouble.tell(reason, count, len(self._waiting))


def asks(target: Target, post: Post) -> Ask:
    """Asks with an empty request: a 2xx is a yes; a status that may change later is no answer; any other is a no."""
    headers = {**target.headers, "content-type": "application/json"}

    async def ask() -> tuple[bool | None, str]:
        reply = await post(target.url, headers, otlp_json.EMPTY, target.timeout)
        if 200 <= reply.status < 300:
            return True, ""
        if not reply.status or reply.status in RETRIED:
            return None, reply.reason or f"status {reply.status}"
        return False, ""

    return ask
