"""Which trace a request belongs to, and whether its spans are kept: decided when it comes in, without I/O."""

import re

from gateway.exchange import Trace
from gateway.telemetry.span import new_span_id, new_trace_id

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
"""W3C trace context §3.2.2; a version later than 00 may add parts at the end (§4.3)."""

_MAX_STATE = 512
"""Characters of `tracestate` that are handed on; the specification asks for at least as many (§3.3.1.5)."""

_PRINTABLE = re.compile(r"[\x20-\x7e]*")

_RANDOM_BITS = 64
"""The low bits of a trace id decide about its sampling, as in OpenTelemetry's `TraceIdRatioBased`: every service that
is given the same share keeps the same traces."""


def begin(
    traceparent: str | None, tracestate: str | None, ratio: float, *, follow: bool = True, remote: bool = True
) -> Trace:
    """The trace of a new request; `remote` says that its caller, if it has one, is another process.

    A caller's own decision is followed in both directions; where the trace begins here, or with `follow` unset always,
    `ratio` of all traces are kept. A `traceparent` that is none counts as absent, and its `tracestate` with it (W3C
    trace context §4.2).
    """
    match = _TRACEPARENT.fullmatch(traceparent.strip()) if traceparent else None
    if match is None or (match[4] and match[0].startswith("00")):
        trace_id = new_trace_id()
        return Trace(trace_id, new_span_id(), sampled=_kept(trace_id, ratio))
    state = (tracestate or "").strip()
    if len(state) > _MAX_STATE or not _PRINTABLE.fullmatch(state):
        state = ""
    sampled = bool(int(match[3], 16) & 1) if follow else _kept(match[1], ratio)
    return Trace(match[1], new_span_id(), match[2], sampled, state, remote)


def _kept(trace_id: str, ratio: float) -> bool:
    return int(trace_id[16:], 16) < round(ratio * (1 << _RANDOM_BITS))
