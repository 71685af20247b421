"""Bodies of foreign apps: what is read of a request, and what is written in an answer's place."""

from typing import Any

import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.wire import chat, json, paths, sse


@pytest.mark.parametrize("language", ["completions", "chat"])
def test_an_answer_made_up_is_one_the_client_reads(language):
    head = chat.opening(language, "m", stream=False)
    model: Any = Completion if language == "completions" else ChatCompletion
    whole = model.model_validate(chat.withheld(head, language, "No.", 2))
    assert [choice.finish_reason for choice in whole.choices] == ["content_filter"] * 2
    head = chat.opening(language, "m", stream=True)
    raw = chat.withheld_stream(head, language, "No.", 2)
    events = [event.data for event in sse.Decoder().feed(raw)]
    assert events.pop() == b"[DONE]"
    chunk: Any = Completion if language == "completions" else ChatCompletionChunk
    said = [chunk.model_validate(json.loads(event)) for event in events]
    assert [one.choices[0].index for one in said] == [0, 1]
    ending = chunk.model_validate(chat.ending(head, [0, 3], language))
    assert [choice.index for choice in ending.choices] == [0, 3]


@pytest.mark.parametrize(
    ("body", "model", "choices", "stream", "limit"),
    [
        ({"model": "a", "prompt": "x"}, "a", 1, False, 16),
        ({"model": "a", "prompt": ["x", "y"], "n": 3, "stream": True}, "a", 6, True, 16),
        ({"model": "a", "prompt": [[1], [2]], "max_tokens": 5}, "a", 2, False, 5),
        ({"model": "a", "prompt": [1, 2]}, "a", 1, False, 16),
        ({"model": 5, "prompt": {}, "n": "x", "stream": "yes", "max_tokens": -1}, "", 1, False, 16),
        ({"n": 10**9, "prompt": ["x"] * 5000, "max_completion_tokens": 7}, "", 2048, False, 7),
        ([], "", 1, False, 16),
        (None, "", 1, False, 16),
    ],
)  # fmt: skip
def test_a_request_is_read_as_far_as_it_makes_sense(body, model, choices, stream, limit):
    request = chat.request(body, "completions", None)
    assert (request.model, request.stream, request.max_tokens) == (model, stream, limit)
    assert len(request.prompts) * request.n == choices


def test_a_path_names_the_model_before_the_body_does():
    path = paths.foreign_model_in("/openai/deployments/gpt/chat/completions")
    assert chat.request({"model": "other"}, "chat", path).model == "gpt"
    assert paths.foreign_model_in("/v1/engines/a/b/completions") == "a/b"
    assert paths.foreign_model_in("/v1/chat/completions") is None


def test_system_messages_are_confidential():
    messages = [
        {"role": "system", "content": "a"},
        {"role": "developer", "content": [{"type": "text", "text": "b"}, {"type": "image_url"}, 5]},
        {"role": "user", "content": "c"},
        {"role": "system", "content": None},
        "d",
    ]
    assert chat.confidential({"messages": messages}) == ("a", "b")
    assert chat.confidential({"messages": "x"}) == ()
    assert chat.confidential([]) == ()


@pytest.mark.parametrize(
    ("trail", "value"),
    [
        (("text",), {"text": "x"}),
        (("delta", "content"), {"delta": {"content": "x"}}),
        (
            ("delta", "tool_calls", (("index", 1), ("type", "function")), "function", "arguments"),
            {"delta": {"tool_calls": [{"index": 1, "type": "function", "function": {"arguments": "x"}}]}},
        ),
        (("a", ()), {"a": ["x"]}),
    ],
)
def test_a_text_alone_is_put_where_it_belongs(trail, value):
    assert chat.built(trail, "x") == value


LEGACY = {
    "tokens": ["a", "b"],
    "token_logprobs": [None, -1.0],
    "top_logprobs": [None, {"b": -1.0, "c": -2}],
    "text_offset": [0, 1],
}
ENTRY = {"token": "a", "logprob": -1, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -2, "bytes": None}]}


def test_logprobs_are_read_and_put_together_again():
    read = chat.entries(LEGACY)
    assert read
    assert [entry.token.token for entry in read["text"]] == ["a", "b"]
    assert chat.joined("text", [entry.given for entry in read["text"]]) == LEGACY
    read = chat.entries({"content": [ENTRY], "refusal": None})
    assert read
    assert read["content"][0].token.top == (("b", -2.0),)
    assert read["refusal"] == []
    assert chat.joined("content", [read["content"][0].given]) == {"content": [ENTRY]}


@pytest.mark.parametrize(
    "logprobs",
    [
        5,
        {"said": "x"},
        {"tokens": ["a"], "said": ["x"]},
        {"tokens": ["a", "b"], "token_logprobs": [1.0]},
        {"tokens": [5]},
        {"tokens": ["a"], "text_offset": ["x"]},
        {"content": [{**ENTRY, "said": "x"}]},
        {"content": [{**ENTRY, "bytes": [98]}]},
        {"content": [{**ENTRY, "bytes": "x"}]},
        {"content": [{**ENTRY, "logprob": "x"}]},
        {"content": ["x"]},
        {"content": [{**ENTRY, "top_logprobs": [{"token": "b", "logprob": -2, "said": "x"}]}]},
    ],
)
def test_logprobs_that_say_more_than_tokens_are_not_read(logprobs):
    assert chat.entries(logprobs) is None


def test_half_a_character_is_read_by_its_bytes():
    read = chat.entries({"content": [{"token": "\ufffd", "logprob": -1, "bytes": [0xF0, 0x9F]}]})
    assert read
    assert read["content"][0].token.raw == b"\xf0\x9f"
