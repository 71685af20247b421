"""One request under way on a connection, then its answer: the side of an HTTP/1.1 exchange that a caller holds."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import NoReturn, Protocol

from gateway.routing import upstream
from gateway.routing.engines.pooled.inflate import Inflate, NotDecodable
from gateway.routing.upstream import Bounds, Timeouts


class Line(Protocol):
    """What an exchange needs of the connection it is on."""

    def cut(self) -> None:
        """Close at once; the exchange wants to hear no more."""
        ...

    def drained(self) -> None:
        """The reader has taken what was there."""
        ...


class RoundTrip:
    """A request under way, then its answer; see the port `UpstreamResponse`."""

    __slots__ = (
        "_bound",
        "_bounds",
        "_connection",
        "_done",
        "_failure",
        "_headers",
        "_inflate",
        "_on_end",
        "_parts",
        "_size",
        "_waiter",
        "raw_headers",
        "status",
        "timeouts",
        "url",
    )

    def __init__(
        self, connection: Line, url: str, timeouts: Timeouts, bounds: Bounds, on_end: Callable[[], None]
    ) -> None:
        """`on_end` is called once: when the answer is complete, has failed, or is given up."""
        self.url = url
        self.timeouts = timeouts
        self.status = 0
        self.raw_headers: list[tuple[bytes, bytes]] = []
        self._headers: dict[str, str] | None = None
        self._bounds = bounds
        self._bound = bounds.stream
        self._connection: Line | None = connection
        self._on_end = on_end
        self._parts: list[bytes] = []
        self._size = 0  # bytes handed over
        self._done = False
        self._failure: tuple[str, Exception | None] | None = None
        self._inflate: Inflate | None = None
        self._waiter: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        state = "complete" if self._done else "open" if self._connection else "closed"
        return f"<RoundTrip {self.status} {state}>"

    @property
    def headers(self) -> Mapping[str, str]:
        if self._headers is None:
            pairs = reversed(self.raw_headers)  # so that of repeated ones the first stays
            self._headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}
        return self._headers

    async def head(self) -> None:
        """Wait for the status. Cancelled here, the connection is cut."""
        while not self.status:
            await self._wait()

    async def read(self) -> bytes:
        self._bound = self._bounds.whole
        if self._done and self._inflate is None and len(self._parts) == 1:  # nearly always: it came with the head
            return await anext(self)
        return b"".join([piece async for piece in self])

    def chunks(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not (piece := self._piece()):
            if self._done or (self._connection is None and self._failure is None):
                raise StopAsyncIteration
            await self._wait()
        self._size += len(piece)
        if self._size > self._bound:
            await self.close()
            raise upstream.too_large(self.url, self._bound)
        return piece

    async def close(self) -> None:
        self._parts.clear()
        self._inflate = None
        self._cut()

    def _cut(self) -> None:
        connection = self._connection
        if connection is not None:
            self._end()
            connection.cut()

    def _piece(self) -> bytes:
        """Everything that is here, decoded; empty when nothing is."""
        parts = self._parts
        if parts:
            data = parts[0] if len(parts) == 1 else b"".join(parts)
            parts.clear()
            if self._connection is not None:
                self._connection.drained()
            if self._inflate is None:
                return data
            self._inflate.feed(data)
        if self._inflate is None:
            return b""
        try:
            piece = self._inflate.piece()
            if not piece and self._done:
                self._inflate.close()
                self._inflate = None
        except NotDecodable as error:
            self._failure = ("unreadable", error)
            self._cut()
            self._raise()
        return piece

    async def _wait(self) -> None:
        """Until something has come; a failure is raised, and being cancelled cuts the connection."""
        if self._failure is not None:
            self._raise()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            await self.close()
            raise

    def _raise(self) -> NoReturn:
        assert self._failure is not None  # noqa: S101
        kind, cause = self._failure
        if kind in ("read", "total"):
            raise upstream.timed_out(self.url, kind, self.timeouts) from cause
        raise (upstream.broken if kind == "broken" else upstream.unreadable)(self.url) from cause

    # What the connection tells.

    def begun(self, status: int, headers: list[tuple[bytes, bytes]], encoding: bytes) -> None:
        """The head is there."""
        if encoding and encoding.lower() != b"identity":
            try:
                self._inflate = Inflate(encoding)
            except NotDecodable as error:
                self._failure = ("unreadable", error)
                self._cut()
                return
        self.raw_headers = headers
        self.status = status
        self._wake()

    def fed(self, data: bytes) -> None:
        """A piece of the body is there."""
        self._parts.append(data)
        self._wake()

    def finished(self) -> None:
        """The body is complete."""
        self._done = True
        self._end()

    def failed(self, kind: str, cause: Exception | None = None) -> None:
        """`kind`: `broken`, `unreadable`, or the timeout that passed, `read` or `total`."""
        self._failure = (kind, cause)
        self._end()

    def unread(self) -> bool:
        """Whether there is something that the reader has not taken yet."""
        return bool(self._parts)

    def _end(self) -> None:
        if self._connection is not None:
            self._connection = None
            self._on_end()
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
