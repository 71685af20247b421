"""One HTTP/1.1 connection, and the exchanges on it one at a time.

Parsing is llhttp's (through httptools), the parser of Node.js and uvicorn. What is decided here is when to wait, when
to give up, and when a connection may serve again.
"""

import asyncio

import httptools

from gateway.routing.engines.pooled import keep_alive
from gateway.routing.engines.pooled.roundtrip import RoundTrip

MAX_HEAD_BYTES = 256 * 1024
"""Status line and headers, interim answers included, may not be larger."""

MAX_IDLE = 256
"""Idle connections kept for one origin."""

_HIGH_WATER = 256 * 1024  # bytes that wait for a slow reader before the socket is left full
_BODILESS = frozenset({204, 304})


class Connection(asyncio.Protocol):
    """A TCP or TLS connection to one origin, or to a proxy.

    One timer serves its whole life: it is set for the earliest moment at which something may be late and looks again
    then, so that an exchange that goes well costs no timer at all.
    """

    __slots__ = (
        "_buffered",
        "_encoding",
        "_ends_at_eof",
        "_framed",
        "_head_bytes",
        "_headers",
        "_last",
        "_loop",
        "_parser",
        "_reading",
        "_reusable",
        "_shelf",
        "_timer",
        "_timer_at",
        "_total_at",
        "_transport",
        "_trip",
        "_writable",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, shelf: "Shelf") -> None:
        """`shelf` is where the connection puts itself when it may serve again."""
        self._loop = loop
        self._shelf = shelf
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._trip: RoundTrip | None = None
        self._reusable = False
        self._reading = True
        self._writable = True
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._last = loop.time()
        self._total_at = 0.0
        self._headers: list[tuple[bytes, bytes]] = []
        self._encoding = b""
        self._framed = self._ends_at_eof = False
        self._head_bytes = self._buffered = 0

    @property
    def transport(self) -> asyncio.Transport:
        """What it is connected by; raises when it is not."""
        assert self._transport is not None  # noqa: S101
        return self._transport

    def usable(self) -> bool:
        """Whether an idle connection may serve again."""
        return not self.transport.is_closing() and self._loop.time() - self._last < keep_alive.IDLE_SECONDS

    def hang_up(self) -> None:
        """Close an idle connection."""
        self.transport.close()

    def start(self, trip: RoundTrip, head: bytes, body: bytes, total_at: float) -> None:
        """Send a request. `total_at` is the loop's time at which the exchange must be over."""
        self._trip = trip
        self._reusable = False
        self._head_bytes = self._buffered = 0
        self._last = self._loop.time()
        self._total_at = total_at
        self._watch()
        self.transport.write(head + body if len(body) < _HIGH_WATER else head)
        if len(body) >= _HIGH_WATER:
            self.transport.write(body)

    def cut(self) -> None:
        """Close without ceremony; the exchange has been told already, or there is none."""
        self._trip = None
        self.transport.abort()

    def drained(self) -> None:
        """The reader has taken what was there."""
        self._buffered = 0
        if not self._reading:
            self._reading = True
            self._last = self._loop.time()
            self.transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        keep_alive.probe(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        trip, self._trip = self._trip, None
        if trip is not None:
            if self._ends_at_eof and error is None:
                trip.finished()
            else:
                trip.failed("broken", error)
        else:
            self._shelf.drop(self)

    def data_received(self, data: bytes) -> None:
        trip = self._trip
        if trip is None:  # nobody asked
            self.transport.abort()
            return
        self._last = self._loop.time()
        if not trip.status:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._give_up("unreadable", error)
        if self._reusable:
            self._rest()
        elif self._trip is None:
            self._close()  # not to be used again, or bytes came after the answer
        elif not trip.status and self._head_bytes > MAX_HEAD_BYTES:
            self._give_up("unreadable", None)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._last = self._loop.time()

    # httptools' callbacks

    def on_message_begin(self) -> None:
        self._headers = []
        self._encoding = b""
        self._framed = self._ends_at_eof = self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))
        folded = name.lower()
        if folded in (b"content-length", b"transfer-encoding"):
            self._framed = True
        elif folded == b"content-encoding":
            self._encoding = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        trip = self._trip
        if status >= 200 and trip is not None:
            self._ends_at_eof = not self._framed and status not in _BODILESS
            trip.begun(status, self._headers, self._encoding)

    def on_body(self, data: bytes) -> None:
        trip = self._trip
        if trip is not None:
            trip.fed(data)
            self._buffered += len(data)
            if self._buffered > _HIGH_WATER and self._reading:
                self._reading = False
                self.transport.pause_reading()

    def on_message_complete(self) -> None:
        trip = self._trip
        if trip is None or not trip.status:  # an interim answer, 1xx
            return
        self._trip = None
        self._reusable = self._parser.should_keep_alive() and self._writable
        trip.finished()

    # Its own affairs.

    def _rest(self) -> None:
        """Wait for the next exchange."""
        self._reusable = False
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()
        self._watch()
        self._shelf.put(self)

    def _close(self) -> None:
        if self._writable:
            self.transport.close()
        else:  # it would wait for a request to be read that has its answer already
            self.transport.abort()

    def _give_up(self, kind: str, cause: Exception | None) -> None:
        trip, self._trip = self._trip, None
        self._reusable = False
        self.transport.abort()
        if trip is not None:
            trip.failed(kind, cause)

    def _due(self) -> float:
        """When something is late: the next byte, the whole answer, or the next request."""
        if self._trip is None:
            return self._last + keep_alive.IDLE_SECONDS
        return min(self._last + self._trip.timeouts.read, self._total_at)

    def _watch(self) -> None:
        due = self._due()
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        trip = self._trip
        if trip is not None and (trip.unread() or not self._writable):
            self._last = now  # it is not the provider who is slow
        if now < self._due() - 0.001:
            self._watch()
        elif trip is None:
            self.transport.close()
        else:
            self._give_up("total" if now >= self._total_at - 0.001 else "read", None)


class Shelf:
    """Where the idle connections of one origin wait; the one used last serves first, so that the others can age."""

    __slots__ = ("_closed", "_idle")

    def __init__(self) -> None:
        self._idle: list[Connection] = []
        self._closed = False

    def __len__(self) -> int:
        return len(self._idle)

    def take(self) -> Connection | None:
        """A connection that may serve, or None."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable():
                return connection
            connection.hang_up()
        return None

    def put(self, connection: Connection) -> None:
        """Keep a connection, or close it when there are enough."""
        if self._closed or len(self._idle) >= MAX_IDLE:
            connection.hang_up()
        else:
            self._idle.append(connection)

    def drop(self, connection: Connection) -> None:
        """Forget a connection that was lost."""
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close what is here and, as they come back, what is in use."""
        self._closed = True
        while self._idle:
            self._idle.pop().hang_up()
