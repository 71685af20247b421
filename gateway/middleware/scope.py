"""The outermost step: mints the Exchange, puts the gateway's headers on every answer, and tells telemetry of both ends
of a request."""

import re
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import ClientDisconnected
from gateway.exchange import SCOPE_KEY, Exchange, new_id
from gateway.middleware import headers
from gateway.telemetry import logs
from gateway.telemetry.logs import Logger
from gateway.telemetry.options import Options
from gateway.telemetry.telemetry import Telemetry

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_READ = frozenset({b"x-request-id", b"traceparent", b"tracestate", b"user-agent"})
_LONGEST_AGENT = 256


class ScopeMiddleware:
    """Gives every HTTP request an id, a clock, a trace and a record; a sane `x-request-id` of the caller is kept.

    Args:
        app: the next step.
        log: where requests are written.
        telemetry: what is told of them, and whom; None for one line of the log each.
    """

    def __init__(self, app: ASGIApp, log: Logger, telemetry: Telemetry | None = None) -> None:
        self.app = app
        self.telemetry = telemetry or Telemetry(Options(), log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        telemetry, given = self.telemetry, _given(scope)
        litellm = "litellm" in telemetry.options.compat
        request_id = given.get(b"x-request-id")
        if request_id is None or not _SANE_ID.fullmatch(request_id):
            request_id = new_id("req_")
        exchange = scope[SCOPE_KEY] = Exchange(request_id, scope["method"], scope["path"])
        exchange.scheme, exchange.server = scope.get("scheme", "http"), scope.get("server")
        exchange.user_agent = given.get(b"user-agent", "")[:_LONGEST_AGENT] or None
        telemetry.begin(exchange, (given.get(b"traceparent"), given.get(b"tracestate")))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                exchange.started = True
                message["headers"] = [*message.get("headers", ()), *headers.own(exchange, litellm=litellm)]
            try:
                await send(message)
            except OSError as error:  # how a server tells that nobody listens any more (ASGI HTTP 2.4)
                raise ClientDisconnected("The client left before its answer was complete.") from error

        token = logs.trace.set(exchange.trace)
        try:
            await self.app(scope, receive, send_with_headers)
        finally:
            telemetry.finished(exchange)
            logs.trace.reset(token)


def _given(scope: Any) -> dict[bytes, str]:
    """Those headers of a request that are read here, stripped, the first of each name that is not empty."""
    found: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in _READ and name not in found and (text := headers.decoded(value).strip()):
            found[name] = text
    return found
