"""One HTTP/2 connection, and the exchanges on it, many at a time.

The protocol is h2's. What is decided here is the same as for HTTP/1.1: when to wait, when to give up, and when a
connection may serve again. Giving an exchange up resets its stream in the same turn of the loop (RFC 9113 §5.4.2): its
provider stops at once, and the others on the connection go on.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from h2 import events
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError, StreamClosedError

from gateway.routing.engines.pooled import keep_alive
from gateway.routing.engines.pooled.http2.alarm import Alarm
from gateway.routing.engines.pooled.http2.goaway import Goaway, Sieve
from gateway.routing.engines.pooled.http2.stream import MAX_INTERIM, Fields, Stream, head_of
from gateway.routing.engines.pooled.http2.terms import MAX_STREAMS, begin

_LAST_STREAM = 2**30  # of 2**31: time for a new connection


class Http2Connection(asyncio.Protocol):
    """A TLS connection on which both sides have agreed to speak HTTP/2.

    It is in `fleet` from the moment the server has said how many streams it takes until it takes no more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, fleet: "list[Http2Connection]") -> None:
        self._loop = loop
        self._fleet = fleet
        self._h2 = begin()
        self._sieve = Sieve()
        self._streams: dict[int, Stream] = {}
        self._ready: asyncio.Future[bool] = loop.create_future()
        self._limit = 0
        self._retired = False
        self._writable = True
        self._roomier = False  # there may be room for more of the requests' bodies
        self._heard = self._rested = loop.time()
        self._alarm = Alarm(loop, self._look)

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
        if not (alive and self._limit) or self._retired:
            self.hang_up()
            raise ConnectionRefusedError("the server takes no requests")

    def available(self) -> bool:
        """Whether one more exchange may start."""
        if self._retired or len(self._streams) >= self._limit or self.transport.is_closing():
            return False
        return bool(self._streams) or self._loop.time() - self._rested < keep_alive.IDLE_SECONDS

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

    def stream(self) -> Stream:
        """A new exchange, to be started in the same turn of the loop."""
        return Stream(self)

    # What its streams want.

    def start(self, stream: Stream, fields: Fields) -> None:
        """Send a request on a new stream; the connection must be `available()`."""
        stream.id = self._h2.get_next_available_stream_id()
        stream.last = self._loop.time()
        self._streams[stream.id] = stream
        if stream.id > _LAST_STREAM:
            self._retire()
        self._h2.send_headers(stream.id, fields, end_stream=not stream.body)
        self._pump(stream)
        self._flush()
        self._alarm.by(stream.due())

    def give_up(self, stream: Stream) -> None:
        """Reset a stream and forget it."""
        if self._streams.get(stream.id) is stream:
            self._reset(stream)
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
        keep_alive.probe(transport)
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        self._retire()
        self._alarm.cancel()
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
            if self._roomier:  # now that it is known which streams have ended
                self._pump_all()
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

    def _on_settings(self, event: events.RemoteSettingsChanged) -> None:
        self._limit = min(MAX_STREAMS, self._h2.remote_settings.max_concurrent_streams)
        if not self._ready.done():
            self._ready.set_result(True)
            if self._limit and not self._retired:
                self._fleet.append(self)
        self._roomier = True  # the streams' windows may have changed

    def _on_response(self, event: events.ResponseReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        stream.last = self._heard
        try:
            status, fields, encoding = head_of(event.headers)
        except ValueError as error:
            self._fail(stream, "unreadable", error)
            return
        stream.trip.begun(status, fields, encoding)

    def _on_interim(self, event: events.InformationalResponseReceived) -> None:
        if stream := self._streams.get(event.stream_id):
            stream.last = self._heard
            stream.interim += 1
            if stream.interim > MAX_INTERIM:
                self._fail(stream, "unreadable", None)

    def _on_data(self, event: events.DataReceived) -> None:
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

    def _on_end(self, event: events.StreamEnded) -> None:
        if stream := self._streams.get(event.stream_id):
            if stream.unsent():  # it has its answer already
                self._reset(stream)
            self._forget(stream)
            stream.trip.finished()

    def _on_reset(self, event: events.StreamReset) -> None:
        if stream := self._streams.get(event.stream_id):
            self._forget(stream)
            stream.trip.failed("broken")

    def _on_window(self, event: events.WindowUpdated) -> None:
        self._roomier = True

    def _on_goaway(self, goaway: Goaway) -> None:
        self._retire()
        for stream in [stream for stream in self._streams.values() if stream.id > goaway.last_stream]:
            self._fail(stream, "broken", None)
        if not self._streams:
            self.hang_up()

    # Its own affairs.

    def _pump(self, stream: Stream) -> None:
        """Send as much of a request's body as the server and the socket take."""
        while self._writable and (piece := stream.piece(self._h2)):
            self._h2.send_data(stream.id, piece, end_stream=not stream.unsent())
            if stream.unsent():
                self._flush()  # so that a full socket says so

    def _pump_all(self) -> None:
        self._roomier = False
        for stream in self._streams.values():
            self._pump(stream)

    def _reset(self, stream: Stream) -> None:
        with suppress(StreamClosedError):  # the server ended it, and we are about to hear so
            self._h2.reset_stream(stream.id, ErrorCodes.CANCEL)

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
                self._alarm.by(self._rested + keep_alive.IDLE_SECONDS)

    def _retire(self) -> None:
        self._retired = True
        if self in self._fleet:
            self._fleet.remove(self)

    def _look(self) -> None:
        now = self._loop.time()
        for stream in list(self._streams.values()):
            if stream.trip.unread() or (stream.unsent() and not self._writable):
                stream.last = now  # it is not the provider who is slow
            if now >= stream.due() - 0.001:
                self._late(stream, now)
        dues = [stream.due() for stream in self._streams.values()] or [self._rested + keep_alive.IDLE_SECONDS]
        if min(dues) > now + 0.001:
            self._alarm.by(min(dues))
        elif not self._streams:
            self.hang_up()

    def _late(self, stream: Stream, now: float) -> None:
        if self._heard <= stream.last:  # not a byte on any stream: the way to the server may be gone
            self._retire()
        self._fail(stream, "total" if now >= stream.total_at - 0.001 else "read", None)


_EVENTS: dict[type[events.Event], Callable[[Http2Connection, Any], None]] = {
    events.RemoteSettingsChanged: Http2Connection._on_settings,
    events.ResponseReceived: Http2Connection._on_response,
    events.InformationalResponseReceived: Http2Connection._on_interim,
    events.DataReceived: Http2Connection._on_data,
    events.StreamEnded: Http2Connection._on_end,
    events.StreamReset: Http2Connection._on_reset,
    events.WindowUpdated: Http2Connection._on_window,
}
"""The others say nothing to us: acknowledgements, pings (which h2 answers), priorities, trailers."""
