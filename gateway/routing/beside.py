"""Work that goes on beside requests for as long as a process serves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.routing.health import Tell

AGAIN: Final = 1.0
"""Seconds after a fault before the work begins again."""


INSISTING: Final = 0.1
"""Seconds after which work is told again to end: redis-py loses a cancellation that comes while it connects."""


class Beside:
    """One such work, in a task of its own. A fault in it is told, as `background_failed`, and does not end it: nobody
    would notice that what it keeps up to date no longer is.

    Args:
        name: what it is, for operators.
        work: begins it; it comes back only by a fault.
        tell: hears of that, while the fault is being handled.
    """

    def __init__(self, name: str, work: Callable[[], Awaitable[None]], tell: Tell) -> None:
        self._name = name
        self._work = work
        self._tell = tell
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Beside {self._name} {'under way' if self._task is not None else 'not begun'}>"

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._task = asyncio.create_task(self._go_on())

    async def close(self) -> None:
        """End it."""
        task, self._task = self._task, None
        while task is not None and not task.done():
            task.cancel()
            await asyncio.wait((task,), timeout=INSISTING)

    async def _go_on(self) -> None:
        while True:
            try:
                await self._work()
            except Exception as error:
                self._tell("background_failed", {"task": self._name, "cause": type(error).__name__})
            await asyncio.sleep(AGAIN)
