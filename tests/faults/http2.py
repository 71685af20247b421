"""The fault-injecting upstream over HTTP/2: TLS, streams side by side, GOAWAY and REFUSED_STREAM."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from h2.errors import ErrorCodes

from tests.faults.answers import Piece, Reply
from tests.faults.faults import Fault
from tests.faults.plans import Plan, always
from tests.faults.upstream import Upstream
from tests.routing.http2_server import Exchange, serve2


class Stream:
    """One stream, as a `Line`: its head is the first part, which has no bytes of its own."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.reply: Reply | None = None
        self.left = 0
        self.begun = False

    def parts(self, reply: Reply) -> list[Piece]:
        self.reply, self.left = reply, len(reply.body)
        return [Piece(b""), *(piece for piece in reply.pieces if piece.data), Piece(b"")]

    async def send(self, data: bytes) -> None:
        if self.exchange.gone.is_set():
            raise ConnectionResetError("the client has left")
        if not self.begun:
            assert self.reply is not None
            self.begun = True
            self.exchange.head(*self.reply.headers, status=str(self.reply.status))
            return
        self.left -= len(data)
        await self.exchange.data(data, end=not data and not self.left)

    async def end(self, fault: Fault) -> None:
        peer = self.exchange.peer
        if fault.ending == "stall":
            await asyncio.Event().wait()
        elif fault.ending == "refuse":
            self.exchange.refuse(ErrorCodes.REFUSED_STREAM)
        elif fault.ending == "goaway":
            peer.goaway(max(self.exchange.id - 2, 0))
        elif fault.ending == "reset":
            self.exchange.refuse(ErrorCodes.INTERNAL_ERROR)
        else:
            peer.transport.close()


@asynccontextmanager
async def serving2(tls: ssl.SSLContext, plan: Plan | None = None, **options: Any) -> AsyncIterator[Upstream]:
    """`upstream.serving` over HTTP/2; `tls` holds the certificate and must offer `h2`. It has no port to shut."""
    upstream = Upstream(plan or always(), **options)

    async def handle(exchange: Exchange) -> None:
        asked = upstream.hear(exchange.headers[":path"], exchange.headers, exchange.body)
        answering = upstream.begin(asked, Stream(exchange))
        leaving = asyncio.ensure_future(exchange.gone.wait())
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    async with serve2(handle, tls) as server:
        upstream.url = server.url
        yield upstream
