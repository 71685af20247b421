"""Long work in small pieces, for a thread that shares the interpreter's lock with an event loop.

A thread that is busy in Python keeps the loop from its work for 5 ms at a time, the interpreter's switch interval. One
that sleeps for a moment after every few rows, some 0.2 ms of work, makes it wait no longer than that.
"""

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

ROWS = 50
SECONDS = 0.00005


def pieces(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """`items` in pieces of `ROWS`, with a moment for others between them."""
    for start in range(0, len(items), ROWS):
        if start:
            time.sleep(SECONDS)
        yield items[start : start + ROWS]


def each(items: Sequence[T]) -> Iterator[T]:
    """`items` one by one, with a moment for others after every `ROWS`."""
    for piece in pieces(items):
        yield from piece
