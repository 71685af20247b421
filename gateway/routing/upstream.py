"""The port to providers: one HTTP request out, one answer back. What is behind it knows its HTTP library, nobody else.

Engines: `pooled/` (the default: HTTP/1.1 and HTTP/2 on the event loop, pooled, TLS, proxies), `httpx_transport.py` (any
httpx transport) and `asgi_app.py` (an ASGI app in process); `Switch` sends a request to one of them by its URL. What
can go wrong is the same for all, and so are its words: they are written here, once. No message holds a header's value,
a body or a URL's query.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import urlsplit

from gateway.errors import UpstreamConnectionError, UpstreamInvalidResponse, UpstreamTimeout
from gateway.types import HttpRequest

MAX_RESPONSE_BYTES = 32 * 1024 * 1024
"""A whole answer larger than this, decoded, is taken for an attack or a fault."""

MAX_STREAM_BYTES = 256 * 1024 * 1024
"""The same for a stream, over all its chunks."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for a provider, in seconds.

    `connect`: until a connection, with its TLS, is there. `read`: of silence, before the status and between bytes.
    `total`: from the request until the last byte of the answer; `connect` and `read` count only where they are shorter.
    """

    connect: float = 5.0
    read: float = 60.0
    total: float = 600.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most bytes, decoded, that an answer may have: read whole, and streamed."""

    whole: int = MAX_RESPONSE_BYTES
    stream: int = MAX_STREAM_BYTES


class UpstreamResponse(Protocol):
    """An answer from the moment its status is there. It is read once, by `read()` or `chunks()`, and then closed."""

    @property
    def status(self) -> int:
        """The provider's status; a redirect is not followed."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """By lower-case name, bytes outside ASCII read as Latin-1. A repeated header gives its first value, or all of
        them joined by commas, as the engine has it."""
        ...

    async def read(self) -> bytes:
        """The whole body, decoded; closes the answer.

        Raises:
            UpstreamInvalidResponse: larger than the bound, or not decodable.
            UpstreamConnectionError: the connection broke, or the body ended before its end.
            UpstreamTimeout: silence, or an answer that took too long.
        """
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body's bytes as they arrive, decoded and never empty; raises as `read` does."""
        ...

    async def close(self) -> None:
        """Give the connection back, or, when the body has not been read to its end, cut it so that the provider
        notices at once. Further calls do nothing."""
        ...


class Upstream(Protocol):
    """Whom requests are sent to."""

    async def send(self, request: HttpRequest, timeouts: Timeouts, *, stream: bool) -> UpstreamResponse:
        """Send `request` and wait for the status. Cancelling this call cuts the connection.

        Args:
            stream: hand over each byte of the answer as it comes, rather than in large pieces.

        Raises:
            UpstreamConnectionError: no connection, or one that broke.
            UpstreamTimeout: no connection or no status in time.
            UpstreamInvalidResponse: what came is not HTTP.
        """
        ...

    async def close(self) -> None:
        """Close idle connections; no request may follow."""
        ...


class Switch:
    """Sends a request to the upstream mounted at its URL's origin (`asgi://demo`), else to the default one."""

    __slots__ = ("_default", "_mounted")

    def __init__(self, default: Upstream, mounted: Mapping[str, Upstream]) -> None:
        """`mounted` is keyed by origin: scheme, `://`, and host with the port when the URL has one; lower-case."""
        self._default = default
        self._mounted = mounted

    def __repr__(self) -> str:
        mounted = "".join(f" {origin}={upstream!r}" for origin, upstream in self._mounted.items())
        return f"<Switch{mounted} default={self._default!r}>"

    async def send(self, request: HttpRequest, timeouts: Timeouts, *, stream: bool) -> UpstreamResponse:
        upstream = self._mounted.get(origin(request.url), self._default)
        return await upstream.send(request, timeouts, stream=stream)

    async def close(self) -> None:
        for upstream in (*self._mounted.values(), self._default):
            await upstream.close()


def origin(url: str) -> str:
    """`scheme://host[:port]` of an absolute URL with a path, as it is written."""
    end = url.find("/", url.find("://") + 3)
    return url if end < 0 else url[:end]


_PRIVATE = ("localhost", ".localhost", ".local", ".internal", ".home.arpa", ".lan")


def _server(url: str) -> str:
    """The provider's server in a public message: by name where that is a public one, so that no message tells a
    client about the operator's own network."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    if "." not in host or host.endswith(_PRIVATE) or _is_address(host):
        return "The provider's server"
    return f"The provider's server {host}"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def unreachable(url: str) -> UpstreamConnectionError:
    """Refused, unknown host, no route, or a TLS handshake that failed."""
    return UpstreamConnectionError(f"{_server(url)} could not be reached; try again later.")


def broken(url: str) -> UpstreamConnectionError:
    """A connection that was closed or reset before the answer was complete."""
    return UpstreamConnectionError(f"{_server(url)} broke the connection before its answer was complete.")


def not_sent(url: str) -> UpstreamConnectionError:
    """An address or a header that cannot be put on the wire."""
    return UpstreamConnectionError(
        f"{_server(url)} could not be called: the operator must check this deployment's address and headers."
    )


def unreadable(url: str) -> UpstreamInvalidResponse:
    """Bytes that are not HTTP, or not the content encoding they claim to be."""
    return UpstreamInvalidResponse(f"{_server(url)} sent an answer the gateway cannot read: it is not valid HTTP.")


def too_large(url: str, bound: int) -> UpstreamInvalidResponse:
    """A body over its bound, in bytes."""
    return UpstreamInvalidResponse(f"{_server(url)} sent an answer of more than {bound} bytes.")


_TOO_SLOW = {
    "connect": "did not accept a connection within",
    "read": "sent nothing for",
    "total": "did not finish its answer within",
}


def timed_out(url: str, which: str, timeouts: Timeouts) -> UpstreamTimeout:
    """`which` is the timeout that passed: `connect`, `read` or `total`."""
    seconds = getattr(timeouts, which)
    error = UpstreamTimeout(f"{_server(url)} {_TOO_SLOW[which]} {seconds:g} seconds ({which} timeout).")
    error.which = which
    return error
