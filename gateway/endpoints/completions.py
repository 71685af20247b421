"""`POST /v1/completions`: one text completion, from the parsed request to the last byte of its answer."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from time import time

from starlette.types import Receive, Scope, Send

from gateway import exchange as exchanges
from gateway.endpoints import respond
from gateway.endpoints.leaving import ClientWatch
from gateway.errors import RouteNotFound
from gateway.exchange import Exchange
from gateway.ledger import tokens
from gateway.providers.translation import Translation, translate
from gateway.routing import call, choices
from gateway.routing.deployments import Bound, Catalogue
from gateway.routing.stops import stopped
from gateway.routing.upstream import Upstream
from gateway.telemetry.logs import Logger
from gateway.types import CompletionRequest, Delta, Usage
from gateway.wire import completions
from gateway.wire.answers import Answer


class Completions:
    """Routes, translates, calls and answers.

    Args:
        catalogue: the deployments by alias.
        upstream: how providers are reached.
        max_parallel: prompts of one request that are sent side by side.
        log: where a fault inside a running stream is told.
    """

    def __init__(self, catalogue: Catalogue, upstream: Upstream, max_parallel: int, log: Logger) -> None:
        self.catalogue = catalogue
        self.upstream = upstream
        self.max_parallel = max_parallel
        self.log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchanges.of(scope)
        if exchange.request is None:
            raise RouteNotFound("This path names no model; text completions are asked for with POST /v1/completions.")
        bound = self.catalogue.find(exchange.request.model)[0]
        request = completions.with_defaults(exchange.request, bound.defaults)
        exchange.request = request
        if exchange.withheld is not None:
            translation = Translation((), len(request.prompts), request.n)
            calls = choices.withheld(exchange.withheld, translation.prompts * translation.n)
        else:
            translation = translate(request, bound.shape)
            calls = call.deltas(translation, bound, self.upstream, exchange, self.max_parallel)
        exchange.dropped = translation.dropped
        answer = Answer(exchanges.new_id("cmpl-"), request.model, int(time()), translation.prompts * translation.n)
        async with ClientWatch(receive) as watch, aclosing(calls):
            deltas = self._finished(calls, request, translation, bound, exchange)
            if request.stream:
                await respond.streamed(answer, deltas, exchange, send, watch, self.log)
            else:
                await respond.whole(answer, deltas, exchange, send, watch)

    def _finished(
        self,
        calls: AsyncGenerator[Delta, None],
        request: CompletionRequest,
        translation: Translation,
        bound: Bound,
        exchange: Exchange,
    ) -> AsyncIterator[Delta]:
        """The deltas of `calls` after the stopping, the choosing, the filters and the echo, in this order."""
        deltas: AsyncIterator[Delta] = calls
        if not translation.calls:
            exchange.provider, exchange.deployment, exchange.served_model = bound.provider, bound.id, bound.model
            exchange.usage = _uncalled(request, bound)
        if translation.calls and translation.calls[0].call.echo:
            deltas = choices.repeating(deltas, translation, bound.provider)
        if translation.stop:
            asked = translation.prompts * (translation.best_of or translation.n)
            close = calls.aclose if request.stream else None
            deltas = stopped(deltas, translation.stop, asked, close)
        deltas = choices.shaped(deltas, translation)
        for through in exchange.filters:
            deltas = through(deltas)
        if translation.echo is not None or not (translation.calls or exchange.withheld is not None):
            deltas = choices.echoed(deltas, translation)
        return deltas


def _uncalled(request: CompletionRequest, bound: Bound) -> Usage:
    """The usage of a request that is answered without a call: its prompts, counted here."""
    sizes = (tokens.estimate(p, bound.encoding) if isinstance(p, str) else len(p) for p in request.prompts)
    return Usage(sum(sizes), estimated=True)
