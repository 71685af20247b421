"""ASGI in process: one HTTP request to an app, with no socket and no other library. Its lifespan: `lifespan.py`.

The rules are those of the ASGI specification 3.0, "HTTP & WebSocket ASGI Message Format" 2.4. An answer is handed over
message by message: the app's `send()` returns when the reader has taken the chunk, so a slow reader slows the app down
exactly as a full socket would.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any
from urllib.parse import unquote

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

GRACE = 0.1
"""Seconds an app has to leave by itself after its client has left, before its task is cancelled."""

_running: set[asyncio.Task[None]] = set()  # the event loop itself keeps only weak references to tasks


class IncompleteAnswer(RuntimeError):
    """The app returned before its answer was complete, or without one."""


class ClientLeft(OSError):
    """Raised by `send()` inside the app once its client has left, as ASGI 2.4 asks."""


class AsgiResponse:
    """The answer of an app, from the moment it sent its status.

    `status` and `raw_headers` (pairs of bytes, as sent) are there at once; the body is read with `chunks()` or
    `read()`. An answer that is not read to its end must be closed.
    """

    __slots__ = (
        "_body",
        "_chunk",
        "_closed",
        "_complete",
        "_grace",
        "_headers",
        "_left",
        "_ready",
        "_taken",
        "_task",
        "raw_headers",
        "status",
    )

    def __init__(self, body: bytes, grace: float) -> None:
        self.status = 0
        self.raw_headers: list[tuple[bytes, bytes]] = []
        self._headers: dict[str, str] | None = None
        self._body: bytes | None = body
        self._chunk: bytes | None = None
        self._complete = False  # the app has sent its last message
        self._closed = False  # the reader left before that
        self._grace = grace
        self._ready: asyncio.Future[None] | None = None  # what the reader waits for
        self._taken: asyncio.Future[None] | None = None  # what the app waits for in send()
        self._left: asyncio.Future[None] | None = None  # what the app waits for in receive()
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        state = "closed" if self._closed else "complete" if self._complete else "open"
        return f"<AsgiResponse {self.status} {state}>"

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers by lower-case name, read as Latin-1; of repeated ones the first counts."""
        if self._headers is None:
            pairs = reversed(self.raw_headers)
            self._headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}
        return self._headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """Each body message as the app sends it, empty ones left out; leaving the loop early closes the answer.

        Raises:
            IncompleteAnswer: the app returned before the end of its answer.
            Exception: whatever the app raised.
        """
        try:
            while (chunk := await self._next()) is not None:
                yield chunk
        finally:
            await self.close()

    async def read(self) -> bytes:
        """The rest of the body. Raises as `chunks()` does."""
        return b"".join([chunk async for chunk in self.chunks()])

    async def close(self) -> None:
        """Leave, as a client that hangs up; a second call, or one after the end of the answer, does nothing.

        The app sees `http.disconnect` and has the grace to leave, then its task is cancelled. What it raises on its
        way out is nobody's answer any more: the event loop's exception handler reports it, as a server logs it.
        """
        task = self._task
        if self._complete or self._closed or task is None:
            return
        self._closed = True
        _resolve(self._taken)
        _resolve(self._left)
        if task.done():
            return
        try:
            await asyncio.wait((task,), timeout=self._grace)
        finally:
            task.cancel()
        await asyncio.wait((task,), timeout=self._grace)

    async def finished(self) -> None:
        """Wait until the app has returned, which may be after the end of its answer (background work, accounting).

        Raises:
            Exception: what the app raised after its answer was complete.
        """
        if self._task is not None:
            await asyncio.shield(self._task)

    def _start(self, app: App, scope: Scope) -> None:
        task = asyncio.ensure_future(_quietly(app, scope, self._receive, self._send))
        self._task = task
        _running.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        _running.discard(task)
        _resolve(self._ready)

    async def _head(self) -> None:
        """Wait for the status; the app has lost its client when this is cancelled or raises."""
        try:
            while not self.status:
                await self._wait()
        except BaseException:
            await self.close()
            raise

    async def _next(self) -> bytes | None:
        while (chunk := self._chunk) is None:
            if self._complete:
                return None
            if self._closed:
                raise IncompleteAnswer("the answer was closed before its end")
            await self._wait()
        self._chunk = None
        _resolve(self._taken)
        return chunk

    async def _wait(self) -> None:
        """Until the app has sent something; raises what the app raised."""
        task = self._task
        if task is not None and task.done():
            if task.cancelled():
                raise IncompleteAnswer("the app was cancelled before its answer was complete")
            if error := task.exception():
                raise error
            raise IncompleteAnswer("the app returned before its answer was complete")
        self._ready = asyncio.get_running_loop().create_future()
        await self._ready

    async def _receive(self) -> Message:
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        if not (self._complete or self._closed):
            if self._left is None or self._left.done():
                self._left = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._left)  # several tasks of an app may wait here, and each may be cancelled
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.body":
            await self._send_body(message.get("body", b""), message.get("more_body", False))
        elif kind == "http.response.start":
            if self.status:
                raise RuntimeError("the app sent http.response.start twice")
            self.raw_headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
            self.status = message["status"]
            _resolve(self._ready)
        else:
            raise RuntimeError(f"the app sent {kind}, which is no part of an HTTP answer")

    async def _send_body(self, body: bytes, more: bool) -> None:
        while self._chunk is not None and not self._closed:
            await self._until_taken()
        if self._closed:
            raise ClientLeft("the client has left")
        if self._complete or not self.status:
            raise RuntimeError("the app sent a body before its status or after its end")
        if body:
            self._chunk = bytes(body)
        if not more:
            self._complete = True
            _resolve(self._left)
        if body or not more:
            _resolve(self._ready)
        if body and more:
            await self._until_taken()
            if self._chunk is not None and self._closed:
                raise ClientLeft("the client has left")

    async def _until_taken(self) -> None:
        if self._taken is None or self._taken.done():
            self._taken = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._taken)


def _is_farewell(error: BaseException | None) -> bool:
    """Whether an app ended only because its client had left: `ClientLeft`, or what a framework made of it."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_farewell(inner) for inner in error.exceptions)
    while error is not None and not isinstance(error, ClientLeft):
        error = error.__cause__ or error.__context__
    return error is not None


async def _quietly(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """The app as a task; one that only noticed that its client had left has not failed."""
    try:
        await app(scope, receive, send)
    except Exception as error:
        if not _is_farewell(error):
            raise


def _resolve(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


async def request(
    app: App,
    method: str,
    target: str,
    headers: Iterable[tuple[bytes, bytes]] = (),
    body: bytes = b"",
    *,
    extras: Mapping[str, Any] | None = None,
    grace: float = GRACE,
) -> AsgiResponse:
    """Call `app` once and return when its status is there.

    Args:
        target: path and query as on the wire, percent-encoded: `/v1/models?limit=2`.
        headers: pairs with lower-case names; `host` and `content-length` are the caller's to add.
        extras: goes into the scope over what is there: `state`, `scheme`, `server`, `client`, `root_path`, …
        grace: seconds the app has to leave after its client has left.

    Raises:
        IncompleteAnswer: the app returned without an answer.
        Exception: whatever the app raised before its status.
    """
    path, _, query = target.partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": list(headers),
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 80),
    }
    if extras:
        scope.update(extras)
    response = AsgiResponse(body, grace)
    response._start(app, scope)
    await response._head()
    return response
