"""What came before a failure is given out before it, also when one read of the network brought both."""

import asyncio

import orjson
import pytest

from gateway.errors import GatewayError, UpstreamError, UpstreamInvalidResponse
from gateway.types import CompletionRequest, Delta
from tests.routing.test_call import Provider, Response, calling, chunk, new

CONFIG = {
    "model_list": [
        {"model_name": "chat", "litellm_params": {"model": "openai/x", "api_key": "k"}},
        {"model_name": "lines", "litellm_params": {"model": "ollama/x", "api_base": "http://127.0.0.1:9"}},
    ]
}
FAILS = b'data: {"error": {"message": "gone"}}\n\n'


def given(model: str, *chunks: bytes) -> tuple[list[Delta], GatewayError | None]:
    found: list[Delta] = []

    async def gather() -> None:
        provider = Provider(lambda _: Response(list(chunks)))
        asked = CompletionRequest(model, ("p",), stream=True)
        async for delta in calling(provider, asked, new(), config=CONFIG):
            found.append(delta)  # noqa: PERF401 - what came before the error is looked at

    try:
        asyncio.run(gather())
    except GatewayError as error:
        return found, error
    return found, None


@pytest.mark.parametrize(
    "read",
    [
        [chunk("one ") + chunk("two") + FAILS],
        [chunk("one ") + chunk("two"), FAILS],
        [(chunk("one ") + chunk("two") + FAILS).replace(b"\n", b"\r\n")],
    ],
    ids=["one read", "two reads", "CRLF"],
)
def test_text_that_came_with_a_failure_is_not_lost(read):
    found, error = given("chat", *read)
    assert isinstance(error, UpstreamError)
    assert [delta.text for delta in found] == ["one ", "two"]


def test_text_that_came_with_what_cannot_be_read_is_not_lost():
    found, error = given("chat", chunk("one ") + b"data: {\n\n")
    assert isinstance(error, UpstreamInvalidResponse)
    assert [delta.text for delta in found] == ["one "]
    found, error = given("chat", chunk("one ") + b'data: {"choices": [5]}\n\n')
    assert isinstance(error, UpstreamInvalidResponse)
    assert [delta.text for delta in found] == ["one "]


def test_lines_of_json_are_read_one_by_one_as_well():
    said = orjson.dumps({"response": "one", "message": {"content": "one"}, "done": False}) + b"\n"
    found, error = given("lines", said + b'{"error": "gone"}\n')
    assert isinstance(error, UpstreamError)
    assert [delta.text for delta in found] == ["one"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_however_many_events_one_read_brings_they_are_what_they_are_one_by_one(end):
    events = [chunk("a"), chunk("b"), chunk(None, "stop"), b"data: [DONE]\n\n"]
    events = [event.replace(b"\n", end) for event in events]
    one_by_one = given("chat", *events)
    assert one_by_one[1] is None
    for cut in range(1, len(b"".join(events))):
        whole = b"".join(events)
        assert given("chat", whole[:cut], whole[cut:]) == one_by_one
