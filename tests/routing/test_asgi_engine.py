"""An ASGI app as an upstream: the port's promises hold without a socket."""

import asyncio

import pytest

from gateway.errors import UpstreamConnectionError, UpstreamInvalidResponse, UpstreamRateLimited, UpstreamTimeout
from gateway.routing.engines.asgi_app import AsgiUpstream
from gateway.routing.upstream import Bounds, Timeouts, Upstream
from gateway.types import HttpRequest
from gateway.wire.asgi import Message, Receive, Scope, Send
from tests.routing.servers import looped

LONG = Timeouts(connect=5, read=5, total=8)
SHORT = Timeouts(connect=5, read=0.05, total=8)
ASK = HttpRequest("POST", "asgi://demo/v1/x?a=b", {"Content-Type": "application/json"}, b'{"a": 1}')
START: Message = {"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"b")]}


def body(data: bytes, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


@looped
async def test_an_app_is_asked_as_over_a_socket() -> None:
    seen: Scope = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.update(scope)
        await send(START)
        await send(body((await receive())["body"]))

    upstream: Upstream = AsgiUpstream(app)
    answer = await upstream.send(ASK, LONG, stream=False)
    assert (answer.status, answer.headers["x-a"], await answer.read()) == (200, "b", b'{"a": 1}')
    headers = dict(seen["headers"])
    assert (seen["path"], seen["query_string"], headers[b"host"]) == ("/v1/x", b"a=b", b"demo")
    assert (headers[b"content-type"], headers[b"content-length"]) == (b"application/json", b"8")
    assert headers[b"user-agent"].startswith(b"guardrail-gateway/")
    assert repr(upstream) == "<AsgiUpstream app: 0 in flight>"


@looped
async def test_a_chunk_is_handed_over_before_the_next_one_is_sent() -> None:
    taken = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(body(b"one", more=True))
        await taken.wait()
        await send(body(b"two"))

    upstream = AsgiUpstream(app)
    answer = await upstream.send(ASK, LONG, stream=True)
    assert "1 in flight" in repr(upstream)
    pieces = []
    async for piece in answer.chunks():
        pieces.append(piece)
        taken.set()
    assert pieces == [b"one", b"two"]
    assert "0 in flight" in repr(upstream)


@looped
async def test_what_an_app_raises_is_a_broken_connection_and_our_own_errors_pass() -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        raise LookupError("inside")

    async def limits(scope: Scope, receive: Receive, send: Send) -> None:
        raise UpstreamRateLimited("slow down")

    upstream = AsgiUpstream(fails)
    answer = await upstream.send(ASK, LONG, stream=False)
    with pytest.raises(UpstreamConnectionError, match="broke the connection") as caught:
        await answer.read()
    assert isinstance(caught.value.__cause__, LookupError)
    with pytest.raises(UpstreamRateLimited):
        await AsgiUpstream(limits).send(ASK, LONG, stream=False)
    assert "0 in flight" in repr(upstream)


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize(
    ("timeouts", "which"), [(SHORT, "read timeout"), (Timeouts(connect=5, read=5, total=0.05), "total timeout")]
)
@looped
async def test_a_silent_app_times_out_and_is_ended(started: bool, timeouts: Timeouts, which: str) -> None:
    ended = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if started:
                await send(START)
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(UpstreamTimeout, match=which):  # noqa: PT012
        answer = await AsgiUpstream(app).send(ASK, timeouts, stream=False)
        await answer.read()
    assert ended.is_set()


@looped
async def test_an_endless_app_is_ended_at_its_bound() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        while True:
            await send(body(b"x" * 1000, more=True))

    upstream = AsgiUpstream(app, bounds=Bounds(whole=10_000, stream=10_000))
    for stream in (False, True):
        answer = await upstream.send(ASK, LONG, stream=stream)
        with pytest.raises(UpstreamInvalidResponse, match="more than 10000 bytes"):
            [piece async for piece in answer.chunks()] if stream else await answer.read()
    assert "0 in flight" in repr(upstream)


@looped
async def test_closing_an_answer_ends_the_app() -> None:
    ended = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(START)
        assert (await receive())["type"] == "http.disconnect"
        ended.set()

    upstream = AsgiUpstream(app)
    answer = await upstream.send(ASK, LONG, stream=True)
    await answer.close()
    await answer.close()
    assert ended.is_set()
    assert "0 in flight" in repr(upstream)
    await upstream.close()
