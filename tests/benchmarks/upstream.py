"""What one call to a provider costs with each HTTP client: `python tests/benchmarks/upstream.py [--seconds 2]`.

The upstream is another process that answers 400 bytes at once. Figures of one run compare with each other, not with
another machine's. `cpu` is this process's processor time per request, all threads, at 32 connections.
"""

import argparse
import asyncio
import importlib.util
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import httpx
import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.routing.engines.httpx_transport import HttpxUpstream
from gateway.routing.engines.pooled.pool import PooledUpstream
from gateway.routing.upstream import Timeouts, Upstream
from gateway.types import HttpRequest
from tests.routing.http2_server import Exchange, serve2
from tests.routing.servers import certificate

CONNECTIONS = 32
TIMEOUTS = Timeouts()
HEADERS = {"content-type": "application/json", "authorization": "Bearer sk-none"}
BODY = b'{"model": "m", "messages": [{"role": "user", "content": "%s"}]}' % (b"x" * 200)
ANSWER = b'{"choices": [{"message": {"content": "%s"}}]}' % (b"y" * 353)
RAW = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)

Call = Callable[[], Awaitable[bytes]]
Client = Callable[[str, AsyncExitStack], Awaitable[Call]]


class Instant(asyncio.Protocol):
    """Answers each request as soon as its last byte is there."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            size = end + 4 + (int(head[at + 15 :].split(b"\r\n")[0]) if at >= 0 else 0)
            if len(self.buffer) < size:
                return
            self.buffer = self.buffer[size:]
            self.transport.write(RAW)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Instant, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def serve_http2() -> None:
    """Over TLS, so that it is a comparison with HTTP/1.1 only in the orders of magnitude."""

    async def answer(exchange: Exchange) -> None:
        await exchange.answer(ANSWER, ("content-type", "application/json"))

    with TemporaryDirectory() as folder:
        pem, context = certificate(Path(folder))
        context.set_alpn_protocols(["h2"])
        async with serve2(answer, context) as server:
            print(f"{server.url} {pem.hex()}", flush=True)
            await asyncio.Event().wait()


def through(upstream: Upstream, url: str, stack: AsyncExitStack) -> Call:
    stack.push_async_callback(upstream.close)
    request = HttpRequest("POST", url, HEADERS, BODY)

    async def call() -> bytes:
        return await (await upstream.send(request, TIMEOUTS, stream=False)).read()

    return call


async def pooled(url: str, stack: AsyncExitStack) -> Call:
    return through(PooledUpstream(), url, stack)


async def pooled_http2(_: str, stack: AsyncExitStack, *, url: str, pem: bytes) -> Call:
    return through(PooledUpstream(ca_bundle=pem, http2=True), f"{url}/v1/chat/completions", stack)


async def httpx_transport(url: str, stack: AsyncExitStack) -> Call:
    return through(HttpxUpstream(httpx.AsyncHTTPTransport()), url, stack)


async def httpx_client(url: str, stack: AsyncExitStack) -> Call:
    client = await stack.enter_async_context(httpx.AsyncClient())

    async def call() -> bytes:
        return (await client.post(url, headers=HEADERS, content=BODY)).content

    return call


async def aiohttp_client(url: str, stack: AsyncExitStack) -> Call:
    import aiohttp

    session = await stack.enter_async_context(aiohttp.ClientSession())

    async def call() -> bytes:
        async with session.post(url, headers=HEADERS, data=BODY) as response:
            return await response.read()

    return call


async def pyreqwest_client(url: str, stack: AsyncExitStack) -> Call:
    from pyreqwest.client import ClientBuilder

    client = await stack.enter_async_context(ClientBuilder().build())

    async def call() -> bytes:
        response = await client.post(url).headers(HEADERS).body_bytes(BODY).build().send()
        return (await response.bytes()).to_bytes()

    return call


CLIENTS: dict[str, tuple[Client, str]] = {
    "PooledUpstream (the default)": (pooled, "httptools"),
    "pyreqwest": (pyreqwest_client, "pyreqwest"),
    "aiohttp.ClientSession": (aiohttp_client, "aiohttp"),
    "HttpxUpstream(AsyncHTTPTransport)": (httpx_transport, "httpx"),
    "httpx.AsyncClient": (httpx_client, "httpx"),
}


SERVERS = {"http1": serve, "http2": serve_http2}


async def measure(client: Client, url: str, seconds: float) -> tuple[float, float, float]:
    """Requests per second and microseconds of processor per request at 32 connections; p50 in microseconds at one."""
    async with AsyncExitStack() as stack:
        call = await client(url, stack)
        assert await call() == ANSWER
        done = 0

        async def work(until: float) -> None:
            nonlocal done
            while perf_counter() < until:
                await call()
                done += 1

        await asyncio.gather(*(work(perf_counter() + seconds / 4) for _ in range(CONNECTIONS)))
        done, began, worked = 0, perf_counter(), process_time()
        await asyncio.gather(*(work(began + seconds) for _ in range(CONNECTIONS)))
        rate, cpu = done / (perf_counter() - began), (process_time() - worked) / done * 1e6
        times = []
        until = perf_counter() + seconds / 2
        while perf_counter() < until:
            began = perf_counter()
            await call()
            times.append(perf_counter() - began)
        return rate, cpu, sorted(times)[len(times) // 2] * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="per client")
    parser.add_argument("--serve", choices=SERVERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(SERVERS[options.serve]())
        return
    command = [sys.executable, __file__, "--serve"]
    with (
        subprocess.Popen([*command, "http1"], stdout=subprocess.PIPE) as process,  # noqa: S603
        subprocess.Popen([*command, "http2"], stdout=subprocess.PIPE) as secure,  # noqa: S603
    ):
        assert process.stdout is not None
        assert secure.stdout is not None
        url = f"http://127.0.0.1:{int(process.stdout.readline())}/v1/chat/completions"
        url2, pem = secure.stdout.readline().decode().split()
        http2 = partial(pooled_http2, url=url2, pem=bytes.fromhex(pem))
        try:
            print(f"{'client':36}{'req/s':>9}{'ratio':>8}{'cpu':>9}{'p50 at 1':>11}")
            first = 0.0
            for name, (client, module) in {**CLIENTS, "PooledUpstream over HTTP/2 and TLS": (http2, "h2")}.items():
                if importlib.util.find_spec(module) is None:
                    print(f"{name:36}{'not installed':>17}")
                    continue
                rate, cpu, p50 = uvloop.run(measure(client, url, options.seconds))
                first = first or rate
                print(f"{name:36}{rate:>9,.0f}{rate / first:>8.2f}{cpu:>6.0f} µs{p50:>8.0f} µs")
        finally:
            process.terminate()
            secure.terminate()


if __name__ == "__main__":
    main()
