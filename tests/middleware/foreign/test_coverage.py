"""Coverage in front of a foreign app: a canary in every field that may hold a text is judged, on its way in and out."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.wire import json, sse
from tests.middleware.foreign.kit import CHAT, SSE, TEXT, App, ask, canary, chunk, front, said

WORD = "xylophone"

CHAT_REQUEST: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "@", "name": "@"},
        {"role": "developer", "content": [{"type": "text", "text": "@"}]},
        {"role": "user", "content": "@", "name": "@"},
        {"role": "user", "content": [{"type": "text", "text": "@"}, {"type": "input_text", "text": "@"}, "@"]},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "@"}, {"type": "refusal", "refusal": "@"}],
            "refusal": "@",
            "name": "@",
            "reasoning_content": "@",
            "function_call": {"name": "@", "arguments": '{"a": "@"}'},
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "@", "arguments": '{"a": "@"}'}},
                {
                    "id": "call_2",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"@": [1, {"b": "x@y"}]}'},
                },
                {"id": "call_3", "type": "function", "function": {"name": "f", "arguments": "no json @"}},
                {"id": "call_4", "type": "function", "function": {"name": "f", "arguments": {"a": "@"}}},
                {"id": "call_5", "type": "custom", "custom": {"name": "@", "input": "@"}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "@"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "@"}]},
        {"role": "function", "name": "@", "content": "@"},
        {"role": "@", "content": "x", "anything": "@"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "@",
                "description": "@",
                "parameters": {
                    "type": "object",
                    "description": "@",
                    "properties": {
                        "a": {"type": "string", "description": "@", "enum": ["@", "b"], "default": "@"},
                        "@": {"type": "@", "examples": ["@"], "pattern": "@", "const": "@"},
                    },
                    "required": ["@"],
                },
            },
        },
        {"type": "custom", "custom": {"name": "n", "description": "@", "format": {"type": "grammar", "syntax": "@"}}},
    ],
    "functions": [{"name": "@", "description": "@", "parameters": {"title": "@"}}],
    "tool_choice": {"type": "function", "function": {"name": "@"}},
    "function_call": {"name": "@"},
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "@", "description": "@", "schema": {"properties": {"@": {"description": "@"}}}},
    },
    "prediction": {"type": "content", "content": [{"type": "text", "text": "@"}]},
    "metadata": {"a": "@", "@": "b", "id": "@", "type": "@", "model": "@"},
    "stop": ["@"],
    "user": "@",
    "safety_identifier": "@",
    "prompt_cache_key": "@",
    "web_search_options": {"user_location": {"approximate": {"city": "@"}}},
    "guided_json": {"description": "@"},
    "guided_regex": "@",
    "chat_template_kwargs": {"deep": [[{"er": "@"}]]},
    "@": 1,
    "unheard_of": "@",
}

TEXT_REQUESTS: tuple[dict[str, Any], ...] = (
    {"model": "m", "prompt": "@", "suffix": "@", "user": "@", "stop": "@", "metadata": {"k": "@"}},
    {"model": "m", "prompt": ["@", "fine", "and @"], "stop": ["@"], "unheard_of": {"a": ["@"]}},
)

CHAT_CHOICE: dict[str, Any] = {
    "index": 0,
    "message": {
        "role": "assistant",
        "content": "@",
        "refusal": "@",
        "reasoning_content": "@",
        "reasoning": "@",
        "function_call": {"name": "@", "arguments": '{"a": "@"}'},
        "tool_calls": [
            {
                "index": 0,
                "id": "call_1",
                "type": "function",
                "function": {"name": "@", "arguments": '{"a": "@", "@": 1}'},
            },
            {"index": 1, "id": "call_2", "type": "custom", "custom": {"name": "@", "input": "@"}},
        ],
        "audio": {"id": "audio_1", "transcript": "@"},
        "annotations": [{"type": "url_citation", "url_citation": {"title": "@", "url": "@"}}],
        "unheard_of": "@",
        "@": "x",
    },
    "stop_reason": "@",
    "finish_reason": "stop",
    "unheard_of": {"a": ["@"]},
}
PARTS = {"index": 0, "message": {"content": [{"type": "text", "text": "@"}, {"type": "x", "text": "@"}]}}
TEXT_CHOICE: dict[str, Any] = {"index": 0, "text": "@", "finish_reason": "stop", "unheard_of": "@", "@": 2}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every `@` in a value; the last step is None for one in a key."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if "@" in key:
                yield (*path, key, None)
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from places(inner, (*path, number))
    elif isinstance(value, str):
        for number in range(value.count("@")):
            yield (*path, number, "in")


def planted(value: Any, at: tuple[Any, ...]) -> Any:
    """`value` with the canary at one place, and plain words at all the others."""
    value = copy.deepcopy(value)

    def fill(value: Any, path: tuple[Any, ...]) -> Any:
        if isinstance(value, dict):
            return {
                key.replace("@", WORD if at == (*path, key, None) else f"plain{len(path)}"): fill(inner, (*path, key))
                for key, inner in value.items()
            }
        if isinstance(value, list):
            return [fill(inner, (*path, number)) for number, inner in enumerate(value)]
        if isinstance(value, str):
            pieces = value.split("@")
            out = pieces[0]
            for number, piece in enumerate(pieces[1:]):
                out += (WORD if at == (*path, number, "in") else "plain") + piece
            return out
        return value

    return fill(value, ())


def cases(*values: Any) -> list[Any]:
    return [pytest.param(value, at, id=".".join(map(str, at))) for value in values for at in places(value)]


@pytest.mark.parametrize(("value", "at"), cases(CHAT_REQUEST))
def test_a_canary_in_any_field_of_a_chat_request_reaches_no_app(value, at):
    body = planted(value, at)
    app = App()
    assert ask(front(app, [canary()]), body).status == 200
    assert WORD.encode() not in app.bodies[0]
    assert b"<CANARY_1>" in app.bodies[0]
    assert ask(front(App(), [canary("block")]), body).status == 400


@pytest.mark.parametrize(("value", "at"), cases(*TEXT_REQUESTS))
def test_a_canary_in_any_field_of_a_completion_request_reaches_no_app(value, at):
    body = planted(value, at)
    app = App()
    assert ask(front(app, [canary()]), body, TEXT).status == 200
    assert WORD.encode() not in app.bodies[0]
    assert b"<CANARY_1>" in app.bodies[0]
    assert ask(front(App(), [canary("block")]), body, TEXT).status == 400


ANSWERS = (
    {"choices": [CHAT_CHOICE], "unheard_of": "@", "@": 1, "provider": {"name": "@"}},
    {"choices": [{"index": 0, "message": {"content": "x"}}, PARTS]},
    {"choices": ["@"]},
    {"error": {"message": "@", "type": "@", "param": "@", "code": "@", "metadata": {"raw": "@"}}},
    {"detail": [{"loc": ["body", "@"], "msg": "@", "input": {"@": "@"}}]},
    ["@"],
)
TEXT_ANSWERS = ({"choices": [TEXT_CHOICE, {**TEXT_CHOICE, "index": 1}]},)


@pytest.mark.parametrize(("path", "value", "at"), [
    *[pytest.param(CHAT, *case.values, id=case.id) for case in cases(*ANSWERS)],
    *[pytest.param(TEXT, *case.values, id=f"text {case.id}") for case in cases(*TEXT_ANSWERS)],
])  # fmt: skip
def test_a_canary_in_any_field_of_an_answer_reaches_no_client(path, value, at):
    raw = json.dumps(planted(value, at))
    reply = ask(front(App([raw[:7], raw[7:]]), [canary()]), {"model": "m"}, path)
    assert WORD.encode() not in reply.body
    assert b"<CANARY_1>" in reply.body
    blocked = ask(front(App([raw]), [canary("block")]), {"model": "m"}, path)
    assert WORD.encode() not in blocked.body
    assert b"withheld by policy" in blocked.body


def streamed(value: Any) -> list[bytes]:
    """A whole answer as one event of a stream."""
    if isinstance(value, dict) and "choices" in value:
        choices = [
            {("delta" if key == "message" else key): inner for key, inner in choice.items()}
            if isinstance(choice, dict)
            else choice
            for choice in value["choices"]
        ]
        value = {**value, "choices": choices}
    return [sse.encode(json.dumps(value)), sse.DONE]


@pytest.mark.parametrize(("path", "value", "at"), [
    *[pytest.param(CHAT, *case.values, id=case.id) for case in cases(*ANSWERS)],
    *[pytest.param(TEXT, *case.values, id=f"text {case.id}") for case in cases(*TEXT_ANSWERS)],
])  # fmt: skip
def test_a_canary_in_any_field_of_an_event_reaches_no_client(path, value, at):
    pieces = streamed(planted(value, at))
    reply = ask(front(App(pieces, headers=(SSE,)), [canary()]), {"model": "m", "stream": True}, path)
    assert WORD.encode() not in reply.body
    assert b"<CANARY_1>" in reply.body
    assert reply.body.endswith(sse.DONE)
    app = App([*pieces, *pieces], headers=(SSE,))
    blocked = ask(front(app, [canary("block")]), {"model": "m", "stream": True}, path)
    assert WORD.encode() not in blocked.body
    assert b"content_filter" in blocked.body
    assert blocked.body.endswith(sse.DONE)
    assert app.stopped


@pytest.mark.parametrize("half", [1, 4, 8])
@pytest.mark.parametrize("field", ["content", "refusal", "reasoning_content", "reasoning", "unheard_of"])
def test_a_canary_cut_in_two_events_reaches_no_client(field, half):
    events = [
        chunk(0, {field: f"a {WORD[:half]}"}),
        chunk(0, {field: f"{WORD[half:]} b"}),
        chunk(0, None, "stop"),
        sse.DONE,
    ]
    reply = ask(front(App(events, headers=(SSE,)), [canary()]), {"model": "m", "stream": True})
    text = "".join(event["choices"][0]["delta"].get(field, "") for event in reply.events)
    assert text == "a <CANARY_1> b"


def test_tokens_of_an_answer_that_changed_do_not_tell_it():
    tokens = [{"token": token, "logprob": -0.5, "bytes": None, "top_logprobs": []} for token in ("a ", "xylo", "phone")]
    choice = {"message": {"role": "assistant", "content": "a xylophone"}, "logprobs": {"content": tokens}}
    reply = ask(front(App([said(choice)]), [canary()]), {"model": "m"})
    assert reply.json["choices"][0]["logprobs"] is None
    assert reply.json["choices"][0]["message"]["content"] == "a <CANARY_1>"


def test_a_vocabulary_that_nobody_knows_tells_nothing():
    choice = {"message": {"content": "fine"}, "token_ids": [1, 2], "prompt_logprobs": [{"5": {"decoded_token": "x"}}]}
    reply = ask(front(App([said(choice, prompt_token_ids=[7])]), [canary()]), {"model": "m"})
    assert reply.json["choices"][0]["token_ids"] is None
    assert reply.json["choices"][0]["prompt_logprobs"] is None
    assert reply.json["prompt_token_ids"] is None
