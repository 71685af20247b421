"""An ASGI app as an upstream, called in process: the built-in demo provider, a server under test."""

from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import NoReturn

from gateway.errors import GatewayError
from gateway.routing import upstream
from gateway.routing.engines.answer import Answer, Terms
from gateway.routing.upstream import Bounds, Timeouts
from gateway.types import HttpRequest
from gateway.version import __version__
from gateway.wire import asgi

_USER_AGENT = f"guardrail-gateway/{__version__}"


class AsgiUpstream:
    """Calls `app` once per request, in a task of its own; every body message arrives as the app sends it.

    Timeouts hold as they do over a socket, except that there is no connection to wait for. What the app raises is a
    broken connection; an error of our own tree passes as it is. The app's lifespan is the owner's to run.
    """

    __slots__ = ("_app", "_bounds", "_in_flight")

    def __init__(self, app: asgi.App, *, bounds: Bounds | None = None) -> None:
        self._app = app
        self._bounds = bounds or Bounds()
        self._in_flight = 0

    def __repr__(self) -> str:
        name = getattr(self._app, "__name__", type(self._app).__name__)
        return f"<AsgiUpstream {name}: {self._in_flight} in flight>"

    async def send(self, request: HttpRequest, timeouts: Timeouts, *, stream: bool) -> Answer:
        terms = Terms(request.url, timeouts, monotonic(), self._bounds, _fail)
        base = upstream.origin(request.url)
        self._in_flight += 1
        try:
            headers = _headers(request, base.partition("://")[2])
            target = request.url[len(base) :] or "/"
            async with terms.patience(timeouts.read):
                response = await asgi.request(self._app, request.method, target, headers, request.body)
        except BaseException as error:
            self._in_flight -= 1
            if isinstance(error, Exception):
                _fail(error, terms)
            raise
        return Answer(response.status, response.headers, response.chunks(), partial(self._leave, response.close), terms)

    async def close(self) -> None:
        """Nothing to close: the app is its owner's."""

    async def _leave(self, close: Callable[[], Awaitable[None]]) -> None:
        self._in_flight -= 1
        await close()


def _headers(request: HttpRequest, host: str) -> list[tuple[bytes, bytes]]:
    """As a server gives them to an app: what a client library adds, then the request's own."""
    sent = {"host": host, "user-agent": _USER_AGENT, "content-length": str(len(request.body))}
    sent.update((name.lower(), value) for name, value in request.headers.items())
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()]


def _fail(error: Exception, terms: Terms) -> NoReturn:
    if isinstance(error, GatewayError):
        raise error
    if isinstance(error, TimeoutError):
        raise upstream.timed_out(terms.url, terms.which(), terms.timeouts) from error
    raise upstream.broken(terms.url) from error
