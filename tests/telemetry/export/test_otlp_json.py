"""OTLP/JSON, held against the official protobuf definitions and the official encoder."""

import base64
import math
from typing import Any

import orjson
import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from gateway.telemetry.export import otlp_json
from gateway.telemetry.export.readable import readable
from gateway.telemetry.span import Event, Kind, Span
from tests.telemetry.export.kit import span

SAMPLED = 0x1


def parsed(*spans: Span, resource: dict[str, Any] | None = None) -> ExportTraceServiceRequest:
    """What the official definitions make of our bytes. OTLP writes ids in hex where protobuf's JSON has base64."""
    body = otlp_json.traces(
        otlp_json.resource(resource or {}), otlp_json.scope("gateway", "1"), [otlp_json.span(one) for one in spans]
    )
    value = orjson.loads(body)
    for each in value["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for key in {"traceId", "spanId", "parentSpanId"} & each.keys():
            each[key] = base64.b64encode(bytes.fromhex(each[key])).decode()
    found = ExportTraceServiceRequest()
    json_format.Parse(orjson.dumps(value), found)
    return found


def official(*spans: Span, resource: dict[str, Any] | None = None) -> ExportTraceServiceRequest:
    made = Resource(resource or {})
    scope = InstrumentationScope("gateway", "1")
    found = encode_spans([readable(one, made, scope) for one in spans])
    for each in found.resource_spans[0].scope_spans[0].spans:
        each.flags |= SAMPLED  # a span that is exported was sampled; the official encoder leaves the flag out
        if each.status.code == 0:
            each.ClearField("status")
    return found


def same(one: ExportTraceServiceRequest, other: ExportTraceServiceRequest) -> None:
    assert str(one) == str(other)  # NaN is not equal to itself, but is written as itself


anything = st.text(st.characters(codec=None, categories=None), max_size=30)
scalars = st.one_of(anything, st.booleans(), st.integers(), st.integers(-(2**63), 2**63 - 1), st.floats())
values = st.one_of(scalars, st.lists(scalars, max_size=4).map(tuple))
attributes = st.dictionaries(st.text(max_size=10), values, max_size=6)
times = st.integers(0, 2**63)
ids = st.integers(1, 2**64 - 1).map("{:016x}".format)
odd_spans = st.builds(
    Span,
    trace_id=st.integers(1, 2**128 - 1).map("{:032x}".format),
    span_id=ids,
    parent_id=st.one_of(st.just(""), ids),
    name=anything,
    kind=st.sampled_from(Kind),
    start=times,
    end=times,
    attributes=attributes,
    error=st.one_of(st.none(), anything),
    events=st.lists(st.builds(Event, anything, times, attributes), max_size=2).map(tuple),
    state=st.sampled_from(["", "vendor=1", "a=1,b=2"]),
    parent_remote=st.booleans(),
)


@given(odd_spans)
def test_any_span_is_what_the_official_encoder_makes_of_it(one: Span) -> None:
    theirs = official(one)
    if not one.parent_id:  # without a parent there is none that could be remote
        theirs.resource_spans[0].scope_spans[0].spans[0].flags |= 0x200 if one.parent_remote else 0
    same(parsed(one), theirs)


def test_a_request_holds_every_span_of_a_batch_under_one_resource_and_one_scope() -> None:
    resource = {"service.name": "gateway", "service.version": "1.2"}
    batch = [span("a"), span("b", parent="00f067aa0ba902b7"), span("c")]
    found = parsed(*batch, resource=resource)
    same(found, official(*batch, resource=resource))
    assert [one.name for one in found.resource_spans[0].scope_spans[0].spans] == ["a", "b", "c"]


def test_a_request_without_spans_is_one_too() -> None:
    found = ExportTraceServiceRequest()
    json_format.Parse(otlp_json.EMPTY, found)
    assert found == ExportTraceServiceRequest()


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "field", "written"),
    [
        ("", "string_value", ""),
        ("\ud800", "string_value", "\ufffd"),
        ("a\udc00b", "string_value", "a\ufffdb"),
        ("\ud83d\ude00", "string_value", "\U0001f600"),
        ("\x00", "string_value", "\x00"),
        (Text("kept"), "string_value", "kept"),
        (Kind.CLIENT, "int_value", 3),
        (2**63 - 1, "int_value", 2**63 - 1),
        (-(2**63), "int_value", -(2**63)),
        (2**63, "string_value", "9223372036854775808"),
        (10**5000, "string_value", "a number of 16610 bits"),
        (math.inf, "double_value", math.inf),
        (-math.inf, "double_value", -math.inf),
        (1e-320, "double_value", 1e-320),
        (None, "string_value", "NoneType"),
        (b"bytes", "string_value", "bytes"),
        (object(), "string_value", "object"),
    ],
    ids=[str(number) for number in range(17)],
)
def test_an_odd_value_has_a_form_of_its_own(value: Any, field: str, written: Any) -> None:
    [held] = [
        each.value
        for each in parsed(span(odd=value)).resource_spans[0].scope_spans[0].spans[0].attributes
        if each.key == "odd"
    ]
    assert held.WhichOneof("value") == field
    assert getattr(held, field) == written


def test_a_list_is_taken_for_the_tuple_it_should_be() -> None:
    [held] = [
        each.value.array_value
        for each in parsed(span(tags=["a", "\ud800"])).resource_spans[0].scope_spans[0].spans[0].attributes
        if each.key == "tags"
    ]
    assert [each.string_value for each in held.values] == ["a", "\ufffd"]


def test_not_a_number_is_written_as_protobuf_says() -> None:
    assert b'{"doubleValue":"NaN"}' in otlp_json.span(span(odd=math.nan))


def test_one_odd_text_leaves_the_rest_of_its_span_as_it_is() -> None:
    one = orjson.loads(otlp_json.span(span("\ud800", odd="\udfff", fine="é")))
    values = {each["key"]: each["value"] for each in one["attributes"]}
    assert one["name"] == "\ufffd"
    assert values["fine"] == {"stringValue": "é"}
    assert values["http.response.status_code"] == {"intValue": "200"}
