"""OpenAI's text-completion language, proven against the SDK's own models and documented bytes."""

import contextlib
import dataclasses

import orjson
import pytest
from hypothesis import given
from openai.types.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from pydantic import ConfigDict, TypeAdapter

from gateway.config.secret import Secret
from gateway.errors import (
    UpstreamConnectionError,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamRateLimited,
    UpstreamRejected,
)
from gateway.providers.base import Level, Target
from gateway.providers.openai_text.language import DEEPSEEK, SUPPORT, OpenAIText, deepseek
from gateway.types import TokenLogprob, Usage
from tests.providers.fuzz import dumps, objects
from tests.providers.kit import (
    call,
    decode,
    finish_reasons,
    golden,
    logprobs,
    same_at_every_cut,
    text,
    usage,
)

TARGET = Target("text-completion-openai", "gpt-3.5-turbo-instruct", api_key=Secret("sk-test"))
LOCAL = Target("text-completion-openai", "smollm2", base_url="http://127.0.0.1:9/v1")
EVERYTHING = call(
    suffix=" the end.", max_tokens=7, n=3, best_of=5, echo=True, logprobs=2, temperature=0.5, top_p=0.9,
    presence_penalty=-1, frequency_penalty=1.5, seed=11, stop=("\n", "END"), logit_bias={"50256": -100}, user="u-1",
)  # fmt: skip


def sent(the_call=EVERYTHING, target=TARGET):
    return orjson.loads(OpenAIText(target).request(the_call).body)


def answered(body: bytes, **fields: object):
    return OpenAIText(TARGET).answer(call(**fields), body)


@pytest.mark.parametrize(
    ("stream", "params"),
    [(False, CompletionCreateParamsNonStreaming), (True, CompletionCreateParamsStreaming)],
)
def test_a_request_is_one_the_openai_sdk_could_have_sent(stream, params):
    params.__pydantic_config__ = ConfigDict(extra="forbid", strict=False)
    body = sent(dataclasses.replace(EVERYTHING, stream=stream))
    TypeAdapter(params).validate_python(body)
    assert {name: body[name] for name in ("prompt", "suffix", "max_tokens", "n", "best_of", "echo", "logprobs")} == {
        "prompt": "Say this is a test",
        "suffix": " the end.",
        "max_tokens": 7,
        "n": 3,
        "best_of": 5,
        "echo": True,
        "logprobs": 2,
    }
    assert (body.get("stream_options") == {"include_usage": True}) == stream


def test_only_what_the_client_gave_is_sent():
    assert sent(call(max_tokens=16)) == {
        "model": "gpt-3.5-turbo-instruct",
        "prompt": "Say this is a test",
        "max_tokens": 16,
    }


def test_token_ids_are_sent_as_token_ids():
    assert sent(dataclasses.replace(call(), prompt=(50256, 11)))["prompt"] == [50256, 11]


def test_extra_parameters_are_added_but_replace_nothing_of_the_gateways():
    body = sent(call(max_tokens=5, extra={"top_k": 4, "prompt": "other", "max_tokens": 9}))
    assert (body["top_k"], body["prompt"], body["max_tokens"]) == (4, "Say this is a test", 5)


@pytest.mark.parametrize(("target", "asked"), [(TARGET, 0), (LOCAL, 1)])
def test_a_foreign_server_is_asked_for_one_alternative_where_openai_is_asked_for_none(target, asked):
    assert sent(call(logprobs=0), target)["logprobs"] == asked


def test_the_key_travels_in_the_header_and_prints_nowhere():
    request = OpenAIText(TARGET).request(EVERYTHING)
    assert request.headers["authorization"] == "Bearer sk-test"
    assert request.url == "https://api.openai.com/v1/completions"
    assert "sk-test" not in repr(request) + repr(TARGET) + str(TARGET)


def test_a_whole_answer_is_one_delta_per_choice_and_its_usage():
    deltas = answered(golden("openai_text/answer.json"))
    assert text(deltas) == "\n\nThis is indeed a test"
    assert finish_reasons(deltas) == {0: "length"}
    assert usage(deltas) == Usage(5, 7)
    assert deltas[-1].opening.system_fingerprint == "fp_44709d6fcb"


def test_an_echoed_prompt_has_no_logprob_for_its_first_token_and_half_characters_keep_their_bytes():
    tokens = logprobs(answered(golden("openai_text/echo_logprobs.json"), echo=True, logprobs=2))
    assert tokens[0] == TokenLogprob("I", None)
    assert tokens[1] == TokenLogprob(" pay", -9.2, None, ((" am", -1.1), (" pay", -9.2)))
    assert [token.raw for token in tokens[4:]] == [b"\xe2\x82", b"\xac"]
    assert tokens[4].token == r"bytes:\xe2\x82"


@pytest.mark.parametrize(
    ("token", "raw"),
    [
        (r"bytes:\xf0\x9f", b"\xf0\x9f"),
        (r"bytes: \xe2", b" \xe2"),
        ("bytes:", None),
        ("bytes: of", None),
        (r"\xe2", None),
        ("€", None),
    ],
)
def test_only_what_openai_writes_as_bytes_is_read_as_bytes(token, raw):
    choice = {"text": "", "index": 0, "logprobs": {"tokens": [token], "token_logprobs": [-1.0]}, "finish_reason": None}
    (found,) = logprobs(answered(orjson.dumps({"choices": [choice]}), logprobs=1))
    assert (found.token, found.raw) == (token, raw)


def test_a_stream_gives_the_same_at_every_cut():
    asked = call(stream=True, logprobs=2)
    deltas = same_at_every_cut(lambda: OpenAIText(TARGET).stream(asked), golden("openai_text/stream.sse"))
    assert text(deltas) == "This is ö"
    assert finish_reasons(deltas) == {0: "stop"}
    assert usage(deltas) == Usage(5, 3)
    assert [token.token for token in logprobs(deltas)] == ["This", " is", " ö"]


# --- odd servers ---


def chunk(**fields: object) -> bytes:
    return b"data: " + orjson.dumps({"id": "c", "choices": [], **fields}) + b"\n\n"


def choice(content: str | None = "", finish: str | None = None, index: int = 0, **more: object) -> dict[str, object]:
    return {"index": index, "text": content, "logprobs": None, "finish_reason": finish, **more}


def streamed(*chunks: bytes, n: int = 1):
    return decode(OpenAIText(LOCAL).stream(call(stream=True, n=n)), chunks)


def test_empty_chunks_vanish_and_an_empty_finish_reason_is_none():
    deltas = streamed(
        chunk(choices=[choice("", "")]),
        chunk(choices=[choice("a", "")]),
        chunk(choices=[choice(None, None)]),
        chunk(choices=[choice("", "stop")]),
    )
    assert [(delta.text, delta.finish_reason) for delta in deltas if not delta.opening] == [("a", None), ("", "stop")]


def test_usage_in_every_chunk_counts_once_and_the_last_one_wins():
    deltas = streamed(
        chunk(choices=[choice("a", "stop")], usage={"prompt_tokens": 1, "completion_tokens": 1}),
        chunk(choices=[choice("b", "stop", 1)], usage={"prompt_tokens": 1, "completion_tokens": 1}),
        chunk(usage={"prompt_tokens": 1, "completion_tokens": 2}),
        n=2,
    )
    assert usage(deltas) == Usage(1, 2)


def test_vllm_leaves_out_alternatives_and_sends_null_for_them():
    shaped = {"tokens": ["a", "b"], "token_logprobs": [None, -0.5], "top_logprobs": [None, {"b": -0.5}]}
    deltas = streamed(chunk(choices=[choice("ab", "stop", logprobs=shaped)]))
    assert logprobs(deltas) == (TokenLogprob("a", None), TokenLogprob("b", -0.5, None, (("b", -0.5),)))
    bare = streamed(chunk(choices=[choice("a", "stop", logprobs={"tokens": ["a"], "top_logprobs": None})]))
    assert logprobs(bare) == (TokenLogprob("a", None),)


def test_a_chunk_with_one_token_may_bring_its_logprob_as_a_bare_number():
    assert logprobs(streamed(chunk(choices=[choice(" a", "stop", logprobs=-0.5)]))) == (TokenLogprob(" a", -0.5),)


@pytest.mark.parametrize("chunks", [[], [chunk(choices=[choice("a")])], [b"data: [DONE]\n\n"]])
def test_a_stream_cut_before_its_end_is_an_error(chunks):
    with pytest.raises(UpstreamConnectionError):
        streamed(*chunks)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"error": {"message": "overloaded", "type": "server_error", "code": None}}, UpstreamError),
        ({"error": {"message": "slow down", "code": 429}}, UpstreamRateLimited),
        ({"error": {"message": "filtered", "code": "content_filter", "status": 400}}, UpstreamRejected),
        ({"object": "error", "message": "too long", "type": "BadRequestError", "code": 400}, UpstreamRejected),
        ({"error": "plain words"}, UpstreamError),
    ],
)
def test_an_error_inside_a_stream_is_raised(event, expected):
    with pytest.raises(expected) as caught:
        streamed(chunk(choices=[choice("a")]), b"data: " + orjson.dumps(event) + b"\n\n")
    assert type(caught.value) is expected


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"choices": []}', b'{"choices": [1]}', b'{"choices": [{"text": 1}]}',
     b'{"choices": [{"text": "", "logprobs": {"tokens": ["a"], "token_logprobs": [-1.0, -2.0]}}]}'],
)  # fmt: skip
def test_an_answer_in_another_language_is_an_invalid_response(body):
    with pytest.raises(UpstreamInvalidResponse):
        answered(body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"error": {"message": "over capacity"}}', UpstreamError),
        (b'{"error": {"message": "slow down", "code": 429}, "choices": []}', UpstreamRateLimited),
        (b'{"error": "over capacity"}', UpstreamError),
    ],
)
def test_an_error_under_a_200_is_raised(body, expected):
    with pytest.raises(UpstreamError) as raised:
        answered(body)
    assert type(raised.value) is expected


WORDS = [
    "choices", "text", "index", "logprobs", "tokens", "token_logprobs", "top_logprobs", "content", "token", "bytes",
    "logprob", "finish_reason", "usage", "error", "timings", "x_groq", "code", "message", "object", "prompt_tokens",
]  # fmt: skip


@given(value=objects(WORDS))
def test_whatever_a_server_sends_is_read_or_is_its_fault(value):
    for body in (dumps(value), dumps({"choices": [value], "id": "c"})):
        for read in (
            lambda body=body: OpenAIText(LOCAL).answer(call(n=2), body),
            lambda body=body: decode(OpenAIText(LOCAL).stream(call(n=2)), [b"data: " + body + b"\n\n"]),
        ):
            with contextlib.suppress(UpstreamError):
                read()


# --- DeepSeek ---


def test_deepseek_fills_the_middle_at_its_beta_address():
    target = Target("text-completion-deepseek", "deepseek-chat", api_key=Secret("sk-d"))
    request = deepseek(target).request(call("def fib(a):\n", suffix="    return fib(a-1) + fib(a-2)", max_tokens=128))
    assert request.url == "https://api.deepseek.com/beta/completions"
    assert orjson.loads(request.body)["suffix"] == "    return fib(a-1) + fib(a-2)"
    deltas = deepseek(target).answer(call(logprobs=1), golden("openai_text/deepseek_answer.json"))
    assert text(deltas).startswith("    if a <= 1")
    assert usage(deltas) == Usage(20, 12, cached_tokens=16)


def test_the_tables_say_what_each_provider_documents():
    assert SUPPORT.text
    assert SUPPORT.token_prompts
    assert not SUPPORT.extra
    assert set(SUPPORT.levels.values()) == {Level.NATIVE}
    assert DEEPSEEK.level("suffix") is Level.NATIVE
    assert DEEPSEEK.level("n") is Level.EMULATED
    assert DEEPSEEK.level("seed") is Level.REFUSED
    assert not DEEPSEEK.token_prompts
