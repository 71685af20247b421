"""What every step needs in front of somebody else's app: a record of the request, and a place for its own errors.

Steps share the Exchange: the outermost one mints it. What the app itself raises is the app's affair and passes.
"""

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import ClientDisconnected, GatewayError
from gateway.exchange import SCOPE_KEY, Exchange, new_id, of
from gateway.middleware import headers
from gateway.wire import json

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_LONGEST_AGENT = 256
_FRONT_KEY = "gateway.front"
"""Set in a scope once some step sees to the gateway's headers."""


class ForeignScopeMiddleware:
    """Gives an HTTP request its Exchange unless an outer step has, and answers errors of the gateway's own.

    Answers to requests that some step has judged or refused carry the gateway's headers; all others are left alone.

    Args:
        app: the next step.
        every: put the gateway's headers on every answer.
        litellm: and those that LiteLLM's clients read (`telemetry.compat`).
    """

    def __init__(self, app: ASGIApp, *, every: bool = False, litellm: bool = False) -> None:
        self.app = app
        self.every = every
        self.litellm = litellm

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        made = [key for key in (SCOPE_KEY, _FRONT_KEY) if key not in scope]
        if SCOPE_KEY in made:
            scope[SCOPE_KEY] = minted(scope)
        scope[_FRONT_KEY], exchange = True, of(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status, exchange.started = message["status"], True
                if _FRONT_KEY in made and (self.every or exchange.judges or exchange.error is not None):
                    own = headers.own(exchange, litellm=self.litellm)
                    message = {**message, "headers": [*message.get("headers", ()), *own]}
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except ClientDisconnected as error:
            exchange.error = error
        except GatewayError as error:
            if exchange.started:
                raise  # half an answer has left; the server closes the connection on this
            await answer(error, exchange, send_with_headers)
        finally:
            for key in made:
                scope.pop(key, None)


class LeavingMiddleware:
    """An app that fails because its client has left, whatever it makes of that, has not failed."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            gone = of(scope).error if scope["type"] == "http" else None
            if isinstance(gone, ClientDisconnected) and error is not gone:
                raise gone from error
            raise


def minted(scope: Scope) -> Exchange:
    """The Exchange of a request that has none yet; a sane `x-request-id` of the caller is kept."""
    given = headers.first(scope, b"x-request-id")
    exchange = Exchange(
        given if given and _SANE_ID.fullmatch(given) else new_id("req_"), scope["method"], scope["path"]
    )
    exchange.scheme, exchange.server = scope.get("scheme", "http"), scope.get("server")
    exchange.user_agent = (headers.first(scope, b"user-agent") or "")[:_LONGEST_AGENT] or None
    return exchange


async def answer(error: GatewayError, exchange: Exchange, send: Send) -> None:
    """Answer with an error, where no byte of an answer has left."""
    exchange.error = error
    await said(error, send, "http.response")


async def said(error: GatewayError, send: Send, kind: str) -> None:
    """Send an error as a whole answer, in messages whose types begin with `kind`."""
    body = json.dumps(error.body())
    own = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        *((name.encode(), value.encode("latin-1", "replace")) for name, value in error.headers.items()),
    ]
    await send({"type": f"{kind}.start", "status": error.status, "headers": own})
    await send({"type": f"{kind}.body", "body": body})


class Stopped(OSError):
    """Raised by `send()` inside the app once its answer has been ended, as if its client had left (ASGI 2.4)."""


def is_farewell(error: BaseException | None) -> bool:
    """Whether an app ended only because it was stopped: `Stopped`, or what a framework made of it."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_farewell(inner) for inner in error.exceptions)
    while error is not None and not isinstance(error, Stopped):
        error = error.__cause__ or error.__context__
    return error is not None
