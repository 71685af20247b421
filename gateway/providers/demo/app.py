"""The demo as a server: OpenAI's chat and text completions over a model that needs nothing, in plain ASGI.

    POST /v1/chat/completions   POST /v1/completions   GET /v1/models   GET /v1/models/{id}   GET /health

Inside the gateway it is called without a socket; run on its own (`uvicorn gateway.providers.demo.app:app`) it is an
upstream for tests and benchmarks that can be told to misbehave (see `faults`).
"""

import asyncio
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

from gateway.errors import GatewayError, MethodNotAllowed, RequestTooLarge, RouteNotFound
from gateway.ledger import tokens
from gateway.providers.demo import answer, ask, faults
from gateway.providers.demo.faults import REFUSALS, Switches
from gateway.providers.demo.text import ENCODING
from gateway.wire import json, sse
from gateway.wire.asgi import Receive, Scope, Send

MAX_BODY = 16 * 1024 * 1024
"""Bytes of a request body that are read at most."""

MODEL = {"id": "demo", "object": "model", "created": 1_700_000_000, "owned_by": "gateway"}

_JSON = {"content-type": "application/json"}
_SSE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
_BLOCK = 16 * 1024

_ASK: Mapping[str, Callable[[bytes], ask.Ask]] = {"/v1/chat/completions": ask.chat, "/v1/completions": ask.text}
_PAGES: Mapping[str, Any] = {
    "/v1/models": {"object": "list", "data": [MODEL]},
    "/health": {"status": "ok"},
}


class _Ending(Enum):
    END = "the body ends properly"
    BREAK = "the app returns before the end of the body, and the server closes the connection"
    STALL = "nothing more is sent"


class _Left(Exception):
    """The client has left."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    if scope["type"] != "http":
        return
    client = _Client(receive, send)
    try:
        await _respond(scope, client)
    except GatewayError as error:
        await client.whole(error.status, {**_JSON, **error.headers}, json.dumps(error.body()))
    except _Left:
        return
    finally:
        client.close()


class _Client:
    """The other end: what it asked, what it is sent, and whether it is still there."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._watch: asyncio.Future[None] | None = None

    async def body(self) -> bytes:
        """The request's body.

        Raises:
            RequestTooLarge: over `MAX_BODY`.
        """
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise _Left
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > MAX_BODY:
                raise RequestTooLarge("The request body is too large.")
            if not message.get("more_body"):
                return b"".join(parts)

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        pairs.append((b"x-request-id", f"req_{os.urandom(12).hex()}".encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def part(self, body: bytes) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        await self.start(status, {**headers, "content-length": str(len(body))})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def pause(self, seconds: float | None) -> None:
        """Wait, for ever when `seconds` is None.

        Raises:
            _Left: the client did, meanwhile.
        """
        if self._watch is None:
            self._watch = asyncio.ensure_future(self._disconnected())
        await asyncio.wait((self._watch,), timeout=seconds)
        if self._watch.done():
            raise _Left

    async def _disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()


async def _lifespan(receive: Receive, send: Send) -> None:
    """Start-up reads the vocabulary, so that no request waits for it."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await asyncio.to_thread(tokens.preload, ENCODING)
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _respond(scope: Scope, client: _Client) -> None:
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    read = _ASK.get(path)
    if read is None:
        await client.whole(200, _JSON, json.dumps(_page(path, scope["method"])))
        return
    if scope["method"] != "POST":
        raise MethodNotAllowed(f"Not allowed to {scope['method']} on {path}.", headers={"allow": "POST"})
    body = await client.body()
    switches = faults.from_headers(scope["headers"])
    if switches.delay:
        await client.pause(switches.delay)
    refusal = REFUSALS.get(switches.fault or "")
    if refusal is not None:
        await client.whole(refusal.status, refusal.headers, refusal.body)
        return
    asked = read(body)
    said = answer.answer(asked, switches.fault_at if switches.fault == "content_filter" else None)
    if asked.stream:
        await _stream(client, said, switches)
    else:
        await _whole(client, said, switches)


def _page(path: str, method: str) -> Any:
    page = MODEL if path == f"/v1/models/{MODEL['id']}" else _PAGES.get(path)
    if page is None:
        raise RouteNotFound(f"Invalid URL ({method} {path[:200]})")
    if method != "GET":
        raise MethodNotAllowed(f"Not allowed to {method} on {path}.", headers={"allow": "GET"})
    return page


async def _whole(client: _Client, said: answer.Answer, switches: Switches) -> None:
    """An answer in one piece, or the fault that takes its place."""
    fault, value = switches.fault, answer.whole(said)
    if fault == "no_usage":
        del value["usage"]
    body = json.dumps(dict(faults.STREAM_ERROR) if fault == "error_event" else value)
    half = len(body) // 2
    if fault == "stall":
        await client.pause(None)
    elif fault == "cut_stream":
        await client.start(200, {**_JSON, "content-length": str(len(body))})
        await client.part(body[:half])  # and no more: the server closes the connection
    elif fault == "endless":
        await client.start(200, _JSON)
        await _for_ever(client, itertools.chain([body[:half]], itertools.repeat(b" " * _BLOCK)))
    else:
        await client.whole(200, _JSON, body[:half] if fault in ("truncated_json", "end_early") else body)


async def _stream(client: _Client, said: answer.Answer, switches: Switches) -> None:
    """An answer event by event, until the fault, if there is one, strikes."""
    fault = switches.fault
    chunks = answer.chunks(said, switches.chunk_tokens)
    await client.start(200, _SSE)
    before_the_end = [*_events(chunks.opening), *_events(chunks.content)]
    if fault == "endless":
        again = list(_events(chunks.content or chunks.closing))
        await _for_ever(client, itertools.chain(before_the_end, itertools.cycle(again)), switches.chunk_delay)
        return
    events = [*before_the_end, *_events(chunks.closing)]
    events += _events([] if fault == "no_usage" else chunks.usage)
    events += [] if fault == "no_done" else [sse.DONE]
    strike = _STRIKES.get(fault or "")
    strikes_at = min(switches.fault_at, len(before_the_end))
    for number, event in enumerate(events):
        if strike is not None and number == strikes_at:
            instead, ending = strike
            await _strike(client, instead(event), ending)
            return
        if number and switches.chunk_delay:
            await client.pause(switches.chunk_delay)
        await client.part(event)
    await client.end()


async def _strike(client: _Client, instead: bytes, ending: _Ending) -> None:
    if instead:
        await client.part(instead)
    if ending is _Ending.STALL:
        await client.pause(None)
    elif ending is _Ending.END:
        await client.end()


def _events(chunks: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    return (sse.encode(json.dumps(chunk)) for chunk in chunks)


async def _for_ever(client: _Client, parts: Iterable[bytes], delay: float = 0.0) -> None:
    for part in parts:
        await client.part(part)
        await client.pause(delay)


def _half(event: bytes) -> bytes:
    return event[: len(event) // 2]


_STRIKES: Mapping[str, tuple[Callable[[bytes], bytes], _Ending]] = {
    "cut_stream": (_half, _Ending.BREAK),
    "end_early": (lambda _: b"", _Ending.END),
    "truncated_json": (lambda event: _half(event) + b"\n\n", _Ending.END),
    "error_event": (lambda _: sse.encode(json.dumps(dict(faults.STREAM_ERROR))) + sse.DONE, _Ending.END),  # as vLLM
    "stall": (lambda _: b"", _Ending.STALL),
}
"""What is sent in place of the event a fault strikes at, and what becomes of the connection then."""
