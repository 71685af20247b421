"""The outermost step: mints the Exchange, puts the gateway's headers on every answer, writes one line per request."""

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import ClientDisconnected
from gateway.exchange import SCOPE_KEY, Exchange, new_id
from gateway.middleware import headers
from gateway.telemetry import logs
from gateway.telemetry.logs import Logger
from gateway.wire.paths import OPEN_PATHS

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


class ScopeMiddleware:
    """Gives every HTTP request an id, a clock and a record; a sane `x-request-id` of the caller is kept."""

    def __init__(self, app: ASGIApp, log: Logger) -> None:
        self.app = app
        self.log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = headers.first(scope, b"x-request-id")
        request_id = given if given and _SANE_ID.fullmatch(given) else new_id("req_")
        exchange = Exchange(request_id, scope["method"], scope["path"])
        scope[SCOPE_KEY] = exchange

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                exchange.started = True
                message["headers"] = [*message.get("headers", ()), *headers.own(exchange)]
            try:
                await send(message)
            except OSError as error:  # how a server tells that nobody listens any more (ASGI HTTP 2.4)
                raise ClientDisconnected("The client left before its answer was complete.") from error

        try:
            await self.app(scope, receive, send_with_headers)
        finally:
            if exchange.status != 200 or exchange.path not in OPEN_PATHS:  # probes that find all well say nothing new
                self.log.info("request", **logs.request_line(exchange))
