"""One exchange on an HTTP/2 connection, and the head of its answer."""

from collections.abc import Iterable
from typing import Protocol

from h2.connection import H2Connection

from gateway.routing.engines.pooled.roundtrip import RoundTrip

MAX_INTERIM = 64
"""Answers with a status of 1xx that may come before the real one."""

Fields = list[tuple[bytes, bytes]]


class Carrier(Protocol):
    """What a stream needs of the connection it is on."""

    def start(self, stream: "Stream", fields: Fields) -> None:
        """Send the stream's request."""
        ...

    def give_up(self, stream: "Stream") -> None:
        """Reset the stream and forget it."""
        ...

    def give_back(self, stream: "Stream") -> None:
        """The stream's reader has taken what was there."""
        ...


class Stream:
    """The `Line` that a `RoundTrip` holds. `last` is when something was heard on it, by the loop's time; `untaken` how
    many bytes of its flow-control window its reader has not given back."""

    __slots__ = ("_carrier", "body", "id", "interim", "last", "sent", "total_at", "trip", "untaken")

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self.id = 0
        self.body = b""
        self.sent = 0
        self.interim = 0
        self.untaken = 0
        self.last = self.total_at = 0.0

    def start(self, trip: RoundTrip, fields: Fields, body: bytes, total_at: float) -> None:
        """Send a request. `total_at` is the loop's time at which the exchange must be over."""
        self.trip = trip
        self.body = body
        self.total_at = total_at
        self._carrier.start(self, fields)

    def cut(self) -> None:
        """Reset the stream; the exchange has been told already."""
        self._carrier.give_up(self)

    def drained(self) -> None:
        """The reader has taken what was there."""
        self._carrier.give_back(self)

    def due(self) -> float:
        """When it is late: with the next byte, or with the whole answer."""
        return min(self.last + self.trip.timeouts.read, self.total_at)

    def piece(self, state: H2Connection) -> bytes:
        """The next part of the request's body that the server has room for; it counts as sent."""
        if not self.unsent():
            return b""
        room = min(state.local_flow_control_window(self.id), state.max_outbound_frame_size)
        piece = self.body[self.sent : self.sent + max(room, 0)]
        self.sent += len(piece)
        return piece

    def unsent(self) -> bool:
        """Whether a part of the request has not been sent yet."""
        return self.sent < len(self.body)


def head_of(received: Iterable[tuple[bytes, bytes]]) -> tuple[int, Fields, bytes]:
    """Status, headers and content encoding of an answer.

    Raises:
        ValueError: no status, or a header that would break out of an HTTP/1.1 head.
    """
    status, encoding = 0, b""
    fields: Fields = []
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
