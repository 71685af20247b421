"""Who may ask a foreign app what, for whom, and how much: keys, end users, limits and budgets in front of it.

By the same rules as the gateway's own completions (`permission`, `admission`), which this step reads a body for before
any policy does. A caller's key is checked in front of it.
"""

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import exchange as exchanges
from gateway.exchange import Exchange
from gateway.identity.callers import Callers
from gateway.ledger.admission import Admission, used
from gateway.ledger.allowances import Reservation
from gateway.middleware import admission as admissions
from gateway.middleware import permission
from gateway.middleware.body import nobody_named
from gateway.middleware.body_limit import BodyLimitMiddleware
from gateway.middleware.foreign import body as foreign_body
from gateway.middleware.foreign import who as foreign_who
from gateway.middleware.foreign.body import Body
from gateway.middleware.foreign.weight import weighed
from gateway.wire import chat, json
from gateway.wire.paths import Language, below_root, foreign_model_in, language_of

_ASK_NOTHING = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that ask for no completion, unless they bring a body."""


class ForeignAdmissionMiddleware:
    """Holds completions and chat completions against what their callers may do; wants an Exchange in the scope, and
    whoever watches calls behind it.

    A body that cannot be read is refused, since nobody could say what it asks. What is reserved for a request is
    settled when the last part of its answer has left, or when there will be none; an app may go on working after that.

    Args:
        app: the next step.
        callers: who may call, and what is laid down for end users.
        admission: the rules and the counters; None where nobody is bound.
        max_bytes: bound of a body, also once decompressed.
        read_timeout: seconds a client has to send it.
        end_user_sources: where the end user's name is read, first found first.
        require_end_user: refuse requests that name none.
    """

    def __init__(
        self,
        app: ASGIApp,
        callers: Callers,
        admission: Admission | None = None,
        *,
        max_bytes: int = 8_388_608,
        read_timeout: float = 30.0,
        end_user_sources: tuple[str, ...] = foreign_who.SOURCES,
        require_end_user: bool = False,
    ) -> None:
        self.app = app
        self.callers = callers
        self.admission = admission
        self.max_bytes = max_bytes
        self.read_timeout = read_timeout
        self.end_user_sources = end_user_sources
        self.require_end_user = require_end_user
        self.bounded = BodyLimitMiddleware(self._admitted, max_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        concerned = scope["type"] == "http" and language_of(below_root(scope)) is not None
        await (self.bounded if concerned else self.app)(scope, receive, send)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange, path = exchanges.of(scope), below_root(scope)
        language = language_of(path)
        assert language is not None  # noqa: S101 - no other path comes here
        raw = await foreign_body.read(receive, self.read_timeout)
        if not raw and scope["method"] in _ASK_NOTHING:
            await self.app(scope, _replayed(raw, receive), send)
            return
        body = foreign_body.opened(raw, scope, self.max_bytes, text=False) if raw else Body(raw)
        if body.fault is not None:
            raise body.fault
        exchange.request = chat.request(body.value, language, foreign_model_in(path))
        foreign_who.tell(exchange, scope, exchange.request, self.end_user_sources)
        if self.require_end_user and exchange.end_user is None:
            raise nobody_named()
        await permission.check(self.callers, exchange)
        _check_other_name(exchange, body.value)
        reservation = await self._reserved(exchange, body.value, language)
        sent = json.dumps(body.value) if body.repeated else None
        changed = foreign_body.forwarded(scope, sent) if sent is not None else {}
        before = {name: scope[name] for name in changed}
        scope.update(changed)
        settling = _Settling(self.admission, reservation, exchange, send)
        try:
            await self.app(scope, _replayed(raw if sent is None else sent, receive), settling.send)
        finally:
            scope.update(before)
            await settling.settle()

    async def _reserved(self, exchange: Exchange, value: Any, language: Language) -> Reservation | None:
        if self.admission is None or exchange.request is None:
            return None
        rules = await admissions.rules_of(self.admission, self.callers, exchange, exchange.request)
        if not rules:
            return None
        return await admissions.reserved(self.admission, exchange, weighed(value, language, exchange.request), rules)


class _Settling:
    """The end of one request: settled once, when its last part has left or none will."""

    def __init__(
        self, admission: Admission | None, reservation: Reservation | None, exchange: Exchange, send: Send
    ) -> None:
        self._admission, self._reservation, self._exchange, self._send = admission, reservation, exchange, send

    async def send(self, message: Message) -> None:
        """The app's `send`. Whoever watches the call has written its record when the last part is on its way."""
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            await self.settle()

    async def settle(self) -> None:
        reservation, self._reservation = self._reservation, None
        if reservation is not None and self._admission is not None:
            await self._admission.counting.settle(reservation, used(self._exchange, reservation.rules))


def _check_other_name(exchange: Exchange, value: Any) -> None:
    """A path may name one model and the body another; which of them the app serves is not known here.

    Raises:
        PermissionDenied: the key may not use the one in the body.
    """
    named = value.get("model") if isinstance(value, dict) else None
    if exchange.principal is not None and type(named) is str:
        permission.check_model(exchange.principal, named)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The app's `receive`: the body, then whatever comes from the client."""
    rest: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return rest.pop() if rest else await receive()

    return replay
