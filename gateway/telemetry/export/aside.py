"""Blocking work beside the event loop, in a thread that never keeps the process from ending."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


async def aside(work: Callable[[], T]) -> T:
    """What `work` gives, from a thread of its own; what it raises is raised here.

    Cancelling the call leaves the thread to itself: unlike a pool's, it is not waited for when the process ends, so
    that a hanging disk or receiver does not hold up a shutdown.
    """
    future: Future[T] = Future()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(work())
        except BaseException as error:  # handed to whoever waits
            future.set_exception(error)

    Thread(target=run, name="gateway-telemetry", daemon=True).start()
    return await asyncio.wrap_future(future)
