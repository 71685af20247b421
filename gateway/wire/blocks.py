"""Server-sent events as they stand on the wire: every byte is kept, so that an event nobody changed leaves unchanged.

The rules of `gateway.wire.sse`; an event is what ends with a blank line, and comments outside of one are on their own.
"""

import re
from dataclasses import dataclass

from gateway.wire.sse import MAX_EVENT_BYTES, EventTooLarge

_LINE = re.compile(rb"\r\n|\n|\r")
_USUAL_BYTES = 64 * 1024
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes in the order they came. `data` is the event's data, None for what is no event; `event` its type."""

    raw: bytes
    data: bytes | None = None
    event: str = ""

    def with_data(self, data: bytes) -> bytes:
        """The same event with other data: every other line stays as it is."""
        out: list[bytes] = []
        written = False
        for line in _LINE.sub(b"\n", self.raw).removeprefix(_BOM).removesuffix(b"\n").split(b"\n"):
            if line.partition(b":")[0] != b"data":
                out.append(line)
            elif not written:
                written = True
                out += (b"data: " + piece for piece in data.split(b"\n"))
        text = b"\n".join(out) + b"\n"
        return text if text.endswith(b"\n\n") else text + b"\n"


def _is_usual(chunk: bytes) -> bool:
    """Whether this is one event as most servers send it, whole: nothing needs to be looked for then."""
    return (
        chunk.startswith(b"data: ")
        and chunk.endswith(b"\n\n")
        and chunk.count(b"\n") == 2
        and b"\r" not in chunk
        and len(chunk) <= _USUAL_BYTES
    )


class Splitter:
    """Feed it bytes as they come; it gives out the blocks that are complete."""

    __slots__ = ("_at_start", "_buffer", "_data", "_event", "_limit", "_raw", "_size", "_skip_lf")

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._buffer = bytearray()
        self._raw: list[bytes] = []
        self._data: list[bytes] = []
        self._event = ""
        self._limit = limit
        self._size = 0
        self._skip_lf = False
        self._at_start = True

    def feed(self, chunk: bytes) -> list[Block]:
        """The blocks that `chunk` completes.

        Raises:
            EventTooLarge: the event being read is over the limit.
        """
        if not (self._buffer or self._raw or self._skip_lf) and _is_usual(chunk):
            self._at_start = False
            return [Block(chunk, chunk[6:-2])]
        blocks: list[Block] = []
        if self._skip_lf and chunk:
            self._skip_lf = False
            if chunk[0] == 0x0A:
                if self._raw:
                    self._raw.append(b"\n")
                else:
                    blocks.append(Block(b"\n"))
                chunk = chunk[1:]
        buffer = self._buffer
        searched = len(buffer)
        buffer += chunk
        if self._at_start:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                return blocks
            self._at_start = False
            searched = 0
        at = 0
        for end in _LINE.finditer(buffer, searched):
            self._line(bytes(buffer[at : end.start()]), bytes(buffer[at : end.end()]), blocks)
            at = end.end()
        self._skip_lf = at == len(buffer) > 0 and buffer.endswith(b"\r")
        if at:
            self._buffer = buffer[at:]
        if self._size + len(self._buffer) > self._limit:
            raise EventTooLarge(f"an event is larger than {self._limit} bytes")
        return blocks

    def close(self) -> list[Block]:
        """What was left without its blank line: a reader that keeps the rules drops it, and others do not."""
        blocks: list[Block] = []
        if self._buffer:
            rest, self._buffer = bytes(self._buffer), bytearray()
            self._line(rest, rest, blocks)
        if self._raw:
            blocks.append(self._block())
        return blocks

    def _line(self, line: bytes, raw: bytes, blocks: list[Block]) -> None:
        if not line:
            self._raw.append(raw)
            blocks.append(self._block())
            return
        name, _, value = line.removeprefix(_BOM).partition(b":")
        if not name and not self._raw:
            blocks.append(Block(raw))  # a comment between events, such as a keep-alive
            return
        self._raw.append(raw)
        self._size += len(raw)
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        elif name == b"event":
            self._event = value.removeprefix(b" ").decode("utf-8", "replace")
        if self._size > self._limit:
            raise EventTooLarge(f"an event is larger than {self._limit} bytes")

    def _block(self) -> Block:
        data = b"\n".join(self._data) if self._data else None
        block = Block(b"".join(self._raw), data, self._event)
        self._raw, self._data, self._event, self._size = [], [], "", 0
        return block
