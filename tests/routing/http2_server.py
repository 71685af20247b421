"""A loopback HTTP/2 server over TLS: the test answers each stream itself, and hears of every reset."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame


@dataclass
class Exchange:
    """One stream as the server sees it. `gone` is set when the client has reset it or its connection is lost."""

    peer: "Peer"
    id: int
    headers: dict[str, str]
    body: bytes = b""
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    reset: int | None = None

    def head(self, *fields: tuple[str, str], status: str = "200", end: bool = False) -> None:
        self.peer.h2.send_headers(self.id, [(":status", status), *fields], end_stream=end)
        self.peer.flush()

    async def data(self, data: bytes, end: bool = False) -> None:
        """Send it all, waiting for the client's window where it is too small."""
        while True:
            room = min(self.peer.h2.local_flow_control_window(self.id), 16_384)
            piece, rest = data[:room], data[room:]
            if piece or not data:
                self.peer.h2.send_data(self.id, piece, end_stream=end and not rest)
                self.peer.sent += len(piece)
                self.peer.flush()
            if not rest:
                return
            data = rest
            if self.peer.h2.local_flow_control_window(self.id) <= 0:
                self.peer.opened.clear()
                await self.peer.opened.wait()

    async def answer(self, body: bytes, *fields: tuple[str, str]) -> None:
        self.head(*fields)
        await self.data(body, end=True)

    def refuse(self, code: ErrorCodes) -> None:
        self.peer.h2.reset_stream(self.id, code)
        self.peer.flush()


Handler = Callable[[Exchange], Awaitable[None]]


@dataclass
class Http2Server:
    """A running server. `url` ends without a slash."""

    url: str = ""
    peers: "list[Peer]" = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a request's head has been read."""
    reading: bool = True
    """Whether what a request's body uses of the window is given back at once."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class Peer(asyncio.Protocol):
    """One connection of a server."""

    def __init__(self, server: Http2Server, handler: Handler, settings: dict[SettingCodes, int]) -> None:
        self.server = server
        self.handler = handler
        config = H2Configuration(
            client_side=False,
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = H2Connection(config)
        self.settings = settings
        self.streams: dict[int, Exchange] = {}
        self.opened = asyncio.Event()
        self.lost = asyncio.Event()
        self.sent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.server.peers.append(self)
        self.h2.local_settings = Settings(client=False, initial_values=self.settings)
        self.h2.initiate_connection()
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set()
        for exchange in self.streams.values():
            exchange.gone.set()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self.h2.receive_data(data):
                self.hear(event)
        except ProtocolError:
            self.flush()
            self.transport.close()
            return
        self.flush()

    def hear(self, event: events.Event) -> None:
        if isinstance(event, events.RequestReceived):
            exchange = Exchange(self, event.stream_id, dict(event.headers))  # type: ignore[arg-type]
            self.streams[event.stream_id] = exchange
            self.server.exchanges.append(exchange)
            self.server.arrived.set()
        elif isinstance(event, events.DataReceived):
            self.streams[event.stream_id].body += event.data
            if self.server.reading:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, events.StreamEnded):
            task = asyncio.ensure_future(self.serve(self.streams[event.stream_id]))
            self.server.tasks.add(task)
            task.add_done_callback(self.server.tasks.discard)
        elif isinstance(event, events.StreamReset):
            exchange = self.streams[event.stream_id]
            exchange.reset = int(event.error_code)
            exchange.gone.set()
        elif isinstance(event, events.WindowUpdated):
            self.opened.set()

    async def serve(self, exchange: Exchange) -> None:
        try:
            await self.handler(exchange)
        except ProtocolError:
            assert exchange.gone.is_set() or self.lost.is_set()

    def flush(self) -> None:
        self.transport.write(self.h2.data_to_send())

    def goaway(self, last_stream: int, error: int = 0) -> None:
        """h2 can say it only at the end; real servers go on answering."""
        self.transport.write(GoAwayFrame(0, last_stream_id=last_stream, error_code=error).serialize())


@asynccontextmanager
async def serve2(
    handler: Handler, tls: ssl.SSLContext, settings: dict[SettingCodes, int] | None = None, reading: bool = True
) -> AsyncIterator[Http2Server]:
    """Serve each request with `handler` once its body is there."""
    server = Http2Server(reading=reading)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Peer(server, handler, settings or {}), "127.0.0.1", 0, ssl=tls)
    server.url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        for task in list(server.tasks):
            task.cancel()
        await asyncio.gather(*server.tasks, return_exceptions=True)
        for peer in server.peers:
            peer.transport.abort()
