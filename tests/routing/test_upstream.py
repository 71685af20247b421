"""The engines behind the port, against servers whose every byte the test decides."""

import asyncio
import gzip
import logging
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from gateway.errors import UpstreamConnectionError, UpstreamError, UpstreamInvalidResponse, UpstreamTimeout
from gateway.routing.engines.asgi_app import AsgiUpstream
from gateway.routing.engines.httpx_transport import HttpxUpstream
from gateway.routing.engines.pooled.pool import PooledUpstream
from gateway.routing.upstream import Bounds, Switch, Timeouts, Upstream
from gateway.types import HttpRequest
from gateway.version import __version__
from tests.routing import servers
from tests.routing.servers import CHUNKED, Connection, Handler, chunk, looped, response, serve

ENGINES: dict[str, Callable[[Bounds], Upstream]] = {
    "pooled": lambda bounds: PooledUpstream(bounds=bounds),
    "pooled on uvloop": lambda bounds: PooledUpstream(bounds=bounds),
    "httpx": lambda bounds: HttpxUpstream(httpx.AsyncHTTPTransport(verify=False), bounds=bounds),
}
LONG = Timeouts(connect=5, read=5, total=8)
HELLO = response(b"hello", b"content-type: text/plain")
SECRETS = ("sk-secret-value", "body-secret-value", "query-secret-value")

both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Every test that asks for it runs with each engine."""
    return str(request.param)


@asynccontextmanager
async def opened(engine: str, bounds: Bounds | None = None) -> AsyncIterator[Upstream]:
    """An engine, which must have given everything back when the test is over."""
    upstream = ENGINES[engine](bounds or Bounds())
    try:
        yield upstream
        assert "0 in flight" in repr(upstream)
    finally:
        await upstream.close()


def ask(url: str, path: str = "/v1/chat/completions?key=query-secret-value") -> HttpRequest:
    headers = {"content-type": "application/json", "authorization": "Bearer sk-secret-value"}
    return HttpRequest("POST", url + path, headers, b'{"prompt": "body-secret-value"}')


async def body_of(upstream: Upstream, url: str, stream: bool, timeouts: Timeouts = LONG) -> bytes:
    answer = await upstream.send(ask(url), timeouts, stream=stream)
    if stream:
        return b"".join([piece async for piece in answer.chunks()])
    return await answer.read()


async def failure(engine: str, handler: Handler, stream: bool, **options: object) -> UpstreamError:
    """The error that an exchange with `handler` ends in."""
    async with serve(handler) as server, opened(engine, options.get("bounds")) as upstream:  # type: ignore[arg-type]
        with pytest.raises(UpstreamError) as caught:
            await body_of(upstream, server.url, stream, options.get("timeouts", LONG))  # type: ignore[arg-type]
        return caught.value


@both_ways
@looped
async def test_a_request_arrives_as_it_was_written(engine: str, stream: bool) -> None:
    async with serve(servers.says(HELLO)) as server, opened(engine) as upstream:
        assert await body_of(upstream, server.url, stream) == b"hello"
        head = server.requests[0].head.lower()
        assert head.startswith(b"post /v1/chat/completions?key=query-secret-value http/1.1\r\n")
        assert b"authorization: bearer sk-secret-value\r\n" in head
        assert b"user-agent: guardrail-gateway/" + __version__.encode() in head
        assert b"referer" not in head
        assert server.requests[0].body == b'{"prompt": "body-secret-value"}'


@looped
async def test_status_and_headers_are_readable_before_the_body(engine: str) -> None:
    async with serve(servers.says_and_waits(CHUNKED)) as server, opened(engine) as upstream:
        answer = await upstream.send(ask(server.url), LONG, stream=True)
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers.get("retry-after") is None
        assert "content-type" in dict(answer.headers)
        await answer.close()


@both_ways
@looped
async def test_one_connection_serves_request_after_request(engine: str, stream: bool) -> None:
    async with serve(servers.says(HELLO)) as server, opened(engine) as upstream:
        for _ in range(5):
            assert await body_of(upstream, server.url, stream) == b"hello"
        assert server.accepted == 1


@looped
async def test_a_chunk_is_handed_over_before_the_next_one_is_sent(engine: str) -> None:
    taken = asyncio.Event()

    async def handler(connection: Connection) -> None:
        await connection.send(CHUNKED, chunk(b"one"))
        await taken.wait()
        await connection.send(chunk(b"two"), chunk(b""))

    async with serve(handler) as server, opened(engine) as upstream:
        answer = await upstream.send(ask(server.url), LONG, stream=True)
        pieces = []
        async for piece in answer.chunks():
            pieces.append(piece)
            taken.set()
        assert pieces == [b"one", b"two"]
        assert all(type(piece) is bytes for piece in pieces)


@looped
async def test_a_set_cookie_is_not_sent_back(engine: str) -> None:
    async with serve(servers.says(response(b"", b"set-cookie: a=b"))) as server, opened(engine) as upstream:
        await body_of(upstream, server.url, False)
        await body_of(upstream, server.url, False)
        assert b"cookie" not in server.requests[1].head.lower()


@looped
async def test_a_redirect_is_passed_up_and_not_followed(engine: str) -> None:
    redirect = response(b"", b"location: /elsewhere", status=b"307 Temporary Redirect")
    async with serve(servers.says(redirect)) as server, opened(engine) as upstream:
        answer = await upstream.send(ask(server.url), LONG, stream=False)
        assert (answer.status, answer.headers["location"]) == (307, "/elsewhere")
        await answer.read()
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("raw", "status", "body"),
    [
        (response(b"<html>bad gateway</html>", b"content-type: text/html", status=b"502 Bad"), 502, b"<html>bad"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + HELLO, 200, b"hello"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO, 200, b"hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (CHUNKED + chunk(b"hel") + chunk(b"lo") + chunk(b""), 200, b"hello"),
        (response(gzip.compress(b"hello"), b"content-encoding: gzip"), 200, b"hello"),
        (response(b"hello", b"x-odd: caf\xe9 \xff"), 200, b"hello"),
        (response(b"hello", b"x-long: " + b"a" * 30_000), 200, b"hello"),
    ],
    ids=["html", "early hints", "continue", "no content", "chunked", "gzip", "not utf-8", "long header"],
)
@both_ways
@looped
async def test_what_http_allows_is_read(engine: str, stream: bool, raw: bytes, status: int, body: bytes) -> None:
    async with serve(servers.says(raw)) as server, opened(engine) as upstream:
        answer = await upstream.send(ask(server.url), LONG, stream=stream)
        assert answer.status == status
        assert all(value.isprintable() for value in answer.headers.values())
        assert (await answer.read()).startswith(body)


@both_ways
@looped
async def test_a_body_without_length_ends_with_its_connection(engine: str, stream: bool) -> None:
    old = servers.says_and_closes(b"HTTP/1.0 200 OK\r\n\r\nhello")
    async with serve(old) as server, opened(engine) as upstream:
        assert await body_of(upstream, server.url, stream) == b"hello"


@both_ways
@looped
async def test_a_refused_connection_is_a_connection_error(engine: str, stream: bool) -> None:
    async with opened(engine) as upstream:
        with pytest.raises(UpstreamConnectionError, match="could not be reached"):
            await body_of(upstream, f"http://127.0.0.1:{servers.closed_port()}", stream)


@looped
async def test_an_unknown_host_is_named_without_the_rest_of_its_url(engine: str) -> None:
    async with opened(engine) as upstream:
        with pytest.raises(UpstreamConnectionError) as caught:
            await body_of(upstream, "http://user:sk-secret-value@api.provider.invalid", False)
    assert caught.value.message == "The provider's server api.provider.invalid could not be reached; try again later."


@pytest.mark.parametrize("end", [servers.says_and_closes, servers.says_and_resets], ids=["closed", "reset"])
@pytest.mark.parametrize("cut", [0, 5, 20, HELLO.index(b"hello"), len(HELLO) - 1])
@both_ways
@looped
async def test_an_answer_cut_anywhere_is_a_connection_error(
    engine: str, stream: bool, cut: int, end: Callable[..., Handler]
) -> None:
    assert isinstance(await failure(engine, end(HELLO[:cut]), stream), UpstreamConnectionError)


@pytest.mark.parametrize("raw", [CHUNKED, CHUNKED + chunk(b"one"), CHUNKED + b"5\r\nhel"])
@both_ways
@looped
async def test_a_chunked_body_without_its_last_chunk_is_a_connection_error(
    engine: str, stream: bool, raw: bytes
) -> None:
    assert isinstance(await failure(engine, servers.says_and_closes(raw), stream), UpstreamConnectionError)


@looped
async def test_the_chunks_before_a_cut_are_handed_over(engine: str) -> None:
    cut = servers.says_and_closes(CHUNKED + chunk(b"one"))
    async with serve(cut) as server, opened(engine) as upstream:
        answer = await upstream.send(ask(server.url), LONG, stream=True)
        pieces = []
        with pytest.raises(UpstreamConnectionError, match="before its answer was complete"):  # noqa: PT012
            async for piece in answer.chunks():
                pieces.append(piece)  # noqa: PERF401
        assert pieces == [b"one"]


@pytest.mark.parametrize("raw", [b"", CHUNKED, response(b"hello")[:-1]], ids=["no head", "no body", "half a body"])
@both_ways
@looped
async def test_silence_is_a_read_timeout(engine: str, stream: bool, raw: bytes) -> None:
    patience = Timeouts(connect=5, read=0.1, total=5)
    error = await failure(engine, servers.says_and_waits(raw), stream, timeouts=patience)
    assert isinstance(error, UpstreamTimeout)
    assert error.message == "The provider's server sent nothing for 0.1 seconds (read timeout)."


def drips(seconds: float, times: int) -> Handler:
    """A body of `times` bytes, one every `seconds`."""

    async def handler(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % times)
        for _ in range(times):
            await asyncio.sleep(seconds)
            await connection.send(b"\n")

    return handler


@both_ways
@looped
async def test_a_slow_answer_that_never_falls_silent_is_waited_for(engine: str, stream: bool) -> None:
    async with serve(drips(0.05, 10)) as server, opened(engine) as upstream:
        body = await body_of(upstream, server.url, stream, Timeouts(connect=5, read=0.3, total=5))
        assert body == b"\n" * 10


@pytest.mark.parametrize("total", [0.2, 0.02])
@both_ways
@looped
async def test_a_slow_answer_ends_at_the_total_timeout(engine: str, stream: bool, total: float) -> None:
    error = await failure(engine, drips(0.05, 100), stream, timeouts=Timeouts(connect=5, read=5, total=total))
    assert isinstance(error, UpstreamTimeout)
    assert error.message == (
        f"The provider's server did not finish its answer within {total:g} seconds (total timeout)."
    )


@both_ways
@looped
async def test_a_handshake_that_never_ends_is_a_connect_timeout(engine: str, stream: bool) -> None:
    async with serve(servers.says_and_waits()) as server, opened(engine) as upstream:
        secure = server.url.replace("http:", "https:")
        # Long enough for the handshake to have begun also on a busy machine.
        with pytest.raises(UpstreamTimeout, match=r"did not accept a connection within 0\.5 seconds"):
            await body_of(upstream, secure, stream, Timeouts(connect=0.5, read=5, total=8))


@both_ways
@looped
async def test_an_endless_body_is_cut_at_its_bound(engine: str, stream: bool) -> None:
    left = asyncio.Event()

    async def handler(connection: Connection) -> None:
        await connection.send(CHUNKED)
        try:
            while True:
                await connection.send(chunk(b"x" * 4096))
        finally:
            left.set()

    async with serve(handler) as server, opened(engine, Bounds(whole=100_000, stream=100_000)) as upstream:
        with pytest.raises(UpstreamInvalidResponse, match="more than 100000 bytes"):
            await body_of(upstream, server.url, stream)
        await left.wait()


@both_ways
@looped
async def test_a_compressed_body_is_bounded_by_its_decoded_size(engine: str, stream: bool) -> None:
    bomb = response(gzip.compress(bytes(3_000_000)), b"content-encoding: gzip")
    error = await failure(engine, servers.says(bomb), stream, bounds=Bounds(whole=1_000_000, stream=1_000_000))
    assert isinstance(error, UpstreamInvalidResponse)


@pytest.mark.parametrize(
    "raw",
    [
        b"hello world\r\n\r\n",
        response(b"hello", b"content-encoding: gzip"),
        response(b"", b"x-huge: " + b"a" * 1_000_000),
    ],
    ids=["not http", "not gzip", "huge head"],
)
@both_ways
@looped
async def test_what_is_not_http_is_an_error(engine: str, stream: bool, raw: bytes) -> None:
    error = await failure(engine, servers.says_and_closes(raw), stream)
    expected = UpstreamInvalidResponse if engine != "httpx" else (UpstreamInvalidResponse, UpstreamConnectionError)
    assert isinstance(error, expected)


@both_ways
@looped
async def test_cancelling_before_the_status_hangs_up(engine: str, stream: bool) -> None:
    async with serve(servers.says_and_waits()) as server, opened(engine) as upstream:
        task = asyncio.ensure_future(upstream.send(ask(server.url), LONG, stream=stream))
        await server.arrived.wait()
        assert "1 in flight" in repr(upstream)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.requests[0].gone.wait()


@both_ways
@looped
async def test_cancelling_in_the_body_hangs_up(engine: str, stream: bool) -> None:
    async with serve(servers.says_and_waits(CHUNKED + chunk(b"x" * 70_000))) as server, opened(engine) as upstream:
        started = asyncio.Event()

        async def read() -> None:
            answer = await upstream.send(ask(server.url), LONG, stream=stream)
            async for _ in answer.chunks():
                started.set()

        task = asyncio.ensure_future(read())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.requests[0].gone.wait()


@both_ways
@looped
async def test_closing_an_unfinished_answer_hangs_up_once(engine: str, stream: bool) -> None:
    async with serve(servers.says_and_waits(CHUNKED + chunk(b"x" * 70_000))) as server, opened(engine) as upstream:
        answer = await upstream.send(ask(server.url), LONG, stream=stream)
        await answer.close()
        await answer.close()
        await server.requests[0].gone.wait()
        assert [piece async for piece in answer.chunks()] == []


@looped
async def test_closing_the_engine_closes_idle_connections(engine: str) -> None:
    async with serve(servers.says(HELLO)) as server:
        async with opened(engine) as upstream:
            await body_of(upstream, server.url, False)
        await server.requests[0].gone.wait()


@pytest.mark.parametrize("url", ["nonsense", "ftp://provider.invalid"])
@looped
async def test_an_address_that_is_none_names_the_operator(engine: str, url: str) -> None:
    async with opened(engine) as upstream:
        with pytest.raises(UpstreamConnectionError, match="operator must check"):
            await body_of(upstream, url, False)


@looped
async def test_a_header_that_cannot_be_sent_is_not_quoted(engine: str) -> None:
    bad = HttpRequest("POST", "http://127.0.0.1:9/", {"authorization": "Bearer sk-secret-value\n\xe9"}, b"")
    async with opened(engine) as upstream:
        with pytest.raises(UpstreamConnectionError) as caught:
            await upstream.send(bad, LONG, stream=False)
    assert "sk-secret-value" not in "".join(traceback.format_exception(caught.value))


FAILURES: dict[str, Handler] = {
    "closed": servers.says_and_closes(),
    "reset": servers.says_and_resets(CHUNKED),
    "not http": servers.says_and_closes(b"what\r\n\r\n"),
    "not gzip": servers.says_and_closes(response(b"hello", b"content-encoding: gzip")),
    "silent": servers.says_and_waits(),
}


@pytest.mark.parametrize("name", FAILURES)
@both_ways
@looped
async def test_no_error_and_no_log_holds_a_secret(
    engine: str, stream: bool, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.NOTSET)
    error = await failure(engine, FAILURES[name], stream, timeouts=Timeouts(connect=5, read=0.1, total=5))
    told = "".join(traceback.format_exception(error)) + repr(error) + error.message + caplog.text
    for cause in (error, error.__cause__, error.__context__):
        told += repr(cause) + repr(vars(cause) if cause is not None else None)
    assert not [secret for secret in SECRETS if secret in told]


@looped
async def test_a_mock_transport_is_an_upstream() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(418, headers={"x-a": "b"}, content=request.content.upper())

    upstream = HttpxUpstream(httpx.MockTransport(handler))
    answer = await upstream.send(ask("https://provider.invalid"), LONG, stream=False)
    assert (answer.status, answer.headers["x-a"]) == (418, "b")
    assert await answer.read() == b'{"PROMPT": "BODY-SECRET-VALUE"}'
    assert repr(upstream) == "<HttpxUpstream MockTransport: 0 in flight>"


@looped
async def test_a_switch_sends_by_origin_and_shows_what_is_mounted() -> None:
    async def demo(scope: object, receive: object, send: Callable[..., object]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[misc]
        await send({"type": "http.response.body", "body": scope["raw_path"]})  # type: ignore[misc, index]

    rest = HttpxUpstream(httpx.MockTransport(lambda request: httpx.Response(200, content=b"rest")))
    switch = Switch(rest, {"asgi://demo": AsgiUpstream(demo)})
    for url, body in (("asgi://demo/v1/x?y", b"/v1/x"), ("asgi://demo", b"/"), ("https://demo/v1/x", b"rest")):
        answer = await switch.send(HttpRequest("GET", url, {}, b""), LONG, stream=False)
        assert await answer.read() == body
    assert repr(switch) == (
        "<Switch asgi://demo=<AsgiUpstream demo: 0 in flight> default=<HttpxUpstream MockTransport: 0 in flight>>"
    )
    await switch.close()
