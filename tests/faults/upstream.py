"""A provider to test against: a real server on loopback that speaks OpenAI's completions and misbehaves as it is told.

    async with serving(script(FAULTS["server_error"], then=WELL)) as upstream:
        …                                   # a gateway whose deployment has `api_base: {upstream.url}/v1`
        assert upstream.counts.asked == 2   # a failure, and the retry
        assert upstream.counts.cost == …    # what a ledger must say

- `plan` says which fault each call meets (`plans.py`) and may be replaced at any time; `faults.py` has the faults.
- `asked` keeps every request: path, body, fault, how it ended, and what a provider would bill for it. `counts` adds
  them up. An answer that was made is billed though nobody could read it; a stream is billed as far as it was written.
- `shut()` closes the port and every connection, `reopen()` opens the same one again; while `slams` is set, a connection
  is accepted and closed at once.
- A fault that is `held` waits for `gate`: a test opens it once its client has read what was sent before.
- With a TLS context that offers `h2`, `http2.serving2` is the same over HTTP/2, with GOAWAY and refused streams.

Bytes leave exactly where a fault says so: each piece is one write, and a reset is a TCP RST.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any, Literal, Protocol

from gateway.wire import json
from tests.faults.answers import Piece, Reply, honest
from tests.faults.faults import Fault
from tests.faults.plans import Plan, always

State = Literal["asked", "answered", "refused", "cut", "left"]
"""How a call stands: being answered; answered to the last byte with a 2xx, or with another status; ended early by its
fault; given up by its client."""


@dataclass(frozen=True, slots=True)
class Price:
    """USD per token."""

    input: Decimal = Decimal("0.000001")
    output: Decimal = Decimal("0.000002")


@dataclass(slots=True)
class Asked:
    """One request that was read."""

    number: int
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    fault: Fault
    state: State = "asked"
    prompt_tokens: int = 0
    """What would be billed; 0 until the answer has begun."""
    completion_tokens: int = 0

    @property
    def prompt(self) -> str:
        """The text completion's prompt, or the last message of the chat."""
        found = self.body["prompt"] if "prompt" in self.body else self.body["messages"][-1]["content"]
        return str(found)


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums over all calls: what was asked, how it ended, and the bill in tokens and USD."""

    asked: int
    answered: int
    refused: int
    cut: int
    left: int
    prompt_tokens: int
    completion_tokens: int
    cost: Decimal


class Line(Protocol):
    """Where one answer is written: a connection of HTTP/1.1, or a stream of HTTP/2."""

    def parts(self, reply: Reply) -> list[Piece]:
        """The head, then each piece of the body, as this protocol frames them."""
        ...

    async def send(self, data: bytes) -> None: ...

    async def end(self, fault: Fault) -> None:
        """End as the fault says; returns only where it does not stall."""
        ...


@dataclass(slots=True)
class Upstream:
    """The running server. `url` ends without a slash; `words` is how many an answer has, where it may be that long."""

    plan: Plan = field(default_factory=always)
    name: str = "upstream"
    seed: int = 0
    words: int = 5
    price: Price = Price()
    url: str = ""
    asked: list[Asked] = field(default_factory=list, repr=False)
    accepted: int = 0
    open: "set[Connection]" = field(default_factory=set, repr=False)
    slams: bool = False
    gate: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    idle: asyncio.Event = field(default_factory=lambda: _opened(asyncio.Event()), repr=False)
    """Set while no call is being answered."""
    _under_way: int = 0
    _listening: asyncio.Server | None = field(default=None, repr=False)
    _port: int = 0

    @property
    def counts(self) -> Counts:
        prompt = sum(asked.prompt_tokens for asked in self.asked)
        written = sum(asked.completion_tokens for asked in self.asked)
        states = [asked.state for asked in self.asked]
        numbers = (states.count(state) for state in ("answered", "refused", "cut", "left"))
        cost = prompt * self.price.input + written * self.price.output
        return Counts(len(states), *numbers, prompt, written, cost)

    @property
    def is_shut(self) -> bool:
        return self._listening is None

    async def reopen(self) -> None:
        """Listen, at the first time on a port of the system's choice and then always on the same one."""
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(lambda: Connection(self), "127.0.0.1", self._port, backlog=1024)
        self._port = self._listening.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    def shut(self) -> None:
        """Refuse connections, and reset those that are open; further calls do nothing."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        for connection in list(self.open):
            connection.reset()

    def hear(self, path: str, headers: dict[str, str], body: bytes) -> Asked:
        """Count a request and choose its fault."""
        number = len(self.asked)
        asked = Asked(number, path, headers, json.loads(body) if body else {}, self.plan(number))
        self.asked.append(asked)
        return asked

    def begin(self, asked: Asked, line: Line) -> "asyncio.Task[None]":
        """Answer one request, in a task that is to be cancelled when its client leaves."""
        self._under_way += 1
        self.idle.clear()
        task = asyncio.ensure_future(self._answer(asked, line))
        task.add_done_callback(lambda _: self._over(asked))
        return task

    def _over(self, asked: Asked) -> None:
        if asked.state == "asked":
            asked.state = "left"
        self._under_way -= 1
        if not self._under_way:
            self.idle.set()

    async def _answer(self, asked: Asked, line: Line) -> None:
        fault = asked.fault
        random = Random(f"{self.seed}:{asked.number}")  # noqa: S311 - a script, not a secret
        await _sleep(fault.delay(random))
        reply = self._reply(asked)
        if await self._write(asked, reply, line, random):
            asked.state = "answered" if reply.status < 300 else "refused"
            return
        if fault.held:
            await self.gate.wait()
        asked.state = "cut"
        await line.end(fault)

    def _reply(self, asked: Asked) -> Reply:
        fault = asked.fault
        if fault.instead is not None:
            return fault.instead()
        reply = honest(asked.path, asked.body, f"{self.name}-{asked.number}", self.words)
        return fault.change(reply) if fault.change is not None else reply

    async def _write(self, asked: Asked, reply: Reply, line: Line, random: Random) -> bool:
        """Send as far as the fault lets it; whether that was all."""
        fault, sent = asked.fault, 0
        for index, part in enumerate(line.parts(reply)):
            if (fault.piece is not None and index > fault.piece) or (fault.byte is not None and sent >= fault.byte):
                return False
            if index > 1:
                await _sleep(fault.gap(random))
            data = part.data if fault.byte is None else part.data[: fault.byte - sent]
            if index == 0 and reply.prompt_tokens:
                asked.prompt_tokens = reply.prompt_tokens
                asked.completion_tokens = 0 if reply.stream else reply.tokens
            if reply.stream:
                asked.completion_tokens += part.tokens
            await _drip(line, data, fault.drip)
            sent += len(data)
            if len(data) < len(part.data):
                return False
        return True


def _opened(event: asyncio.Event) -> asyncio.Event:
    event.set()
    return event


async def _sleep(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)


async def _drip(line: Line, data: bytes, pause: float | None) -> None:
    if pause is None:
        await line.send(data)
        return
    for at in range(len(data)):
        await line.send(data[at : at + 1])
        await asyncio.sleep(pause)


class Connection(asyncio.Protocol):
    """One connection of HTTP/1.1, kept alive; a request that comes while one is answered waits its turn."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.buffer = b""
        self.answering: asyncio.Task[None] | None = None
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.upstream.accepted += 1
        if self.upstream.slams:
            self.transport.close()
            return
        self.upstream.open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.upstream.open.discard(self)
        self.writable.set()
        if self.answering is not None:
            self.answering.cancel()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.answering is None:
            self._next()

    def _next(self) -> None:
        """Answer the first request of the buffer, if it is there as a whole."""
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        asked = self.upstream.hear(first.split(" ")[1], headers, rest[:length])
        self.answering = self.upstream.begin(asked, self)
        self.answering.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.answering = None
        if not task.cancelled() and task.exception() is None and not self.transport.is_closing():
            self._next()

    def parts(self, reply: Reply) -> list[Piece]:
        if not reply.stream:
            return [Piece(reply.head()), *reply.pieces]
        framed = [
            Piece(b"%x\r\n%b\r\n" % (len(piece.data), piece.data), piece.tokens) for piece in reply.pieces if piece.data
        ]
        return [Piece(reply.head()), *framed, Piece(b"0\r\n\r\n")]

    async def send(self, data: bytes) -> None:
        if self.transport.is_closing():
            raise ConnectionResetError("the client has left")
        self.transport.write(data)
        await self.writable.wait()

    async def end(self, fault: Fault) -> None:
        if fault.ending == "stall":
            await asyncio.Event().wait()
        if fault.ending == "reset":
            self.reset()
        else:
            self.transport.close()

    def reset(self) -> None:
        """Close with a TCP reset."""
        sock: socket.socket = self.transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


@asynccontextmanager
async def serving(plan: Plan | None = None, **options: Any) -> AsyncIterator[Upstream]:
    """A server for the length of the block; `options` are `Upstream`'s."""
    upstream = Upstream(plan or always(), **options)
    await upstream.reopen()
    try:
        yield upstream
    finally:
        upstream.shut()
        await asyncio.sleep(0)  # lets the transports tell their protocols, which cancel what was being answered
