"""The application's own tracing, where the gateway's steps stand in front of an application: whose child a request is,
and whose children the application's own spans are.

Nothing of OpenTelemetry is loaded for either question: what the application has not loaded it does not use.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.config.otel import Plan
from gateway.exchange import Trace

_API, _SDK = "opentelemetry.trace", "opentelemetry.sdk.trace"


def caller() -> tuple[tuple[str, str], bool] | None:
    """The span at work here as `traceparent` and `tracestate`, and whether it is another process's, which the
    application has only read of; else its own instrumentation has begun it. None where there is none."""
    if _API not in sys.modules:
        return None
    from opentelemetry.trace import get_current_span

    found = get_current_span().get_span_context()
    if not found.is_valid:
        return None
    parent = f"00-{found.trace_id:032x}-{found.span_id:016x}-{int(found.trace_flags):02x}"
    return (parent, found.trace_state.to_header()), found.is_remote


def hosted(plan: Plan) -> bool:
    """Whether this plan's spans go where the application's own go (`gateway.telemetry.export.select.make`)."""
    if plan.disabled or plan.configured or _SDK not in sys.modules:
        return False
    from gateway.telemetry.export import host

    return host.provider() is not None


@contextmanager
def within(own: Trace) -> Iterator[None]:
    """Spans that the application begins inside are children of the request's own span, and sampled as it is.

    To be held around a call and never across a `yield` of a generator, which may be resumed in another context.
    """
    from opentelemetry import context, trace

    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if own.sampled else trace.TraceFlags.DEFAULT)
    state = trace.TraceState.from_header([own.state]) if own.state else trace.TraceState()
    ours = trace.SpanContext(int(own.trace_id, 16), int(own.span_id, 16), False, flags, state)
    token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(ours)))
    try:
        yield
    finally:
        context.detach(token)
