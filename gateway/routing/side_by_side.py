"""Several streams of deltas side by side, as one: no more under way at once than allowed, the order of each kept."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import TypeVar

from gateway.types import Delta

T = TypeVar("T")

_QUEUED = 64
"""Deltas that wait for the client, over all streams, before the providers are slowed down."""


async def side_by_side(
    work: Iterable[T], begin: Callable[[T], Awaitable[AsyncGenerator[Delta, None] | Sequence[T]]], most: int
) -> AsyncGenerator[Delta, None]:
    """The deltas of everything that `work` leads to.

    Args:
        begin: makes a stream of a piece of work, or smaller pieces that are done in its place.
        most: streams under way at once.

    Raises:
        Exception: the first failure of any stream; the others are cancelled.
    """
    queue: asyncio.Queue[Delta | Exception | None] = asyncio.Queue(_QUEUED)
    pending = deque(work)
    workers: list[asyncio.Task[None]] = []

    def start() -> None:
        busy = sum(not worker.done() for worker in workers)
        room = range(min(most - busy, len(pending)))
        workers.extend([asyncio.create_task(run()) for _ in room])

    async def run() -> None:
        try:
            while pending:
                begun = await begin(pending.popleft())
                if isinstance(begun, Sequence):
                    pending.extendleft(reversed(begun))
                    start()
                    continue
                async with aclosing(begun) as stream:
                    async for delta in stream:
                        await queue.put(delta)
            await queue.put(None)
        except Exception as error:  # handed to the reader of the queue, who raises it
            await queue.put(error)

    start()
    try:
        ended = 0
        while ended < len(workers):
            item = await queue.get()
            if item is None:
                ended += 1
            elif isinstance(item, Exception):
                raise item
            else:
                yield item
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
