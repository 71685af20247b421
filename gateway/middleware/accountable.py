"""Which requests the ledger has a record of: text completions whose caller is known, and no other."""

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import exchange as exchanges
from gateway.ledger.books import Books
from gateway.wire import paths


class AccountableMiddleware:
    """Lets a text completion begin whose caller is known, if it can be recorded; everything else passes untouched.

    Args:
        app: the next step.
        books: where they are recorded; None for nowhere.
    """

    def __init__(self, app: ASGIApp, books: Books | None) -> None:
        self.app = app
        self.books = books

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.books is not None and _is_completion(scope):
            exchanges.of(scope).accounted = self.books.admit()
        await self.app(scope, receive, send)


def _is_completion(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["method"] == "POST" and paths.is_completion(paths.below_root(scope))
