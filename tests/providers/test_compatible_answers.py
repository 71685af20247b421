"""Rows over OpenAI's language: documented answers, streams and errors of each, through the row's own translator."""

from decimal import Decimal

import orjson
import pytest

from gateway.errors import UpstreamError, UpstreamRateLimited, UpstreamRejected
from gateway.providers.base import Target
from gateway.providers.compatible import ROWS
from gateway.providers.failures import message_in
from gateway.providers.openai_chat import response
from gateway.types import TokenLogprob, Usage
from tests.providers.kit import (
    call,
    finish_reasons,
    golden,
    logprobs,
    reasoning,
    same_at_every_cut,
    text,
    usage,
)

PROVIDERS = {provider.name: provider for provider in ROWS}


def bound(name):
    return PROVIDERS[name].bind(Target(name, "m", base_url="https://gateway.test/v1"))


ANSWERS = {
    "groq": ("Fast language models matter.", "The user asks why speed matters.", "stop",
             Usage(18, 556, reasoning_tokens=120)),
    "together_ai": ("What", "", "stop", Usage(31, 2)),
    "fireworks_ai": ("Paris.", "", "stop", Usage(10, 2, cached_tokens=4)),
    "mistral": ("The best French painter is Monet.", "Claude Monet painted it.", "length", Usage(16, 34)),
    "deepseek": ("Hello! How can I help you today?", "A greeting.", "stop",
                 Usage(16, 10, cached_tokens=8, reasoning_tokens=3)),
    "xai": ("101 multiplied by 3 is 303.", "", "stop", Usage(32, 103, cached_tokens=6, reasoning_tokens=94)),
    "perplexity": ("## Findings[1]", "", "stop", Usage(26, 832 + 95305, reasoning_tokens=95305,
                                                               cost=Decimal("0.4531"))),
    "openrouter": ("Bonjour", "In French.", "stop",
                   Usage(194, 2, cached_tokens=10, cache_write_tokens=100, reasoning_tokens=1, cost=Decimal("0.95"))),
    "cerebras": ("Hello! How can I assist you today?", "Greeting.", "stop", Usage(12, 10)),
    "sambanova": ("Four.", "", "stop", Usage(43, 350)),
    "deepinfra": (" Hello! It's nice to meet you.", "", "stop", Usage(15, 16, cost=Decimal("0.0000268"))),
    "moonshot": ("Hello, Li Lei! 1+1 equals 2.", "1+1=2.", "stop", Usage(19, 21, cached_tokens=10)),
    "dashscope": ("I am Qwen.", "", "stop", Usage(3019, 104, cached_tokens=2048)),
    "zai": ("", "This is not allowed.", "content_filter", Usage(11, 4, cached_tokens=2)),
    "minimax": ("Hi! I'm well.", "The user greets me.", "stop", Usage(26, 223, reasoning_tokens=214)),
    "github": ("The capital of France is Paris.", "", "stop", Usage(14, 8)),
    "huggingface": ("Deep", "", "length", Usage(40, 1)),
    "databricks": ("The sky is blue.", "Rayleigh scattering.", "stop", Usage(7, 74)),
    "cloudflare": ("Beep.", "", "stop", Usage(39, 3)),
    "ai21": ("Sure.", "", "stop", Usage(116, 3)),
    "llama_cpp": ("Hi!", "", "stop", Usage(31, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_a_documented_answer_is_understood(name):
    said, thought, reason, counted = ANSWERS[name]
    deltas = bound(name).answer(call(), golden(f"compatible/{name}.json"))
    assert text(deltas) == said
    assert reasoning(deltas) == thought
    assert finish_reasons(deltas) == {0: reason}
    assert usage(deltas) == counted


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("together_ai", TokenLogprob("What", -0.0001, top=(("What", -0.0001), ("Which", -9.25)))),
        ("fireworks_ai", TokenLogprob("Paris", -0.01, b"Paris", (("Paris", -0.01),))),
        ("huggingface", TokenLogprob("Deep", -0.35, top=(("Deep", -0.35), ("D", -1.4)))),
        ("llama_cpp", TokenLogprob("Hi", -0.3, b"Hi", (("Hi", -0.3),))),
    ],
)
def test_logprobs_are_read_in_every_documented_shape(name, first):
    deltas = bound(name).answer(call(logprobs=2), golden(f"compatible/{name}.json"))
    assert logprobs(deltas)[0] == first


def test_a_chunks_one_logprob_belongs_to_its_text():
    assert response.logprobs(-0.5, "What") == (TokenLogprob("What", -0.5),)
    assert response.logprobs(-0.5, "") is None
    assert response.logprobs(None, "What") is None


STREAMS = {
    "groq": ("Grüße", "", "stop", Usage(18, 2)),
    "together_ai": ("What", "", "stop", Usage(31, 2)),
    "mistral": ("Voilà", "hm", "length", Usage(16, 3)),
    "deepseek": ("Hello", "Greet.", "stop", Usage(17, 9, cached_tokens=16)),
    "perplexity": ("Yes.", "", "stop", Usage(8, 2, cost=Decimal("0.005"))),
    "openrouter": ("Hi", "The", "stop", Usage(194, 2, cost=Decimal("0.95"))),
    "hosted_vllm": ("é", "Hm.", "stop", Usage(9, 3)),
    "tgi": ("Deep", "", "stop", Usage(5, 2)),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_documented_stream_is_understood_at_every_cut(name):
    said, thought, reason, counted = STREAMS[name]
    deltas = same_at_every_cut(
        lambda: bound(name).stream(call(stream=True, logprobs=1)), golden(f"compatible/{name}.sse")
    )
    assert text(deltas) == said
    assert reasoning(deltas) == thought
    assert finish_reasons(deltas) == {0: reason}
    assert usage(deltas) == counted


def test_moonshot_counts_inside_a_choice_without_disturbing_its_text():
    deltas = same_at_every_cut(lambda: bound("moonshot").stream(call(stream=True)), golden("compatible/moonshot.sse"))
    assert text(deltas) == "Hello"
    assert finish_reasons(deltas) == {0: "stop"}


def test_a_stream_that_breaks_off_with_an_error_raises_it():
    decoder = bound("openrouter").stream(call(stream=True))
    with pytest.raises(UpstreamError, match="HTTP 500"):
        decoder.feed(golden("compatible/openrouter-midstream-error.sse"))


@pytest.mark.parametrize(
    ("name", "file", "expected"),
    [
        ("openrouter", "openrouter-error.json", UpstreamError),
        ("openrouter", "openrouter-choice-error.json", UpstreamRateLimited),
        ("minimax", "minimax-error.json", UpstreamRateLimited),
    ],
)
def test_an_error_under_a_200_is_an_error(name, file, expected):
    with pytest.raises(UpstreamError) as error:
        bound(name).answer(call(), golden(f"compatible/{file}"))
    assert type(error.value) is expected


ERRORS = [
    ("mistral", 422, {"detail": [{"loc": ["body", "temperature"], "msg": "Input should be less than 1.5", "type": "x",
                                  "input": "what the client sent"}]},
     "temperature: Input should be less than 1.5", "temperature"),
    ("mistral", 422, {"object": "error", "type": "invalid_request_error", "param": None, "code": None,
                      "message": {"detail": [{"type": "missing", "loc": ["body", "model"], "msg": "Field required"}]}},
     "model: Field required", "model"),
    ("deepinfra", 422, {"detail": [{"loc": ["body", "n"], "msg": "too large", "type": "value_error"}]},
     "n: too large", "n"),
    ("ai21", 422, {"detail": "Unprocessable"}, "Unprocessable", None),
    ("cloudflare", 400, {"result": None, "success": False, "messages": [],
                         "errors": [{"code": 5007, "message": "No such model @cf/x"}]}, "No such model @cf/x", None),
    ("watsonx", 404, {"errors": [{"code": "model_not_supported", "message": "Model 'x' is not supported"}],
                      "trace": "t", "status_code": 404}, "Model 'x' is not supported", None),
    ("databricks", 400, {"error_code": "BAD_REQUEST", "message": "Bad request: max_tokens"}, "Bad request: max_tokens",
     None),
    ("xai", 400, {"code": "Client specified an invalid argument", "error": "Argument not supported: logit_bias"},
     "Argument not supported: logit_bias", None),
    ("cerebras", 400, {"message": "unsupported", "type": "invalid_request_error", "param": "logit_bias",
                       "code": "wrong_api_format"}, "unsupported", "logit_bias"),
    ("huggingface", 422, {"error": "Input validation error", "error_type": "validation"}, "Input validation error",
     None),
    ("zai", 400, {"error": {"code": "1214", "message": "Incorrect role information"}}, "Incorrect role information",
     None),
    ("nvidia_nim", 400, {"type": "urn:x", "title": "Bad Request", "status": 400, "detail": "Extra inputs"},
     "Extra inputs", None),
    ("together_ai", 400, {"id": "o", "error": {"message": "Input too long", "type": "invalid_request_error",
                                               "param": "max_tokens", "code": None}}, "Input too long", "max_tokens"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "status", "body", "message", "param"), ERRORS)
def test_the_words_of_a_refusal_reach_the_client(name, status, body, message, param):
    error = bound(name).error(status, {}, orjson.dumps(body))
    assert type(error) is UpstreamRejected
    assert error.status == status
    assert message in error.message
    assert error.param == param
    assert "what the client sent" not in error.message


@pytest.mark.parametrize(
    "body", [b'{"detail": []}', b'{"detail": [1]}', b'{"errors": []}', b'{"detail": [{"msg": 1}]}']
)
def test_a_refusal_without_words_is_still_one(body):
    assert message_in(body) == (None, None)
