"""Judges the answer on its way out: a filter that whoever writes the answer applies, streamed or whole."""

from collections.abc import AsyncIterator, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import exchange as exchanges
from gateway.exchange import Exchange, Filter
from gateway.guards.answer import AnswerGuard
from gateway.guards.matching import draw
from gateway.guards.policy import Policy
from gateway.guards.vault import Vault
from gateway.judgement import Capture
from gateway.middleware.guard_input import VAULT_KEY, context_of, refusal
from gateway.types import Delta


class GuardOutputMiddleware:
    """Appends the output policies to the filters of a completion; placeholders of its prompts are turned back last.

    Args:
        app: the next step.
        policies: all that are loaded; none of them means that this step does nothing.
    """

    def __init__(self, app: ASGIApp, policies: Sequence[Policy]) -> None:
        self.app = app
        self.policies = tuple(policy for policy in policies if policy.mode != "off")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            exchange = exchanges.of(scope)
            if exchange.request is not None and exchange.withheld is None:
                # Before the filters of the steps around this one: they read the answer as it may leave.
                if self.policies:
                    exchange.filters.insert(0, self._filter(exchange, scope.get(VAULT_KEY)))
                elif exchange.capture is not None:
                    exchange.filters.insert(0, _noting(exchange.capture))
        await self.app(scope, receive, send)

    def _filter(self, exchange: Exchange, vault: Vault | None) -> Filter:
        def through(deltas: AsyncIterator[Delta]) -> AsyncIterator[Delta]:
            # Made only now, when the request has the operator's defaults too.
            request = exchange.request
            assert request is not None  # noqa: S101 - a filter is applied to the answer of a request
            guard = AnswerGuard(
                self.policies,
                context_of(exchange, request, "output"),
                choices=len(request.prompts) * request.n,
                vault=vault,
                whole=not request.stream,
                refuse=lambda verdict: refusal(verdict, exchange.id, _message(self.policies, verdict.policy)),
                draw=lambda policy: draw(policy.name, exchange.id),
                capture=exchange.capture,
            )
            exchange.judges.append(guard.verdicts)
            return guard.guarded(deltas)

        return through


def _noting(capture: Capture) -> Filter:
    """Keeps an answer that nobody judges, as it is."""

    async def through(deltas: AsyncIterator[Delta]) -> AsyncIterator[Delta]:
        async for delta in deltas:
            capture.note(delta.index, delta.text)
            yield delta

    return through


def _message(policies: Sequence[Policy], name: str) -> str:
    return next(policy.on_block.message for policy in policies if policy.name == name)
