"""GOAWAY taken out of a stream of HTTP/2 frames (RFC 9113 §6.8).

h2 takes a GOAWAY for the end of its connection and refuses every frame after it. Servers send it long before that,
when they are about to be replaced or have served a connection often enough, and finish the answers under way: so h2
does not get to see it.
"""

from dataclasses import dataclass

from h2.exceptions import FrameTooLargeError

_HEAD = 9
_GOAWAY = 7
_LEAST = 8  # bytes of payload that it must have
_MOST = 16_384  # bytes of payload that any frame may have, as we ask for no more (RFC 9113 §4.2)


@dataclass(frozen=True, slots=True)
class Goaway:
    """Streams above `last_stream` were not looked at; no further ones are welcome. `error` 0 is a graceful end."""

    last_stream: int
    error: int


class Sieve:
    """Feed it what a server sent; it gives the bytes back in order, each GOAWAY in its place as a value."""

    __slots__ = ("_held", "_left")

    def __init__(self) -> None:
        self._held = b""
        self._left = 0  # bytes of the current frame that are still to come

    def feed(self, data: bytes) -> list[bytes | Goaway]:
        """A frame's head, and the whole of a GOAWAY, is held back until it is complete.

        Raises:
            FrameTooLargeError: at a frame's head already; h2 would wait for the whole of it.
        """
        if self._held:
            data, self._held = self._held + data, b""
        out: list[bytes | Goaway] = []
        start, at, end = 0, self._left, len(data)
        while end - at >= _HEAD:
            size = int.from_bytes(data[at : at + 3], "big")
            if size > _MOST:
                raise FrameTooLargeError("a frame of more bytes than were asked for")
            after = at + _HEAD + size
            if data[at + 3] == _GOAWAY and size >= _LEAST:
                if after > end:
                    break
                payload = data[at + _HEAD : after]
                out.append(data[start:at])
                out.append(
                    Goaway(int.from_bytes(payload[:4], "big") & 0x7FFF_FFFF, int.from_bytes(payload[4:8], "big"))
                )
                start = after
            at = after
        self._left = max(at - end, 0)
        if at < end:
            self._held = data[at:]
            data = data[:at]
        out.append(data[start:])
        return [part for part in out if part]
