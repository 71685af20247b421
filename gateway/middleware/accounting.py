"""Who used what: each text completion leaves one record in the ledger, before the last byte of its answer leaves.

This step stands in front of all that answers, since a record says how a request was answered. Which requests have one
is for `gateway.middleware.accountable` to say, behind the keys.
"""

from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import exchange as exchanges
from gateway.exchange import Exchange
from gateway.ledger.books import Books
from gateway.telemetry import usage
from gateway.telemetry.options import Options


class AccountingMiddleware:
    """Records every request that `AccountableMiddleware` has let begin, exactly once, however it ends.

    The record is made when the last part of the answer comes by; where none does (the client has left, the server is
    closing, half an answer had left when something failed), when the request is over. Telemetry tells the same one.

    Args:
        app: the next step.
        books: where they are recorded; None for nowhere.
        options: how end users are called.
    """

    def __init__(self, app: ASGIApp, books: Books | None, options: Options) -> None:
        self.app = app
        self.books = books
        self.options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.books is None or scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        books, exchange = self.books, exchanges.of(scope)

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                keep(exchange, books, self.options)
            await send(message)

        try:
            await self.app(scope, receive, send_recorded)
        finally:
            keep(exchange, books, self.options)


@dataclass(frozen=True, slots=True)
class Recording:
    """Where the calls of a foreign app are recorded, and how end users are called there."""

    books: Books
    options: Options


def keep(exchange: Exchange, books: Books, options: Options) -> None:
    """Record a request that is over, or as good as over; once, and only one that is to be recorded."""
    if not exchange.accounted or exchange.record is not None:
        return
    exchange.accounted = False
    try:
        exchange.record = record = usage.record(exchange, options)
        books.keep(record)
    except Exception:  # the answer is as it is; a fault here must not take it from the client
        books.lose(exchange.id)
