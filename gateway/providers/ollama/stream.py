"""A streamed answer of Ollama: newline-delimited JSON, one object a line (https://docs.ollama.com/api/streaming)."""

from typing import Any

from gateway.errors import UpstreamInvalidResponse
from gateway.providers.failures import cut, invalid_response, parse_object
from gateway.providers.ollama import response
from gateway.types import Delta, Usage

MAX_LINE_BYTES = 16 * 1024 * 1024
"""A line longer than this is taken for an attack or a fault."""


class LineTooLong(ValueError):
    """A line grew past the splitter's bound."""


class Lines:
    """Feed it bytes as they come; it returns the lines that are complete, without their ends and without blank ones."""

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._buffer = bytearray()
        self._limit = limit

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes.

        Raises:
            LineTooLong: a line is over the limit.
        """
        first, *rest = chunk.split(b"\n")
        self._buffer += first  # what waits here holds no line end, so that a trickle of chunks stays linear
        lines: list[bytes] = []
        for following in rest:
            lines.append(self._line())
            self._buffer += following
        self._within(self._buffer)
        return [line for line in lines if line]

    def close(self) -> bytes:
        """What is left after the last line end, empty when nothing is."""
        return self._line()

    def _line(self) -> bytes:
        self._within(self._buffer)
        line = bytes(self._buffer).strip()
        self._buffer.clear()
        return line

    def _within(self, line: bytearray) -> None:
        if len(line) > self._limit:
            raise LineTooLong(f"a line is longer than {self._limit} bytes")


class Decoder:
    """Lines to deltas. Only a line with `done: true` ends an answer, and what may follow it is not read."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._lines = Lines()
        self._opened = False
        self._done = False
        self._usage: Usage | None = None

    def feed(self, data: bytes) -> list[Delta]:
        try:
            lines = self._lines.feed(data)
        except LineTooLong as error:
            raise invalid_response(self._provider, str(error)) from error
        deltas: list[Delta] = []
        for line in lines:
            self._read(parse_object(line, self._provider), deltas)
        return deltas

    def close(self) -> list[Delta]:
        deltas: list[Delta] = []
        last = self._lines.close()
        if last and not self._done:
            try:
                line = parse_object(last, self._provider)
            except UpstreamInvalidResponse as error:
                raise cut(self._provider) from error
            self._read(line, deltas)
        if not self._done:
            raise cut(self._provider)
        return [*deltas, Delta(usage=self._usage)] if self._usage else deltas

    def _read(self, line: dict[str, Any], deltas: list[Delta]) -> None:
        if self._done:
            return
        delta = response.piece(line, self._provider)
        if not self._opened:
            self._opened = True
            deltas.append(Delta(opening=response.opening(line)))
        if delta.text or delta.logprobs or delta.finish_reason or delta.reasoning:
            deltas.append(delta)
        if delta.finish_reason:
            self._done = True
            self._usage = response.usage(line)
