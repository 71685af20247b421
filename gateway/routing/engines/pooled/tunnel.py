"""A TLS connection through a proxy's CONNECT (RFC 9110 §9.3.6)."""

import asyncio
import ssl

from gateway.routing.engines.pooled.dial import dial, secure
from gateway.routing.engines.pooled.request_head import Address

_MAX_HEAD_BYTES = 16 * 1024


class _Handshake(asyncio.Protocol):
    """Reads the head of the proxy's answer."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.head: asyncio.Future[bytes] = loop.create_future()
        self._read = b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        if b"\r\n\r\n" in self._read or len(self._read) > _MAX_HEAD_BYTES:
            self._settle()

    def connection_lost(self, error: Exception | None) -> None:
        self._settle()

    def _settle(self) -> None:
        if not self.head.done():
            self.head.set_result(self._read)


async def open_tunnel(
    loop: asyncio.AbstractEventLoop,
    proxy: Address,
    proxy_tls: ssl.SSLContext | None,
    server: Address,
    tls: ssl.SSLContext,
    connection: asyncio.BaseProtocol,
) -> None:
    """Connect `connection` to `server` over TLS inside a tunnel through `proxy`.

    Raises:
        OSError: the proxy cannot be reached or refuses, or the server's TLS fails.
    """
    _, proxy_host, proxy_port = proxy.origin
    _, host, port = server.origin
    handshake = _Handshake(loop)
    transport = await dial(loop, proxy_host, proxy_port, proxy_tls, handshake)
    try:
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        credentials = f"proxy-authorization: Basic {proxy.credentials}\r\n" if proxy.credentials else ""
        transport.write(f"CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n{credentials}\r\n".encode("ascii"))
        status = (await handshake.head).split(b" ", 2)[1:2]
        if not (status and len(status[0]) == 3 and status[0].startswith(b"2")):
            raise ConnectionRefusedError("the proxy refused to connect")
    except BaseException:
        transport.abort()
        raise
    await secure(loop, transport, host, tls, connection)
