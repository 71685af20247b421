"""One HTTP/2 connection and the exchanges on it, many at a time.

The protocol is h2's. What is decided here is the same as for HTTP/1.1: when to wait, when to give up, and when a
connection may serve again. Giving an exchange up resets its stream in the same turn of the loop (RFC 9113 §5.4.2), so
that the provider stops at once and the others on the connection go on.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from gateway.routing.engines.pooled import connection
from gateway.routing.engines.pooled.goaway import Goaway, Sieve
from gateway.routing.engines.pooled.roundtrip import RoundTrip

MAX_STREAMS = 100
"""Exchanges on one connection at a time, where the server does not want fewer; for more a further one is opened."""

STREAM_WINDOW = 256 * 1024
"""Bytes a server may send on one stream before its reader has taken them."""

_MAX_INTERIM = 64  # 1xx answers before the real one
_LAST_STREAM = 2**30  # of 2**31: time for a new connection
_SETTINGS = {
    SettingCodes.ENABLE_PUSH: 0,
    SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
    SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
    SettingCodes.MAX_HEADER_LIST_SIZE: 64 * 1024,
}
# Real servers send headers with a blank too many. What would be dangerous is refused by `_fields`.
_CONFIG = H2Configuration(client_side=True, header_encoding=None, validate_inbound_headers=False)


class Stream:
    """One exchange on a connection: the `Line` that its `RoundTrip` holds."""

    __slots__ = ("_connection", "body", "id", "interim", "last", "sent", "total_at", "trip", "untaken")

    def __init__(self, connection: "Http2Connection") -> None:
        self._connection = connection
        self.id = 0
        self.body = b""
        self.sent = 0
        self.interim = 0
        self.untaken = 0  # bytes of the flow-control window that the reader has not given back
        self.last = self.total_at = 0.0

    def start(self, trip: RoundTrip, fields: list[tuple[bytes, bytes]], body: bytes, total_at: float) -> None:
        """Send a request. `total_at` is the loop's time at which the exchange must be over."""
        self.trip = trip
        self.body = body
        self.total_at = total_at
        self._connection.start(self, fields)

    def cut(self) -> None:
        """Reset the stream; the exchange has been told already."""
        self._connection.give_up(self)

    def drained(self) -> None:
        """The reader has taken what was there."""
        self._connection.give_back(self)

    def due(self) -> float:
        """When it is late: with the next byte, or with the whole answer."""
        return min(self.last + self.trip.timeouts.read, self.total_at)

    def unsent(self) -> bool:
        """Whether a part of the request has not been sent yet."""
        return self.sent < len(self.body)


class Http2Connection(asyncio.Protocol):
    """A TLS connection on which both sides have agreed to speak HTTP/2.

    It is in `fleet` from the moment the server has said how many streams it takes until it takes no more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, fleet: "list[Http2Connection]") -> None:
        self._loop = loop
        self._fleet = fleet
        self._h2 = H2Connection(_CONFIG)
        self._sieve = Sieve()
        self._streams: dict[int, Stream] = {}
        self._ready: asyncio.Future[bool] = loop.create_future()
        self._limit = 0
        self._retired = False
        self._writable = True
        self._heard = self._rested = loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def __repr__(self) -> str:
        return f"<Http2Connection {len(self._streams)} streams{', retired' if self._retired else ''}>"

    async def ready(self) -> None:
        """Wait for the server's settings (RFC 9113 §3.4); when this is cancelled the connection is closed.

        Raises:
            OSError: it was closed instead, or takes no requests.
        """
        try:
            alive = await self._ready
        except asyncio.CancelledError:
            self.transport.abort()
            raise
        if not (alive and self._limit):
            self.hang_up()
            raise ConnectionRefusedError("the server takes no requests")

    def available(self) -> bool:
        """Whether one more exchange may start."""
        if self._retired or len(self._streams) >= self._limit or self.transport.is_closing():
            return False
        return bool(self._streams) or self._loop.time() - self._rested < connection.IDLE_SECONDS

    def idle(self) -> bool:
        """Whether there is no exchange on it."""
        return not self._streams

    def hang_up(self) -> None:
        """Take no more exchanges, and close when those under way are over."""
        self._retire()
        if not self._streams and not self.transport.is_closing():
            self._h2.close_connection()
            self._flush()
            self.transport.close()

    # What its streams want.

    def start(self, stream: Stream, fields: list[tuple[bytes, bytes]]) -> None:
        """Send a request on a new stream; the connection must be `available()`."""
        stream.id = self._h2.get_next_available_stream_id()
        stream.last = self._loop.time()
        self._streams[stream.id] = stream
        if stream.id > _LAST_STREAM:
            self._retire()
        self._h2.send_headers(stream.id, fields, end_stream=not stream.body)
        self._pump(stream)
        self._flush()
        self._watch(stream.due())

    def give_up(self, stream: Stream) -> None:
        """Reset a stream and forget it."""
        if self._streams.get(stream.id) is stream:
            self._h2.reset_stream(stream.id, ErrorCodes.CANCEL)
            self._forget(stream)
            self._flush()

    def give_back(self, stream: Stream) -> None:
        """Let the server send as much again as the stream's reader has taken."""
        stream.last = self._loop.time()
        if stream.untaken:
            self._h2.acknowledge_received_data(stream.untaken, stream.id)
            stream.untaken = 0
            self._flush()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        connection.keep_alive(transport)
        self._h2.local_settings = Settings(client=True, initial_values=_SETTINGS)
        del self._h2.local_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL]  # a server's to send
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(MAX_STREAMS * STREAM_WINDOW - 65_535)  # no stream is another's brake
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        self._retire()
        if self._timer is not None:
            self._timer.cancel()
        self._fail_all("broken", error)

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        try:
            for part in self._sieve.feed(data):
                if isinstance(part, Goaway):
                    self._on_goaway(part)
                    continue
                for event in self._h2.receive_data(part):
                    handle = _EVENTS.get(type(event))
                    if handle is not None:
                        handle(self, event)
        except ProtocolError as error:
            self._retire()
            self._flush()  # says why
            self.transport.close()
            self._fail_all("unreadable", error)
            return
        self._flush()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._pump_all()
        self._flush()

    # What the server says.

    def _on_settings(self, event: RemoteSettingsChanged) -> None:
        self._limit = min(MAX_STREAMS, self._h2.remote_settings.max_concurrent_streams)
        if not self._ready.done():
            self._ready.set_result(True)
            if self._limit and not self._retired:
                self._fleet.append(self)
        self._pump_all()  # the streams' windows may have changed

    def _on_response(self, event: ResponseReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        stream.last = self._heard
        try:
            status, fields, encoding = _fields(event.headers)
        except ValueError as error:
            self._fail(stream, "unreadable", error)
            return
        stream.trip.begun(status, fields, encoding)

    def _on_interim(self, event: InformationalResponseReceived) -> None:
        if stream := self._streams.get(event.stream_id):
            stream.last = self._heard
            stream.interim += 1
            if stream.interim > _MAX_INTERIM:
                self._fail(stream, "unreadable", None)

    def _on_data(self, event: DataReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None:  # reset by us while this was on its way
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            return
        stream.last = self._heard
        stream.untaken += event.flow_controlled_length
        if event.data:
            stream.trip.fed(event.data)
        elif not stream.trip.unread():
            self.give_back(stream)

    def _on_end(self, event: StreamEnded) -> None:
        if stream := self._streams.get(event.stream_id):
            if stream.unsent():  # it has its answer already
                self._h2.reset_stream(stream.id, ErrorCodes.CANCEL)
            self._forget(stream)
            stream.trip.finished()

    def _on_reset(self, event: StreamReset) -> None:
        if stream := self._streams.get(event.stream_id):
            self._forget(stream)
            stream.trip.failed("broken")

    def _on_window(self, event: WindowUpdated) -> None:
        if not event.stream_id:
            self._pump_all()
        elif stream := self._streams.get(event.stream_id):
            self._pump(stream)

    def _on_goaway(self, goaway: Goaway) -> None:
        self._retire()
        for stream in [stream for stream in self._streams.values() if stream.id > goaway.last_stream]:
            self._fail(stream, "broken", None)
        if not self._streams:
            self.hang_up()

    # Its own affairs.

    def _pump(self, stream: Stream) -> None:
        """Send as much of a request's body as the server and the socket take."""
        while stream.unsent() and self._writable:
            room = min(self._h2.local_flow_control_window(stream.id), self._h2.max_outbound_frame_size)
            if room <= 0:
                return
            piece = stream.body[stream.sent : stream.sent + room]
            stream.sent += len(piece)
            self._h2.send_data(stream.id, piece, end_stream=not stream.unsent())
            if stream.unsent():
                self._flush()  # so that a full socket says so

    def _pump_all(self) -> None:
        for stream in self._streams.values():
            self._pump(stream)

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def _fail(self, stream: Stream, kind: str, cause: Exception | None) -> None:
        self.give_up(stream)
        stream.trip.failed(kind, cause)

    def _fail_all(self, kind: str, cause: Exception | None) -> None:
        if not self._ready.done():
            self._ready.set_result(False)
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.trip.failed(kind, cause)

    def _forget(self, stream: Stream) -> None:
        """Its exchange is over; what its reader has not taken yet no longer counts against the connection."""
        del self._streams[stream.id]
        if stream.untaken:
            self._h2.acknowledge_received_data(stream.untaken, stream.id)
        if not self._streams:
            self._rested = self._loop.time()
            if self._retired:
                self.hang_up()
            else:
                self._watch(self._rested + connection.IDLE_SECONDS)

    def _retire(self) -> None:
        self._retired = True
        if self in self._fleet:
            self._fleet.remove(self)

    def _watch(self, due: float) -> None:
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        for stream in list(self._streams.values()):
            if stream.trip.unread() or (stream.unsent() and not self._writable):
                stream.last = now  # it is not the provider who is slow
            if now >= stream.due() - 0.001:
                self._late(stream, now)
        dues = [stream.due() for stream in self._streams.values()] or [self._rested + connection.IDLE_SECONDS]
        if min(dues) > now + 0.001:
            self._watch(min(dues))
        elif not self._streams:
            self.hang_up()

    def _late(self, stream: Stream, now: float) -> None:
        if self._heard <= stream.last:  # not a byte on any stream: the way to the server may be gone
            self._retire()
        self._fail(stream, "total" if now >= stream.total_at - 0.001 else "read", None)


def _fields(received: Any) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and content encoding.

    Raises:
        ValueError: no status, or a header that would break out of an HTTP/1.1 head.
    """
    status, encoding = 0, b""
    fields: list[tuple[bytes, bytes]] = []
    for name, value in received:
        if name == b":status":
            status = int(value)
        elif b"\r" in value or b"\n" in value or b"\0" in value:
            raise ValueError("a header with a line break")
        elif not name.startswith(b":"):
            fields.append((name, value.strip()))
            if name == b"content-encoding":
                encoding = value.strip()
    if not 200 <= status <= 999:
        raise ValueError("no status")
    return status, fields, encoding


_EVENTS: dict[type[Event], Callable[[Http2Connection, Any], None]] = {
    RemoteSettingsChanged: Http2Connection._on_settings,
    ResponseReceived: Http2Connection._on_response,
    InformationalResponseReceived: Http2Connection._on_interim,
    DataReceived: Http2Connection._on_data,
    StreamEnded: Http2Connection._on_end,
    StreamReset: Http2Connection._on_reset,
    WindowUpdated: Http2Connection._on_window,
}
"""The others say nothing to us: acknowledgements, pings (which h2 answers), priorities, trailers."""
