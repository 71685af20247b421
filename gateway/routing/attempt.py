"""One call to a provider, from its request to the end of its answer, and what is kept of it.

Until the first text nothing is handed on, so that a call that fails before it has left no trace but its record.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from time import perf_counter
from typing import NamedTuple

from gateway.errors import GatewayError, RequestError, UpstreamInvalidResponse, UpstreamTimeout
from gateway.exchange import CallRecord, Exchange, Reason
from gateway.ledger.cost import cost
from gateway.providers.base import StreamDecoder
from gateway.providers.failures import cut, filtered
from gateway.routing import reading, settling
from gateway.routing.choices import bounded
from gateway.routing.deployments import within
from gateway.routing.gate import Slot
from gateway.routing.pieces import Fitted
from gateway.routing.router import Router
from gateway.routing.upstream import Upstream, UpstreamResponse
from gateway.types import Delta, Usage


class Place(NamedTuple):
    """Where a call's choices stand: `first` among those asked for, by which records are numbered, and `base` among the
    deltas that are handed on. The two differ for candidates, of which only the best are kept."""

    first: int
    base: int


class Attempt:
    """One call at the deployment of a step: `open` it, read it by `held` and `more`, and `close` it.

    `held` are the deltas that came with the first text, and those thought before it. `record` tells what became of it,
    from the moment the attempt is made.
    """

    __slots__ = (
        "_came", "_chunks", "_closed", "_decoder", "_exchange", "_failure", "_limits", "_over", "_repeated",
        "_response", "_router", "_serves", "_slot", "_texted", "_ticket", "_upstream", "_usage", "_wanted",
        "_written", "bound", "call", "fitted", "held", "place", "record",
    )  # fmt: skip

    def __init__(
        self,
        fitted: Fitted,
        place: Place,
        exchange: Exchange,
        ways: "tuple[Router, Upstream, Slot]",
        reason: "tuple[Reason, CallRecord | None]",
    ) -> None:
        """A call begins.

        Args:
            fitted: what is asked of whom, in one call.
            place: the numbers of its choices.
            exchange: where it is recorded.
            ways: who is told of it, how the provider is reached, and its place among the calls at one time, which is
                given back when it is closed.
            reason: why it is made, and instead of which.
        """
        translation = fitted.translation
        self.fitted, self.place = fitted, place
        self.bound = bound = fitted.step.bound
        self.call = call = translation.calls[0].call
        self._router, self._upstream, self._slot = ways
        self._exchange = exchange
        self._ticket = self._router.begin(bound)
        self.record = exchange.begin(bound.provider, bound.id, bound.model, call, place.first, *reason)
        self.held: list[Delta] = []
        self._written: list[str] = []
        self._repeated = reading.Repeated(call, bound.provider) if call.echo else None
        self._wanted = call.logprobs if translation.keep_logprobs else None
        self._usage: Usage | None = None
        self._failure: GatewayError | None = None
        self._response: UpstreamResponse | None = None
        self._decoder: StreamDecoder | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        self._came: float | None = None
        self._limits = (bound.whole, bound.whole)
        self._texted = self._over = self._closed = self._serves = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._response is not None else "waiting"
        return f"<Attempt {self.record.attempt} at {self.bound.id} ({self.record.why}): {state}>"

    async def open(self) -> None:
        """Send the call and wait for the first text of its answer, which is in `held` then.

        Raises:
            GatewayError: it failed, or its answer did before its first text; the call is closed.
        """
        try:
            await self._send()
            while not self._texted:
                found = await self._read()
                if found is None:
                    raise cut(self.bound.provider)
                self.held += found
        except BaseException as error:
            await self.close(error)
            raise

    async def more(self) -> list[Delta] | None:
        """The deltas that came next, together; None after the end, when the call is closed.

        Raises:
            GatewayError: the answer broke off; the call is closed.
        """
        try:
            found = await self._read()
        except BaseException as error:
            await self.close(error)
            raise
        if found is None:
            await self.close()
        return found

    async def filtered(self) -> GatewayError | None:
        """What an answer comes to that the provider's content policy has ended, where it is whole or has no text yet:
        the same as its refusal. It is read to its end then. None for any other.

        Raises:
            GatewayError: its rest broke off; the call is closed.
        """
        ended = "content_filter" in self.record.finish_reasons.values()
        if not ended or (self.call.stream and any(delta.text for delta in self.held)):
            return None
        while (found := await self.more()) is not None:
            self.held += found
        return filtered(self.bound.provider)

    def serve(self) -> None:
        """It is this call that answers: what its provider says of the answer is said of the request."""
        self._serves = True
        if self._exchange.opening is None:
            self._exchange.opening = self.record.opening

    def said(self) -> str:
        """The text that has come so far, over all its choices."""
        return "".join(self._written[::2])

    async def close(self, error: BaseException | None = None) -> None:
        """Account for the call and give its connection back, once.

        Args:
            error: what it ended with. None for its end, where that has come; else the gateway has ended it.
        """
        if self._closed:
            return
        self._closed = True
        record = self.record
        record.error = error if isinstance(error, GatewayError) else None
        record.cut = record.error is None and not (self._over and self._failure is None)
        record.ended = perf_counter()
        usage: Usage | None = None
        try:
            usage = self._used(record)
        finally:  # whatever is wrong with what came, its place and its connection are given back
            self._slot.leave()
            self._tell(usage)
            if self._response is not None:
                await self._response.close()

    def _used(self, record: CallRecord) -> Usage | None:
        """What it used, which the request is told too; None where that is nothing."""
        usage = self._usage
        if usage is None and settling.worked(record, bool(self._written)):
            usage = settling.estimate(self.call, "".join(self._written), self.bound)
        if usage is not None:
            self._exchange.settle(record, usage, cost(usage, self.bound.price))
        return usage

    def _tell(self, usage: Usage | None) -> None:
        """Tell the router. That a client had no patience is nobody's failure, nor is what could not be asked."""
        record, error = self.record, self.record.error
        hurried = self._hurried(error)
        unsent = not record.sent and isinstance(error, RequestError)
        came = self._came
        self._router.end(
            self._ticket,
            error=None if hurried or unsent else error,
            first_byte=None if came is None else came - record.began,
            tokens=None if usage is None else usage.input_tokens + usage.output_tokens,
            cancelled=record.cut or hurried or unsent,
        )

    def _hurried(self, error: GatewayError | None) -> bool:
        """Whether it failed only because its client waits for less time than the operator does."""
        if not isinstance(error, UpstreamTimeout) or error.answered is not None:
            return False
        limits, usual = self._limits
        return bool(getattr(limits, error.which) < getattr(usual, error.which))

    async def _send(self) -> None:
        bound, call, exchange, record = self.bound, self.call, self._exchange, self.record
        request = bound.translator.request(call)
        if bound.authorize is not None:
            request = await bound.authorize(request)
        exchange.attempts += 1
        usual = bound.stream if call.stream else bound.whole
        timeouts = within(usual, exchange.time_left())
        self._limits = (timeouts, usual)
        record.sent, record.url = True, request.url
        exchange.waiting()
        try:
            self._response = response = await self._upstream.send(request, timeouts, stream=call.stream)
        finally:
            exchange.waited()
        record.status = response.status
        if not call.stream:
            self._came = perf_counter()
        if not 200 <= response.status < 300:
            exchange.waiting()
            try:
                body = await response.read()
            finally:
                exchange.waited()
            raise bound.translator.error(response.status, response.headers, body)
        if call.stream:
            self._decoder = bound.translator.stream(call)
            self._chunks = response.chunks()

    async def _read(self) -> list[Delta] | None:
        """What came next; what fails after it is raised when more is asked for."""
        if self._failure is not None:
            raise self._failure
        if self._over:
            return None
        response, chunks = self._response, self._chunks
        assert response is not None  # noqa: S101 - it has been sent
        self._exchange.waiting()
        try:
            data = await response.read() if chunks is None else await anext(chunks, None)
        finally:
            self._exchange.waited()
        if self._decoder is not None:
            self._over = data is None
            found, self._failure = reading.decoded(self._decoder, data, self.bound)
        else:
            self._over = True
            found = reading.whole(self.call, self.bound, data or b"")
        return self._taken(found)

    def _taken(self, found: list[Delta]) -> list[Delta]:
        """What is to be handed on of `found`, numbered as the client sees it; the rest is noted."""
        given: list[Delta] = []
        base, written = self.place.base, self._written
        try:
            for delta in found:
                reading.check(delta, self.call, self.bound)
                if delta.usage is not None or delta.opening is not None:
                    self._note(delta)
                    continue
                if self._repeated is not None:
                    self._repeated.check(delta)
                if delta.finish_reason is not None:
                    self.record.finish_reasons[self.place.first + delta.index] = delta.finish_reason
                    self._texted = True
                elif delta.text:
                    self._texted = True
                if not written:
                    self._begin()
                written += (delta.text, delta.reasoning)
                if self._wanted is not None and delta.logprobs:
                    delta = bounded(delta, self._wanted)
                given.append(replace(delta, index=base + delta.index) if base else delta)
        except UpstreamInvalidResponse as error:
            self._failure = error
        return given

    def _begin(self) -> None:
        """The first of the answer has come."""
        if self.call.stream:
            self._came = self.record.first_chunk = perf_counter()

    def _note(self, delta: Delta) -> None:
        if delta.usage is not None and reading.counts(delta.usage):
            self._usage = delta.usage
        if delta.opening is not None and self.record.opening is None:
            self.record.opening = delta.opening
            if self._serves:
                self.serve()
