"""Notices a client that leaves before its answer is complete, so that nobody works for it any longer."""

import asyncio
from types import TracebackType

from starlette.types import Receive

from gateway.errors import ClientDisconnected

UNWATCHED_SECONDS = 0.01
"""How long an answer may take before anybody looks whether its client is still there: a look costs a task."""


class ClientWatch:
    """`async with ClientWatch(receive) as watch:` cancels the block at once when the client goes.

    `left` is True once the client has gone. Call `watch.stop()` before the last byte is sent: a server reports the end
    of an answer as a disconnect too.

    Raises:
        ClientDisconnected: from the block, in place of its cancellation.
    """

    __slots__ = ("_receive", "_stopped", "_timer", "_watched", "_watcher", "left")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.left = False
        self._stopped = False
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "ClientWatch":
        watched = asyncio.current_task()
        assert watched is not None  # noqa: S101 - a coroutine always runs in a task
        self._watched = watched
        self._timer = watched.get_loop().call_later(UNWATCHED_SECONDS, self._start)
        return self

    def _start(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped = True
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if not self.left:
            return
        self._watched.uncancel()
        if kind is None:
            try:
                await asyncio.sleep(0)  # a cancellation asked for in the block's last moment is delivered here
            except asyncio.CancelledError:
                return
        elif issubclass(kind, asyncio.CancelledError):
            raise ClientDisconnected("The client left before its answer was complete.") from None

    def stop(self) -> None:
        """From now on a disconnect is of no interest."""
        self._stopped = True

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._stopped:
            self.left = True
            self._watched.cancel()
