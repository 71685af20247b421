"""Amazon's binary event stream (`application/vnd.amazon.eventstream`), sans-IO: bytes in any cut to messages.

A message is a prelude (total length, length of the headers, CRC-32 of these eight bytes), typed headers, a payload and
the CRC-32 of all that comes before it; every number is big-endian. The format is that of
https://docs.aws.amazon.com/lexv2/latest/dg/event-stream-encoding.html, the bounds are those of Amazon's own SDKs.
"""

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

HeaderValue = bool | int | bytes | str

MAX_HEADERS_BYTES = 128 * 1024
MAX_PAYLOAD_BYTES = 24 * 1024 * 1024
"""A message with more is taken for an attack or a fault; Amazon sends none."""

_PRELUDE = struct.Struct("!III")
_CRC = struct.Struct("!I")
_OVERHEAD = _PRELUDE.size + _CRC.size


class Malformed(ValueError):
    """The bytes are not an event stream, or were damaged on the way."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message. Timestamps are milliseconds since 1970, UUIDs their 16 bytes."""

    headers: Mapping[str, HeaderValue]
    payload: bytes

    def header(self, name: str) -> str:
        """The string header `name`, empty when it is absent or of another type."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class Decoder:
    """Feed it bytes as they come; it returns the messages that are complete.

    A length is believed only after its checksum and its bound have been checked, so no damaged length makes the
    decoder wait or grow.
    """

    __slots__ = ("_buffer", "_length")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._length = 0  # of the message being read, 0 until its prelude is there

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes.

        Raises:
            Malformed: a wrong checksum, a length out of bounds, or a header of no known type.
        """
        buffer = self._buffer
        buffer += data
        messages: list[Message] = []
        while len(buffer) >= (self._length or _PRELUDE.size):
            if not self._length:
                self._length = _checked_length(bytes(buffer[: _PRELUDE.size]))
                continue
            messages.append(_message(bytes(buffer[: self._length])))
            del buffer[: self._length]
            self._length = 0
        return messages


def _checked_length(prelude: bytes) -> int:
    total, headers, crc = _PRELUDE.unpack(prelude)
    if zlib.crc32(prelude[:8]) != crc:
        raise Malformed("the checksum of a prelude is wrong")
    if headers > MAX_HEADERS_BYTES or not _OVERHEAD + headers <= total <= _OVERHEAD + headers + MAX_PAYLOAD_BYTES:
        raise Malformed("the length of a message is out of bounds")
    return int(total)


def _message(data: bytes) -> Message:
    (crc,) = _CRC.unpack(data[-_CRC.size :])
    if zlib.crc32(data[: -_CRC.size]) != crc:
        raise Malformed("the checksum of a message is wrong")
    payload_start = _PRELUDE.size + _PRELUDE.unpack(data[: _PRELUDE.size])[1]
    try:
        headers = _headers(data[_PRELUDE.size : payload_start])
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise Malformed("a header cannot be read") from error
    return Message(headers, data[payload_start : -_CRC.size])


def _headers(data: bytes) -> dict[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {}
    position = 0
    while position < len(data):
        raw, position = _take(data, position + 1, data[position])
        name = raw.decode("utf-8")
        read = _READERS.get(data[position])
        if read is None or name in headers:
            raise Malformed("a header has no known type, or comes twice")
        headers[name], position = read(data, position + 1)
    return headers


def _take(data: bytes, position: int, length: int) -> tuple[bytes, int]:
    end = position + length
    if end > len(data):
        raise IndexError("a header ends after the headers do")
    return data[position:end], end


def _number(form: str) -> Callable[[bytes, int], tuple[HeaderValue, int]]:
    parser = struct.Struct(form)

    def read(data: bytes, position: int) -> tuple[HeaderValue, int]:
        return int(parser.unpack_from(data, position)[0]), position + parser.size

    return read


def _sized(data: bytes, position: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from("!H", data, position)
    return _take(data, position + 2, length)


def _text(data: bytes, position: int) -> tuple[HeaderValue, int]:
    raw, position = _sized(data, position)
    return raw.decode("utf-8"), position


_READERS: Mapping[int, Callable[[bytes, int], tuple[HeaderValue, int]]] = {
    0: lambda _, position: (True, position),
    1: lambda _, position: (False, position),
    2: _number("!b"),
    3: _number("!h"),
    4: _number("!i"),
    5: _number("!q"),
    6: _sized,
    7: _text,
    8: _number("!q"),  # timestamp
    9: lambda data, position: _take(data, position, 16),  # UUID
}
