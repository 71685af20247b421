"""The default engine: pyreqwest, the Rust client reqwest, used natively.

Its I/O runs on a thread of its own, so one pool serves every event loop of the process. It must be made after a fork:
the pool is opened by the first request, never by the constructor. Proxies come from `HTTP_PROXY`, `HTTPS_PROXY`,
`ALL_PROXY` and `NO_PROXY`, which the library reads itself when the pool is opened.
"""

import re
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import timedelta
from time import monotonic

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import (
    BodyDecodeError,
    BuilderError,
    ConnectError,
    DecodeError,
    DetailedPyreqwestError,
    NetworkError,
    RequestTimeoutError,
)
from pyreqwest.http import HeaderMap
from pyreqwest.request import StreamRequest
from pyreqwest.response import Response

from gateway.errors import ConfigError, UpstreamError
from gateway.routing import upstream
from gateway.routing.upstream import Bounds, Timeouts
from gateway.types import HttpRequest
from gateway.version import __version__

_IDLE_SECONDS = 55.0  # load balancers commonly close at 60: be first
_MAX_CLIENTS = 16
_HARMLESS = frozenset({"content-type", "accept", "user-agent"})
"""Headers that never hold a key. Any other is marked sensitive: it never shows, and HPACK does not index it."""

_FOREIGN = (DetailedPyreqwestError, ValueError)


class ReqwestUpstream:
    """HTTP/1.1 and, where a server offers it in its TLS handshake, HTTP/2; pooled; gzip, deflate, brotli and zstd."""

    __slots__ = ("_bounds", "_ca_bundle", "_clients", "_closed", "_in_flight")

    def __init__(self, *, ca_bundle: bytes | None = None, bounds: Bounds | None = None) -> None:
        """Open nothing yet.

        Args:
            ca_bundle: PEM certificates to trust beside the system's own.

        Raises:
            ConfigError: the bundle holds no certificate, or a broken one.
        """
        if ca_bundle is not None:
            _check(ca_bundle)
        self._ca_bundle = ca_bundle
        self._bounds = bounds or Bounds()
        self._clients: dict[tuple[float | None, float | None], Client] = {}
        self._in_flight = 0
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self._in_flight} in flight, {len(self._clients)} pools"
        return f"<ReqwestUpstream {state}>"

    async def send(self, request: HttpRequest, timeouts: Timeouts, *, stream: bool) -> "ReqwestResponse":
        if self._closed:
            raise RuntimeError("the upstream is closed")
        began = monotonic()
        self._in_flight += 1
        try:
            builder = self._client(timeouts).request(request.method, request.url)
            for name, value in request.headers.items():
                builder = builder.header(name, value, is_sensitive=name.lower() not in _HARMLESS)
            if stream:
                builder = builder.streamed_read_buffer_limit(0)
            builder = builder.timeout(timedelta(seconds=timeouts.total)).body_bytes(request.body)
            sent = builder.build_streamed()
            response = await sent.__aenter__()
        except BaseException as error:
            self._in_flight -= 1
            if isinstance(error, _FOREIGN):
                raise _translate(error, request.url, timeouts, began) from _scrubbed(error)
            raise
        return ReqwestResponse(self, sent, response, request.url, timeouts, began)

    async def close(self) -> None:
        self._closed = True
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.close()

    def _client(self, timeouts: Timeouts) -> Client:
        """The pool with these timeouts: reqwest's connect and read timeouts belong to a client, not to a request.

        One that the total makes moot is left out, so that clients who shorten only the total share a pool.
        """
        connect = timeouts.connect if timeouts.connect < timeouts.total else None
        read = timeouts.read if timeouts.read < timeouts.total else None
        client = self._clients.get((connect, read))
        if client is None:
            if len(self._clients) >= _MAX_CLIENTS:  # requests in flight keep theirs alive
                del self._clients[next(iter(self._clients))]
            client = self._clients[connect, read] = self._open(connect, read)
        return client

    def _open(self, connect: float | None, read: float | None) -> Client:
        builder = (
            ClientBuilder()
            .http2(True)
            .user_agent(f"guardrail-gateway/{__version__}")
            .follow_redirects(False)
            .referer(False)
            .pool_idle_timeout(timedelta(seconds=_IDLE_SECONDS))
        )
        if connect is not None:
            builder = builder.connect_timeout(timedelta(seconds=connect))
        if read is not None:
            builder = builder.read_timeout(timedelta(seconds=read))
        if self._ca_bundle is not None:
            builder = builder.add_root_certificate_pem(self._ca_bundle)
        return builder.build()


class ReqwestResponse:
    """An answer whose body is still on its way; of a small one that is not streamed, all bytes are here already."""

    __slots__ = ("_began", "_bound", "_engine", "_reader", "_sent", "_timeouts", "_url", "headers", "status")

    def __init__(
        self,
        engine: ReqwestUpstream,
        sent: StreamRequest,
        response: Response,
        url: str,
        timeouts: Timeouts,
        began: float,
    ) -> None:
        self.status: int = response.status
        self.headers: Mapping[str, str] = Headers(response.headers)
        self._engine = engine
        self._sent: StreamRequest | None = sent
        self._reader = response.body_reader
        self._url = url
        self._timeouts = timeouts
        self._began = began
        self._bound = engine._bounds.stream

    def __repr__(self) -> str:
        return f"<ReqwestResponse {self.status} {'closed' if self._sent is None else 'open'}>"

    async def read(self) -> bytes:
        bound = self._engine._bounds.whole
        parts: list[bytes] = []
        size = 0
        async for chunk in self:
            size += len(chunk)
            if size > bound:
                await self.close()
                raise upstream.too_large(self._url, bound)
            parts.append(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def chunks(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._sent is None:
            raise StopAsyncIteration
        try:
            chunk = await self._reader.read_chunk()
        except BaseException as error:
            await self.close()
            if isinstance(error, _FOREIGN):
                raise _translate(error, self._url, self._timeouts, self._began) from _scrubbed(error)
            raise
        if chunk is None:
            self._give_back()
            raise StopAsyncIteration
        self._bound -= len(chunk)
        if self._bound < 0:
            await self.close()
            raise upstream.too_large(self._url, self._engine._bounds.stream)
        return chunk.to_bytes()

    async def close(self) -> None:
        sent = self._give_back()
        if sent is not None:
            await sent.__aexit__(None, None, None)  # never suspends, so it cannot be cancelled half-way

    def _give_back(self) -> StreamRequest | None:
        sent, self._sent = self._sent, None
        if sent is not None:
            self._engine._in_flight -= 1
        return sent


class Headers(Mapping[str, str]):
    """A view of the library's header map. It cannot show a value that is not visible ASCII: such a header is absent."""

    __slots__ = ("_map",)

    def __init__(self, headers: HeaderMap) -> None:
        self._map = headers

    def __getitem__(self, name: str) -> str:
        try:
            return self._map[name]
        except ValueError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return (name for name in dict.fromkeys(self._map) if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _check(ca_bundle: bytes) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=ca_bundle.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(["the CA bundle holds no PEM certificate, or one that cannot be read"]) from error


def _translate(error: DetailedPyreqwestError | ValueError, url: str, timeouts: Timeouts, began: float) -> UpstreamError:
    """The library's error as one of ours, by its class and, where one class means several things, by its causes."""
    causes = _causes(error)
    if isinstance(error, RequestTimeoutError):
        return upstream.timed_out(url, _which(causes, timeouts, began), timeouts)
    if isinstance(error, ConnectError) and "client error (Connect)" in causes:
        return upstream.unreachable(url)
    if isinstance(error, (BuilderError, ValueError)) and not isinstance(error, DecodeError):
        return upstream.not_sent(url)
    if isinstance(error, NetworkError) or _is_cut(error, causes):
        return upstream.broken(url)
    return upstream.unreadable(url)


def _which(causes: list[str], timeouts: Timeouts, began: float) -> str:
    """The timeout that passed. The library's classes do not tell: a silent server is its "connection timeout" too."""
    if monotonic() - began >= timeouts.total - 0.001:
        return "total"
    return "connect" if "client error (Connect)" in causes else "read"


def _is_cut(error: Exception, causes: list[str]) -> bool:
    """Whether bytes are missing (True), or are there but wrong (False)."""
    if isinstance(error, DecodeError) and not isinstance(error, BodyDecodeError):
        return False
    in_body = "request or response body error" in causes
    from_connection = "error reading a body from connection" in causes
    return (from_connection or not in_body) and "invalid" not in causes[-1].lower()


def _causes(error: Exception) -> list[str]:
    details = error.details if isinstance(error, DetailedPyreqwestError) else None
    return [cause["message"] for cause in (details and details["causes"]) or ()] or [str(error)]


_URL = re.compile(r" for url \(.*\)", re.DOTALL)


def _scrubbed(error: DetailedPyreqwestError | ValueError) -> Exception:
    """The library's own error without the URL in it, whose query may hold a key; it shows in tracebacks."""
    if isinstance(error, DetailedPyreqwestError):
        causes = [_URL.sub("", cause) for cause in _causes(error)]
        error.details = {"causes": [{"message": cause} for cause in causes]}
        error.args = (error.message, causes)
    return error
