"""Bedrock's Converse language, proven without calling it: botocore's own model, client and parsers are the judges."""

import dataclasses

import orjson
import pytest
from botocore.session import Session
from botocore.validate import ParamValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.secret import Secret
from gateway.errors import (
    ConfigError,
    UnsupportedParameter,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
)
from gateway.providers.base import Level, Target
from gateway.providers.bedrock.language import SUPPORT, BedrockConverse
from gateway.types import Call, Message, Usage
from tests.providers.fuzz import dumps, objects, survives
from tests.providers.kit import call, finish_reasons, golden, reasoning, text, usage

MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
TARGET = Target("bedrock", MODEL, api_key=Secret("bedrock-key"), options={"aws_region_name": "us-east-1"})
EVERYTHING = Call(
    messages=(Message("system", "Continue."), Message("user", "Once upon"), Message("assistant", "a time")),
    prompt="Once upon", max_tokens=7, temperature=0.5, top_p=0.9, stop=("END", "\n"), user="u-1",
    extra={"top_k": 5, "guardrailConfig": {"guardrailIdentifier": "abc", "guardrailVersion": "1"}},
)  # fmt: skip
SERVICE = Session().get_service_model("bedrock-runtime")


def sent(the_call=EVERYTHING, target=TARGET):
    return orjson.loads(BedrockConverse(target).request(the_call).body)


def url(target=TARGET, **fields):
    return BedrockConverse(dataclasses.replace(target, **fields)).request(call()).url


@pytest.mark.parametrize("operation", ["Converse", "ConverseStream"])
def test_a_request_is_one_botocore_could_have_sent(operation):
    shape = SERVICE.operation_model(operation).input_shape
    body = sent(dataclasses.replace(EVERYTHING, stream=operation == "ConverseStream"))
    assert set(body) <= set(shape.members)
    report = ParamValidator().validate({**body, "modelId": MODEL}, shape)
    assert not report.has_errors(), report.generate_report()


def test_every_parameter_travels_under_converses_name():
    assert sent() == {
        "system": [{"text": "Continue."}],
        "messages": [
            {"role": "user", "content": [{"text": "Once upon"}]},
            {"role": "assistant", "content": [{"text": "a time"}]},
        ],
        "inferenceConfig": {"maxTokens": 7, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END", "\n"]},
        "additionalModelRequestFields": {"top_k": 5},
        "guardrailConfig": {"guardrailIdentifier": "abc", "guardrailVersion": "1"},
    }


def test_only_what_the_client_gave_is_sent():
    assert sent(call()) == {"messages": [{"role": "user", "content": [{"text": "Say this is a test"}]}]}


@pytest.mark.parametrize("name", ["messages", "system", "inferenceConfig", "toolConfig", "promptVariables", "tools"])
def test_an_extra_parameter_cannot_replace_what_the_gateway_has_checked(name):
    with pytest.raises(UnsupportedParameter) as caught:
        sent(call(extra={name: "x"}))
    assert caught.value.param == name


def test_the_table_refuses_what_converse_does_not_have():
    refused = {name for name, level in SUPPORT.levels.items() if level is Level.REFUSED}
    assert refused == {
        "best_of", "suffix", "logprobs", "presence_penalty", "frequency_penalty", "seed", "logit_bias",
    }  # fmt: skip
    limits = SERVICE.shape_for("InferenceConfiguration").members["temperature"].metadata
    assert SUPPORT.ranges["temperature"] == (limits["min"], limits["max"])


ARN = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-sonnet-4-5-20250929-v1:0"


@pytest.mark.parametrize(
    ("model", "options", "expected"),
    [
        (MODEL, {"aws_region_name": "us-east-1"}, f"us-east-1.amazonaws.com/model/{MODEL.replace(':', '%3A')}"),
        (f"converse/{MODEL}", {"aws_region_name": "us-west-2"}, "us-west-2.amazonaws.com/model/anthropic.claude-3-"),
        ("eu-central-1/amazon.nova-lite-v1:0", {}, "eu-central-1.amazonaws.com/model/amazon.nova-lite-v1%3A0/converse"),
        ("converse/us-gov-west-1/m", {}, "us-gov-west-1.amazonaws.com/model/m/converse"),
        (
            ARN,
            {},
            "eu-west-1.amazonaws.com/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Ainference-profile%2F",
        ),
        (ARN, {"aws_region_name": "eu-west-3"}, "eu-west-3.amazonaws.com/model/arn%3Aaws"),
    ],
)
def test_a_model_is_called_in_its_region(model, options, expected):
    assert url(model=model, options=options).startswith(f"https://bedrock-runtime.{expected}")


def test_a_stream_has_its_own_operation():
    assert BedrockConverse(TARGET).request(call(stream=True)).url == url() + "-stream"


@pytest.mark.parametrize(
    "fields",
    [
        {"base_url": "https://vpce-1.example", "options": {}},
        {"options": {"aws_bedrock_runtime_endpoint": "https://vpce-1.example/"}},
    ],
)
def test_an_endpoint_of_the_operators_own_needs_no_region(fields):
    assert url(**fields).startswith("https://vpce-1.example/model/anthropic.")


def test_a_model_without_a_region_is_a_configuration_error():
    with pytest.raises(ConfigError, match="aws_region_name"):
        url(options={})


def test_an_api_key_travels_as_a_bearer_token_and_prints_nowhere():
    request = BedrockConverse(TARGET).request(EVERYTHING)
    assert request.headers == {"content-type": "application/json", "authorization": "Bearer bedrock-key"}
    assert "bedrock-key" not in repr(request) + repr(TARGET)


def test_a_whole_answer_is_its_text_its_thought_and_its_usage():
    deltas = BedrockConverse(TARGET).answer(EVERYTHING, golden("bedrock/answer.json"))
    assert text(deltas) == "Hi there! How can I help you today?"
    assert reasoning(deltas) == "A greeting."
    assert finish_reasons(deltas) == {0: "stop"}
    assert usage(deltas) == Usage(30 + 90 + 10, 628, cached_tokens=90, cache_write_tokens=10)


def test_text_with_its_sources_is_text():
    block = {"citationsContent": {"content": [{"text": "a"}, {"text": "b"}], "citations": []}}
    body = dumps({"output": {"message": {"content": [block]}}, "stopReason": "end_turn"})
    assert text(BedrockConverse(TARGET).answer(EVERYTHING, body)) == "ab"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"[]", b"{}", b'{"output": {}}', b'{"output": {"message": {}}}',
        b'{"output": {"message": {"content": [1]}}}', b'{"output": {"message": {"content": [{"text": 1}]}}}',
    ],
)  # fmt: skip
def test_an_answer_in_another_language_is_an_invalid_response(body):
    with pytest.raises(UpstreamInvalidResponse):
        BedrockConverse(TARGET).answer(EVERYTHING, body)


EXCEPTIONS = [
    ("ValidationException", 400, UpstreamRejected, True),
    ("ResourceNotFoundException", 404, UpstreamRejected, True),
    ("AccessDeniedException", 403, UpstreamError, False),
    ("ExpiredTokenException", 403, UpstreamError, False),
    ("IncompleteSignatureException", 400, UpstreamError, False),
    ("ThrottlingException", 429, UpstreamRateLimited, False),
    ("ModelNotReadyException", 429, UpstreamRateLimited, False),
    ("ServiceQuotaExceededException", 400, UpstreamRateLimited, False),
    ("ModelTimeoutException", 408, UpstreamTimeout, False),
    ("ModelErrorException", 424, UpstreamError, False),
    ("ModelStreamErrorException", 424, UpstreamError, False),
    ("InternalServerException", 500, UpstreamError, False),
    ("ServiceUnavailableException", 503, UpstreamError, False),
    ("AnErrorOfTomorrow", 500, UpstreamError, False),
]


@pytest.mark.parametrize(("name", "status", "cls", "seen"), EXCEPTIONS)
@pytest.mark.parametrize("form", ["{}", "{}:http://internal.amazon.com/coral/com.amazon.bedrock/", "com.amazon#{}"])
def test_the_name_of_an_error_says_more_than_its_status(name, status, cls, seen, form):
    headers = {"x-amzn-errortype": form.format(name), "retry-after": "7"}
    error = BedrockConverse(TARGET).error(status, headers, b'{"message": "what they said"}')
    assert (type(error), "what they said" in error.message) == (cls, seen)
    assert error.headers.get("retry-after") == "7" or cls is not UpstreamRateLimited


@pytest.mark.parametrize(
    ("status", "cls"), [(400, UpstreamRejected), (403, UpstreamError), (408, UpstreamTimeout), (500, UpstreamError)]
)
def test_an_error_without_a_name_counts_by_its_status(status, cls):
    assert type(BedrockConverse(TARGET).error(status, {}, b"")) is cls


WORDS = ["delta", "text", "reasoningContent", "usage", "inputTokens", "stopReason", "output", "message", "content"]


@given(st.binary() | objects(WORDS).map(dumps))
@settings(max_examples=100, deadline=None, database=None)
def test_no_bytes_break_a_whole_answer_in_an_unforeseen_way(body):
    survives(lambda: BedrockConverse(TARGET).answer(EVERYTHING, body))
    assert isinstance(BedrockConverse(TARGET).error(500, {}, body), UpstreamError)
