"""Providers that misbehave, over a real connection: what the client is told, and that it is told no more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.wire import asgi, json, sse
from tests.inprocess import InProcess, Reply
from tests.routing.servers import (
    CHUNKED,
    Connection,
    Handler,
    chunk,
    looped,
    response,
    says,
    says_and_closes,
    says_and_waits,
    serve,
)

SECRET = "sk-upstream-secret-7781"
JSON = b"content-type: application/json"
INVALID, BROKEN, SLOW = "upstream_invalid_response", "upstream_error", "upstream_timeout"


@asynccontextmanager
async def calling(url: str) -> AsyncIterator[InProcess]:
    """A gateway whose alias `it` is the provider at `url`, and whose alias `demo` is well."""
    params = {"model": "openai/it", "api_base": f"{url}/v1", "api_key": SECRET, "timeout": 0.4}
    models = [
        {"model_name": "it", "litellm_params": params},
        {"model_name": "demo", "litellm_params": {"model": "demo/demo"}},
    ]
    running = InProcess({"model_list": models, "policies": [], "router_settings": {"num_retries": 0}})
    try:
        yield running
    finally:
        await running.gateway.close()


async def asked(handler: Handler, **params: Any) -> Reply:
    """The answer to a request whose provider answers with `handler`; another one is served all the while."""
    async with serve(handler) as server, calling(server.url) as gateway:
        reply = await gateway.asked({"model": "it", "prompt": "x", **params})
        well = await gateway.asked({"model": "demo", "prompt": "Say hello"})
        assert well.json["choices"][0]["text"] == "Hello."
    for hidden in (SECRET.encode(), b"Traceback", b"127.0.0.1", b"Error(", server.url.encode()):
        assert hidden not in reply.body
    return reply


def chat(content: object = "Hello.", finish: object = "stop", **more: object) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
    return json.dumps({"id": "chatcmpl-1", "object": "chat.completion", "model": "it", "choices": [choice], **more})


CHOICE = b'{"index":0,"message":{"content":"Twice."},"finish_reason":"stop"}'


def event(content: str | None = None, finish: str | None = None, index: int = 0) -> bytes:
    delta = {} if content is None else {"content": content}
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return sse.encode(json.dumps({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]}))


def failure(status: bytes, message: str) -> Handler:
    body = json.dumps({"error": {"message": message, "type": "t", "param": "stop", "code": "c"}})
    return says(response(body, JSON, status=status))


def endless(size: int) -> Handler:
    async def handler(connection: Connection) -> None:
        await connection.send(CHUNKED)
        while True:
            await connection.send(chunk(b" " * size))

    return handler


@pytest.mark.parametrize(
    ("handler", "status", "code"),
    [
        (says(response(b"<!DOCTYPE html><title>Sign in</title>", b"content-type: text/html")), 502, INVALID),
        (says(response(chat()[:-20], JSON)), 502, INVALID),
        (says(response(b"", JSON)), 502, INVALID),
        (says(response(b"[" * 100_000, JSON)), 502, INVALID),
        (says(response(b"[]", JSON)), 502, INVALID),
        (says(response(b'{"choices":null}', JSON)), 502, INVALID),
        (says(response(b'{"choices":[]}', JSON)), 502, INVALID),
        (says(response(b'{"choices":[null]}', JSON)), 502, INVALID),
        (says(response(b'{"choices":"abc"}', JSON)), 502, INVALID),
        (says(response(chat(content=7), JSON)), 502, INVALID),
        (says(response(chat(content={"a": 1}), JSON)), 502, INVALID),
        (says(response(chat(finish={"why": "not"}), JSON)), 502, INVALID),
        (says(response(chat(usage="many"), JSON)), 502, INVALID),
        (says(response(chat(usage={"prompt_tokens": "3", "completion_tokens": None}), JSON)), 200, None),
        (says(response(chat(usage={"prompt_tokens": 3, "completion_tokens": -4}), JSON)), 200, None),
        (says(response(chat().replace(b'"index":0', b'"index":[0]'), JSON)), 502, INVALID),
        (says(response(chat().replace(b'"index":0', b'"index":"0"'), JSON)), 502, INVALID),
        (says(response(chat().replace(b'"choices":[', b'"choices":[' + CHOICE + b","), JSON)), 502, INVALID),
        (says(response(chat(model=7), JSON)), 502, INVALID),
        (says(response(chat(system_fingerprint=["fp"]), JSON)), 502, INVALID),
        (says(response(chat(content="\\ud83d").replace(b"\\\\", b"\\"), JSON)), 502, INVALID),
        (says(response(b"not gzip at all", JSON, b"content-encoding: gzip")), 502, INVALID),
        (says(b"HTTP/1.1 204 No Content\r\n\r\n"), 502, INVALID),
        (says(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"), 502, BROKEN),
        (says_and_closes(b"SSH-2.0-OpenSSH_9.7\r\n"), 502, INVALID),
        (says_and_closes(), 502, BROKEN),
        (says_and_closes(response(chat(), JSON)[:-30]), 502, BROKEN),
        (says_and_waits(), 504, SLOW),
        (says_and_waits(response(chat(), JSON)[:-30]), 504, SLOW),
        (endless(1), 504, SLOW),
        (endless(1 << 20), 502, INVALID),
        (failure(b"500 Oh No", f"Traceback (most recent call last): ValueError('{SECRET}')"), 502, BROKEN),
        (failure(b"401 Unauthorized", f"Incorrect API key provided: {SECRET}"), 502, BROKEN),
        (failure(b"403 Forbidden", f"Key {SECRET} is not allowed"), 502, BROKEN),
        (failure(b"429 Too Many Requests", f"Organization of {SECRET} is over its limit"), 429, "rate_limit_exceeded"),
        (failure(b"400 Bad Request", "stop is too long"), 400, "upstream_rejected"),
        (says(response(b'{"error":{"message":"over capacity"}}', JSON)), 502, BROKEN),
        (says(response(chat(), b"content-type: text/plain")), 200, None),
        (says(response(chat(content=None), JSON)), 200, None),
    ],
)
@looped
async def test_an_answer_that_is_none_becomes_an_error_with_a_status(
    handler: Handler, status: int, code: str | None
) -> None:
    reply = await asked(handler)
    assert reply.status == status, reply.body
    if code is not None:
        assert reply.error["code"] == code
        return
    usage = reply.json["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert min(usage.values()) >= 0


STREAM = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: text/event-stream\r\n\r\n"
ERROR = sse.encode(json.dumps({"error": {"message": "over capacity", "type": "server_error"}}))


@pytest.mark.parametrize(
    ("handler", "status", "code"),
    [
        (says(response(b"<!DOCTYPE html>", b"content-type: text/html")), 502, BROKEN),
        (says(response(chat(), JSON)), 502, BROKEN),
        (says(response(b"")), 502, BROKEN),
        (says(b"HTTP/1.1 204 No Content\r\n\r\n"), 502, BROKEN),
        (says(STREAM, chunk(ERROR), chunk(b"")), 502, BROKEN),
        (says(STREAM, chunk(b"data: {nope}\n\n"), chunk(b"")), 502, INVALID),
        (says(STREAM, chunk(b"data: []\n\n"), chunk(b"")), 502, INVALID),
        (says(STREAM, chunk(sse.DONE), chunk(b"")), 502, BROKEN),
        (says(STREAM, chunk(event("x", index=7)), chunk(b"")), 502, INVALID),
        (says(STREAM, chunk(event("x").replace(b'"x"', b"7")), chunk(b"")), 502, INVALID),
        (says_and_closes(STREAM), 502, BROKEN),
        (says_and_waits(), 504, SLOW),
        (says_and_waits(STREAM), 504, SLOW),
        (says_and_waits(STREAM, chunk(b": ping\n\n")), 504, SLOW),
        (failure(b"503 Busy", "busy"), 502, BROKEN),
    ],
)
@looped
async def test_a_stream_that_never_starts_becomes_an_error_with_a_status(
    handler: Handler, status: int, code: str | None
) -> None:
    reply = await asked(handler, stream=True)
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/json"
    assert reply.error["code"] == code


@pytest.mark.parametrize(
    ("rest", "ending", "code"),
    [
        ((), "closes", BROKEN),
        ((chunk(b""),), "rests", BROKEN),
        ((chunk(sse.DONE), chunk(b"")), "rests", BROKEN),
        ((), "waits", SLOW),
        ((chunk(b": ping\n\n"),), "waits", SLOW),
        ((chunk(ERROR), chunk(b"")), "rests", BROKEN),
        ((chunk(event("lo")[:-40] + b"\n\n"), chunk(b"")), "rests", INVALID),
        ((chunk(event("lo")[:-40]),), "closes", BROKEN),
        ((chunk(event("x", index=7)), chunk(b"")), "rests", INVALID),
        ((b"not a chunk\r\n",), "rests", INVALID),
    ],
)
@looped
async def test_a_stream_that_fails_after_its_first_text_ends_in_band(
    rest: tuple[bytes, ...], ending: str, code: str
) -> None:
    arrived = asyncio.Event()

    async def handler(connection: Connection) -> None:
        await connection.send(STREAM, chunk(event("Hel")))
        await arrived.wait()
        await connection.send(*rest)
        if ending == "closes":
            connection.close()
        elif ending == "waits":
            await connection.gone.wait()

    async with serve(handler) as server, calling(server.url) as gateway:
        body = json.dumps({"model": "it", "prompt": "x", "stream": True, "stream_options": {"include_usage": True}})
        answer = await asgi.request(gateway.gateway, "POST", "/v1/completions", [], body)
        said = b""
        async for piece in answer.chunks():
            said += piece
            arrived.set()
    assert answer.status == 200
    assert SECRET.encode() not in said
    first, error, done = Reply(200, answer.headers, said).events
    assert json.loads(first)["choices"][0]["text"] == "Hel"
    assert list(json.loads(error)) == ["error"]
    assert list(json.loads(error)["error"]) == ["message", "type", "param", "code"]
    assert json.loads(error)["error"]["code"] == code
    assert done == b"[DONE]"


@looped
async def test_a_stream_without_end_lasts_as_long_as_the_client_said_it_waits() -> None:
    async def chatter(connection: Connection) -> None:
        await connection.send(STREAM)
        while True:
            await connection.send(chunk(event("more ")))

    async with serve(chatter) as server, calling(server.url) as gateway:
        reply = await gateway.asked(
            {"model": "it", "prompt": "x", "stream": True}, headers=[(b"x-gateway-timeout", b"0.2")]
        )
        assert json.loads(reply.events[-2])["error"]["code"] == SLOW
        assert reply.events[-1] == b"[DONE]"
        await server.requests[0].gone.wait()


@looped
async def test_one_failing_prompt_fails_the_request_and_stops_the_others() -> None:
    async def mixed(connection: Connection) -> None:
        if b"fails" in connection.body:
            await failure(b"400 Bad Request", "no")(connection)
        else:
            await connection.gone.wait()

    async with serve(mixed) as server, calling(server.url) as gateway:
        reply = await gateway.asked({"model": "it", "prompt": ["waits", "fails", "waits"]})
        assert (reply.status, reply.error["code"]) == (400, "upstream_rejected")
        for request in server.requests:
            if b"waits" in request.body:
                await request.gone.wait()
