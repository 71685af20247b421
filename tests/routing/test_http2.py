"""The default engine over HTTP/2, against a server whose every frame the test decides."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, GoAwayFrame, PingFrame

from gateway.errors import UpstreamConnectionError, UpstreamError, UpstreamInvalidResponse, UpstreamTimeout
from gateway.routing.engines.pooled import keep_alive
from gateway.routing.engines.pooled.http2.goaway import Goaway, Sieve
from gateway.routing.engines.pooled.http2.terms import MAX_STREAMS, STREAM_WINDOW
from gateway.routing.engines.pooled.pool import PooledUpstream
from gateway.routing.engines.pooled.request_head import address_of, fields_of, head_of
from gateway.routing.upstream import Bounds, Timeouts
from gateway.types import HttpRequest
from tests.routing import servers
from tests.routing.http2_server import Exchange, Handler, Http2Server, Peer, serve2
from tests.routing.servers import looped, response, serve

LONG = Timeouts(connect=5, read=5, total=8)
Tls = tuple[bytes, ssl.SSLContext]


@pytest.fixture(params=["asyncio", "uvloop"])
def engine(request: pytest.FixtureRequest) -> str:
    """The event loop that a test runs on; see `looped`."""
    return str(request.param)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """An authority, and a server of its that speaks HTTP/2 only."""
    pem, context = servers.certificate(tmp_path_factory.mktemp("tls"))
    context.set_alpn_protocols(["h2"])
    return pem, context


def ask(url: str, body: bytes = b"{}", **headers: str) -> HttpRequest:
    return HttpRequest("POST", f"{url}/v1/x?a=b", headers, body)


@asynccontextmanager
async def opened(tls: Tls, **options: Any) -> AsyncIterator[PooledUpstream]:
    """An engine, which must have given everything back when the test is over."""
    upstream = PooledUpstream(ca_bundle=tls[0], http2=True, **options)
    try:
        yield upstream
        assert "0 in flight" in repr(upstream)
    finally:
        await upstream.close()


async def fetch(upstream: PooledUpstream, request: HttpRequest, timeouts: Timeouts = LONG) -> bytes:
    return await (await upstream.send(request, timeouts, stream=False)).read()


def url_of(server: asyncio.Server) -> str:
    return f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def says(body: bytes, *fields: tuple[str, str]) -> Handler:
    async def handler(exchange: Exchange) -> None:
        await exchange.answer(body, *fields)

    return handler


async def silent(exchange: Exchange) -> None:
    await asyncio.Event().wait()


async def begins(exchange: Exchange) -> None:
    """A stream that says one thing and then nothing."""
    exchange.head(("content-type", "text/event-stream"))
    await exchange.data(b"data: one\n\n")
    await asyncio.Event().wait()


def meets(count: int) -> Handler:
    """Answers nobody until `count` requests are there together."""
    barrier = asyncio.Barrier(count)

    async def handler(exchange: Exchange) -> None:
        await barrier.wait()
        await exchange.answer(exchange.body)

    return handler


@looped
async def test_a_request_arrives_as_it_was_written(engine: str, tls: Tls) -> None:
    async with serve2(says(b"hello", ("x-a", "b")), tls[1]) as server, opened(tls) as upstream:
        answer = await upstream.send(ask(server.url, b'{"a": 1}', Authorization="Bearer sk"), LONG, stream=False)
        assert (answer.status, answer.headers["x-a"], await answer.read()) == (200, "b", b"hello")
        (exchange,) = server.exchanges
        assert exchange.body == b'{"a": 1}'
        sent = exchange.headers
        assert (sent[":method"], sent[":scheme"], sent[":path"]) == ("POST", "https", "/v1/x?a=b")
        assert sent[":authority"] == server.url.removeprefix("https://")
        assert (sent["authorization"], sent["content-length"]) == ("Bearer sk", "8")
        assert "host" not in sent
        assert repr(upstream) == "<PooledUpstream 0 in flight, 1 idle>"


@looped
async def test_requests_side_by_side_share_one_connection(engine: str, tls: Tls) -> None:
    async with serve2(meets(20), tls[1]) as server, opened(tls) as upstream:
        bodies = [b"%d" % number for number in range(20)]
        assert await asyncio.gather(*(fetch(upstream, ask(server.url, body)) for body in bodies)) == bodies
        assert len(server.peers) == 1


@looped
async def test_a_further_connection_is_opened_when_the_server_takes_no_more_on_one(engine: str, tls: Tls) -> None:
    few = {SettingCodes.MAX_CONCURRENT_STREAMS: 4}
    async with serve2(meets(12), tls[1], few) as server, opened(tls) as upstream:
        await asyncio.gather(*(fetch(upstream, ask(server.url)) for _ in range(12)))
        assert len(server.peers) == 3


@looped
async def test_a_server_that_takes_no_streams_is_unreachable(engine: str, tls: Tls) -> None:
    none = {SettingCodes.MAX_CONCURRENT_STREAMS: 0}
    async with serve2(silent, tls[1], none) as server, opened(tls) as upstream:
        with pytest.raises(UpstreamConnectionError, match="could not be reached"):
            await fetch(upstream, ask(server.url))
        await server.peers[0].lost.wait()


@pytest.mark.parametrize("offered", [["http/1.1"], []], ids=["http/1.1", "no ALPN"])
@looped
async def test_a_server_that_does_not_offer_http2_is_spoken_to_in_http1(
    engine: str, offered: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    pem, context = servers.certificate(tmp_path_factory.mktemp("old"))
    if offered:
        context.set_alpn_protocols(offered)
    barrier = asyncio.Barrier(3)

    async def handler(connection: servers.Connection) -> None:
        await barrier.wait()
        await connection.send(response(b"hello"))

    async with serve(handler, context) as server, opened((pem, context)) as upstream:
        for _ in range(2):
            assert await asyncio.gather(*(fetch(upstream, ask(server.url)) for _ in range(3))) == [b"hello"] * 3
        assert server.accepted == 3  # one for each, and then used again
        assert server.requests[0].head.startswith(b"POST /v1/x?a=b HTTP/1.1\r\n")


@looped
async def test_plain_http_stays_http1(engine: str, tls: Tls) -> None:
    async with serve(servers.says(response(b"hello"))) as server, opened(tls) as upstream:
        assert await fetch(upstream, ask(server.url)) == b"hello"


@looped
async def test_without_the_setting_http2_is_not_offered(engine: str, tls: Tls) -> None:
    async with serve2(says(b"hello"), tls[1]) as server:
        upstream = PooledUpstream(ca_bundle=tls[0])
        with pytest.raises(UpstreamError):
            await fetch(upstream, ask(server.url))
        assert not server.exchanges
        await upstream.close()


@looped
async def test_a_chunk_is_handed_over_before_the_next_one_is_sent(engine: str, tls: Tls) -> None:
    taken = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        exchange.head()
        await exchange.data(b"one")
        await taken.wait()
        await exchange.data(b"two", end=True)

    async with serve2(handler, tls[1]) as server, opened(tls) as upstream:
        answer = await upstream.send(ask(server.url), LONG, stream=True)
        pieces = []
        async for piece in answer.chunks():
            pieces.append(piece)
            taken.set()
        assert pieces == [b"one", b"two"]


@looped
async def test_cancelling_before_the_status_resets_the_stream_and_no_other(engine: str, tls: Tls) -> None:
    go = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await go.wait()
        await exchange.answer(b"hello")

    async with serve2(handler, tls[1]) as server, opened(tls) as upstream:
        other = asyncio.ensure_future(fetch(upstream, ask(server.url)))
        await server.arrived.wait()
        server.arrived.clear()
        task = asyncio.ensure_future(fetch(upstream, ask(server.url)))
        await server.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.exchanges[1].gone.wait()
        assert server.exchanges[1].reset == ErrorCodes.CANCEL
        go.set()
        assert await other == b"hello"
        assert not server.exchanges[0].gone.is_set()
        assert await fetch(upstream, ask(server.url)) == b"hello"
        assert len(server.peers) == 1


@pytest.mark.parametrize("way", ["cancel", "close"])
@looped
async def test_leaving_a_stream_in_its_body_resets_it(engine: str, way: str, tls: Tls) -> None:
    async with serve2(begins, tls[1]) as server, opened(tls) as upstream:
        answer = await upstream.send(ask(server.url), LONG, stream=True)
        chunks = answer.chunks()
        assert await anext(chunks) == b"data: one\n\n"
        if way == "cancel":
            task = asyncio.ensure_future(anext(chunks))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await answer.close()
        await server.exchanges[0].gone.wait()
        assert server.exchanges[0].reset == ErrorCodes.CANCEL
        assert not server.peers[0].lost.is_set()


@looped
async def test_more_cancellations_than_streams_fit_on_a_connection_use_it_up_neither_streams_nor_window(
    engine: str, tls: Tls
) -> None:
    async def handler(exchange: Exchange) -> None:
        if exchange.body == b"last":
            await exchange.answer(bytes(2 * STREAM_WINDOW))
            return
        exchange.head()
        await exchange.data(bytes(STREAM_WINDOW))
        await exchange.gone.wait()

    async with serve2(handler, tls[1]) as server, opened(tls) as upstream:
        for _ in range(MAX_STREAMS + 20):
            await (await upstream.send(ask(server.url), LONG, stream=True)).close()
        assert len(await fetch(upstream, ask(server.url, b"last"))) == 2 * STREAM_WINDOW
        assert len(server.peers) == 1


@looped
async def test_a_graceful_goaway_lets_the_answers_under_way_finish(engine: str, tls: Tls) -> None:
    async def handler(exchange: Exchange) -> None:
        exchange.head()
        await exchange.data(b"one")
        if exchange.peer is server.peers[0]:
            exchange.peer.goaway(exchange.id)
        await go.wait()
        await exchange.data(b"two", end=True)

    go = asyncio.Event()
    async with serve2(handler, tls[1]) as server, opened(tls) as upstream:
        answer = await upstream.send(ask(server.url), LONG, stream=True)
        chunks = answer.chunks()
        assert await anext(chunks) == b"one"
        while upstream_takes(upstream):  # noqa: ASYNC110
            await asyncio.sleep(0)
        go.set()
        assert await fetch(upstream, ask(server.url)) == b"onetwo"
        assert b"".join([piece async for piece in chunks]) == b"two"
        assert len(server.peers) == 2
        await server.peers[0].lost.wait()


def upstream_takes(upstream: PooledUpstream) -> bool:
    """Whether a connection is left that takes one more request."""
    return any(origin.fleet for origins in upstream._loops.values() for origin in origins.values())


@looped
async def test_a_goaway_is_a_connection_error_for_the_requests_it_leaves_out(engine: str, tls: Tls) -> None:
    async def handler(exchange: Exchange) -> None:
        exchange.head()
        await exchange.data(b"one")
        if len(server.exchanges) == 2:
            exchange.peer.goaway(server.exchanges[0].id, ErrorCodes.INTERNAL_ERROR)
            await server.exchanges[0].data(b"two", end=True)

    async with serve2(handler, tls[1]) as server, opened(tls) as upstream:
        kept = await upstream.send(ask(server.url), LONG, stream=True)
        left_out = await upstream.send(ask(server.url), LONG, stream=True)
        with pytest.raises(UpstreamConnectionError, match="before its answer was complete"):
            await left_out.read()
        assert await kept.read() == b"onetwo"
        await server.peers[0].lost.wait()


def loses(exchange: Exchange) -> None:
    exchange.peer.transport.abort()


@pytest.mark.parametrize("started", [False, True], ids=["before the status", "in the body"])
@pytest.mark.parametrize(
    "end",
    [
        loses,
        lambda exchange: exchange.refuse(ErrorCodes.REFUSED_STREAM),
        lambda exchange: exchange.refuse(ErrorCodes.NO_ERROR),
    ],
    ids=["lost", "refused", "reset"],
)
@looped
async def test_a_stream_that_ends_early_is_a_connection_error(engine: str, started: bool, end: Any, tls: Tls) -> None:
    async def handler(exchange: Exchange) -> None:
        if started:
            exchange.head()
            await exchange.data(b"one")
        end(exchange)

    async with serve2(handler, tls[1]) as server, opened(tls) as upstream:
        with pytest.raises(UpstreamConnectionError, match="before its answer was complete"):
            await fetch(upstream, ask(server.url))


@looped
async def test_a_connection_that_was_closed_while_idle_is_not_used_again(engine: str, tls: Tls) -> None:
    async with serve2(says(b"hello"), tls[1]) as server, opened(tls) as upstream:
        assert await fetch(upstream, ask(server.url)) == b"hello"
        server.peers[0].transport.close()
        while "1 idle" in repr(upstream):  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert await fetch(upstream, ask(server.url)) == b"hello"


@looped
async def test_an_idle_connection_is_closed_when_it_gets_old(
    engine: str, monkeypatch: pytest.MonkeyPatch, tls: Tls
) -> None:
    monkeypatch.setattr(keep_alive, "IDLE_SECONDS", 0.05)
    async with serve2(says(b"hello"), tls[1]) as server, opened(tls) as upstream:
        assert await fetch(upstream, ask(server.url)) == b"hello"
        await server.peers[0].lost.wait()
        assert "0 idle" in repr(upstream)


@pytest.mark.parametrize(
    ("handler", "timeouts", "message"),
    [
        (silent, Timeouts(connect=5, read=0.1, total=5), "sent nothing for 0.1 seconds (read timeout)"),
        (begins, Timeouts(connect=5, read=0.1, total=5), "sent nothing for 0.1 seconds (read timeout)"),
        (
            begins,
            Timeouts(connect=5, read=5, total=0.1),
            "did not finish its answer within 0.1 seconds (total timeout)",
        ),
    ],
    ids=["no status", "silence", "total"],
)
@looped
async def test_a_late_stream_is_reset_and_the_others_go_on(
    engine: str, handler: Handler, timeouts: Timeouts, message: str, tls: Tls
) -> None:
    late = asyncio.Event()

    async def either(exchange: Exchange) -> None:
        if exchange.body != b"patient":
            await handler(exchange)
        await late.wait()
        await exchange.answer(b"hello")

    async with serve2(either, tls[1]) as server, opened(tls) as upstream:
        patient = asyncio.ensure_future(fetch(upstream, ask(server.url, b"patient")))
        await server.arrived.wait()
        with pytest.raises(UpstreamTimeout) as caught:
            await fetch(upstream, ask(server.url), timeouts)
        assert caught.value.message == f"The provider's server {message}."
        await server.exchanges[1].gone.wait()
        assert server.exchanges[1].reset == ErrorCodes.CANCEL
        late.set()
        assert await patient == b"hello"
        assert len(server.peers) == 1


@looped
async def test_a_connection_that_was_silent_through_a_timeout_gets_no_more_requests(engine: str, tls: Tls) -> None:
    async with serve2(silent, tls[1]) as server, opened(tls) as upstream:
        for _ in range(2):
            with pytest.raises(UpstreamTimeout):
                await fetch(upstream, ask(server.url), Timeouts(connect=5, read=0.05, total=5))
        assert len(server.peers) == 2


@looped
async def test_a_slow_answer_that_never_falls_silent_is_waited_for(engine: str, tls: Tls) -> None:
    async def drips(exchange: Exchange) -> None:
        exchange.head()
        for _ in range(10):
            await asyncio.sleep(0.05)
            await exchange.data(b"\n")
        await exchange.data(b"", end=True)

    async with serve2(drips, tls[1]) as server, opened(tls) as upstream:
        assert await fetch(upstream, ask(server.url), Timeouts(connect=5, read=0.3, total=5)) == b"\n" * 10


@looped
async def test_a_server_that_never_says_its_settings_is_a_connect_timeout(engine: str, tls: Tls) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        left.set()
        writer.close()

    left = asyncio.Event()
    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls[1])
    async with opened(tls) as upstream:
        with pytest.raises(UpstreamTimeout, match=r"did not accept a connection within 0\.2 seconds"):
            await fetch(upstream, ask(url_of(server)), Timeouts(connect=0.2, read=5, total=5))
        await left.wait()
    server.close()


@looped
async def test_a_server_that_says_goaway_with_its_settings_is_unreachable(engine: str, tls: Tls) -> None:
    class Leaving(Peer):
        def flush(self) -> None:
            goaway = GoAwayFrame(0, last_stream_id=0).serialize()
            self.transport.write(self.h2.data_to_send() + goaway)

    server = Http2Server()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Leaving(server, silent, {}), "127.0.0.1", 0, ssl=tls[1])
    async with opened(tls) as upstream:
        with pytest.raises(UpstreamConnectionError, match="could not be reached"):
            await fetch(upstream, ask(url_of(listening)))
    listening.close()


@looped
async def test_who_waited_for_a_connection_connects_when_the_first_one_gives_up(engine: str, tls: Tls) -> None:
    async with serve2(says(b"hello"), tls[1]) as server, opened(tls) as upstream:
        first = asyncio.ensure_future(fetch(upstream, ask(server.url)))
        second = asyncio.ensure_future(fetch(upstream, ask(server.url)))
        await asyncio.sleep(0)
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first
        assert await second == b"hello"


@looped
async def test_an_endless_body_is_cut_at_its_bound(engine: str, tls: Tls) -> None:
    async def flood(exchange: Exchange) -> None:
        exchange.head()
        while not exchange.gone.is_set():
            await exchange.data(bytes(10_000))
            await asyncio.sleep(0)

    async with serve2(flood, tls[1]) as server, opened(tls, bounds=Bounds(100_000, 100_000)) as upstream:
        for stream in (False, True):
            answer = await upstream.send(ask(server.url), LONG, stream=stream)
            with pytest.raises(UpstreamInvalidResponse, match="more than 100000 bytes"):
                await answer.read()
            await server.exchanges[-1].gone.wait()
        assert len(server.peers) == 1


@looped
async def test_a_slow_reader_slows_the_provider_down_and_no_other_stream(engine: str, tls: Tls) -> None:
    size = 8 * STREAM_WINDOW

    async def handler(exchange: Exchange) -> None:
        await exchange.answer(bytes(size) if exchange.body == b"big" else b"small")

    async with serve2(handler, tls[1]) as server, opened(tls) as upstream:
        patience = Timeouts(connect=5, read=0.1, total=8)
        answers = [await upstream.send(ask(server.url, b"big"), patience, stream=True) for _ in range(3)]
        await asyncio.sleep(0.3)  # longer than the provider may be silent
        assert server.peers[0].sent == 3 * STREAM_WINDOW
        assert await fetch(upstream, ask(server.url)) == b"small"
        for answer in answers:
            assert sum([len(piece) async for piece in answer.chunks()]) == size


@looped
async def test_a_large_request_arrives_whole_through_a_small_window(engine: str, tls: Tls) -> None:
    body = bytes(range(256)) * 8_000

    async def handler(exchange: Exchange) -> None:
        await exchange.answer(b"%d" % len(exchange.body))

    async with serve2(handler, tls[1]) as server, opened(tls) as upstream:
        assert await fetch(upstream, ask(server.url, body)) == b"%d" % len(body)
        assert server.exchanges[0].body == body


@looped
async def test_an_answer_before_the_request_was_read_is_read(engine: str, tls: Tls) -> None:
    async with serve2(silent, tls[1], reading=False) as server, opened(tls) as upstream:
        task = asyncio.ensure_future(upstream.send(ask(server.url, bytes(300_000)), LONG, stream=False))
        await server.arrived.wait()
        (exchange,) = server.exchanges
        exchange.head(status="413")
        await exchange.data(b"too large", end=True)
        answer = await task
        assert (answer.status, await answer.read()) == (413, b"too large")
        await exchange.gone.wait()
        assert not server.peers[0].lost.is_set()


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (gzip.compress(b"hello"), [("content-encoding", "gzip")]),
        (b"hello", [("x-odd", "caf\xe9 ")]),
        (b"hello", [("content-length", "5")]),
    ],
    ids=["gzip", "a blank too many", "length"],
)
@looped
async def test_what_servers_send_is_read(engine: str, body: bytes, fields: list[tuple[str, str]], tls: Tls) -> None:
    async def handler(exchange: Exchange) -> None:
        exchange.head(("link", "</a>"), status="103")
        await exchange.answer(body, *fields)

    async with serve2(handler, tls[1]) as server, opened(tls) as upstream:
        assert await fetch(upstream, ask(server.url)) == b"hello"


async def interim(exchange: Exchange) -> None:
    for _ in range(100):
        exchange.head(("link", "</a>"), status="103")


def writes(raw: bytes) -> Handler:
    async def handler(exchange: Exchange) -> None:
        exchange.peer.transport.write(raw)

    return handler


@pytest.mark.parametrize(
    "handler",
    [
        says(b"hello", ("content-encoding", "gzip")),
        says(b"hello", ("content-encoding", "br")),
        says(b"hello", ("x-evil", "a\r\nset-cookie: b")),
        says(b"hello", ("content-length", "6")),
        says(b"hello", *((f"x-{number}", "a" * 10_000) for number in range(10))),
        interim,
        writes(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        writes(DataFrame(1, b"no head").serialize()),
    ],
    ids=["not gzip", "unasked", "line break", "too short", "huge head", "endless interim", "not http/2", "no head"],
)
@looped
async def test_an_answer_that_is_not_sound_is_an_error(engine: str, handler: Handler, tls: Tls) -> None:
    async with serve2(handler, tls[1]) as server, opened(tls) as upstream:
        with pytest.raises(UpstreamInvalidResponse, match="not valid HTTP"):
            await fetch(upstream, ask(server.url))


@looped
async def test_http2_goes_through_a_proxy_s_tunnel(engine: str, tls: Tls) -> None:
    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = (await reader.readuntil(b"\r\n\r\n")).split()[1].partition(b":")
        inner_reader, inner_writer = await asyncio.open_connection(host.decode(), int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(relay(reader, inner_writer), relay(inner_reader, writer))
        over.set()

    over = asyncio.Event()
    proxy = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    proxies = {"https": f"127.0.0.1:{proxy.sockets[0].getsockname()[1]}"}
    async with serve2(meets(5), tls[1]) as server:
        async with opened(tls, proxies=proxies) as upstream:
            await asyncio.gather(*(fetch(upstream, ask(server.url)) for _ in range(5)))
            assert len(server.peers) == 1
        await over.wait()
    proxy.close()


@looped
async def test_closing_the_engine_closes_idle_connections_and_lets_streams_finish(engine: str, tls: Tls) -> None:
    async def handler(exchange: Exchange) -> None:
        exchange.head()
        await go.wait()
        await exchange.data(b"hello", end=True)

    go = asyncio.Event()
    async with serve2(handler, tls[1]) as server:
        upstream = PooledUpstream(ca_bundle=tls[0], http2=True)
        answer = await upstream.send(ask(server.url), LONG, stream=True)
        await upstream.close()
        go.set()
        assert await answer.read() == b"hello"
        await server.peers[0].lost.wait()


def test_one_engine_serves_two_event_loops_one_after_the_other(tls: Tls) -> None:
    upstream = PooledUpstream(ca_bundle=tls[0], http2=True)

    async def use() -> Http2Server:
        async with serve2(says(b"hello"), tls[1]) as server:
            assert await asyncio.gather(*(fetch(upstream, ask(server.url)) for _ in range(3))) == [b"hello"] * 3
            return server

    async def use_and_close() -> Http2Server:
        server = await use()
        await upstream.close()
        return server

    assert len(asyncio.run(use()).peers) == len(asyncio.run(use_and_close()).peers) == 1
    assert repr(upstream) == "<PooledUpstream closed>"


def test_a_head_becomes_fields_without_those_about_the_connection() -> None:
    headers = {"Connection": "close", "TE": "gzip", "X-Api-Key": "k:1", "Host": "signed.example"}
    url = "https://a.example/b?c"
    fields = fields_of(head_of(HttpRequest("POST", url, headers, b"123"), address_of(url)), "https")
    assert fields[:4] == [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"signed.example"),
        (b":path", b"/b?c"),
    ]
    rest = dict(fields[4:])
    assert (rest[b"x-api-key"], rest[b"content-length"]) == (b"k:1", b"3")
    assert not {b"connection", b"te", b"host"} & set(rest)


def test_a_goaway_is_found_wherever_the_bytes_are_cut() -> None:
    ping = PingFrame(0, opaque_data=b"\x07" * 8).serialize()
    data = DataFrame(1, GoAwayFrame(0, last_stream_id=9).serialize()).serialize()
    away = GoAwayFrame(0, last_stream_id=2**31 - 1, error_code=2, additional_data=b"bye").serialize()
    stream = ping + away + data + away + ping
    for size in range(1, len(stream) + 1):
        sieve, parts = Sieve(), []
        for at in range(0, len(stream), size):
            parts += sieve.feed(stream[at : at + size])
        assert b"".join(part for part in parts if isinstance(part, bytes)) == ping + data + ping
        assert [part for part in parts if isinstance(part, Goaway)] == [Goaway(2**31 - 1, 2)] * 2
