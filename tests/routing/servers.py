"""Loopback servers that say exactly which bytes leave, and notice exactly when their client does."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import wraps
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SECONDS = 10.0
"""No test waits longer."""


def looped(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on a loop of its own; on uvloop when its parameter `engine` says so."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        factory = uvloop.new_event_loop if "uvloop" in kwargs.get("engine", "") else None
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(test(*args, **kwargs), SECONDS))

    return run


@dataclass
class Connection:
    """What a handler has in its hands: the request it read, and where to write."""

    head: bytes
    body: bytes
    writer: asyncio.StreamWriter
    gone: asyncio.Event
    """Set when the client has closed or reset this connection."""

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Close with a TCP reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Handler = Callable[[Connection], Awaitable[None]]


@dataclass
class Server:
    """A running server. `url` ends without a slash."""

    url: str = ""
    accepted: int = 0
    requests: list[Connection] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a request has been read."""


@asynccontextmanager
async def serve(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Serve each request with `handler`; a connection is kept alive until the handler or the client closes it."""
    server = Server()
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.accepted += 1
        gone = asyncio.Event()
        try:
            while head := await read_head(reader):
                connection = Connection(head, await reader.readexactly(content_length(head)), writer, gone)
                server.requests.append(connection)
                server.arrived.set()
                answering = asyncio.ensure_future(handler(connection))
                waiting = asyncio.ensure_future(closed(reader))
                try:
                    await asyncio.wait((answering, waiting), return_when=asyncio.FIRST_COMPLETED)
                    if waiting.done():
                        return
                    await answering
                finally:
                    for task in (answering, waiting):
                        task.cancel()
                    await asyncio.gather(answering, waiting, return_exceptions=True)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            gone.set()
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(connected(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listening = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


def content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


async def closed(reader: asyncio.StreamReader) -> None:
    """Until the client is gone; a byte that comes instead belongs to the next request and is left alone."""
    with suppress(ConnectionError):
        while not reader.at_eof():
            await reader._wait_for_data("closed")  # type: ignore[attr-defined]
            if reader._buffer:  # type: ignore[attr-defined]
                await asyncio.Event().wait()


def response(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """A whole HTTP/1.1 answer with its length."""
    lines = (b"HTTP/1.1 " + status, b"content-length: %d" % len(body), *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: text/event-stream\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; an empty one ends it."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def says(*pieces: bytes) -> Handler:
    """Answer every request with these bytes and keep the connection."""

    async def handler(connection: Connection) -> None:
        await connection.send(*pieces)

    return handler


def says_and_closes(*pieces: bytes) -> Handler:
    async def handler(connection: Connection) -> None:
        await connection.send(*pieces)
        connection.close()

    return handler


def says_and_resets(*pieces: bytes) -> Handler:
    async def handler(connection: Connection) -> None:
        await connection.send(*pieces)
        connection.reset()

    return handler


def says_and_waits(*pieces: bytes) -> Handler:
    async def handler(connection: Connection) -> None:
        await connection.send(*pieces)
        await asyncio.Event().wait()

    return handler


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def certificate(folder: Path) -> tuple[bytes, ssl.SSLContext]:
    """A fresh authority in PEM, and a server context with a certificate of its for 127.0.0.1."""
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)

    def build(name: str, public: ec.EllipticCurvePublicKey, extension: x509.ExtensionType) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(extension, critical=False)
            .sign(authority, hashes.SHA256())
        )

    root = build("test authority", authority.public_key(), x509.BasicConstraints(ca=True, path_length=None))
    name = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    leaf = build("127.0.0.1", key.public_key(), name)
    pem, file = serialization.Encoding.PEM, folder / "server.pem"
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(leaf.public_bytes(pem) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return root.public_bytes(pem), context
