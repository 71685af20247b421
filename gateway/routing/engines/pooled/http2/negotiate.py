"""The choice between HTTP/1.1 and HTTP/2, made with a server in the TLS handshake (ALPN, RFC 7301)."""

import asyncio

from gateway.routing.engines.pooled.connection import Connection, Shelf
from gateway.routing.engines.pooled.http2.connection import Http2Connection


class Negotiating(asyncio.Protocol):
    """Stands in until the handshake is over, then puts the connection that was agreed on in its place.

    `OFFER` is what the handshake must offer; a server that does not know ALPN speaks HTTP/1.1.
    """

    OFFER = ("h2", "http/1.1")

    def __init__(self, loop: asyncio.AbstractEventLoop, shelf: Shelf, fleet: list[Http2Connection]) -> None:
        self._loop = loop
        self._shelf = shelf
        self._fleet = fleet

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tls = transport.get_extra_info("ssl_object")
        self._chosen: Connection | Http2Connection
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            self._chosen = Http2Connection(self._loop, self._fleet)
        else:
            self._chosen = Connection(self._loop, self._shelf)
        transport.set_protocol(self._chosen)
        self._chosen.connection_made(transport)

    async def chosen(self) -> Connection | Http2Connection:
        """The connection, once it can be used.

        Raises:
            OSError: it was closed before that.
        """
        if isinstance(self._chosen, Http2Connection):
            await self._chosen.ready()
        return self._chosen
