"""Which trace a request belongs to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from gateway.telemetry.trace import begin

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_request_joins_its_callers_trace() -> None:
    trace = begin(CALLER, "vendor=1", 1.0)
    assert (trace.trace_id, trace.parent_id, trace.state) == (CALLER[3:35], CALLER[36:52], "vendor=1")
    assert trace.span_id not in ("", trace.parent_id)


@pytest.mark.parametrize("ratio", [0.0, 1.0])
@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("03", True), ("02", False)])
def test_the_callers_decision_is_followed_whatever_the_ratio(flags: str, sampled: bool, ratio: float) -> None:
    assert begin(CALLER[:-2] + flags, None, ratio).sampled is sampled


@pytest.mark.parametrize(
    "traceparent",
    [
        None,
        "",
        "00",
        CALLER.upper(),
        CALLER + "-extra",
        CALLER[:-3],
        "ff" + CALLER[2:],
        CALLER.replace(CALLER[3:35], "0" * 32),
        CALLER.replace(CALLER[36:52], "0" * 16),
        CALLER.replace("4", "g"),
    ],
)
def test_what_is_no_traceparent_begins_a_new_trace(traceparent: str | None) -> None:
    trace = begin(traceparent, "vendor=1", 1.0)
    assert trace.parent_id == trace.state == ""
    assert trace.trace_id != CALLER[3:35]
    assert trace.sampled


def test_a_later_version_may_say_more() -> None:
    assert begin("cc" + CALLER[2:] + "-what-comes-later", None, 1.0).parent_id == CALLER[36:52]


@pytest.mark.parametrize("state", ["x" * 513, "vendor=\x00", "vendor=ü"])
def test_a_tracestate_that_cannot_be_one_is_dropped(state: str) -> None:
    assert begin(CALLER, state, 1.0).state == ""


@given(st.floats(0, 1))
def test_a_new_trace_is_kept_as_opentelemetrys_sampler_would(ratio: float) -> None:
    trace = begin(None, None, ratio)
    theirs = TraceIdRatioBased(ratio).should_sample(None, int(trace.trace_id, 16), "name").decision
    assert trace.sampled is (theirs is Decision.RECORD_AND_SAMPLE)


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_header_is_survived(traceparent: str, tracestate: str) -> None:
    trace = begin(traceparent, tracestate, 0.5)
    assert len(trace.trace_id) == 32
    assert len(trace.span_id) == 16
