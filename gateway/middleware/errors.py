"""Turns whatever was raised into the error a client can read (contract §4); nothing of a fault's inside leaves."""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import exchange as exchanges
from gateway.errors import ClientDisconnected, GatewayError, InternalError, Unavailable
from gateway.telemetry import conventions as names
from gateway.telemetry.logs import Logger
from gateway.wire import json


class ErrorMiddleware:
    """Answers errors raised below it, as long as no byte of an answer has left."""

    def __init__(self, app: ASGIApp, log: Logger) -> None:
        self.app = app
        self.log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = exchanges.of(scope)
        try:
            await self.app(scope, receive, send)
        except ClientDisconnected as error:
            exchange.error, exchange.status = error, error.status
        except asyncio.CancelledError:
            # A server that is closing cancels what has outlived its patience; nobody else does.
            exchange.error = Unavailable("The gateway is shutting down; send the request again.", code="overloaded")
            if not exchange.started:
                await self._answer(exchange.error, exchange, send)
            raise
        except GatewayError as error:
            exchange.error = error
            await self._answer(error, exchange, send)
        except Exception:
            self.log.exception("internal_error", **{names.REQUEST_ID: exchange.id})
            exchange.error = internal(exchange.id)
            await self._answer(exchange.error, exchange, send)

    async def _answer(self, error: GatewayError, exchange: exchanges.Exchange, send: Send) -> None:
        if exchange.started:
            # Half an answer has left and cannot be taken back; the server closes the connection on this.
            raise error
        body = json.dumps(error.body())
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *((name.encode(), value.encode("latin-1", "replace")) for name, value in error.headers.items()),
        ]
        await send({"type": "http.response.start", "status": error.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def internal(request_id: str) -> InternalError:
    """The error for a fault of the gateway itself, by which the operator finds the log line."""
    return InternalError(f"The gateway failed on this request; its operator finds the reason under id {request_id}.")
