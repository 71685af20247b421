"""A connection to a server, with TLS where that is asked for; of one that is given up nothing stays open.

TCP first, then TLS on it, so that there is a transport to abort whenever the handshake is given up. Where an event loop
is asked for both at once, uvloop keeps the transport for the minute that a handshake may take if it is given up in the
very turn in which TCP has connected.
"""

import asyncio
import ssl


async def dial(
    loop: asyncio.AbstractEventLoop, host: str, port: int, tls: ssl.SSLContext | None, protocol: asyncio.BaseProtocol
) -> asyncio.Transport:
    """Connect `protocol` to a server.

    Raises:
        OSError: it cannot be reached, or its TLS fails.
    """
    if tls is None:
        return (await loop.create_connection(lambda: protocol, host, port))[0]
    transport, _ = await loop.create_connection(asyncio.Protocol, host, port)
    return await secure(loop, transport, host, tls, protocol)


async def secure(
    loop: asyncio.AbstractEventLoop,
    transport: asyncio.Transport,
    host: str,
    tls: ssl.SSLContext,
    protocol: asyncio.BaseProtocol,
) -> asyncio.Transport:
    """Speak TLS with the server `host` on an open connection, and connect `protocol` to it; otherwise abort it.

    Raises:
        OSError: the handshake failed, or the connection was lost.
    """
    waiting = _Waiting()
    try:
        secured = await loop.start_tls(transport, waiting, tls, server_hostname=host)
        if secured is None or waiting.lost:
            raise ConnectionResetError("hung up in the handshake, or right after it")
        secured.set_protocol(protocol)
        protocol.connection_made(secured)
        speaker = secured.get_protocol()  # whom it has put in its place, maybe
        if waiting.early and isinstance(speaker, asyncio.Protocol):
            speaker.data_received(waiting.early)
    except BaseException:
        transport.abort()
        raise
    return secured


class _Waiting(asyncio.Protocol):
    """Stands in until `start_tls` has returned: a server may speak, or hang up, before that."""

    def __init__(self) -> None:
        self.early = b""
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self.early += data

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
