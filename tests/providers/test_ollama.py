"""Ollama's own language: raw completions and chats, newline-delimited streams, errors in every place it puts them."""

import contextlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.secret import Secret
from gateway.errors import (
    InvalidType,
    UnsupportedParameter,
    UpstreamConnectionError,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamRejected,
)
from gateway.providers.base import Level, Target
from gateway.providers.ollama.language import CHAT_SUPPORT, SUPPORT, Ollama, chat
from gateway.providers.ollama.stream import Lines, LineTooLong
from gateway.types import Usage
from tests.providers.fuzz import dumps, objects
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

TARGET = Target("ollama", "gemma3")
BOTH = pytest.mark.parametrize("language", [Ollama, chat], ids=["generate", "chat"])


def sent(the_call, language=Ollama):
    return orjson.loads(language(TARGET).request(the_call).body)


def streamed(*lines: object):
    return decode(Ollama(TARGET).stream(call(stream=True)), [orjson.dumps(line) + b"\n" for line in lines])


def test_a_prompt_goes_to_the_model_as_it_is():
    everything = call(
        max_tokens=7, logprobs=2, temperature=0.5, top_p=0.9, presence_penalty=-1, frequency_penalty=1.5, seed=11,
        stop=("\n", "END"), extra={"top_k": 4},
    )  # fmt: skip
    assert sent(everything) == {
        "model": "gemma3",
        "prompt": "Say this is a test",
        "raw": True,
        "stream": False,
        "logprobs": True,
        "top_logprobs": 2,
        "options": {
            "num_predict": 7, "temperature": 0.5, "top_p": 0.9, "presence_penalty": -1, "frequency_penalty": 1.5,
            "seed": 11, "stop": ["\n", "END"], "top_k": 4,
        },
    }  # fmt: skip


def test_a_suffix_needs_the_models_template_so_it_is_not_raw():
    body = sent(call("def gcd(a, b):", suffix="    return result"))
    assert (body["prompt"], body["suffix"]) == ("def gcd(a, b):", "    return result")
    assert "raw" not in body


def test_a_chat_sends_messages():
    assert sent(call(max_tokens=3, logprobs=0, stream=True), chat) == {
        "model": "gemma3",
        "messages": [{"role": "user", "content": "Say this is a test"}],
        "stream": True,
        "logprobs": True,
        "options": {"num_predict": 3},
    }


@BOTH
def test_extra_parameters_go_where_ollama_looks_for_them_and_replace_nothing(language):
    extra = {
        "keep_alive": "5m", "think": False, "format": "json", "mirostat": 1,
        "options": {"num_ctx": 8192, "num_predict": 99, "seed": 1},
    }  # fmt: skip
    body = sent(call(max_tokens=3, seed=7, extra=extra), language)
    assert (body["keep_alive"], body["think"], body["format"]) == ("5m", False, "json")
    assert body["options"] == {"mirostat": 1, "num_ctx": 8192, "num_predict": 3, "seed": 7}


@BOTH
def test_the_operators_settings_go_before_the_clients(language):
    target = Target("ollama", "gemma3", options={"num_ctx": 4096, "keep_alive": "1h"})
    asked = call(extra={"num_ctx": 99, "keep_alive": 0, "options": {"num_ctx": 98, "top_k": 1}})
    body = orjson.loads(language(target).request(asked).body)
    assert (body["options"], body["keep_alive"]) == ({"num_ctx": 4096, "top_k": 1}, "1h")


@BOTH
@pytest.mark.parametrize("name", ["system", "template", "context", "images", "messages", "tools"])
def test_text_that_no_policy_would_read_is_refused(language, name):
    with pytest.raises(UnsupportedParameter) as caught:
        sent(call(extra={name: "x"}), language)
    assert caught.value.param == name


def test_options_that_are_no_object_are_refused():
    with pytest.raises(InvalidType):
        sent(call(extra={"options": [1]}))


@pytest.mark.parametrize(
    ("base", "url"),
    [
        (None, "http://localhost:11434"),
        ("https://ollama.com", "https://ollama.com"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("gpu-box", "http://gpu-box:11434"),
        ("[::1]", "http://[::1]:11434"),
    ],
)
def test_the_base_url_may_be_written_as_ollama_host_is(base, url):
    target = Target("ollama", "gemma3", base_url=base)
    assert Ollama(target).request(call()).url == f"{url}/api/generate"
    assert chat(target).request(call()).url == f"{url}/api/chat"


def test_a_key_is_sent_only_where_there_is_one():
    assert "authorization" not in Ollama(TARGET).request(call()).headers
    keyed = Ollama(Target("ollama", "gemma3", api_key=Secret("k"))).request(call())
    assert keyed.headers["authorization"] == "Bearer k"


def test_a_whole_answer_is_one_delta_and_its_usage():
    deltas = Ollama(TARGET).answer(call(), golden("ollama/generate.json"))
    assert text(deltas).startswith("\n  if a == 0:")
    assert finish_reasons(deltas) == {0: "stop"}
    assert usage(deltas) == Usage(17, 63)
    assert deltas[-1].opening.model == "codellama:code"


def test_a_whole_chat_keeps_thought_apart():
    deltas = chat(TARGET).answer(call(), golden("ollama/chat.json"))
    assert (text(deltas), reasoning(deltas)) == ("2", "1 and 1 make 2.")
    assert usage(deltas) == Usage(26, 12)


def test_a_stream_gives_the_same_at_every_cut():
    deltas = same_at_every_cut(lambda: Ollama(TARGET).stream(call(stream=True)), golden("ollama/generate.ndjson"))
    assert text(deltas) == "The Grüße"
    assert finish_reasons(deltas) == {0: "length"}
    assert usage(deltas) == Usage(26, 3)
    assert [token.raw for token in logprobs(deltas)] == [b"The", b" Gr", "üße".encode()]
    assert logprobs(deltas)[0].top == (("The", -0.5), ("A", -1.5))


def test_a_chat_stream_gives_the_same_at_every_cut():
    deltas = same_at_every_cut(lambda: chat(TARGET).stream(call(stream=True)), golden("ollama/chat.ndjson"))
    assert (text(deltas), reasoning(deltas)) == ("2", "1 and 1 make 2.")
    assert usage(deltas) == Usage(26, 12)


def test_the_last_line_needs_no_line_end_and_blank_ones_vanish():
    body = golden("ollama/generate.ndjson").replace(b"\n", b"\r\n\r\n").rstrip()
    deltas = same_at_every_cut(lambda: Ollama(TARGET).stream(call(stream=True)), body)
    assert text(deltas) == "The Grüße"


def test_what_follows_the_end_is_not_read():
    deltas = streamed({"response": "a", "done": True}, {"response": "b", "done": False}, {"error": "late"})
    assert text(deltas) == "a"
    assert finish_reasons(deltas) == {0: "stop"}


def test_zeros_are_left_out_of_usage_and_a_prompt_that_was_not_counted_is_no_usage():
    assert usage(streamed({"response": "", "done": True, "prompt_eval_count": 5})) == Usage(5, 0)
    assert usage(streamed({"response": "", "done": True, "eval_count": 5})) is None


@pytest.mark.parametrize("cut_at", [0, 1, 90, 450])
def test_a_stream_cut_before_its_end_is_an_error(cut_at):
    with pytest.raises(UpstreamConnectionError):
        decode(Ollama(TARGET).stream(call(stream=True)), [golden("ollama/generate.ndjson")[:cut_at]])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"error": "an error was encountered while running the model"}, UpstreamError),
        ({"error": "input length exceeds maximum context length", "status": 400}, UpstreamRejected),
        ({"error": {"odd": 1}, "status": "400"}, UpstreamError),
    ],
)
def test_an_error_inside_a_stream_is_raised(line, expected):
    with pytest.raises(expected) as caught:
        streamed({"response": "a", "done": False}, line)
    assert type(caught.value) is expected


@BOTH
def test_an_error_by_status_keeps_its_message_when_it_is_about_the_request(language):
    error = language(TARGET).error(404, {}, b'{"error":"model \'nope\' not found"}')
    assert isinstance(error, UpstreamRejected)
    assert (error.status, "model 'nope' not found" in error.message) == (404, True)
    assert language(TARGET).error(500, {}, b'{"error":"out of memory"}').status == 502


def test_an_empty_prompt_only_loads_the_model_and_the_client_is_told_so():
    loaded = {"model": "gemma3", "response": "", "done": True, "done_reason": "load"}
    with pytest.raises(UpstreamRejected) as caught:
        streamed(loaded)
    assert (caught.value.status, caught.value.param) == (400, "prompt")
    with pytest.raises(UpstreamRejected):
        Ollama(TARGET).answer(call(""), orjson.dumps(loaded))


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"response": 1, "done": true}', b'{"response": "a", "done": false}',
     b'{"message": "a", "done": true}', b'{"response": "a", "done": true, "logprobs": [1]}'],
)  # fmt: skip
def test_an_answer_in_another_language_is_an_invalid_response(body):
    with pytest.raises(UpstreamInvalidResponse):
        Ollama(TARGET).answer(call(), body)


WORDS = ["response", "message", "content", "thinking", "done", "done_reason", "logprobs", "token", "logprob", "bytes",
         "top_logprobs", "error", "status", "prompt_eval_count", "eval_count", "model"]  # fmt: skip


@given(value=objects(WORDS))
def test_whatever_a_server_sends_is_read_or_is_its_fault(value):
    for body in (dumps(value), dumps({"response": "a", "done": True, "logprobs": [value]})):
        with contextlib.suppress(UpstreamError):
            Ollama(TARGET).answer(call(), body)
        with contextlib.suppress(UpstreamError):
            decode(chat(TARGET).stream(call(stream=True)), [body + b"\n"])


@given(lines=st.lists(st.binary(min_size=1, max_size=5).filter(lambda line: not set(line) & set(b" \t\r\n\x0b\x0c"))))
def test_lines_are_the_same_however_they_arrive(lines):
    body = b"".join(line + b"\n" for line in lines)
    whole, trickle = Lines(), Lines()
    assert whole.feed(body) == lines == [found for i in range(len(body)) for found in trickle.feed(body[i : i + 1])]
    assert whole.close() == trickle.close() == b""


@pytest.mark.parametrize("pieces", [[b"x" * 11], [b"x" * 6, b"x" * 6], [b"a\n" + b"x" * 11 + b"\n"]])
def test_a_line_over_the_limit_is_refused(pieces):
    splitter = Lines(limit=10)
    with pytest.raises(LineTooLong):
        [splitter.feed(piece) for piece in pieces]


def test_the_tables_say_what_ollama_documents():
    assert SUPPORT.text
    assert SUPPORT.level("suffix") is Level.NATIVE
    assert SUPPORT.level("best_of") is Level.EMULATED
    assert not CHAT_SUPPORT.text
    assert CHAT_SUPPORT.level("suffix") is Level.REFUSED
