"""The engine for providers over the network: HTTP on the event loop itself, with a pool for each loop.

No thread and no foreign runtime stands between a request and its socket: cancelling a request closes its connection
in the same turn of the loop. Nothing is opened before the first request, so it may be made before a fork. It follows
no redirect, keeps no cookie and reads no environment. It speaks HTTP/1.1, and HTTP/2 where it is told to and a server
agrees; whatever else httpx speaks: `httpx_transport.py`.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from gateway.errors import ConfigError
from gateway.routing import upstream
from gateway.routing.engines.pooled.connection import Connection, Shelf
from gateway.routing.engines.pooled.dial import dial
from gateway.routing.engines.pooled.proxies import check as check_proxies
from gateway.routing.engines.pooled.proxies import choose as choose_proxy
from gateway.routing.engines.pooled.request_head import Address, address_of, fields_of, head_of
from gateway.routing.engines.pooled.roundtrip import RoundTrip
from gateway.routing.engines.pooled.tunnel import open_tunnel
from gateway.routing.upstream import Bounds, Timeouts
from gateway.types import HttpRequest

if TYPE_CHECKING:
    from gateway.routing.engines.pooled.http2.connection import Http2Connection
    from gateway.routing.engines.pooled.http2.negotiate import Negotiating


class Origin:
    """One server as one event loop sees it: its idle HTTP/1.1 connections, its HTTP/2 connections that take more
    requests, and the proxy it is reached by.

    `alone` says that the server has been found to speak HTTP/1.1, so that a request needs a connection of its own; as
    long as it has not, one request at a time holds `connecting`, for the others may share the connection it brings.
    """

    __slots__ = ("alone", "connecting", "fleet", "proxy", "shelf")

    def __init__(self, proxy: Address | None, alone: bool) -> None:
        self.shelf = Shelf()
        self.fleet: list[Http2Connection] = []
        self.proxy = proxy
        self.alone = alone
        self.connecting = asyncio.Lock()

    def take(self) -> "Connection | Http2Connection | None":
        """A connection that may serve, or None."""
        for connection in self.fleet:
            if connection.available():
                return connection
        return self.shelf.take()

    def idle(self) -> int:
        """How many connections serve nobody."""
        return len(self.shelf) + sum(connection.idle() for connection in self.fleet)

    def close(self) -> None:
        """Close what is idle and, as it comes back, what is in use."""
        self.shelf.close()
        for connection in list(self.fleet):
            connection.hang_up()


class PooledUpstream:
    """Keeps connections alive, speaks TLS, goes through proxies, asks for gzip and deflate."""

    __slots__ = ("_bounds", "_ca_bundle", "_closed", "_in_flight", "_loops", "_negotiate", "_proxies", "_tls")

    def __init__(
        self,
        *,
        ca_bundle: bytes | None = None,
        proxies: Mapping[str, str] | None = None,
        bounds: Bounds | None = None,
        http2: bool = False,
    ) -> None:
        """Open nothing yet.

        Args:
            ca_bundle: PEM certificates to trust beside the system's own.
            proxies: as `urllib.request.getproxies_environment` gives them: `http`, `https` and `all` to a proxy's URL
                (its scheme http or https), `no` to the hosts that are called directly.
            http2: offer HTTP/2 in every TLS handshake with a server; one that does not take it is spoken to in
                HTTP/1.1, as is every server at an http URL. Proxies are spoken to in HTTP/1.1.

        Raises:
            ConfigError: a bundle without certificates, or a proxy that cannot be used.
        """
        self._ca_bundle = ca_bundle
        self._negotiate = _negotiating() if http2 else None
        self._tls: dict[tuple[str, ...], ssl.SSLContext] = {}
        if ca_bundle is not None:
            self._context(_HTTP1)  # so that a fault in it is found now
        self._proxies = dict(proxies or {})
        check_proxies(self._proxies)
        self._bounds = bounds or Bounds()
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str, int], Origin]]
        self._loops = WeakKeyDictionary()
        self._in_flight = 0
        self._closed = False

    def __repr__(self) -> str:
        idle = sum(origin.idle() for origins in list(self._loops.values()) for origin in list(origins.values()))
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
        connection = origin.take()
        if connection is None:
            try:
                connection = await self._connect(loop, address, origin, request.url, timeouts)
            except BaseException:
                self._in_flight -= 1
                raise
        if isinstance(connection, Connection):
            trip = RoundTrip(connection, request.url, timeouts, self._bounds, self._ended)
            connection.start(trip, head, request.body, total_at)
        else:
            line = connection.stream()
            trip = RoundTrip(line, request.url, timeouts, self._bounds, self._ended)
            line.start(trip, fields_of(head, "https"), request.body, total_at)
        await trip.head()
        return trip

    async def close(self) -> None:
        self._closed = True
        here = asyncio.get_running_loop()
        for loop, origins in list(self._loops.items()):
            for origin in origins.values():
                if loop is here:
                    origin.close()
                elif not loop.is_closed():
                    loop.call_soon_threadsafe(origin.close)

    def _ended(self) -> None:
        self._in_flight -= 1

    def _origin(self, loop: asyncio.AbstractEventLoop, address: Address) -> Origin:
        origins = self._loops.get(loop)
        if origins is None:
            origins = self._loops[loop] = {}
        origin = origins.get(address.origin)
        if origin is None:
            alone = self._negotiate is None or address.origin[0] == "http"
            origin = origins[address.origin] = Origin(choose_proxy(self._proxies, address), alone)
        return origin

    async def _connect(
        self, loop: asyncio.AbstractEventLoop, address: Address, origin: Origin, url: str, timeouts: Timeouts
    ) -> "Connection | Http2Connection":
        which = "connect" if timeouts.connect < timeouts.total else "total"
        try:
            async with asyncio.timeout(getattr(timeouts, which)):
                if not origin.alone:
                    async with origin.connecting:
                        connection = origin.take()
                        if connection is not None:
                            return connection
                        if not origin.alone:
                            return await self._open(loop, address, origin)
                return await self._open(loop, address, origin)
        except TimeoutError as error:
            raise upstream.timed_out(url, which, timeouts) from error
        except (OSError, UnicodeError) as error:
            raise upstream.unreachable(url) from error

    async def _open(
        self, loop: asyncio.AbstractEventLoop, address: Address, origin: Origin
    ) -> "Connection | Http2Connection":
        if self._negotiate is None or address.origin[0] == "http":
            connection = Connection(loop, origin.shelf)
            await self._dial(loop, address, origin.proxy, connection, _HTTP1)
            return connection
        negotiating = self._negotiate(loop, origin.shelf, origin.fleet)
        await self._dial(loop, address, origin.proxy, negotiating, negotiating.OFFER)
        chosen = await negotiating.chosen()
        origin.alone = isinstance(chosen, Connection)
        return chosen

    async def _dial(
        self,
        loop: asyncio.AbstractEventLoop,
        address: Address,
        proxy: Address | None,
        connection: asyncio.BaseProtocol,
        offer: tuple[str, ...],
    ) -> None:
        """Connect `connection` to a server, or to the proxy that is sent plain requests for it."""
        scheme, host, port = address.origin
        context = self._context(offer) if scheme == "https" else None
        if proxy is not None:
            through, proxy_host, proxy_port = proxy.origin
            outer = self._context(_HTTP1) if through == "https" else None
            if context is not None:
                await open_tunnel(loop, proxy, outer, address, context, connection)
                return
            context, host, port = outer, proxy_host, proxy_port
        await dial(loop, host, port, context, connection)

    def _context(self, offer: tuple[str, ...]) -> ssl.SSLContext:
        context = self._tls.get(offer)
        if context is None:
            context = self._tls[offer] = _tls(self._ca_bundle, offer)
        return context


_HTTP1 = ("http/1.1",)


def _negotiating() -> "type[Negotiating]":
    """Loaded only where HTTP/2 is wanted: h2 and hpack take time to import."""
    from gateway.routing.engines.pooled.http2.negotiate import Negotiating

    return Negotiating


def _tls(ca_bundle: bytes | None, offer: tuple[str, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(offer)
    if ca_bundle is not None:
        try:
            context.load_verify_locations(cadata=ca_bundle.decode("ascii", "ignore"))
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(["the CA bundle holds no PEM certificate, or one that cannot be read"]) from error
    return context
