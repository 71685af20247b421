"""Server-sent events, sans-IO: bytes in any cut to events, and values to bytes.

The rules are those of the WHATWG HTML standard, section "Server-sent events": lines end in LF, CR or CRLF, a leading
BOM is dropped, `data` lines of one event are joined by LF, comments and unknown fields are ignored, and an event that
the stream ends in without its blank line is discarded.
"""

import re
from dataclasses import dataclass

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""An event larger than this is taken for an attack or a fault."""

DONE = b"data: [DONE]\n\n"
"""How an OpenAI stream ends."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its `data` as bytes, and its `event` type (empty for the default, `message`)."""

    data: bytes
    event: str = ""


class EventTooLarge(ValueError):
    """An event grew past the decoder's bound."""


class Decoder:
    """Feed it bytes as they come; it returns the events that are complete.

    Only whole lines are decoded, so a UTF-8 sequence cut between chunks never matters. A CR at the very end of a chunk
    ends its line at once; the LF that may follow in the next chunk is swallowed.
    """

    __slots__ = ("_at_start", "_buffer", "_data", "_event", "_limit", "_size", "_skip_lf")

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._buffer = bytearray()
        self._data: list[bytes] = []
        self._event = ""
        self._limit = limit
        self._size = 0
        self._skip_lf = False
        self._at_start = True

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes.

        Raises:
            EventTooLarge: the event being read is over the limit.
        """
        if not chunk:
            return []
        if self._skip_lf:
            if chunk[0] == 0x0A:
                chunk = chunk[1:]
            self._skip_lf = False
        buffer = self._buffer
        searched = len(buffer)  # what is there already holds no line end, so that a trickle of chunks stays linear
        buffer += chunk
        if self._at_start:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                return []
            self._at_start = False
            if buffer.startswith(_BOM):
                del buffer[: len(_BOM)]
                searched = 0
        events: list[Event] = []
        position = 0
        for match in _LINE_END.finditer(buffer, searched):
            self._line(bytes(buffer[position : match.start()]), events)
            position = match.end()
        self._skip_lf = position == len(buffer) > 0 and buffer.endswith(b"\r")
        if position:
            self._buffer = buffer[position:]
        if self._size + len(self._buffer) > self._limit:
            raise EventTooLarge(f"an event is larger than {self._limit} bytes")
        return events

    def _line(self, line: bytes, events: list[Event]) -> None:
        if not line:
            if self._data:
                events.append(Event(b"\n".join(self._data), self._event))
                self._data = []
            self._event = ""
            self._size = 0
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value)
            if self._size > self._limit:
                raise EventTooLarge(f"an event is larger than {self._limit} bytes")
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")


def encode(data: bytes, event: str = "") -> bytes:
    """One event; `data` is one line (JSON has no raw line ends)."""
    if event:
        return b"event: " + event.encode() + b"\ndata: " + data + b"\n\n"
    return b"data: " + data + b"\n\n"
