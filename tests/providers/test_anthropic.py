"""Anthropic's Messages language, proven without calling it: the SDK's own types outwards, documented bytes inwards."""

import dataclasses

import orjson
import pytest
from anthropic.types import Message as SdkMessage
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from anthropic.types.message_param import MessageParam
from anthropic.types.metadata_param import MetadataParam
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ConfigDict, TypeAdapter
from typing_extensions import TypedDict

from gateway.config.secret import Secret
from gateway.errors import (
    UnsupportedParameter,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
)
from gateway.providers.anthropic.language import SUPPORT, AnthropicMessages
from gateway.providers.base import Level, Target
from gateway.types import Call, Message, Opening, Usage
from tests.providers.fuzz import dumps, objects, survives
from tests.providers.kit import call, finish_reasons, golden, reasoning, text, usage

TARGET = Target("anthropic", "claude-sonnet-4-5", api_key=Secret("sk-ant-test"))
EVERYTHING = Call(
    messages=(Message("system", "Continue."), Message("user", "Once upon"), Message("assistant", "a time")),
    prompt="Once upon", max_tokens=7, temperature=0.5, top_p=0.9, stop=("END", "\n\nHuman:"), user="u-1",
    safety_identifier="s-1", extra={"top_k": 5, "thinking": {"type": "enabled", "budget_tokens": 1024}},
)  # fmt: skip


def sent(the_call=EVERYTHING, target=TARGET):
    return orjson.loads(AnthropicMessages(target).request(the_call).body)


class Sampling(TypedDict, total=False):
    """What version 2023-06-01 takes and version 2026-10-21, whose types the SDK has from 2.0 on, does not."""

    temperature: float
    top_p: float
    top_k: int


class Whole(MessageCreateParamsNonStreaming, Sampling):
    pass


class Streamed(MessageCreateParamsStreaming, Sampling):
    pass


@pytest.mark.parametrize("params", [Whole, Streamed])
def test_a_request_is_one_the_anthropic_sdk_could_have_sent(params):
    strict = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    for shape in (params, MessageParam, MetadataParam):
        shape.__pydantic_config__ = strict
    body = sent(dataclasses.replace(EVERYTHING, stream=params is Streamed))
    valid = TypeAdapter(params).validate_python(body)
    assert [message["content"] for message in valid["messages"]] == ["Once upon", "a time"]
    assert ("stream" in body) == (params is Streamed)


def test_every_parameter_travels_under_anthropics_name():
    assert sent() == {
        "model": "claude-sonnet-4-5",
        "max_tokens": 7,
        "messages": [{"role": "user", "content": "Once upon"}, {"role": "assistant", "content": "a time"}],
        "system": "Continue.",
        "temperature": 0.5,
        "top_p": 0.9,
        "stop_sequences": ["END", "\n\nHuman:"],
        "metadata": {"user_id": "s-1"},
        "top_k": 5,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }


def test_only_what_the_client_gave_is_sent_and_the_limit_that_anthropic_requires():
    assert sent(call()) == {
        "model": "claude-sonnet-4-5",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": "Say this is a test"}],
    }


def test_system_messages_are_joined():
    messages = (Message("system", "a"), Message("system", "b"), Message("user", "c"))
    assert sent(Call(messages, "c"))["system"] == "a\n\nb"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"user": "u"}, "u"),
        ({"user": "u", "safety_identifier": "s"}, "s"),
        ({"metadata": {"user_id": "m", "other": 1}}, "m"),
        ({"metadata": {"user_id": 7}}, None),
    ],
)
def test_the_user_is_named_in_metadata(fields, expected):
    assert sent(call(**fields)).get("metadata", {}).get("user_id") == expected


@pytest.mark.parametrize("name", ["messages", "system", "max_tokens", "model", "stream", "tools", "mcp_servers"])
def test_an_extra_parameter_cannot_replace_what_the_gateway_has_checked(name):
    with pytest.raises(UnsupportedParameter) as caught:
        sent(call(extra={name: "x"}))
    assert caught.value.param == name


@pytest.mark.parametrize(
    "base", [None, "https://api.anthropic.com", "https://api.anthropic.com/v1"], ids=["own", "bare", "with /v1"]
)
def test_a_base_url_may_end_in_v1_or_not(base):
    request = AnthropicMessages(dataclasses.replace(TARGET, base_url=base)).request(EVERYTHING)
    assert (request.method, request.url) == ("POST", "https://api.anthropic.com/v1/messages")


def test_the_key_travels_in_its_header_and_prints_nowhere():
    target = dataclasses.replace(TARGET, extra_headers={"anthropic-beta": "context-1m-2025-08-07"})
    request = AnthropicMessages(target).request(EVERYTHING)
    assert request.headers == {
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
        "x-api-key": "sk-ant-test",
        "anthropic-beta": "context-1m-2025-08-07",
    }
    assert "sk-ant-test" not in repr(request) + repr(target)


def test_the_operator_may_set_another_version():
    target = dataclasses.replace(TARGET, extra_headers={"Anthropic-Version": "2026-10-21"})
    headers = AnthropicMessages(target).request(EVERYTHING).headers
    assert [value for name, value in headers.items() if name.lower() == "anthropic-version"] == ["2026-10-21"]


def test_the_table_refuses_what_the_messages_api_does_not_have():
    refused = {name for name, level in SUPPORT.levels.items() if level is Level.REFUSED}
    assert refused == {
        "best_of", "suffix", "logprobs", "presence_penalty", "frequency_penalty", "seed", "logit_bias",
    }  # fmt: skip
    assert SUPPORT.ranges["temperature"] == (0, 1)


def test_the_documented_answer_is_one_the_sdk_reads():
    SdkMessage.model_validate_json(golden("anthropic/answer.json"), strict=False)


def test_a_whole_answer_is_its_text_its_thought_and_its_usage():
    deltas = AnthropicMessages(TARGET).answer(EVERYTHING, golden("anthropic/answer.json"))
    assert text(deltas) == "Hi! My name is Claude."
    assert reasoning(deltas) == "The user greets me."
    assert finish_reasons(deltas) == {0: "stop"}
    assert deltas[-1].opening == Opening("msg_013Zva2CMHLNnXjNJJKqJ2EF", "claude-sonnet-4-5-20250929")


def test_input_tokens_count_cached_ones_and_cache_writes_too():
    deltas = AnthropicMessages(TARGET).answer(EVERYTHING, golden("anthropic/answer.json"))
    assert usage(deltas) == Usage(
        input_tokens=21 + 188 + 1000,
        output_tokens=393,
        cached_tokens=1000,
        cache_write_tokens=188,
        reasoning_tokens=40,
    )


def test_a_refusal_without_content_is_an_empty_text():
    body = orjson.dumps({"type": "message", "content": [], "stop_reason": "refusal"})
    deltas = AnthropicMessages(TARGET).answer(EVERYTHING, body)
    assert (text(deltas), finish_reasons(deltas), usage(deltas)) == ("", {0: "content_filter"}, None)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"[]", b"{}", b'{"content": null}', b'{"content": [1]}', b'{"content": [{"type": "text"}]}',
        b'{"content": [{"type": "text", "text": 1}]}',
    ],
)  # fmt: skip
def test_an_answer_in_another_language_is_an_invalid_response(body):
    with pytest.raises(UpstreamInvalidResponse):
        AnthropicMessages(TARGET).answer(EVERYTHING, body)


def test_an_error_object_with_status_200_is_an_error():
    with pytest.raises(UpstreamError) as caught:
        AnthropicMessages(TARGET).answer(EVERYTHING, golden("anthropic/error.json"))
    assert "529" in caught.value.message


@pytest.mark.parametrize(
    ("status", "cls", "shown", "seen"),
    [
        (400, UpstreamRejected, 400, True),
        (401, UpstreamError, 502, False),
        (402, UpstreamError, 502, False),
        (403, UpstreamError, 502, False),
        (404, UpstreamRejected, 404, True),
        (413, UpstreamRejected, 413, True),
        (429, UpstreamRateLimited, 429, False),
        (500, UpstreamError, 502, False),
        (504, UpstreamTimeout, 504, False),
        (529, UpstreamError, 502, False),
    ],
)
def test_a_status_says_whose_fault_it_was(status, cls, shown, seen):
    body = b'{"type": "error", "error": {"type": "x", "message": "what they said"}, "request_id": "req_1"}'
    error = AnthropicMessages(TARGET).error(status, {"retry-after": "7"}, body)
    assert (type(error), error.status, "what they said" in error.message) == (cls, shown, seen)
    assert (error.headers.get("retry-after") == "7") == (status == 429 or status in (500, 529))


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("`temperature` is deprecated for this model.", "temperature"),
        ("top_p: Input should be less than or equal to 1", "top_p"),
        ("stop_sequences: each stop sequence must contain non-whitespace", "stop"),
        ("max_tokens: 9999 > 8192, which is the maximum allowed number of output tokens", "max_tokens"),
        ("messages: at least one message is required", None),
    ],
)
def test_a_refusal_that_names_a_parameter_names_the_clients(message, param):
    body = dumps({"type": "error", "error": {"type": "invalid_request_error", "message": message}})
    error = AnthropicMessages(TARGET).error(400, {}, body)
    assert (error.param, message in error.message) == (param, True)


WORDS = [
    "message",
    "content_block",
    "content",
    "delta",
    "type",
    "text",
    "usage",
    "input_tokens",
    "stop_reason",
    "error",
]


@given(st.binary() | objects(WORDS).map(dumps))
@settings(max_examples=100, deadline=None, database=None)
def test_no_bytes_break_a_whole_answer_in_an_unforeseen_way(body):
    survives(lambda: AnthropicMessages(TARGET).answer(EVERYTHING, body))
    assert isinstance(AnthropicMessages(TARGET).error(500, {}, body), UpstreamError)
