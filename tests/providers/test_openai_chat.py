"""OpenAI's chat language, proven without calling it: the SDK's own models outwards, documented bytes inwards."""

import orjson
import pytest
from openai.types.chat.completion_create_params import (
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
from gateway.providers.base import Target
from gateway.providers.openai_chat.language import OpenAIChat
from gateway.types import Usage
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

TARGET = Target("openai", "gpt-4.1", api_key=Secret("sk-test"))
EVERYTHING = call(
    max_tokens=7, n=3, logprobs=2, temperature=0.5, top_p=0.9, presence_penalty=-1, frequency_penalty=1.5, seed=11,
    stop=("\n", "END"), logit_bias={"50256": -100}, user="u-1", metadata={"k": "v"}, safety_identifier="s-1",
)  # fmt: skip


def sent(target=TARGET, the_call=EVERYTHING):
    return orjson.loads(OpenAIChat(target).request(the_call).body)


@pytest.mark.parametrize(
    ("stream", "params"),
    [(False, CompletionCreateParamsNonStreaming), (True, CompletionCreateParamsStreaming)],
)
def test_a_request_is_one_the_openai_sdk_could_have_sent(stream, params):
    import dataclasses

    params.__pydantic_config__ = ConfigDict(extra="forbid", strict=False)
    body = sent(the_call=dataclasses.replace(EVERYTHING, stream=stream))
    TypeAdapter(params).validate_python(body)
    assert body["max_completion_tokens"] == 7
    assert body["logprobs"] is True
    assert body["top_logprobs"] == 2
    assert ("stream_options" in body) == stream


def test_only_what_the_client_gave_is_sent():
    assert sent(the_call=call(max_tokens=16)) == {
        "model": "gpt-4.1",
        "messages": [{"role": "user", "content": "Say this is a test"}],
        "max_completion_tokens": 16,
    }


def test_another_server_gets_the_common_names_only():
    body = sent(Target("openai", "m", base_url="http://127.0.0.1:9/v1"))
    assert body["max_tokens"] == 7
    assert not {"max_completion_tokens", "metadata", "safety_identifier"} & set(body)


def test_the_key_travels_in_the_header_and_prints_nowhere():
    request = OpenAIChat(TARGET).request(EVERYTHING)
    assert request.headers["authorization"] == "Bearer sk-test"
    assert request.url == "https://api.openai.com/v1/chat/completions"
    assert "sk-test" not in repr(request) + repr(TARGET) + str(TARGET)


def test_a_whole_answer_is_one_delta_per_choice_and_its_usage():
    deltas = OpenAIChat(TARGET).answer(EVERYTHING, golden("openai_chat/answer.json"))
    assert text(deltas) == "Hello! How can I assist you today?"
    assert finish_reasons(deltas) == {0: "stop"}
    assert usage(deltas) == Usage(19, 10, cached_tokens=8, reasoning_tokens=3)
    assert deltas[-1].opening.system_fingerprint == "fp_44709d6fcb"


def test_a_stream_gives_the_same_at_every_cut():
    deltas = same_at_every_cut(lambda: OpenAIChat(TARGET).stream(call(stream=True)), golden("openai_chat/stream.sse"))
    assert text(deltas) == "Grüß"
    assert finish_reasons(deltas) == {0: "length"}
    assert usage(deltas) == Usage(9, 2)
    assert [token.raw for token in logprobs(deltas)] == [b"Gr", "üß".encode()]


def chunk(**fields: object) -> bytes:
    return b"data: " + orjson.dumps({"id": "c", "choices": [], **fields}) + b"\n\n"


def choice(
    content: str | None = None, finish: str | None = None, index: int = 0, **message: object
) -> dict[str, object]:
    return {"index": index, "delta": {"content": content, **message}, "finish_reason": finish}


def streamed(*chunks: bytes, n: int = 1):
    return decode(OpenAIChat(TARGET).stream(call(stream=True, n=n)), chunks)


def test_usage_in_every_chunk_counts_once_and_the_last_one_wins():
    deltas = streamed(
        chunk(choices=[choice("a")], usage={"prompt_tokens": 1, "completion_tokens": 1}),
        chunk(choices=[choice("b", "stop")], usage={"prompt_tokens": 1, "completion_tokens": 2}),
    )
    assert usage(deltas) == Usage(1, 2)


def test_groq_sends_usage_under_its_own_name():
    deltas = streamed(
        chunk(choices=[choice("a", "stop")], x_groq={"usage": {"prompt_tokens": 5, "completion_tokens": 1}})
    )
    assert usage(deltas) == Usage(5, 1)


def test_a_refusal_and_a_tool_call_are_told_as_text_completions_can():
    assert text(streamed(chunk(choices=[choice(None, "stop", refusal="I cannot.")]))) == "I cannot."
    tools = streamed(chunk(choices=[choice(None, "tool_calls", tool_calls=[{"index": 0, "id": "t"}])]))
    assert finish_reasons(tools) == {0: "stop"}


def test_thought_is_kept_apart_from_text():
    deltas = streamed(chunk(choices=[choice(None, reasoning_content="hm")]), chunk(choices=[choice("yes", "stop")]))
    assert (text(deltas), reasoning(deltas)) == ("yes", "hm")


def test_a_second_finish_reason_for_a_choice_is_ignored():
    assert finish_reasons(streamed(chunk(choices=[choice("a", "stop")]), chunk(choices=[choice(None, "stop")]))) == {
        0: "stop"
    }


def test_a_stream_without_done_is_complete_when_every_choice_has_finished():
    deltas = streamed(chunk(choices=[choice("a", "stop")]), chunk(choices=[choice("b", "length", 1)]), n=2)
    assert finish_reasons(deltas) == {0: "stop", 1: "length"}


@pytest.mark.parametrize("chunks", [[], [chunk(choices=[choice("a")])], [b"data: [DONE]\n\n"]])
def test_a_stream_cut_before_its_end_is_an_error(chunks):
    with pytest.raises(UpstreamConnectionError):
        streamed(*chunks)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"message": "overloaded", "type": "server_error", "code": None}, UpstreamError),
        ({"message": "slow down", "code": 429}, UpstreamRateLimited),
        ({"message": "bad", "code": "400"}, UpstreamRejected),
        ("plain words", UpstreamError),
    ],
)
def test_an_error_inside_a_stream_is_raised(error, expected):
    with pytest.raises(expected):
        streamed(chunk(choices=[choice("a")]), b"data: " + orjson.dumps({"error": error}) + b"\n\n")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"choices": []}', b'{"choices": [1]}'])
def test_an_answer_in_another_language_is_an_invalid_response(body):
    with pytest.raises(UpstreamInvalidResponse):
        OpenAIChat(TARGET).answer(EVERYTHING, body)


@pytest.mark.parametrize(
    ("status", "cls", "shown", "seen"),
    [
        (400, UpstreamRejected, 400, True),
        (401, UpstreamError, 502, False),
        (404, UpstreamRejected, 404, True),
        (422, UpstreamRejected, 422, True),
        (429, UpstreamRateLimited, 429, False),
        (500, UpstreamError, 502, False),
        (503, UpstreamError, 502, False),
    ],
)
def test_a_status_says_whose_fault_it_was(status, cls, shown, seen):
    body = b'{"error": {"message": "what they said", "param": "stop"}}'
    error = OpenAIChat(TARGET).error(status, {"retry-after": "7"}, body)
    assert type(error) is cls
    assert error.status == shown
    assert ("what they said" in error.message) == seen
    assert (error.headers.get("retry-after") == "7") == (status == 429 or status >= 500)


def test_the_operator_says_whom_openai_bills():
    target = Target("openai", "m", options={"organization": "org-1", "project": "proj-1"})
    headers = OpenAIChat(target).request(EVERYTHING).headers
    assert (headers["openai-organization"], headers["openai-project"]) == ("org-1", "proj-1")
