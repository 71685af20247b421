"""Any httpx transport as an upstream: a mock, a recorder, a pool with settings of its own.

`httpx.AsyncClient` is bypassed: it would cost half a millisecond a request and bring cookies, redirects and its own
reading of the environment. The transport gets httpx's usual `timeout` extension; silence and the total are kept here
as well, for transports that do not read it.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import NoReturn

import httpx

from gateway.routing import upstream
from gateway.routing.engines.answer import Answer, Terms
from gateway.routing.upstream import Bounds, Timeouts
from gateway.types import HttpRequest
from gateway.version import __version__

_USER_AGENT = f"guardrail-gateway/{__version__}"


class HttpxUpstream:
    """Sends every request through one `httpx.AsyncBaseTransport`, which it closes when it is closed.

    No content encoding is asked for; an answer that comes encoded all the same is decoded.
    """

    __slots__ = ("_bounds", "_in_flight", "_transport")

    def __init__(self, transport: httpx.AsyncBaseTransport, *, bounds: Bounds | None = None) -> None:
        self._transport = transport
        self._bounds = bounds or Bounds()
        self._in_flight = 0

    def __repr__(self) -> str:
        return f"<HttpxUpstream {type(self._transport).__name__}: {self._in_flight} in flight>"

    async def send(self, request: HttpRequest, timeouts: Timeouts, *, stream: bool) -> Answer:
        terms = Terms(request.url, timeouts, monotonic(), self._bounds, _fail)
        waits = {"connect": timeouts.connect, "read": timeouts.read, "write": timeouts.read, "pool": timeouts.connect}
        self._in_flight += 1
        try:
            sent = httpx.Request(
                request.method,
                request.url,
                headers={"user-agent": _USER_AGENT, **request.headers},
                content=request.body,
                extensions={"timeout": waits},
            )
            async with terms.patience(timeouts.connect + timeouts.read):
                response = await self._transport.handle_async_request(sent)
        except BaseException as error:
            self._in_flight -= 1
            if isinstance(error, Exception):
                _fail(error, terms)
            raise
        close = partial(self._leave, response.aclose)
        return Answer(response.status_code, response.headers, response.aiter_bytes(), close, terms)

    async def close(self) -> None:
        await self._transport.aclose()

    async def _leave(self, close: Callable[[], Awaitable[None]]) -> None:
        self._in_flight -= 1
        await close()


_TIMEOUTS = (
    (httpx.ConnectTimeout, "connect"),
    (httpx.PoolTimeout, "connect"),
    (httpx.TimeoutException, "read"),
)
_ERRORS = (
    (httpx.LocalProtocolError, upstream.not_sent),
    (httpx.UnsupportedProtocol, upstream.not_sent),
    (httpx.InvalidURL, upstream.not_sent),
    (ValueError, upstream.not_sent),
    (httpx.ConnectError, upstream.unreachable),
    (httpx.ProxyError, upstream.unreachable),
    (httpx.DecodingError, upstream.unreadable),
    (httpx.TransportError, upstream.broken),
)
"""Read top to bottom. A connection closed too early is httpx's `RemoteProtocolError`, and so among the broken."""

_MAY_QUOTE = (httpx.LocalProtocolError, httpx.InvalidURL, ValueError)
"""Errors whose own text may hold a header's value or a URL: they are not kept as a cause."""


def _fail(error: Exception, terms: Terms) -> NoReturn:
    url, timeouts = terms.url, terms.timeouts
    for timeout, which in _TIMEOUTS:
        if isinstance(error, timeout):
            raise upstream.timed_out(url, which, timeouts) from error
    if isinstance(error, TimeoutError):
        raise upstream.timed_out(url, terms.which(), timeouts) from error
    for kind, make in _ERRORS:
        if isinstance(error, kind):
            raise make(url) from (None if isinstance(error, _MAY_QUOTE) else error)
    raise error
