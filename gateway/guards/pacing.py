"""Reading an answer with an eye on the clock: whoever holds some of it is told when it has been held long enough."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from gateway.types import Delta

QUEUED = 64
"""Deltas that wait for their reader before the source is slowed down."""

Due = Callable[[], float | None]
"""When, in seconds of the event loop's clock, something has been held long enough; None while nothing is held."""


async def paced(deltas: AsyncIterator[Delta], due: Due) -> AsyncGenerator[Delta | None, None]:
    """`deltas`, and None between them whenever it is `due`. Raises what they raise.

    One task reads the source from its beginning to its end, so that a deadline never interrupts it in the middle.
    """
    queue: asyncio.Queue[Delta | Exception | None] = asyncio.Queue(QUEUED)

    async def pump() -> None:
        try:
            async for delta in deltas:
                await queue.put(delta)
            await queue.put(None)
        except Exception as error:  # handed to the reader of the queue, who raises it
            await queue.put(error)

    pumping = asyncio.create_task(pump())
    try:
        while True:
            try:
                item = await _next(queue, due())
            except TimeoutError:
                yield None
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        pumping.cancel()
        await asyncio.gather(pumping, return_exceptions=True)


async def _next(queue: asyncio.Queue[Delta | Exception | None], until: float | None) -> Delta | Exception | None:
    """The next of the queue.

    Raises:
        TimeoutError: there is none `until` then.
    """
    if until is None:
        return await queue.get()
    if until <= asyncio.get_running_loop().time():
        raise TimeoutError
    if not queue.empty():
        return queue.get_nowait()
    async with asyncio.timeout_at(until):
        return await queue.get()
