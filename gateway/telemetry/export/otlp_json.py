"""OTLP/JSON: spans as bytes, by a pure function (OpenTelemetry protocol 1.9, "JSON Protobuf Encoding").

Ids are hex rather than base64, 64-bit numbers are strings of digits, enumerations are numbers. Measured: 5 µs for a
span of 20 attributes, where the official encoder to protobuf takes ten times as long.
"""

from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Any

from gateway.telemetry.export.values import GREATEST, LEAST, plain, text
from gateway.telemetry.span import Span, Value
from gateway.wire import json

_ERROR = 2
"""`Status.StatusCode.STATUS_CODE_ERROR`."""

_SAMPLED = 0x1
_HAS_REMOTE = 0x100
_IS_REMOTE = 0x200
"""`SpanFlags`: whether the parent is known to be, and is, in another process."""

_LOCAL = _SAMPLED | _HAS_REMOTE
_REMOTE = _LOCAL | _IS_REMOTE


def span(one: Span) -> bytes:
    """One span. Whatever its attributes and texts hold, it has a form; see `values.plain`."""
    record: dict[str, Any] = {
        "traceId": one.trace_id,
        "spanId": one.span_id,
        "flags": _REMOTE if one.parent_remote else _LOCAL,
        "name": one.name,
        "kind": int(one.kind),
        "startTimeUnixNano": str(one.start),
        "endTimeUnixNano": str(one.end),
        "attributes": attributes(one.attributes),
    }
    if one.parent_id:
        record["parentSpanId"] = one.parent_id
    if one.state:
        record["traceState"] = one.state
    if one.error is not None:
        record["status"] = {"code": _ERROR, "message": one.error}
    if one.events:
        record["events"] = [
            {"timeUnixNano": str(event.time), "name": event.name, "attributes": attributes(event.attributes)}
            for event in one.events
        ]
    return _dumped(record)


def attributes(given: Mapping[str, Value]) -> list[dict[str, Any]]:
    """Attributes as OTLP's list of keys and values."""
    try:
        return [{"key": key, "value": _VALUES[type(value)](value)} for key, value in given.items()]
    except KeyError:  # a subclass, or what has no place here
        return [{"key": key, "value": _value(plain(value))} for key, value in given.items()]


def _value(value: Value) -> dict[str, Any]:
    return _VALUES[type(value)](value)


def _integer(value: int) -> dict[str, Any]:
    return {"intValue": str(value)} if LEAST <= value <= GREATEST else {"stringValue": plain(value)}


def _double(value: float) -> dict[str, Any]:
    if -inf < value < inf:
        return {"doubleValue": value}
    return {"doubleValue": "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"}


_VALUES: Mapping[type, Callable[[Any], dict[str, Any]]] = {
    str: lambda value: {"stringValue": value},
    bool: lambda value: {"boolValue": value},
    int: _integer,
    float: _double,
    tuple: lambda value: {"arrayValue": {"values": [_VALUES[type(each)](each) for each in value]}},
}


def resource(given: Mapping[str, Value]) -> bytes:
    """What a process says of itself, made once and put into every `traces`."""
    return _dumped({"attributes": attributes(given)})


def scope(name: str, version: str) -> bytes:
    """The instrumentation scope: whose spans these are."""
    return json.dumps({"name": name, "version": version})


def traces(resource_: bytes, scope_: bytes, spans: Iterable[bytes]) -> bytes:
    """The body of `POST /v1/traces` (`ExportTraceServiceRequest`), of parts made by `resource`, `scope` and `span`."""
    head = b'{"resourceSpans":[{"resource":%b,"scopeSpans":[{"scope":%b,"spans":[' % (resource_, scope_)
    return head + b",".join(spans) + b"]}]}]}"


EMPTY = b'{"resourceSpans":[]}'
"""A request without spans: it asks a receiver whether it speaks OTLP/JSON, and nothing else."""


def _dumped(record: dict[str, Any]) -> bytes:
    try:
        return json.dumps(record)
    except TypeError:  # a text without a UTF-8 form
        return json.dumps(_writable(record))


def _writable(value: Any) -> Any:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {text(key): _writable(each) for key, each in value.items()}
    return [_writable(each) for each in value] if isinstance(value, list) else value
