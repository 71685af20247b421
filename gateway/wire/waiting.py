"""Waiting for asynchronous work in code that has no event loop: one loop, on a thread of its own, for the process."""

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from functools import lru_cache
from typing import Any, TypeVar

T = TypeVar("T")

_STOP_SECONDS = 2.0
_STARTING = threading.Lock()


class Loop:
    """An event loop on a thread of its own; `streams` are the iterators being read."""

    def __init__(self) -> None:
        self.streams: set[AsyncIterator[Any]] = set()
        self._process = os.getpid()
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._thread = threading.Thread(target=self._serve, name="gateway", daemon=True)
        self._thread.start()
        atexit.register(self._stop)

    def __repr__(self) -> str:
        return f"<Loop running={self.running} {len(self.streams)} streams>"

    @property
    def running(self) -> bool:
        """False once the interpreter is on its way out."""
        return self._thread.is_alive()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`; an interrupt of the waiting thread cancels it.

        Raises:
            RuntimeError: the loop has ended, or waits for itself.
        """
        if not self.running or self._thread is threading.current_thread():
            work.close()
            raise RuntimeError(
                "a completion cannot be waited for while the interpreter or the gateway itself is at work"
            )
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _serve(self) -> None:
        with self._runner:  # cancels at its end whatever is still under way
            self._loop.run_forever()

    def _stop(self) -> None:
        """Ends streams under way while there still is an interpreter to end them with."""
        if self._process == os.getpid() and self.running:
            for stream in tuple(self.streams):
                self.run(_close(stream))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_STOP_SECONDS)


def background() -> Loop:
    """The process's loop, started when it is first asked for."""
    with _STARTING:
        return _started()


@lru_cache(maxsize=1)
def _started() -> Loop:
    return Loop()


def _forget() -> None:
    """A forked child does not have its parent's threads."""
    _started.cache_clear()
    _STARTING.release()


os.register_at_fork(before=_STARTING.acquire, after_in_parent=_STARTING.release, after_in_child=_forget)


def blocking(loop: Loop, stream: AsyncIterator[T]) -> Iterator[T]:
    """The items of `stream`, each waited for on `loop`; leaving early closes it."""
    over = object()

    async def following() -> T | object:
        return await anext(stream, over)

    loop.streams.add(stream)
    try:
        while (item := loop.run(following())) is not over:
            yield item  # type: ignore[misc]  # it is not `over`
    finally:
        loop.streams.discard(stream)
        if loop.running:
            loop.run(_close(stream))


async def _close(stream: Any) -> None:
    await stream.aclose()
