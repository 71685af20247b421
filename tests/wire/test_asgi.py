"""ASGI in process: a request to an app, message by message, and its lifespan."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from gateway.wire.asgi import ClientLeft, IncompleteAnswer, Message, Receive, Scope, Send, request
from gateway.wire.lifespan import lifespan


def looped(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 10))

    return run


def start(*headers: tuple[bytes, bytes], status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with its request's body; the header `x-scope` says what it saw."""
    message = await receive()
    seen = f"{scope['method']} {scope['path']} {scope['raw_path'].decode()} {scope['query_string'].decode()}"
    await send(start((b"X-Scope", seen.encode()), (b"x-two", b"1"), (b"x-two", b"2")))
    await send(body(message["body"]))


@looped
async def test_an_app_sees_the_request_as_a_server_shows_it() -> None:
    response = await request(echo, "POST", "/v1/a%20b?x=%31", [(b"host", b"here")], b"hello")
    assert response.status == 200
    assert response.headers["x-scope"] == "POST /v1/a b /v1/a%20b x=%31"
    assert response.headers["x-two"] == "1"
    assert response.raw_headers[0][0] == b"X-Scope"
    assert await response.read() == b"hello"
    assert repr(response) == "<AsgiResponse 200 complete>"


@looped
async def test_extras_go_into_the_scope() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(repr((scope["state"], scope["client"], scope["asgi"]["spec_version"])).encode()))

    response = await request(app, "GET", "/", extras={"state": {"a": 1}, "client": ("10.0.0.1", 5)})
    assert await response.read() == b"({'a': 1}, ('10.0.0.1', 5), '2.4')"


@looped
async def test_starlette_is_served() -> None:
    async def endpoint(request: Request) -> JSONResponse:
        return JSONResponse({"body": (await request.body()).decode(), "path": request.url.path})

    app = Starlette(routes=[Route("/v1/x", endpoint, methods=["POST"])])
    response = await request(app, "POST", "/v1/x", [(b"host", b"here")], b"hello")
    assert await response.read() == b'{"body":"hello","path":"/v1/x"}'
    assert (await request(app, "POST", "/nowhere")).status == 404


@looped
async def test_the_status_is_there_before_the_body_and_each_chunk_before_the_next() -> None:
    gates = [asyncio.Event() for _ in range(3)]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        for gate in gates:
            await gate.wait()
            await send(body(b"x", more=True))
        await send(body(b""))

    response = await request(app, "GET", "/")
    chunks = response.chunks()
    for gate in gates:
        gate.set()
        assert await anext(chunks) == b"x"
    assert await anext(chunks, None) is None


@looped
async def test_send_waits_until_the_reader_has_taken_the_chunk() -> None:
    sent: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        for number in range(4):
            await send(body(b"%d" % number, more=True))
            sent.append(number)
        await send(body(b""))

    response = await request(app, "GET", "/")
    seen = []
    async for chunk in response.chunks():
        await asyncio.sleep(0.01)  # time enough for an app that does not wait
        seen.append(chunk)
        assert len(sent) <= len(seen)
    assert seen == [b"0", b"1", b"2", b"3"]


@looped
async def test_leaving_a_stream_early_tells_an_app_that_listens() -> None:
    left = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        await send(body(b"one", more=True))
        assert (await receive())["type"] == "http.disconnect"
        left.set()

    response = await request(app, "GET", "/", grace=5)
    assert await anext(response.chunks()) == b"one"
    await response.close()
    await response.close()
    assert left.is_set()
    assert repr(response) == "<AsgiResponse 200 closed>"
    with pytest.raises(IncompleteAnswer):
        await response.read()


@looped
async def test_an_app_that_sends_to_a_client_that_has_left_is_told_so() -> None:
    errors: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            while True:
                await send(body(b"x", more=True))
        except OSError as error:
            errors.append(error)
            raise

    response = await request(app, "GET", "/")
    async for _ in response.chunks():
        break
    await response.close()
    assert [type(error) for error in errors] == [ClientLeft]
    await response.finished()  # an app that only noticed has not failed


@looped
async def test_an_app_that_does_not_leave_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    response = await request(app, "GET", "/", grace=0.01)
    await response.close()
    assert cancelled.is_set()


@looped
async def test_cancelling_a_request_before_its_status_ends_the_app() -> None:
    running, ended = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.ensure_future(request(app, "GET", "/", grace=0.01))
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


@looped
async def test_a_starlette_stream_ends_when_its_reader_leaves() -> None:
    ended = asyncio.Event()

    async def numbers() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            ended.set()

    async def endpoint(request: Request) -> StreamingResponse:
        return StreamingResponse(numbers())

    response = await request(Starlette(routes=[Route("/", endpoint)]), "GET", "/")
    async for _ in response.chunks():
        break
    await response.close()
    await ended.wait()
    await response.finished()


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    pass


async def half(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    await send(body(b"half", more=True))


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    await half(scope, receive, send)
    raise LookupError("the app is broken")


async def bodies(scope: Scope, receive: Receive, send: Send) -> None:
    await send(body(b"x"))


async def twice(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    await send(start())


async def sockets(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})


@pytest.mark.parametrize(
    ("app", "error"),
    [
        (nothing, IncompleteAnswer),
        (half, IncompleteAnswer),
        (broken, LookupError),
        (bodies, RuntimeError),
        (twice, RuntimeError),
        (sockets, RuntimeError),
    ],
)
@looped
async def test_an_answer_that_does_not_come_to_its_end_is_an_error(app: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        await (await request(app, "GET", "/")).read()


@looped
async def test_what_came_before_a_failure_is_handed_over() -> None:
    response = await request(broken, "GET", "/")
    chunks = response.chunks()
    assert await anext(chunks) == b"half"
    with pytest.raises(LookupError):
        await anext(chunks)


@looped
async def test_an_answer_is_complete_before_the_app_has_returned_and_its_end_can_be_waited_for() -> None:
    accounted = asyncio.Event()
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"done"))
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        await go.wait()
        accounted.set()

    response = await request(app, "GET", "/")
    assert await response.read() == b"done"
    assert not accounted.is_set()
    gc.collect()  # the app's task lives on even when nobody holds it
    go.set()
    await response.finished()
    assert accounted.is_set()


@looped
async def test_a_failure_after_the_answer_belongs_to_whoever_waits_for_the_end() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"done"))
        raise LookupError("accounting failed")

    response = await request(app, "GET", "/")
    assert await response.read() == b"done"
    with pytest.raises(LookupError):
        await response.finished()


@looped
async def test_a_lifespan_runs_around_its_block_and_shares_its_state() -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def around(app: Starlette) -> AsyncIterator[dict[str, str]]:
        steps.append("up")
        yield {"pool": "open"}
        steps.append("down")

    async with lifespan(Starlette(lifespan=around)) as state:
        assert state == {"pool": "open"}
        assert steps == ["up"]
    assert steps == ["up", "down"]


@looped
async def test_a_shutdown_runs_when_the_block_fails() -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def around(app: Starlette) -> AsyncIterator[None]:
        yield
        steps.append("down")

    with pytest.raises(KeyError):
        async with lifespan(Starlette(lifespan=around)):
            raise KeyError
    assert steps == ["down"]


@pytest.mark.parametrize("at", ["startup", "shutdown"])
@looped
async def test_a_lifespan_that_fails_says_so(at: str) -> None:
    @asynccontextmanager
    async def around(app: Starlette) -> AsyncIterator[None]:
        if at == "startup":
            raise LookupError("no database")
        yield
        raise LookupError("no database")

    with pytest.raises(RuntimeError, match=f"the app failed in its {at}") as caught:
        async with lifespan(Starlette(lifespan=around)):
            pass
    assert isinstance(caught.value.__cause__, LookupError)


@pytest.mark.parametrize("raises", [True, False])
@looped
async def test_an_app_without_a_lifespan_runs_all_the_same(raises: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if raises:
            raise KeyError(scope["type"])

    async with lifespan(app) as state:
        assert state == {}
