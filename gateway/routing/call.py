"""Answers a request by calling providers: each prompt walks its route until somebody answers, and the deltas of all
come out as one stream, numbered as the client sees them.

The first text is the watershed. Before it a failure leads to the next step of the route; after it the stream ends, or
goes on where it can be resumed. A whole answer is a stream of one delta per choice: there is one code path, not two.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import lru_cache, partial

from gateway.config.model import Settings
from gateway.errors import GatewayError, RequestError, UpstreamRejected
from gateway.exchange import Exchange
from gateway.routing import hedging, resuming
from gateway.routing.attempt import Attempt
from gateway.routing.board import Book
from gateway.routing.deployments import Catalogue
from gateway.routing.entering import entered
from gateway.routing.gate import Slot
from gateway.routing.gates import Gates
from gateway.routing.pieces import Fitted, Piece, Unit, alone, first_fit, fit, split
from gateway.routing.router import Router
from gateway.routing.side_by_side import side_by_side
from gateway.routing.stops import stopped
from gateway.routing.together import Together
from gateway.routing.upstream import Upstream
from gateway.routing.wordings import wordings
from gateway.types import CompletionRequest, Delta
from gateway.wire.completions import with_defaults

Sleep = Callable[[float], Awaitable[None]]


def make(
    catalogue: Catalogue, settings: Settings, upstream: Upstream, book: Book | None = None, gates: Gates | None = None
) -> "Caller":
    """Who calls the deployments of one configuration; `book` is what is known of them from before, `gates` are those
    that calls under way have come through."""
    router = Router(catalogue, settings, book)
    return Caller(router, upstream, settings.general.max_parallel_prompts, gates=gates)


class Caller:
    """Calls the deployments of one configuration.

    Args:
        router: says which, and is told what came of it.
        upstream: how providers are reached.
        max_parallel: calls of one request that are under way at once.
        sleep: waits so many seconds before a retry.
        gates: where calls wait for a deployment that takes so many at one time.
    """

    def __init__(
        self,
        router: Router,
        upstream: Upstream,
        max_parallel: int = 8,
        sleep: Sleep = asyncio.sleep,
        gates: Gates | None = None,
    ) -> None:
        self.router = router
        self.upstream = upstream
        self.max_parallel = max_parallel
        self.sleep = sleep
        self.gates = gates or Gates()
        self._wordings = lru_cache(maxsize=1024)(partial(wordings, router.board))

    def __repr__(self) -> str:
        return f"<Caller {self.router!r}>"

    def begin(self, request: CompletionRequest, exchange: Exchange) -> "Calling":
        """Choose whom `request` goes to first; nobody is called yet.

        Raises:
            ModelNotFound: no alias fits.
            Unavailable, RateLimited: no deployment can be called now.
            RequestError: no deployment can honour the request.
        """
        return Calling(self, request, exchange)

    def confide(self, model: str, exchange: Exchange) -> None:
        """Note the gateway's own words to whoever may answer for `model`, before the policies of the answer begin."""
        if words := self._wordings(model):
            exchange.confidential += tuple(text for text in words if text not in exchange.confidential)


class Calling:
    """One request on its way.

    `request` has the operator's defaults of the deployment it is routed to first; where it ends up elsewhere, only the
    number of choices stays what it was. `together` says what is left to do with the deltas.
    """

    __slots__ = ("_asked", "_caller", "_exchange", "_first", "_until", "request", "together")

    def __init__(self, caller: Caller, request: CompletionRequest, exchange: Exchange) -> None:
        self._caller, self._exchange = caller, exchange
        self._until = None if exchange.timeout is None else exchange.began + exchange.timeout
        unit = self._unit(alone(request, 0))
        step = unit.route.first()
        defaults = step.bound.defaults
        self.request = filled = with_defaults(request, defaults) if defaults else request
        if filled.n != request.n:
            request = replace(request, n=filled.n, given=request.given | {"n"})
        self._asked = request
        self.together = Together(exchange, len(request.prompts), filled.n)
        self._first = first = Piece(alone(request, 0), 0, unit)
        first.fitted = first_fit(first, step)
        caller.confide(request.model, exchange)

    def __repr__(self) -> str:
        return f"<Calling for {len(self._asked.prompts)} prompts, {self._exchange.attempts} calls>"

    def deltas(self) -> AsyncGenerator[Delta, None]:
        """Every choice's deltas; usage and opening go to the Exchange instead.

        Raises:
            GatewayError: the first failure that is given up; all other calls are cancelled.
        """
        first, prompts = self._first, len(self._asked.prompts)
        if prompts == 1 and first.fitted is not None and len(first.fitted.translation.calls) < 2:
            return self._one(first)
        return self._several((first, *range(1, prompts)))

    def _several(self, work: "Iterable[Piece | int]") -> AsyncGenerator[Delta, None]:
        return side_by_side(work, self._begun, self._caller.max_parallel)

    async def _begun(self, work: "Piece | int") -> "AsyncGenerator[Delta, None] | Sequence[Piece | int]":
        """The stream of a piece, or of a prompt by its number; or the pieces it is split into."""
        if isinstance(work, int):
            request = alone(self._asked, work)
            work = Piece(request, work, self._unit(request))
        opened = await self._opened(work)
        return self._one(work, opened) if isinstance(opened, Attempt) else opened

    def _unit(self, request: CompletionRequest) -> Unit:
        return Unit(self._caller.router.route(request, self._exchange.tags, until=self._until))

    async def _one(
        self, piece: Piece, opened: Attempt | None = None, *, watched: bool = False
    ) -> AsyncGenerator[Delta, None]:
        """The deltas of one piece, or of those it is split into. `watched` says that somebody looks for stop sequences
        already."""
        found = opened or await self._opened(piece)
        if not isinstance(found, Attempt):
            base = deltas = self._several(found)
        elif not watched and (stops := _stops(piece, found)):
            base = self._one(piece, found, watched=True)
            deltas = stopped(base, stops, found.call.n, base.aclose if found.call.stream else None)
        else:
            try:
                given: list[Delta] | None = found.held
                while given is not None:
                    for delta in given:
                        yield delta
                    try:
                        given = await found.more()
                    except GatewayError as error:
                        found = await self._resumed(piece, found, error)
                        given = found.held
            finally:
                await found.close()
            return
        async with aclosing(base), aclosing(deltas):
            async for delta in deltas:
                yield delta

    async def _opened(self, piece: Piece) -> Attempt | Sequence[Piece]:
        """The call that answers a piece, its first text there; or the pieces it is split into, none where nobody is to
        be called.

        Raises:
            GatewayError: the walk is over and nobody has answered.
        """
        fitted = piece.fitted or first_fit(piece, piece.unit.route.first())
        while len(fitted.translation.calls) == 1:
            fitted, slot = await entered(self._caller.gates, piece, fitted, self._exchange)
            attempt = self._attempt(piece, fitted, slot)
            error: GatewayError | None = None
            if (seconds := attempt.bound.hedge_after) is not None:
                attempt, error = await hedging.quicker(attempt, partial(self._beside, piece, attempt), seconds)
            else:
                try:
                    await attempt.open()
                except GatewayError as failure:
                    error = failure
            if error is None and (refused := await attempt.filtered()) is not None:
                with suppress(UpstreamRejected):  # there is no fallback for it: the answer is what it is
                    fitted = await self._after(piece, attempt, refused)
                    continue
            if error is None:
                attempt.serve()
                self.together.serves(piece, attempt.fitted)
                return attempt
            fitted = await self._after(piece, attempt, error)
        if fitted.translation.calls:
            self.together.ranks(piece, fitted.translation)
            return split(piece, fitted)
        self.together.answers(piece, fitted)
        return ()

    def _attempt(self, piece: Piece, fitted: Fitted, slot: Slot) -> Attempt:
        """The call of a translation that has one, for which there is a place."""
        caller = self._caller
        self.together.asks(fitted)
        piece.unit.called(fitted.step.bound.id)
        place = self.together.place(piece, fitted.translation)
        reason = (piece.why, piece.instead_of)
        return Attempt(fitted, place, self._exchange, (caller.router, caller.upstream, slot), reason)

    async def _after(self, piece: Piece, failed: Attempt, error: GatewayError) -> Fitted:
        """What is asked next, once the wait before it is over.

        Raises:
            GatewayError: nothing is; it is `error`, and says how much has been tried.
        """
        step = piece.unit.route.after(failed.fitted.step, error)
        if step is None:
            raise self.together.fails(piece, failed.bound, error) from error.__cause__
        await self._wait(step.wait)
        piece.why, piece.instead_of = step.why, failed.record
        try:
            return first_fit(piece, step)
        except RequestError as refused:  # nobody else can honour the request, so that the failure is what is told
            raise self.together.fails(piece, failed.bound, error) from refused

    async def _wait(self, seconds: float) -> None:
        """Wait before a retry. It is for the provider that one waits."""
        if seconds > 0:
            self._exchange.waiting()
            try:
                await self._caller.sleep(seconds)
            finally:
                self._exchange.waited()

    def _beside(self, piece: Piece, slow: Attempt) -> Attempt | None:
        """A call at another deployment beside one that is slow; None where there is no other to be had."""
        step = piece.unit.route.beside(slow.fitted.step)
        if step is None:
            return None
        try:
            fitted = fit(piece, step)
        except RequestError:
            return None  # it cannot be asked, and the slow one can
        if len(fitted.translation.calls) != 1 or (slot := self._caller.gates.enter_now(step.bound)) is None:
            return None
        return self._attempt(replace(piece, why="hedge", instead_of=None), fitted, slot)

    async def _resumed(self, piece: Piece, broken: Attempt, error: GatewayError) -> Attempt:
        """The call that continues a stream which broke, its first text there.

        Raises:
            GatewayError: nobody does; the last failure.
        """
        if broken.record.finish_reasons or not resuming.may(piece, broken):
            raise error
        piece.begun = piece.begun or broken.fitted
        piece.text += broken.said()
        again = replace(piece, why="resume", instead_of=broken.record)
        step, reason = broken.fitted.step, error
        while (following := piece.unit.route.after(step, reason)) is not None:
            step = following
            try:
                fitted = resuming.rest(piece, step)
            except RequestError as refused:
                reason = refused
                continue
            await self._wait(step.wait)
            fitted, slot = await entered(self._caller.gates, piece, fitted, self._exchange)
            attempt = self._attempt(again, fitted, slot)
            try:
                await attempt.open()
            except GatewayError as failure:
                error = reason = failure
                continue
            self._exchange.resumed += 1
            return attempt
        raise error


def _stops(piece: Piece, attempt: Attempt) -> tuple[str, ...]:
    """The stop sequences that the gateway sees to: where a stream may be resumed, all of them, as one may lie across
    the seam."""
    fitted = attempt.fitted
    return fitted.request.stop if resuming.may(piece, attempt) else fitted.translation.stop
