"""The engine for providers over the network: HTTP/1.1 on the event loop itself, with a pool for each loop.

No thread and no foreign runtime stands between a request and its socket: cancelling a request closes its connection
in the same turn of the loop. Nothing is opened before the first request, so it may be made before a fork. It follows
no redirect, keeps no cookie and reads no environment. HTTP/2 and whatever else httpx speaks: `httpx_engine.py`.
"""

import asyncio
import ssl
from collections.abc import Mapping
from weakref import WeakKeyDictionary

from gateway.errors import ConfigError
from gateway.routing import upstream
from gateway.routing.engines.pooled.connection import Connection, Shelf
from gateway.routing.engines.pooled.proxies import check as check_proxies
from gateway.routing.engines.pooled.proxies import choose as choose_proxy
from gateway.routing.engines.pooled.request_head import Address, address_of, head_of
from gateway.routing.engines.pooled.roundtrip import RoundTrip
from gateway.routing.engines.pooled.tunnel import open_tunnel
from gateway.routing.upstream import Bounds, Timeouts
from gateway.types import HttpRequest


class Origin:
    """One server as one event loop sees it: its idle connections, and the proxy it is reached by."""

    __slots__ = ("proxy", "shelf")

    def __init__(self, proxy: Address | None) -> None:
        self.shelf = Shelf()
        self.proxy = proxy


class PooledUpstream:
    """Keeps connections alive, speaks TLS, goes through proxies, asks for gzip and deflate."""

    __slots__ = ("_bounds", "_closed", "_in_flight", "_loops", "_proxies", "_tls")

    def __init__(
        self,
        *,
        ca_bundle: bytes | None = None,
        proxies: Mapping[str, str] | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            ca_bundle: PEM certificates to trust beside the system's own.
            proxies: as `urllib.request.getproxies_environment` gives them: `http`, `https` and `all` to a proxy's URL
                (its scheme http or https), `no` to the hosts that are called directly.

        Raises:
            ConfigError: a bundle without certificates, or a proxy that cannot be used.
        """
        self._tls = _tls(ca_bundle) if ca_bundle is not None else None
        self._proxies = dict(proxies or {})
        check_proxies(self._proxies)
        self._bounds = bounds or Bounds()
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str, int], Origin]]
        self._loops = WeakKeyDictionary()
        self._in_flight = 0
        self._closed = False

    def __repr__(self) -> str:
        idle = sum(len(origin.shelf) for origins in list(self._loops.values()) for origin in list(origins.values()))
        state = "closed" if self._closed else f"{self._in_flight} in flight, {idle} idle"
        return f"<PooledUpstream {state}>"

    async def send(self, request: HttpRequest, timeouts: Timeouts, *, stream: bool) -> RoundTrip:
        """As the port says; bytes are handed over as they come whether `stream` is set or not."""
        if self._closed:
            raise RuntimeError("the upstream is closed")
        loop = asyncio.get_running_loop()
        total_at = loop.time() + timeouts.total
        try:
            address = address_of(request.url)
            origin = self._origin(loop, address)
            plain = address.origin[0] == "http"
            head = head_of(request, address, origin.proxy if plain else None)
        except ValueError:
            raise upstream.not_sent(request.url) from None
        self._in_flight += 1
        connection = origin.shelf.take()
        if connection is None:
            try:
                connection = await self._connect(loop, address, origin, request.url, timeouts)
            except BaseException:
                self._in_flight -= 1
                raise
        trip = RoundTrip(connection, request.url, timeouts, self._bounds, self._ended)
        connection.start(trip, head, request.body, total_at)
        await trip.head()
        return trip

    async def close(self) -> None:
        self._closed = True
        here = asyncio.get_running_loop()
        for loop, origins in list(self._loops.items()):
            for origin in origins.values():
                if loop is here:
                    origin.shelf.close()
                elif not loop.is_closed():
                    loop.call_soon_threadsafe(origin.shelf.close)

    def _ended(self) -> None:
        self._in_flight -= 1

    def _origin(self, loop: asyncio.AbstractEventLoop, address: Address) -> Origin:
        origins = self._loops.get(loop)
        if origins is None:
            origins = self._loops[loop] = {}
        origin = origins.get(address.origin)
        if origin is None:
            origin = origins[address.origin] = Origin(choose_proxy(self._proxies, address))
        return origin

    async def _connect(
        self, loop: asyncio.AbstractEventLoop, address: Address, origin: Origin, url: str, timeouts: Timeouts
    ) -> Connection:
        which = "connect" if timeouts.connect < timeouts.total else "total"
        try:
            async with asyncio.timeout(getattr(timeouts, which)):
                return await self._open(loop, address, origin)
        except TimeoutError as error:
            raise upstream.timed_out(url, which, timeouts) from error
        except (OSError, UnicodeError) as error:
            raise upstream.unreachable(url) from error

    async def _open(self, loop: asyncio.AbstractEventLoop, address: Address, origin: Origin) -> Connection:
        connection = Connection(loop, origin.shelf)
        scheme, host, port = address.origin
        if origin.proxy is not None:
            through, proxy_host, proxy_port = origin.proxy.origin
            context = self._context() if through == "https" else None
            if scheme == "https":
                await open_tunnel(loop, origin.proxy, context, address, self._context(), connection)
                return connection
            host, port = proxy_host, proxy_port
        else:
            context = self._context() if scheme == "https" else None
        await loop.create_connection(
            lambda: connection, host, port, ssl=context, server_hostname=host if context else None
        )
        return connection

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = _tls(None)
        return self._tls


def _tls(ca_bundle: bytes | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_bundle is not None:
        try:
            context.load_verify_locations(cadata=ca_bundle.decode("ascii", "ignore"))
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(["the CA bundle holds no PEM certificate, or one that cannot be read"]) from error
    return context
