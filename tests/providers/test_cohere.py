"""Cohere's v2 chat language, proven without calling it: the SDK's own types outwards, documented bytes inwards."""

import contextlib
import dataclasses
import inspect
import typing

import orjson
import pytest
from cohere.v2.client import V2Client
from cohere.v2.types.v2chat_response import V2ChatResponse
from cohere.v2.types.v2chat_stream_response import V2ChatStreamResponse
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ConfigDict, TypeAdapter, create_model

from gateway.config.secret import Secret
from gateway.errors import (
    UnsupportedParameter,
    UpstreamConnectionError,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
)
from gateway.providers.base import Target
from gateway.providers.cohere.language import SUPPORT, Cohere
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

TARGET = Target("cohere", "command-a-03-2025", api_key=Secret("co-test"))
EVERYTHING = Call(
    messages=(Message("system", "Continue."), Message("user", "Say this"), Message("assistant", "is")), prompt="Say",
    max_tokens=7, logprobs=0, temperature=0.5, top_p=0.9, presence_penalty=0.25, frequency_penalty=0.5, seed=11,
    stop=("\n", "END"), extra={"top_k": 40, "safety_mode": "STRICT", "thinking": {"type": "disabled"}},
)  # fmt: skip


def sent(the_call=EVERYTHING, target=TARGET):
    return orjson.loads(Cohere(target).request(the_call).body)


def sdk_parameters(method):
    """The parameters of an SDK method as a model that takes no other."""
    hints = typing.get_type_hints(method)
    names = [name for name in inspect.signature(method).parameters if name not in ("self", "request_options")]
    required = ("model", "messages")
    fields = {name: (hints[name], ... if name in required else None) for name in names}
    return create_model("Parameters", __config__=ConfigDict(extra="forbid"), **fields)


@pytest.mark.parametrize(("stream", "method"), [(False, V2Client.chat), (True, V2Client.chat_stream)])
def test_a_request_is_one_the_cohere_sdk_could_have_sent(stream, method):
    body = sent(dataclasses.replace(EVERYTHING, stream=stream))
    assert body.pop("stream", False) is stream  # the SDK's two methods differ in this
    params = sdk_parameters(method).model_validate(body)
    assert [message.role for message in params.messages] == ["system", "user", "assistant"]
    assert (params.p, params.k, params.logprobs, params.max_tokens) == (0.9, 40, True, 7)
    assert params.stop_sequences == ["\n", "END"]


def test_only_what_the_client_gave_is_sent():
    assert sent(call(max_tokens=16)) == {
        "model": "command-a-03-2025",
        "messages": [{"role": "user", "content": "Say this is a test"}],
        "max_tokens": 16,
    }


@pytest.mark.parametrize("name", ["messages", "stop_sequences", "p"])
def test_a_client_cannot_put_its_own_words_where_the_gateway_writes(name):
    with pytest.raises(UnsupportedParameter) as raised:
        sent(call(extra={name: []}))
    assert raised.value.param == name


@pytest.mark.parametrize(
    "base_url", [None, "https://api.cohere.com", "https://api.cohere.com/v2", "https://api.cohere.com/v2/chat"]
)
def test_a_base_with_or_without_version_and_path_is_the_same_address(base_url):
    assert Cohere(Target("cohere", "m", base_url)).request(call()).url == "https://api.cohere.com/v2/chat"


def test_the_key_travels_in_the_header_and_prints_nowhere():
    request = Cohere(TARGET).request(EVERYTHING)
    assert request.headers["authorization"] == "Bearer co-test"
    assert "co-test" not in request.url + repr(request) + repr(TARGET)


def test_a_whole_answer_is_one_delta_and_its_usage():
    body = golden("cohere/answer.json")
    TypeAdapter(V2ChatResponse).validate_json(body)
    deltas = Cohere(TARGET).answer(call(), body)
    assert (text(deltas), reasoning(deltas)) == ("This is a test", "They want a test.")
    assert finish_reasons(deltas) == {0: "length"}
    assert usage(deltas) == Usage(71, 418, cached_tokens=64, billed=(5, 418))
    assert deltas[-1].opening.id == "c14c80c3-18eb-4519-9460-6c92edd8cfb4"


def test_logprobs_are_those_of_the_shown_text_a_piece_at_a_time():
    tokens = logprobs(Cohere(TARGET).answer(call(logprobs=0), golden("cohere/answer.json")))
    assert tokens == (TokenLogprob("This", -0.25), TokenLogprob(" is", -0.5), TokenLogprob(" a test", -0.625))


def events(body: bytes) -> list[dict[str, object]]:
    lines = [line.removeprefix(b"data: ") for line in body.splitlines() if line.startswith(b"data: {")]
    return [orjson.loads(line) for line in lines]


def test_a_stream_gives_the_same_at_every_cut():
    body = golden("cohere/stream.sse")
    for event in events(body):
        assert TypeAdapter(V2ChatStreamResponse).validate_python(event).type == event["type"]
    deltas = same_at_every_cut(lambda: Cohere(TARGET).stream(call(stream=True)), body)
    assert (text(deltas), reasoning(deltas)) == ("Grüße!", "A greeting.")
    assert finish_reasons(deltas) == {0: "stop"}
    assert usage(deltas) == Usage(69, 9, cached_tokens=64, billed=(3, 6))
    assert logprobs(deltas) == (TokenLogprob("Grü", -0.75), TokenLogprob("ße!", -0.125))
    assert deltas[0].opening.id == "29f14a5a-11de-4cae-9800-25e4747408ea"


def test_a_tool_call_has_no_text_and_its_plan_is_a_thought():
    deltas = same_at_every_cut(lambda: Cohere(TARGET).stream(call(stream=True)), golden("cohere/tool_stream.sse"))
    assert (text(deltas), reasoning(deltas)) == ("", "I will look it up.")
    assert finish_reasons(deltas) == {0: "stop"}
    whole = {"id": "x", "finish_reason": "TOOL_CALL", "message": {"role": "assistant", "tool_plan": "I will look."}}
    deltas = Cohere(TARGET).answer(call(), orjson.dumps(whole))
    assert (text(deltas), reasoning(deltas), finish_reasons(deltas)) == ("", "I will look.", {0: "stop"})


def event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\n".encode() + b"data: " + orjson.dumps({"type": kind, **fields}) + b"\n\n"


def said(text: str) -> bytes:
    return event("content-delta", index=0, delta={"message": {"content": {"text": text}}})


def end(reason: str = "COMPLETE", **fields: object) -> bytes:
    return event("message-end", delta={"finish_reason": reason, **fields})


def streamed(*pieces: bytes):
    return decode(Cohere(TARGET).stream(call(stream=True)), pieces)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("COMPLETE", "stop"), ("STOP_SEQUENCE", "stop"), ("MAX_TOKENS", "length"), ("TOOL_CALL", "stop"), ("NEW", "stop")],
)
def test_a_finish_reason_is_one_of_a_text_completion(reason, finish):
    assert finish_reasons(streamed(said("a"), end(reason))) == {0: finish}


def test_what_is_billed_counts_where_nothing_better_is_given():
    deltas = streamed(said("a"), end(usage={"billed_units": {"input_tokens": 5, "output_tokens": 2}}))
    assert usage(deltas) == Usage(5, 2)
    assert usage(streamed(said("a"), end())) is None


def test_what_follows_the_end_is_not_read():
    deltas = streamed(said("a"), end(), said("b"), end("MAX_TOKENS"), b"data: nonsense\n\n")
    assert (text(deltas), finish_reasons(deltas)) == ("a", {0: "stop"})


def test_a_debug_event_and_one_that_is_not_known_yet_vanish():
    assert (
        text(streamed(event("debug", prompt="<|START|>"), event("new-kind", delta={"x": 1}), said("a"), end())) == "a"
    )


@pytest.mark.parametrize("pieces", [[], [said("a")], [said("a"), event("content-end", index=0)], [b"data: [DONE]\n\n"]])
def test_a_stream_cut_before_its_end_is_an_error(pieces):
    with pytest.raises(UpstreamConnectionError):
        streamed(*pieces)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (end("ERROR", error="internal server error"), UpstreamError),
        (end("COMPLETE", error="internal server error"), UpstreamError),
        (end("TIMEOUT"), UpstreamTimeout),
        (b'data: {"id": "x", "message": "internal server error"}\n\n', UpstreamError),
        (b"data: {}\n\n", UpstreamError),
        (b"data: nonsense\n\n", UpstreamInvalidResponse),
        (b"data: []\n\n", UpstreamInvalidResponse),
    ],
)
def test_an_error_inside_a_stream_is_raised(last, expected):
    with pytest.raises(UpstreamError) as raised:
        streamed(said("a"), last)
    assert type(raised.value) is expected


@pytest.mark.parametrize(("reason", "expected"), [("ERROR", UpstreamError), ("TIMEOUT", UpstreamTimeout)])
def test_a_whole_answer_that_failed_is_an_error(reason, expected):
    with pytest.raises(expected):
        Cohere(TARGET).answer(call(), orjson.dumps({"id": "x", "finish_reason": reason, "message": {"content": []}}))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"message": "text"}', b'{"message": null}'])
def test_an_answer_in_another_language_is_an_invalid_response(body):
    with pytest.raises(UpstreamInvalidResponse):
        Cohere(TARGET).answer(call(), body)


@pytest.mark.parametrize(
    ("status", "cls", "shown", "seen"),
    [
        (400, UpstreamRejected, 400, True),
        (401, UpstreamError, 502, False),
        (404, UpstreamRejected, 404, True),
        (422, UpstreamRejected, 422, True),
        (429, UpstreamRateLimited, 429, False),
        (498, UpstreamRejected, 422, True),
        (500, UpstreamError, 502, False),
        (503, UpstreamError, 502, False),
    ],
)
@pytest.mark.parametrize("body", [b'{"message": "what they said"}', b'{"id": "1", "message": "what they said"}'])
def test_a_status_says_whose_fault_it_was(status, cls, shown, seen, body):
    error = Cohere(TARGET).error(status, {}, body)
    assert (type(error), error.status, "what they said" in error.message) == (cls, shown, seen)


def test_the_bounds_are_coheres():
    assert (SUPPORT.max_stop, SUPPORT.max_top_logprobs) == (5, 0)
    assert SUPPORT.ranges["top_p"] == (0.01, 0.99)
    assert SUPPORT.level("n") == "emulated"
    assert SUPPORT.level("logit_bias") == SUPPORT.level("suffix") == "refused"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["message", "content", "text", "thinking", "type", "delta", "finish_reason", "usage", "tokens", "error",
             "input_tokens", "output_tokens", "logprobs", "token_ids", "tool_plan", "cached_tokens", "id"]
        ),
        inner | st.sampled_from(["message-start", "content-delta", "message-end", "text", "thinking"]),
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
        lambda: Cohere(TARGET).answer(call(), body),
        lambda: streamed(body[:cut], body[cut:]),
        lambda: streamed(event[:cut], event[cut:]),
    ):
        with contextlib.suppress(*MAPPED_BY_THE_CALLER):
            attempt()
    assert isinstance(Cohere(TARGET).error(400, {}, body), UpstreamError)
