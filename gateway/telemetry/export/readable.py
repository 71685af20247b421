"""A span as the OpenTelemetry SDK's own processors and exporters take it. Imported only where one is in use: the SDK
takes a third of a second to load."""

from collections.abc import Mapping

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from gateway.telemetry.export.values import plain, text
from gateway.telemetry.span import Kind, Span, Value

_KINDS = {Kind.INTERNAL: SpanKind.INTERNAL, Kind.SERVER: SpanKind.SERVER, Kind.CLIENT: SpanKind.CLIENT}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET = Status(StatusCode.UNSET)


def readable(span: Span, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    """`span` as a finished span of the SDK. Whatever its texts hold, the official encoder takes it."""
    trace_id = int(span.trace_id, 16)
    state = TraceState.from_header([span.state]) if span.state else TraceState()
    parent = None
    if span.parent_id:
        parent = SpanContext(trace_id, int(span.parent_id, 16), span.parent_remote, _SAMPLED, state)
    return ReadableSpan(
        text(span.name),
        context=SpanContext(trace_id, int(span.span_id, 16), False, _SAMPLED, state),
        parent=parent,
        resource=resource,
        attributes=_attributes(span.attributes),
        events=[Event(text(each.name), _attributes(each.attributes), each.time) for each in span.events],
        kind=_KINDS[span.kind],
        status=_UNSET if span.error is None else Status(StatusCode.ERROR, text(span.error)),
        start_time=span.start,
        end_time=span.end,
        instrumentation_scope=scope,
    )


def _attributes(given: Mapping[str, Value]) -> dict[str, Value]:
    return {text(key): plain(value) for key, value in given.items()}
