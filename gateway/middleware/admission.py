"""Holds a request against the limits and the budgets that bind it, before it is judged and before anybody is called."""

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import exchange as exchanges
from gateway.errors import Unavailable
from gateway.exchange import Exchange
from gateway.identity.callers import Callers
from gateway.ledger import refusals
from gateway.ledger.admission import Admission, used, weighs
from gateway.ledger.allowances import Amount, Refusal, Reservation
from gateway.ledger.rules import Rules
from gateway.types import CompletionRequest


class AdmissionMiddleware:
    """Reserves what a completion may use, or refuses it, and settles to what it did use when it is over, once, however
    that was. Every other request passes untouched, and so does one that no rule binds.

    Args:
        app: the next step.
        callers: what is laid down for end users, and what they are called where anything is kept of them.
        admission: the rules and the counters; None for no rules at all.
    """

    def __init__(self, app: ASGIApp, callers: Callers, admission: Admission | None = None) -> None:
        self.app = app
        self.callers = callers
        self.admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        admission = self.admission
        exchange = exchanges.of(scope) if admission is not None and scope["type"] == "http" else None
        if admission is None or exchange is None or exchange.request is None:
            await self.app(scope, receive, send)
            return
        rules = await rules_of(admission, self.callers, exchange, exchange.request)
        if not rules:
            await self.app(scope, receive, send)
            return
        reservation = await reserved(admission, exchange, exchange.request, rules)
        try:
            await self.app(scope, receive, send)
        finally:
            if reservation is not None:
                await admission.counting.settle(reservation, used(exchange, rules))


async def rules_of(admission: Admission, callers: Callers, exchange: Exchange, request: CompletionRequest) -> Rules:
    """Every rule that binds a request: of its end user, its key, its tags, its model, and of all."""
    bounds, name = admission.bounds, exchange.end_user
    rules = bounds.of_key(exchange.principal) + bounds.of_all(request.model, exchange.tags)
    if name is None:
        return rules
    record = None if callers.end_users is None else await callers.end_users.find(name, callers.naming)
    if record is None:
        if not bounds.binds_end_users:
            return rules
        return bounds.of_end_user(callers.naming.kept(name), None, None) + rules
    return bounds.of_end_user(callers.naming.kept(name), record.budget, record.limits) + rules


async def reserved(
    admission: Admission, exchange: Exchange, request: CompletionRequest, rules: Rules
) -> Reservation | None:
    """What is set aside for a request; None where it goes on without, because nobody counts.

    Raises:
        RateLimited: a limit is reached.
        BudgetExceeded: a budget does not suffice.
        Unavailable: the counters cannot be reached.
        GatewayError: what the estimate raises: there is no such model.
    """
    amount = await admission.estimate(request) if weighs(rules) else Amount()
    try:
        found = await admission.counting.reserve(rules, amount)
    except Unavailable as error:
        if admission.go_on:
            return None
        raise Unavailable(
            "The limits and budgets of this request cannot be checked now; send it again in a moment.",
            code="counters_unavailable",
            headers={"retry-after": "1"},
        ) from error
    if isinstance(found, Refusal):
        exchange.rates = refusals.rates(found.standings, found.standing)
        raise refusals.refusal(found, amount)
    exchange.rates = refusals.rates(found.standings)
    return found
