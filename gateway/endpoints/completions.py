"""`POST /v1/completions`: one text completion, from the parsed request to the last byte of its answer."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import partial
from time import time

from starlette.types import Receive, Scope, Send

from gateway import exchange as exchanges
from gateway.endpoints import respond
from gateway.errors import RouteNotFound
from gateway.exchange import Exchange
from gateway.middleware import headers
from gateway.middleware.leaving import ClientWatch
from gateway.routing import choices, settling
from gateway.routing.call import Caller, Calling
from gateway.routing.deployments import Catalogue
from gateway.routing.reuse.reuse import Asked, Reuse
from gateway.telemetry.logs import Logger
from gateway.types import CompletionRequest, Delta
from gateway.wire import completions
from gateway.wire.answers import Answer


class Completions:
    """Routes, translates, calls and answers.

    Args:
        catalogue: the deployments by alias.
        caller: calls them.
        log: where a fault inside a running stream is told.
        reuse: the answers that are used again; None for none.
    """

    def __init__(self, catalogue: Catalogue, caller: Caller, log: Logger, reuse: Reuse | None = None) -> None:
        self.catalogue = catalogue
        self.caller = caller
        self.log = log
        self.reuse = reuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchanges.of(scope)
        if exchange.request is None:
            raise RouteNotFound("This path names no model; text completions are asked for with POST /v1/completions.")
        calling: Calling | None = None
        again = self._again(exchange.request, exchange, scope) if exchange.withheld is None else None
        if exchange.withheld is not None:
            request, calls = self._withheld(exchange.request, exchange.withheld, exchange)
        elif again is not None:
            request, calls = again.request, again.deltas(partial(self._chosen, again.pinned, exchange))
        else:
            calling = self.caller.begin(exchange.request, exchange)
            request, calls = calling.request, calling.deltas()
        exchange.request = request
        answer = Answer(exchanges.new_id("cmpl-"), request.model, int(time()), len(request.prompts) * request.n)
        async with ClientWatch(receive) as watch, aclosing(calls):
            deltas = _finished(calls, calling, exchange)
            if request.stream:
                await respond.streamed(answer, deltas, exchange, send, watch, self.log, calls.aclose)
            else:
                await respond.whole(answer, deltas, exchange, send, watch)
        if again is not None:
            await again.keep()

    def _again(self, request: CompletionRequest, exchange: Exchange, scope: Scope) -> Asked | None:
        """What is to be done for a request whose model uses answers again; None for any other."""
        if self.reuse is None or not self.reuse.wanted:
            return None
        bound = self.catalogue.find(request.model)[0]
        asked = self.reuse.asked(request, bound, exchange, headers.first(scope, b"cache-control"))
        if asked is not None:
            self.caller.confide(request.model, exchange)
        return asked

    async def _chosen(self, request: CompletionRequest, exchange: Exchange) -> AsyncGenerator[Delta, None]:
        """The deltas of a call that is begun when the first of them is asked for, after the choosing."""
        calling = self.caller.begin(request, exchange)
        async with aclosing(calling.deltas()) as calls:
            async for delta in _best(calls, calling):
                yield delta

    def _withheld(
        self, asked: CompletionRequest, message: str, exchange: Exchange
    ) -> tuple[CompletionRequest, AsyncGenerator[Delta, None]]:
        """The request and what it is answered with where a policy lets it go to nobody."""
        bound = self.catalogue.find(asked.model)[0]
        request = completions.with_defaults(asked, bound.defaults)
        exchange.provider, exchange.deployment, exchange.served_model = bound.provider, bound.id, bound.model
        exchange.usage = settling.uncalled(request.prompts, bound)
        return request, choices.withheld(message, len(request.prompts) * request.n)


def _finished(calls: AsyncGenerator[Delta, None], calling: Calling | None, exchange: Exchange) -> AsyncIterator[Delta]:
    """The deltas of `calls` after the choosing, the filters and the echo, in this order; `calling` is None where nobody
    is called, or the choosing is done."""
    deltas: AsyncIterator[Delta] = calls if calling is None else _best(calls, calling)
    for through in exchange.filters:
        deltas = through(deltas)
    if calling is not None and calling.request.echo:
        deltas = choices.echoed(deltas, calling.together.echoes, calling.together.uncalled)
    return deltas


def _best(calls: AsyncIterator[Delta], calling: Calling) -> AsyncIterator[Delta]:
    """The best choices, where more were asked for than are wanted."""
    if calling.request.best_of in (None, calling.request.n):
        return calls
    return choices.best(calls, calling.together.rankings, calling.together.choices)
