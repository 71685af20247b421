"""Google's language, proven without calling it: the SDK's own models outwards, documented bytes inwards."""

import contextlib
import dataclasses

import orjson
import pytest
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gateway.config.secret import Secret
from gateway.errors import (
    UnsupportedParameter,
    UpstreamConnectionError,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamRateLimited,
    UpstreamRejected,
)
from gateway.providers.base import Target
from gateway.providers.gemini.language import SUPPORT, bind
from gateway.providers.gemini.response import FINISH_REASONS
from gateway.types import Call, Message, TokenLogprob, Usage
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

TARGET = Target("gemini", "gemini-2.5-flash", api_key=Secret("AIza-test"))
MODEL_URL = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash"
EVERYTHING = Call(
    messages=(Message("system", "Continue."), Message("user", "Say"), Message("assistant", "this")), prompt="Say",
    max_tokens=7, n=3, logprobs=2, temperature=0.5, top_p=0.9, presence_penalty=-1, frequency_penalty=1.5, seed=11,
    stop=("\n", "END"), extra={
        "top_k": 40,
        "thinkingConfig": {"thinkingBudget": 0},
        "safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    },
)  # fmt: skip


def sent(the_call=EVERYTHING, target=TARGET):
    return orjson.loads(bind(target).request(the_call).body)


def test_a_request_is_one_the_google_sdk_could_have_sent():
    body = sent()
    assert set(body) == {"contents", "systemInstruction", "generationConfig", "safetySettings"}
    config = types.GenerationConfig.model_validate(body["generationConfig"])  # forbids unknown keys
    assert config.model_dump(mode="json", by_alias=True, exclude_none=True) == body["generationConfig"]
    contents = TypeAdapter(list[types.Content]).validate_python(body["contents"])
    assert [(content.role, content.parts[0].text) for content in contents] == [("user", "Say"), ("model", "this")]
    types.GenerateContentConfig.model_validate(
        {"systemInstruction": body["systemInstruction"], "safetySettings": body["safetySettings"]}
        | body["generationConfig"]
    )
    assert config.candidate_count == 3
    assert (config.response_logprobs, config.logprobs, config.top_k) == (True, 2, 40)
    assert config.stop_sequences == ["\n", "END"]


def test_only_what_the_client_gave_is_sent():
    assert sent(call(max_tokens=16)) == {
        "contents": [{"role": "user", "parts": [{"text": "Say this is a test"}]}],
        "generationConfig": {"maxOutputTokens": 16},
    }
    assert sent(call(logprobs=0))["generationConfig"] == {"responseLogprobs": True}
    assert "generationConfig" not in sent(call())


@pytest.mark.parametrize(("seed", "folded"), [(0, 0), (-5, -5), (2**31 - 1, 2**31 - 1), (2**31, -(2**31)), (2**40, 0)])
def test_a_seed_fits_the_32_bits_of_googles_field(seed, folded):
    assert sent(call(seed=seed))["generationConfig"] == {"seed": folded}


@pytest.mark.parametrize(
    "name", ["contents", "systemInstruction", "system_instruction", "maxOutputTokens", "candidate_count", "topP"]
)
def test_a_client_cannot_put_its_own_words_or_limits_where_the_gateway_writes(name):
    with pytest.raises(UnsupportedParameter) as raised:
        sent(call(extra={name: 1}))
    assert raised.value.param == name


@pytest.mark.parametrize(
    ("base_url", "model", "expected"),
    [
        (None, "gemini-2.5-flash", MODEL_URL),
        (None, "models/gemini-2.5-flash", MODEL_URL),
        (None, "../admin?x=", "https://generativelanguage.googleapis.com/v1beta/models/..%2Fadmin%3Fx%3D"),
        ("http://127.0.0.1:9", "m", "http://127.0.0.1:9/v1beta/models/m"),
        ("http://127.0.0.1:9/v1", "m", "http://127.0.0.1:9/v1/models/m"),
    ],
)
def test_the_model_is_a_part_of_the_address(base_url, model, expected):
    translator = bind(Target("gemini", model, base_url))
    assert translator.request(call()).url == f"{expected}:generateContent"
    assert translator.request(call(stream=True)).url == f"{expected}:streamGenerateContent?alt=sse"


def test_the_key_travels_in_the_header_and_prints_nowhere():
    request = bind(TARGET).request(EVERYTHING)
    assert request.headers["x-goog-api-key"] == "AIza-test"
    assert "AIza-test" not in request.url + repr(request) + repr(TARGET)


def test_a_whole_answer_is_one_delta_per_candidate_and_its_usage():
    body = golden("gemini/answer.json")
    types.GenerateContentResponse.model_validate_json(body)
    deltas = bind(TARGET).answer(call(n=2), body)
    assert (text(deltas), text(deltas, 1)) == ("This is a test.", "")
    assert reasoning(deltas) == "**Counting**\n\nThe user wants a test.\n"
    assert finish_reasons(deltas) == {0: "stop", 1: "length"}
    assert usage(deltas) == Usage(12, 26, cached_tokens=4, reasoning_tokens=21)
    assert logprobs(deltas)[1] == TokenLogprob(" is", -0.02, top=((" is", -0.02), ("'", -3.9)))
    assert deltas[-1].opening.model == "gemini-2.5-flash"


def test_a_blocked_prompt_is_an_empty_text_for_every_choice():
    body = golden("gemini/blocked.json")
    types.GenerateContentResponse.model_validate_json(body)
    deltas = bind(TARGET).answer(call(n=2), body)
    assert finish_reasons(deltas) == {0: "content_filter", 1: "content_filter"}
    assert text(deltas) == text(deltas, 1) == ""
    assert usage(deltas) == Usage(8, 0)
    streamed_deltas = decode(
        bind(TARGET).stream(call(stream=True, n=2)), [b"data: " + orjson.dumps(orjson.loads(body)) + b"\n\n"]
    )
    assert finish_reasons(streamed_deltas) == {0: "content_filter", 1: "content_filter"}


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


def test_every_finish_reason_of_the_sdk_is_in_the_table():
    assert {reason.value for reason in types.FinishReason} <= set(FINISH_REASONS)


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


def test_candidates_without_an_index_are_numbered_by_their_place():
    body = orjson.dumps({"candidates": [candidate("a", finish="STOP"), candidate("b", finish="STOP")]})
    deltas = bind(TARGET).answer(call(n=2), body)
    assert (text(deltas), text(deltas, 1)) == ("a", "b")


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


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"candidates": []}', b'{"promptFeedback": {"safetyRatings": []}}',
     b'{"candidates": [1]}', b'{"candidates": {}}', b'{"candidates": [{"index": 7}]}'],
)  # fmt: skip
def test_an_answer_in_another_language_is_an_invalid_response(body):
    with pytest.raises(UpstreamInvalidResponse):
        bind(TARGET).answer(call(), body)


@pytest.mark.parametrize("data", [b"<html>", b"[]", b"1", b'{"candidates": [1]}', b'{"candidates": [{"index": 7}]}'])
def test_a_chunk_in_another_language_is_an_invalid_response(data):
    with pytest.raises(UpstreamInvalidResponse):
        streamed(b"data: " + data + b"\n\n")


@pytest.mark.parametrize(
    ("status", "cls", "shown", "seen"),
    [
        (400, UpstreamRejected, 400, True),
        (403, UpstreamError, 502, False),
        (404, UpstreamRejected, 404, True),
        (429, UpstreamRateLimited, 429, False),
        (503, UpstreamError, 502, False),
    ],
)
@pytest.mark.parametrize("listed", [False, True])
def test_a_status_says_whose_fault_it_was(status, cls, shown, seen, listed):
    said = {"error": {"code": status, "message": "what they said", "status": "WHATEVER"}}
    error = bind(TARGET).error(status, {}, orjson.dumps([said] if listed else said))
    assert (type(error), error.status, "what they said" in error.message) == (cls, shown, seen)


def test_a_key_that_is_not_valid_is_the_operators_fault_though_google_says_400():
    error = bind(TARGET).error(400, {}, golden("gemini/bad_key.json"))
    assert (type(error), error.status) == (UpstreamError, 502)
    region = {"error": {"code": 400, "message": "User location is not supported.", "status": "FAILED_PRECONDITION"}}
    assert bind(TARGET).error(400, {}, orjson.dumps(region)).status == 502


def test_the_wait_in_a_quota_errors_body_becomes_retry_after():
    error = bind(TARGET).error(429, {}, golden("gemini/error.json"))
    assert error.headers == {"retry-after": "35"}
    assert bind(TARGET).error(429, {"retry-after": "7"}, golden("gemini/error.json")).headers == {"retry-after": "7"}


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"[1]", b'{"error": "x"}', b'{"error": {"details": 1}}',
     b'{"error": {"details": [1, {"retryDelay": "soon"}, {"retryDelay": "inf"}]}}'],
)  # fmt: skip
def test_an_error_body_of_any_shape_is_an_error(body):
    assert bind(TARGET).error(429, {}, body).headers == {}


def test_the_bounds_are_googles():
    assert (SUPPORT.max_stop, SUPPORT.max_top_logprobs) == (5, 20)
    assert SUPPORT.level("logit_bias") == SUPPORT.level("suffix") == "refused"


def test_a_retry_asks_for_the_same_again():
    translator = bind(TARGET)
    before = dataclasses.asdict(EVERYTHING)
    assert translator.request(EVERYTHING) == translator.request(EVERYTHING)
    assert dataclasses.asdict(EVERYTHING) == before


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
