"""Google's language, proven without calling it: the SDK's own models outwards, documented answers inwards."""

import dataclasses

import orjson
import pytest
from google.genai import types
from pydantic import TypeAdapter

from gateway.config.secret import Secret
from gateway.errors import (
    UnsupportedParameter,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamRateLimited,
    UpstreamRejected,
)
from gateway.providers.base import Target
from gateway.providers.gemini.language import SUPPORT, bind
from gateway.providers.gemini.response import FINISH_REASONS
from gateway.types import Call, Message, TokenLogprob, Usage
from tests.providers.kit import call, finish_reasons, golden, logprobs, reasoning, text, usage

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


def test_every_finish_reason_of_the_sdk_is_in_the_table():
    assert {reason.value for reason in types.FinishReason} <= set(FINISH_REASONS)


def test_candidates_without_an_index_are_numbered_by_their_place():
    said = [{"content": {"parts": [{"text": text}]}, "finishReason": "STOP"} for text in "ab"]
    body = orjson.dumps({"candidates": said})
    deltas = bind(TARGET).answer(call(n=2), body)
    assert (text(deltas), text(deltas, 1)) == ("a", "b")


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"candidates": []}', b'{"promptFeedback": {"safetyRatings": []}}',
     b'{"candidates": [1]}', b'{"candidates": {}}', b'{"candidates": [{"index": 7}]}'],
)  # fmt: skip
def test_an_answer_in_another_language_is_an_invalid_response(body):
    with pytest.raises(UpstreamInvalidResponse):
        bind(TARGET).answer(call(), body)


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
