"""Google's streams: documented bytes in every cut, what early and thinking models do, and how a stream breaks."""

import contextlib

import orjson
import pytest
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import UpstreamConnectionError, UpstreamError, UpstreamInvalidResponse, UpstreamRateLimited
from gateway.providers.base import Target
from gateway.providers.gemini.language import bind
from gateway.types import TokenLogprob, Usage
from tests.providers.kit import (
    call,
    decode,
    finish_reasons,
    golden,
    logprobs,
    reasoning,
    same_at_every_cut,
    text,
    usage,
)

TARGET = Target("gemini", "gemini-2.5-flash")


def test_a_stream_of_two_candidates_gives_the_same_at_every_cut():
    body = golden("gemini/stream.sse")
    for event in body.split(b"\r\n\r\n")[:-1]:
        types.GenerateContentResponse.model_validate_json(event.removeprefix(b"data: "))
    deltas = same_at_every_cut(lambda: bind(TARGET).stream(call(stream=True, n=2)), body)
    assert (text(deltas), text(deltas, 1)) == ("Grüße", "Hallo")
    assert reasoning(deltas) == "**Greeting**\n"
    assert finish_reasons(deltas) == {0: "length", 1: "stop"}
    assert usage(deltas) == Usage(9, 24, reasoning_tokens=20)
    assert logprobs(deltas) == (TokenLogprob("Grü", -0.5),)
    assert [delta.opening.id for delta in deltas if delta.opening] == ["pKEuaN7"]


def chunk(**fields: object) -> bytes:
    return b"data: " + orjson.dumps(fields) + b"\r\n\r\n"


def candidate(*texts: str, finish: str | None = None, **fields: object) -> dict[str, object]:
    made: dict[str, object] = {"content": {"role": "model", "parts": [{"text": text} for text in texts]}, **fields}
    return made | ({"finishReason": finish} if finish else {})


def streamed(*pieces: bytes, n: int = 1):
    return decode(bind(TARGET).stream(call(stream=True, n=n)), pieces)


def test_a_model_that_says_stop_with_every_chunk_still_finishes_once_after_its_text():
    deltas = streamed(
        chunk(candidates=[candidate("a", finish="STOP", index=0)]),
        chunk(candidates=[candidate("b", finish="MAX_TOKENS", index=0)]),
    )
    assert text(deltas) == "ab"
    assert finish_reasons(deltas) == {0: "length"}
    assert deltas[-1].finish_reason == "length"


def test_text_that_is_stopped_for_safety_keeps_what_was_said_before():
    deltas = streamed(
        chunk(candidates=[candidate("So ")], usageMetadata={"promptTokenCount": 3}),
        chunk(
            candidates=[{"finishReason": "SAFETY", "safetyRatings": []}],
            usageMetadata={"promptTokenCount": 3, "candidatesTokenCount": 1},
        ),
    )  # fmt: skip
    assert (text(deltas), finish_reasons(deltas)) == ("So ", {0: "content_filter"})
    assert usage(deltas) == Usage(3, 1)


def test_a_function_call_is_no_text():
    part = {"functionCall": {"name": "f", "args": {}}}
    deltas = streamed(chunk(candidates=[{"content": {"parts": [part]}, "finishReason": "STOP"}]))
    assert (text(deltas), finish_reasons(deltas)) == ("", {0: "stop"})


def test_thoughts_that_are_inside_the_candidates_count_are_not_counted_again():
    counts = {"promptTokenCount": 5, "candidatesTokenCount": 10, "thoughtsTokenCount": 7, "totalTokenCount": 15}
    deltas = streamed(chunk(candidates=[candidate("a", finish="STOP")], usageMetadata=counts))
    assert usage(deltas) == Usage(5, 10, reasoning_tokens=7)


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [chunk(candidates=[candidate("a")])],
        [chunk(candidates=[candidate("a", finish="FINISH_REASON_UNSPECIFIED")])],
        [chunk(usageMetadata={"promptTokenCount": 3})],
        [golden("gemini/stream.sse")[:-10]],
    ],
)
def test_a_stream_cut_before_its_end_is_an_error(pieces):
    with pytest.raises(UpstreamConnectionError):
        streamed(*pieces, n=2)


OVERLOADED = {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}
EXHAUSTED = {"code": 429, "message": "Resource has been exhausted.", "status": "RESOURCE_EXHAUSTED"}


@pytest.mark.parametrize(("error", "expected"), [(OVERLOADED, UpstreamError), (EXHAUSTED, UpstreamRateLimited)])
@pytest.mark.parametrize(
    "written",
    [
        lambda error: chunk(error=error),
        lambda error: b"data: " + orjson.dumps([{"error": error}]) + b"\n\n",
        lambda error: orjson.dumps({"error": error}, option=orjson.OPT_INDENT_2) + b"\n",
        lambda error: orjson.dumps([{"error": error}], option=orjson.OPT_INDENT_2),
    ],
    ids=["event", "listed", "bare", "bare-listed"],
)
def test_an_error_inside_a_stream_is_raised(written, error, expected):
    body = chunk(candidates=[candidate("a", finish="STOP")]) + written(error)
    for cut in range(len(body)):
        with pytest.raises(UpstreamError) as raised:
            streamed(body[:cut], body[cut:])
        assert type(raised.value) is expected


def test_text_that_looks_like_an_error_is_text():
    said = '\n{"error": {"code": 500}}\n'
    assert text(streamed(chunk(candidates=[candidate(said, finish="STOP")]))) == said


def test_a_blocked_prompt_is_an_empty_text_for_every_choice():
    deltas = streamed(chunk(promptFeedback={"blockReason": "SAFETY"}, usageMetadata={"promptTokenCount": 8}), n=2)
    assert finish_reasons(deltas) == {0: "content_filter", 1: "content_filter"}
    assert (text(deltas), usage(deltas)) == ("", Usage(8, 0))


def test_an_error_after_a_long_answer_is_found_at_its_end():
    long = chunk(candidates=[candidate("{" * 40_000, finish="STOP")])
    bare = orjson.dumps({"error": EXHAUSTED}, option=orjson.OPT_INDENT_2)
    with pytest.raises(UpstreamRateLimited):
        streamed(long[:-9000], long[-9000:], bare)


@pytest.mark.parametrize("data", [b"<html>", b"[]", b"1", b'{"candidates": [1]}', b'{"candidates": [{"index": 7}]}'])
def test_a_chunk_in_another_language_is_an_invalid_response(data):
    with pytest.raises(UpstreamInvalidResponse):
        streamed(b"data: " + data + b"\n\n")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["candidates", "content", "parts", "text", "thought", "index", "finishReason", "usageMetadata", "error",
             "promptTokenCount", "thoughtsTokenCount", "logprobsResult", "chosenCandidates", "topCandidates", "token",
             "promptFeedback", "blockReason", "code", "message", "details", "retryDelay"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip
MAPPED_BY_THE_CALLER = (UpstreamError, KeyError, TypeError, ValueError, AttributeError)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | JSON.map(orjson.dumps), st.integers(0, 60))
def test_bytes_of_any_kind_end_in_an_answer_or_an_upstream_error(body, cut):
    event = b"data: " + body + b"\n\n"
    for attempt in (
        lambda: bind(TARGET).answer(call(n=2), body),
        lambda: streamed(body[:cut], body[cut:]),
        lambda: streamed(event[:cut], event[cut:], n=2),
    ):
        with contextlib.suppress(*MAPPED_BY_THE_CALLER):
            attempt()
    assert isinstance(bind(TARGET).error(400, {}, body), UpstreamError)
