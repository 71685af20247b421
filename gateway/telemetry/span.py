"""A span as it is written once, when everything about it is known.

Ids are minted when a request comes in, so that logs and callers can be told them; the span itself is made from the
finished request. Exporters take these values; nothing of the OpenTelemetry SDK is needed to make one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from random import getrandbits

from gateway.exchange import Exchange, Trace

Value = str | bool | int | float | tuple[str, ...]
"""What an attribute may hold."""


class Kind(IntEnum):
    """OTLP's numbers for the kinds that occur here."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3


def new_trace_id() -> str:
    """128 random bits, not all zero, as 32 hex digits (W3C trace context §3.2.2.3)."""
    return f"{getrandbits(128) or 1:032x}"


def new_span_id() -> str:
    """64 random bits, not all zero, as 16 hex digits (W3C trace context §3.2.2.4)."""
    return f"{getrandbits(64) or 1:016x}"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened within a span. `time` is nanoseconds since 1970."""

    name: str
    time: int
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """One finished span.

    `trace_id` and `span_id` are lower-case hex; `parent_id` is empty for a root. `start` and `end` are nanoseconds
    since 1970. `error` is the status's description where the span failed, and None leaves its status unset.
    `state` is the caller's `tracestate`. `parent_remote` says that the parent is a span of another process.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: Kind
    start: int
    end: int
    attributes: Mapping[str, Value]
    error: str | None = None
    events: tuple[Event, ...] = ()
    state: str = ""
    parent_remote: bool = False


class Clock:
    """Turns seconds of `perf_counter` into nanoseconds since 1970, all of them within the request's own time."""

    __slots__ = ("_began", "began", "ended")

    def __init__(self, exchange: Exchange) -> None:
        self._began = exchange.began
        self.began = exchange.began_at
        self.ended = self.began + int(exchange.duration() * 1_000_000_000)

    def at(self, moment: float) -> int:
        """The time of a moment."""
        return min(max(self.began + int((moment - self._began) * 1_000_000_000), self.began), self.ended)


def child(
    trace: Trace,
    name: str,
    kind: Kind,
    times: tuple[int, int],
    attributes: Mapping[str, Value],
    error: str | None = None,
    events: tuple[Event, ...] = (),
) -> Span:
    """A span below a request's own; `times` are its start and its end."""
    own = new_span_id()
    return Span(trace.trace_id, own, trace.span_id, name, kind, *times, attributes, error, events, trace.state)
