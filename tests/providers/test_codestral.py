"""Mistral's fill-in-the-middle language: a text with a gap goes in, a chat's shape comes out."""

import orjson
import pytest

from gateway.config.secret import Secret
from gateway.errors import (
    UpstreamConnectionError,
    UpstreamInvalidResponse,
    UpstreamRateLimited,
    UpstreamRejected,
)
from gateway.providers.base import Level, Target
from gateway.providers.codestral.language import SUPPORT, Codestral
from gateway.providers.parameters import Shape
from gateway.providers.translation import translate
from gateway.types import CompletionRequest, Usage
from tests.providers.kit import call, decode, finish_reasons, golden, same_at_every_cut, text, usage

TARGET = Target("text-completion-codestral", "codestral-latest", api_key=Secret("cs-test"))


def sent(**fields):
    return orjson.loads(Codestral(TARGET).request(call("def is_odd(n):", **fields)).body)


def test_a_request_has_mistrals_names():
    assert sent(
        suffix="    return odd", max_tokens=10, temperature=0.5, top_p=0.9, seed=11, stop=("\n\n",), stream=True,
        metadata={"k": "v"}, extra={"min_tokens": 2, "prompt": "other"},
    ) == {
        "model": "codestral-latest",
        "prompt": "def is_odd(n):",
        "suffix": "    return odd",
        "max_tokens": 10,
        "temperature": 0.5,
        "top_p": 0.9,
        "random_seed": 11,
        "stop": ["\n\n"],
        "stream": True,
        "metadata": {"k": "v"},
        "min_tokens": 2,
    }  # fmt: skip


def test_only_what_the_client_gave_is_sent():
    assert sent(max_tokens=16) == {"model": "codestral-latest", "prompt": "def is_odd(n):", "max_tokens": 16}


@pytest.mark.parametrize(
    ("base", "url"),
    [
        (None, "https://codestral.mistral.ai/v1/fim/completions"),
        ("https://api.mistral.ai/v1", "https://api.mistral.ai/v1/fim/completions"),
        ("https://api.mistral.ai/v1/fim/completions", "https://api.mistral.ai/v1/fim/completions"),
    ],
)
def test_the_base_may_name_the_endpoint_itself(base, url):
    request = Codestral(Target("text-completion-codestral", "m", base_url=base, api_key=Secret("k"))).request(call())
    assert request.url == url
    assert request.headers["authorization"] == "Bearer k"


def test_a_whole_answer_is_one_delta_and_its_usage():
    deltas = Codestral(TARGET).answer(call(), golden("codestral/answer.json"))
    assert text(deltas) == "\n    return n % 2 == 1\n"
    assert finish_reasons(deltas) == {0: "length"}
    assert usage(deltas) == Usage(8, 91)


def test_a_stream_gives_the_same_at_every_cut():
    deltas = same_at_every_cut(lambda: Codestral(TARGET).stream(call(stream=True)), golden("codestral/stream.sse"))
    assert text(deltas) == "return n % 2 # ≠ 0"
    assert finish_reasons(deltas) == {0: "stop"}
    assert usage(deltas) == Usage(8, 9)


def test_a_stream_cut_before_its_end_is_an_error():
    body = golden("codestral/stream.sse")
    with pytest.raises(UpstreamConnectionError):
        decode(Codestral(TARGET).stream(call(stream=True)), [body[: body.index(b'"stop"')]])


def test_an_error_inside_a_stream_is_raised():
    with pytest.raises(UpstreamRateLimited):
        decode(Codestral(TARGET).stream(call(stream=True)), [b'data: {"error": {"message": "slow", "code": 429}}\n\n'])


def test_mistrals_refusals_reach_the_client():
    error = Codestral(TARGET).error(400, {}, b'{"object":"error","message":"Invalid model: x","code":"1500"}')
    assert isinstance(error, UpstreamRejected)
    assert "Invalid model: x" in error.message


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"choices": [{"text": "a"}]}'])
def test_an_answer_in_another_language_is_an_invalid_response(body):
    with pytest.raises(UpstreamInvalidResponse):
        Codestral(TARGET).answer(call(), body)


def test_a_request_is_translated_by_the_table():
    request = CompletionRequest("m", ("a",), suffix="b", n=2, seed=1, temperature=2, echo=True, extra={"min_tokens": 1})
    translation = translate(request, Shape("text-completion-codestral", SUPPORT))
    calls = [placed.call for placed in translation.calls]
    assert [(c.suffix, c.n, c.seed, c.temperature, c.echo) for c in calls] == [
        ("b", 1, 1, 1.5, False),
        ("b", 1, 2, 1.5, False),
    ]
    assert translation.echo == ("a",)
    assert SUPPORT.level("best_of") is Level.REFUSED
    assert SUPPORT.level("logprobs") is Level.REFUSED
