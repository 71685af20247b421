"""uvicorn's HTTP/1.1 protocol with what it lacks: bounds on how long and how large the head of a request may be and on
how long a refused body is read, the bodies of requests that offer an upgrade, and every pipelined request's notice that
its client has left.

A refusal before a request is complete has no Exchange and passes no step; it is written here, in the form of every
other error.
"""

import asyncio
from typing import Any
from uuid import uuid4

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.errors import GatewayError, HeadersTooLarge, RequestError, RequestTimeout
from gateway.middleware.body_limit import MAX_HEADER_BYTES
from gateway.version import __version__
from gateway.wire import json

HEAD_SECONDS = 15.0
"""How long a connection may take to send the head of a request."""

MAX_HEAD_BYTES = 2 * MAX_HEADER_BYTES
"""When an unfinished head is cut off; a finished one between the two bounds is refused by `BodyLimitMiddleware`."""


class Protocol(HttpToolsProtocol):
    """One connection. `head_seconds` is how long it may take over a request's head."""

    head_seconds = HEAD_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._received = 0
        self._running: RequestResponseCycle | None = None
        self._upgrading = False
        self._lingering: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self._linger_no_more()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True  # uvicorn tells only the last of several pipelined requests
            self._running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._decline(data[offer.args[0] :])
            return
        except httptools.HttpParserError:
            self.send_400_response("")
            return
        if self._timer is not None:  # the head is not complete yet
            self._received += len(data)
            if self._received > MAX_HEAD_BYTES:
                self._refuse(HeadersTooLarge("The request's headers are too large; send fewer or shorter ones."))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._timer is None:
            self._start()

    def on_headers_complete(self) -> None:
        self._upgrading = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if not self._upgrading:
            self._stop()
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._upgrading:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._linger_no_more()
        if not self._upgrading:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        answered = self._running
        super().on_response_complete()
        if answered is not None and answered.more_body and not self.transport.is_closing():
            # What is left of a refused body is read, so that its sender gets to read the refusal; but not for ever.
            self._lingering = self.loop.call_later(self.head_seconds, self.transport.close)

    def _linger_no_more(self) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None

    def _decline(self, rest: bytes) -> None:
        """Read a request that offers another protocol as if it did not, which RFC 9110, section 7.8 allows.

        Clients that would like HTTP/2 (Java's, `curl --http2`) offer it with every request, those with a body too,
        and the parser takes all that follows such a head for the other protocol. So the head is parsed once more,
        without the offer.
        """
        version = self.parser.get_http_version().encode()
        head = b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, version)
        head += b"".join(b"%s: %s\r\n" % pair for pair in self.headers if pair[0] != b"upgrade")
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does for its own
        self.data_received(head + b"\r\n" + rest)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        self._refuse(RequestError("The request is not valid HTTP/1.1.", code="invalid_http"))

    def _start(self) -> None:
        self._received = 0
        self._timer = self.loop.call_later(self.head_seconds, self._too_slow)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        if self._received:
            self._refuse(RequestTimeout("The request's headers did not arrive in time; send it again."))
        else:
            self._stop()
            self.transport.close()

    def _refuse(self, error: GatewayError) -> None:
        self._stop()
        if self.transport.is_closing():
            return
        running = self._running
        if running is not None and running.response_started and not running.response_complete:
            self.transport.close()  # a refusal here would stand in the middle of another answer
            return
        body = json.dumps(error.body())
        head = (
            f"HTTP/1.1 {error.status} {_REASONS.get(error.status, 'Error')}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nx-request-id: req_{uuid4().hex}\r\nx-gateway-version: {__version__}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


_REASONS = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}
