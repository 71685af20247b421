"""The default engine's own affairs: its pool, TLS, proxies, and what it puts on the wire."""

import asyncio
import gzip
import os
import ssl
import subprocess
import sys
import threading
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigError, UpstreamConnectionError, UpstreamError, UpstreamInvalidResponse
from gateway.routing.engines.pooled import keep_alive, proxies
from gateway.routing.engines.pooled.inflate import PIECE_BYTES, Inflate, NotDecodable
from gateway.routing.engines.pooled.pool import PooledUpstream
from gateway.routing.engines.pooled.request_head import address_of, head_of
from gateway.routing.upstream import Timeouts
from gateway.types import HttpRequest
from tests.routing import servers
from tests.routing.servers import CHUNKED, Connection, chunk, looped, response, serve

LONG = Timeouts(connect=5, read=5, total=8)
HELLO = response(b"hello")


@pytest.fixture(params=["asyncio", "uvloop"])
def engine(request: pytest.FixtureRequest) -> str:
    """The event loop that a test runs on; see `looped`."""
    return str(request.param)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, ssl.SSLContext]:
    return servers.certificate(tmp_path_factory.mktemp("tls"))


def ask(url: str, body: bytes = b"{}", **headers: str) -> HttpRequest:
    return HttpRequest("POST", f"{url}/v1/x?a=b", headers, body)


@asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[PooledUpstream]:
    """An engine, which must have given everything back when the test is over."""
    upstream = PooledUpstream(**options)
    try:
        yield upstream
        assert "0 in flight" in repr(upstream) or "closed" in repr(upstream)
    finally:
        await upstream.close()


async def fetch(upstream: PooledUpstream, request: HttpRequest, timeouts: Timeouts = LONG) -> bytes:
    return await (await upstream.send(request, timeouts, stream=False)).read()


@looped
async def test_a_server_of_a_private_authority_is_trusted_only_with_its_bundle(
    engine: str, authority: tuple[bytes, ssl.SSLContext]
) -> None:
    pem, context = authority
    bundle = b"# a comment \xc3\xa9\n" + pem
    async with serve(servers.says(HELLO), context) as server, opened() as stranger, opened(ca_bundle=bundle) as friend:
        with pytest.raises(UpstreamConnectionError, match="could not be reached"):
            await fetch(stranger, ask(server.url))
        for _ in range(2):
            assert await fetch(friend, ask(server.url)) == b"hello"
        assert server.accepted == 1


@pytest.mark.parametrize(
    "bundle",
    [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
)
def test_a_bundle_without_a_certificate_is_a_configuration_error(bundle: bytes) -> None:
    with pytest.raises(ConfigError, match="CA bundle"):
        PooledUpstream(ca_bundle=bundle)


def through(proxy: servers.Server, direct: str = "") -> dict[str, str]:
    return {"all": proxy.url.replace("//", "//user:p%40ss@"), "no": direct}


@looped
async def test_plain_http_goes_through_its_proxy_in_absolute_form(engine: str) -> None:
    async with serve(servers.says(HELLO)) as proxy, opened(proxies=through(proxy, "direct.invalid")) as upstream:
        assert await fetch(upstream, ask("http://provider.invalid:8080")) == b"hello"
        head = proxy.requests[0].head
        assert head.startswith(b"POST http://provider.invalid:8080/v1/x?a=b HTTP/1.1\r\n")
        assert b"\r\nhost: provider.invalid:8080\r\n" in head
        assert b"\r\nproxy-authorization: Basic dXNlcjpwQHNz\r\n" in head
        with pytest.raises(UpstreamConnectionError):
            await fetch(upstream, ask("http://direct.invalid"))


@looped
async def test_https_goes_through_a_tunnel_that_the_proxy_cannot_read(
    engine: str, authority: tuple[bytes, ssl.SSLContext]
) -> None:
    pem, context = authority
    asked: list[bytes] = []
    relayed: list[bytes] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                relayed.append(data)
                writer.write(data)
        writer.close()

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        host, _, port = asked[-1].split()[1].partition(b":")
        inner_reader, inner_writer = await asyncio.open_connection(host.decode(), int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\nx-via: test\r\n\r\n")
        await asyncio.gather(relay(reader, inner_writer), relay(inner_reader, writer))
        over.set()

    over = asyncio.Event()
    async with serve(servers.says(HELLO), context) as server:
        proxy = await asyncio.start_server(tunnel, "127.0.0.1", 0)
        address = f"127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        async with opened(ca_bundle=pem, proxies={"all": address}) as upstream:
            for _ in range(2):
                assert await fetch(upstream, ask(server.url, authorization="Bearer sk-secret-value")) == b"hello"
        await over.wait()
        assert len(asked) == 1
        assert asked[0].startswith(b"CONNECT 127.0.0.1:")
        assert b"sk-secret-value" not in b"".join([*asked, *relayed])
        proxy.close()


@looped
async def test_a_proxy_that_refuses_is_a_connection_error(engine: str) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
    async with serve(servers.says(refusal)) as proxy, opened(proxies={"https": proxy.url}) as upstream:
        with pytest.raises(UpstreamConnectionError, match="could not be reached"):
            await fetch(upstream, ask("https://provider.invalid"))
        assert "0 in flight" in repr(upstream)


@pytest.mark.parametrize(
    ("rules", "direct"),
    [
        ("", False),
        ("*", True),
        ("example.com", True),
        (".example.com", True),
        ("*.example.com", True),
        ("other.org, Example.com", True),
        ("example.com:8443", False),
        ("example.com:443", True),
        ("ample.com", False),
        ("10.0.0.0/8", False),
    ],
)
def test_no_proxy_names_domains_and_what_is_below_them(rules: str, direct: bool) -> None:
    chosen = proxies.choose({"https": "http://proxy:3128", "no": rules}, address_of("https://api.example.com/v1"))
    assert (chosen is None) is direct


def test_no_proxy_names_addresses_and_networks() -> None:
    table = {"all": "http://proxy:3128", "no": "10.0.0.0/8,::1"}
    assert proxies.choose(table, address_of("http://10.1.2.3/")) is None
    assert proxies.choose(table, address_of("http://[::1]:8000/")) is None
    assert proxies.choose(table, address_of("http://11.1.2.3/")) is not None


def test_a_proxy_that_is_not_http_is_a_configuration_error_that_does_not_quote_it() -> None:
    with pytest.raises(ConfigError, match="the https proxy") as caught:
        PooledUpstream(proxies={"https": "socks5://user:sk-secret-value@proxy:1080"})
    assert "sk-secret-value" not in str(caught.value)


@looped
async def test_requests_side_by_side_share_what_comes_back(engine: str) -> None:
    async with serve(servers.says(HELLO)) as server, opened() as upstream:
        for _ in range(3):
            assert await asyncio.gather(*(fetch(upstream, ask(server.url)) for _ in range(20))) == [b"hello"] * 20
        assert server.accepted <= 20
        assert repr(upstream) == f"<PooledUpstream 0 in flight, {server.accepted} idle>"
        await upstream.close()
        assert repr(upstream) == "<PooledUpstream closed>"
        with pytest.raises(RuntimeError):
            await fetch(upstream, ask(server.url))


@pytest.mark.parametrize(
    "raw",
    [
        response(b"hello", b"connection: close"),
        HELLO.replace(b"HTTP/1.1", b"HTTP/1.0"),
        HELLO + b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nother",
    ],
    ids=["asked to close", "http/1.0", "more than was asked for"],
)
@looped
async def test_a_connection_that_should_not_serve_again_does_not(engine: str, raw: bytes) -> None:
    async with serve(servers.says(raw)) as server, opened() as upstream:
        for _ in range(2):
            assert await fetch(upstream, ask(server.url)) == b"hello"
        assert server.accepted == 2
        await server.requests[0].gone.wait()


@looped
async def test_a_connection_that_was_closed_while_idle_is_not_used_again(engine: str) -> None:
    async def handler(connection: Connection) -> None:
        await connection.send(HELLO)
        if len(server.requests) == 1:
            connection.close()

    async with serve(handler) as server, opened() as upstream:
        assert await fetch(upstream, ask(server.url)) == b"hello"
        while "1 idle" in repr(upstream):  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert await fetch(upstream, ask(server.url)) == b"hello"


@looped
async def test_an_idle_connection_is_closed_when_it_gets_old(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keep_alive, "IDLE_SECONDS", 0.05)
    async with serve(servers.says(HELLO)) as server, opened() as upstream:
        assert await fetch(upstream, ask(server.url)) == b"hello"
        await server.requests[0].gone.wait()
        assert "0 idle" in repr(upstream)


@looped
async def test_an_answer_before_the_request_was_read_is_read(engine: str) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response(b"too large", status=b"413 Content Too Large"))
        await writer.drain()
        await left.wait()
        writer.close()

    left = asyncio.Event()
    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with opened() as upstream:
        answer = await upstream.send(ask(url, bytes(30_000_000)), LONG, stream=False)
        assert (answer.status, await answer.read()) == (413, b"too large")
        assert repr(upstream) == "<PooledUpstream 0 in flight, 0 idle>"
    left.set()
    server.close()


@looped
async def test_a_large_request_arrives_whole(engine: str) -> None:
    async with serve(servers.says(HELLO)) as server, opened() as upstream:
        assert await fetch(upstream, ask(server.url, b"x" * 3_000_000)) == b"hello"
        assert server.requests[0].body == b"x" * 3_000_000


@looped
async def test_a_slow_reader_slows_the_provider_down_and_is_not_its_silence(engine: str) -> None:
    sent = 0

    async def flood(connection: Connection) -> None:
        nonlocal sent
        await connection.send(CHUNKED)
        for _ in range(500):
            await connection.send(chunk(b"x" * 100_000))
            sent += 100_000
        await connection.send(chunk(b""))

    async with serve(flood) as server, opened() as upstream:
        answer = await upstream.send(ask(server.url), Timeouts(connect=5, read=0.1, total=8), stream=True)
        await asyncio.sleep(0.4)  # longer than the provider may be silent
        assert sent < 45_000_000
        assert sum([len(piece) async for piece in answer.chunks()]) == 50_000_000


@looped
async def test_endless_interim_answers_are_an_error(engine: str) -> None:
    async def handler(connection: Connection) -> None:
        while True:
            await connection.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 100)

    async with serve(handler) as server, opened() as upstream:
        with pytest.raises(UpstreamInvalidResponse):
            await fetch(upstream, ask(server.url))


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\nhello",
        response(b"hello", b"content-encoding: br"),
        CHUNKED + b"zz\r\n",
    ],
    ids=["upgrade", "two lengths", "length and chunks", "unasked encoding", "bad chunk size"],
)
@looped
async def test_an_answer_that_is_not_sound_is_an_error(engine: str, raw: bytes) -> None:
    async with serve(servers.says_and_waits(raw)) as server, opened() as upstream:
        with pytest.raises(UpstreamError):
            await fetch(upstream, ask(server.url))
        await server.requests[0].gone.wait()
        assert repr(upstream) == "<PooledUpstream 0 in flight, 0 idle>"


@pytest.mark.parametrize(
    "encode",
    [gzip.compress, zlib.compress, lambda data: zlib.compress(data)[2:-4]],
    ids=["gzip", "deflate", "raw deflate"],
)
@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, 10 * PIECE_BYTES + 7])
def test_any_cut_of_an_encoded_body_decodes_in_bounded_pieces(encode: object, size: int) -> None:
    plain = bytes(range(256)) * (size // 256) + bytes(size % 256)
    encoded = encode(plain)  # type: ignore[operator]

    def decode(cuts: Iterator[bytes]) -> bytes:
        inflate = Inflate(b"gzip" if encode is gzip.compress else b"deflate")
        pieces = []
        for cut in cuts:
            inflate.feed(cut)
            while piece := inflate.piece():
                assert len(piece) <= PIECE_BYTES
                pieces.append(piece)
        inflate.close()
        return b"".join(pieces)

    assert decode(iter([encoded])) == plain
    assert decode(encoded[at : at + 1] for at in range(len(encoded))) == plain


def test_an_encoded_body_that_is_cut_or_broken_is_an_error() -> None:
    cut = Inflate(b"gzip")
    cut.feed(gzip.compress(b"hello")[:-9])
    cut.piece()
    with pytest.raises(NotDecodable):
        cut.close()
    with pytest.raises(NotDecodable):
        Inflate(b"br")


@pytest.mark.parametrize(
    ("url", "request_line", "host"),
    [
        ("https://api.openai.com/v1/x", b"POST /v1/x HTTP/1.1", b"api.openai.com"),
        ("https://API.openai.com:443/v1/x?a=b#c", b"POST /v1/x?a=b HTTP/1.1", b"api.openai.com"),
        ("http://[::1]:8000", b"POST / HTTP/1.1", b"[::1]:8000"),
        ("http://b\xfccher.example/a b/\xe9", b"POST /a%20b/%C3%A9 HTTP/1.1", b"xn--bcher-kva.example"),
    ],
)
def test_a_url_becomes_a_request_line_and_a_host(url: str, request_line: bytes, host: bytes) -> None:
    lines = head_of(HttpRequest("POST", url, {}, b""), address_of(url)).split(b"\r\n")
    assert lines[0] == request_line
    assert lines[1] == b"host: " + host


def test_a_request_s_own_headers_come_before_the_defaults_and_its_length_is_the_body_s() -> None:
    headers = {"User-Agent": "mine", "Host": "signed.example", "Content-Length": "999"}
    head = head_of(HttpRequest("POST", "http://user:pw@a/", headers, b"12345"), address_of("http://user:pw@a/"))
    assert head.lower().count(b"user-agent: mine") == head.lower().count(b"user-agent") == 1
    assert head.count(b"host: signed.example") == head.count(b"host") == 1
    assert b"content-length: 5\r\n" in head
    assert b"authorization: Basic dXNlcjpwdw==\r\n" in head


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x", "a\r\nevil: 1"),
        ("x", "a\nevil: 1"),
        ("x", "a\0"),
        ("x", "\u20ac"),
        ("x: y\r\nz", "a"),
        ("", "a"),
        ("transfer-encoding", "chunked"),
    ],
)
def test_a_header_cannot_be_broken_out_of(name: str, value: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        head_of(HttpRequest("POST", "http://a/", {name: value}, b""), address_of("http://a/"))


@pytest.mark.parametrize("method", ["GET /\r\nx:", "G ET", ""])
def test_a_method_cannot_be_broken_out_of(method: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        head_of(HttpRequest(method, "http://a/", {}, b""), address_of("http://a/"))


def test_one_engine_serves_several_event_loops() -> None:
    ready, stop = threading.Event(), threading.Event()
    url: list[str] = []

    async def run_server() -> None:
        async with serve(servers.says(HELLO)) as server:
            url.append(server.url)
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(run_server(),))
    thread.start()
    ready.wait()
    upstream = PooledUpstream()

    async def use() -> None:
        assert await fetch(upstream, ask(url[0])) == b"hello"

    async def use_and_close() -> None:
        await use()
        await upstream.close()

    try:
        with asyncio.Runner() as first:
            first.run(use())
            asyncio.run(use_and_close())
            first.run(asyncio.sleep(0))  # the first loop's connections are closed by the first loop
            assert repr(upstream) == "<PooledUpstream closed>"
            assert not any(origin.shelf for origins in upstream._loops.values() for origin in origins.values())
    finally:
        stop.set()
        thread.join()


FORKED = """
import asyncio, os, sys
from gateway.routing.engines.pooled.pool import PooledUpstream
from gateway.routing.upstream import Timeouts
from gateway.types import HttpRequest
upstream = PooledUpstream()
async def main():
    answer = await upstream.send(HttpRequest("GET", sys.argv[1], {}, b""), Timeouts(), stream=False)
    assert await answer.read() == b"hello"
    await upstream.close()
if pid := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@looped
async def test_an_engine_made_before_a_fork_works_after_it() -> None:
    async with serve(servers.says(HELLO)) as server:
        command = [sys.executable, "-c", FORKED, server.url]
        assert await asyncio.to_thread(subprocess.call, command, cwd=Path(__file__).parents[2]) == 0
