"""Azure OpenAI: OpenAI's languages at Azure's addresses, with Azure's credentials and content filter."""

import dataclasses

import orjson
import pytest
from openai.types import completion_create_params as text_params
from openai.types.chat import completion_create_params as chat_params
from pydantic import ConfigDict, TypeAdapter

from gateway.config.secret import Secret
from gateway.errors import ConfigError, UpstreamError, UpstreamRateLimited, UpstreamRejected
from gateway.providers.azure.language import AzureChat, AzureText
from gateway.providers.base import Target
from gateway.types import Usage
from tests.providers.kit import call, decode, finish_reasons, golden, same_at_every_cut, text, usage

ROOT = "https://my-resource.openai.azure.com"
KEY = Secret("az-test")
TARGET = Target("azure", "my-gpt", base_url=ROOT, api_key=KEY)
SAMPLING = {
    "max_tokens": 7, "n": 3, "logprobs": 2, "temperature": 0.5, "top_p": 0.9, "presence_penalty": -1,
    "frequency_penalty": 1.5, "seed": 11, "stop": ("\n",), "logit_bias": {"50256": -100}, "user": "u-1",
}  # fmt: skip


def at(base: str = ROOT, **options: object) -> Target:
    return dataclasses.replace(TARGET, base_url=base, options=options)


def sent(language, target, **fields):
    return orjson.loads(language(target).request(call(**fields)).body)


@pytest.mark.parametrize(
    ("language", "path"), [(AzureChat, "chat/completions"), (AzureText, "completions")], ids=["chat", "text"]
)
@pytest.mark.parametrize(
    ("target", "url"),
    [
        (at(), f"{ROOT}/openai/deployments/my-gpt/{{}}?api-version=2024-10-21"),
        (at(ROOT + "/"), f"{ROOT}/openai/deployments/my-gpt/{{}}?api-version=2024-10-21"),
        (at(ROOT + "/openai"), f"{ROOT}/openai/deployments/my-gpt/{{}}?api-version=2024-10-21"),
        (at(api_version="2024-06-01"), f"{ROOT}/openai/deployments/my-gpt/{{}}?api-version=2024-06-01"),
        (at(ROOT + "/openai/deployments/d"), f"{ROOT}/openai/deployments/d/{{}}?api-version=2024-10-21"),
        (at(ROOT + "/openai/v1"), f"{ROOT}/openai/v1/{{}}"),
        (at(ROOT + "/openai/v1", api_version="preview"), f"{ROOT}/openai/v1/{{}}?api-version=preview"),
        (
            dataclasses.replace(TARGET, model="a/b c"),
            f"{ROOT}/openai/deployments/a%2Fb%20c/{{}}?api-version=2024-10-21",
        ),
    ],
)
def test_the_deployment_is_in_the_path_or_the_model_in_the_body(language, path, target, url):
    request = language(target).request(call())
    assert request.url == url.format(path)
    assert orjson.loads(request.body)["model"] == target.model


@pytest.mark.parametrize("language", [AzureChat, AzureText])
def test_without_a_base_there_is_nobody_to_call(language):
    with pytest.raises(ConfigError, match="api_base"):
        language(Target("azure", "my-gpt"))


@pytest.mark.parametrize("language", [AzureChat, AzureText])
@pytest.mark.parametrize("token", ["entra-test", Secret("entra-test")])
def test_a_key_goes_into_its_own_header_and_a_token_goes_before_it(language, token):
    assert language(TARGET).request(call()).headers["api-key"] == "az-test"
    headers = language(at(azure_ad_token=token)).request(call()).headers
    assert headers["authorization"] == "Bearer entra-test"
    assert "api-key" not in headers


@pytest.mark.parametrize("target", [TARGET, at(ROOT + "/openai/v1")], ids=["dated", "v1"])
@pytest.mark.parametrize(
    ("stream", "params"),
    [
        (False, chat_params.CompletionCreateParamsNonStreaming),
        (True, chat_params.CompletionCreateParamsStreaming),
    ],
)
def test_a_chat_is_one_the_openai_sdk_could_have_sent(target, stream, params):
    params.__pydantic_config__ = ConfigDict(extra="forbid", strict=False)
    body = sent(AzureChat, target, stream=stream, **SAMPLING)
    TypeAdapter(params).validate_python(body)
    assert body["max_completion_tokens"] == 7
    assert ("stream_options" in body) == stream


@pytest.mark.parametrize(
    ("stream", "params"),
    [
        (False, text_params.CompletionCreateParamsNonStreaming),
        (True, text_params.CompletionCreateParamsStreaming),
    ],
)
def test_a_text_completion_is_one_the_openai_sdk_could_have_sent(stream, params):
    params.__pydantic_config__ = ConfigDict(extra="forbid", strict=False)
    TypeAdapter(params).validate_python(sent(AzureText, TARGET, stream=stream, suffix=" end", best_of=4, **SAMPLING))


def test_an_old_version_is_not_sent_what_it_does_not_know():
    body = sent(AzureChat, at(api_version="2024-06-01"), max_tokens=7, stream=True)
    assert body["max_tokens"] == 7
    assert not {"max_completion_tokens", "stream_options"} & set(body)


@pytest.mark.parametrize(("target", "asked"), [(TARGET, False), (at(ROOT + "/openai/v1"), True)])
def test_text_streams_ask_for_usage_only_where_it_is_defined(target, asked):
    assert ("stream_options" in sent(AzureText, target, stream=True)) == asked


def test_a_stream_opens_with_the_prompts_filter_results_and_ends_with_annotations():
    deltas = same_at_every_cut(lambda: AzureChat(TARGET).stream(call(stream=True)), golden("azure/stream.sse"))
    assert text(deltas) == "Color is"
    assert finish_reasons(deltas) == {0: "stop"}
    assert usage(deltas) == Usage(11, 2)
    assert [delta.opening.model for delta in deltas if delta.opening] == ["gpt-4o-2024-08-06"]


def test_a_text_stream_without_usage_is_complete():
    deltas = same_at_every_cut(lambda: AzureText(TARGET).stream(call(stream=True)), golden("azure/text_stream.sse"))
    assert text(deltas) == "The price fell."
    assert finish_reasons(deltas) == {0: "stop"}
    assert usage(deltas) is None


@pytest.mark.parametrize(
    ("language", "name", "expected", "counted"),
    [
        (AzureChat, "azure/answer.json", "Hello! How can I help you today?", Usage(19, 9)),
        (AzureText, "azure/text_answer.json", "The price for bubblegum decreased on thursday.", Usage(16, 9)),
    ],
)
def test_a_whole_answer_is_read_past_its_annotations(language, name, expected, counted):
    deltas = language(TARGET).answer(call(), golden(name))
    assert text(deltas) == expected
    assert finish_reasons(deltas) == {0: "stop"}
    assert usage(deltas) == counted


@pytest.mark.parametrize("language", [AzureChat, AzureText])
def test_a_prompt_the_filter_stops_is_a_rejection_with_azures_words_and_code(language):
    error = language(TARGET).error(400, {}, golden("azure/content_filter.json"))
    assert type(error) is UpstreamRejected
    assert (error.status, error.code, error.param) == (400, "content_filter", "prompt")
    assert "content management policy" in error.message
    assert not error.retryable


@pytest.mark.parametrize("body", [b"", b"[]", b'{"error": "x"}', b'{"error": {"code": "DeploymentNotFound"}}'])
def test_any_other_refusal_keeps_the_usual_code(body):
    assert AzureChat(TARGET).error(404, {}, body).code == "upstream_rejected"


def test_a_rate_limit_keeps_its_retry_after_and_a_bad_key_is_the_operators_affair():
    limited = AzureChat(TARGET).error(429, {"retry-after": "6"}, b'{"error": {"code": "429", "message": "slow"}}')
    assert isinstance(limited, UpstreamRateLimited)
    assert limited.headers == {"retry-after": "6"}
    denied = AzureChat(TARGET).error(401, {}, b'{"error": {"code": "401", "message": "Access denied az-test"}}')
    assert type(denied) is UpstreamError
    assert "az-test" not in denied.message


def test_an_answer_the_filter_stops_in_its_middle_says_so():
    last = {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "content_filter"}]}
    deltas = decode(AzureChat(TARGET).stream(call(stream=True)), [b"data: " + orjson.dumps(last) + b"\n\n"])
    assert finish_reasons(deltas) == {0: "content_filter"}
