"""What a foreign app is asked and answers, watched as it passes: the record of one call, for spans, numbers, the log.

Not a byte is changed or held back. Requests and answers are watched next to the app, behind every guard, so that the
texts are those that the guards let through to it, and the tokens are those that the app itself has counted.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import (
    GatewayError,
    UpstreamConnectionError,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamRateLimited,
    UpstreamRejected,
)
from gateway.exchange import Exchange
from gateway.ledger import tokens
from gateway.ledger.cost import cost
from gateway.middleware.accounting import Recording
from gateway.middleware.foreign import body as foreign_body
from gateway.middleware.foreign import call as foreign_call
from gateway.middleware.foreign import who as foreign_who
from gateway.middleware.foreign.prices import Prices
from gateway.middleware.foreign.reading import Reading
from gateway.telemetry.telemetry import Telemetry
from gateway.types import Usage
from gateway.wire import chat
from gateway.wire.paths import Language, foreign_model_in

OBSERVATION_KEY = "gateway.observation"
"""Where a scope carries its Observation. None there: the request is told of, and is no call."""

DEPLOYMENT = "app"
"""What serves a request to a foreign app, in the words of the gateway."""

UNKNOWN = "unknown"
"""The model of a call whose body nobody has read."""


@dataclass(frozen=True, slots=True)
class Telling:
    """How requests to one app are told of.

    Attributes:
        telemetry: what is told, and whom.
        prices: what the app's models cost.
        sources: where the end user's name is read.
        ready: called before each request: begins what goes on beside them.
        hosted: whether spans go where the application's own go.
        recording: where calls are recorded; None for nowhere.
    """

    telemetry: Telemetry
    prices: Prices
    sources: tuple[str, ...]
    ready: Callable[[], None]
    hosted: Callable[[], bool]
    recording: Recording | None = None


class Observation:
    """One request to an app, from the moment the app is called.

    Steps may call one another in any order, so the one that watches is always the innermost: whoever begins to watch
    takes over from those further out, and a guard (`hold`) makes all that was watched in front of it void.
    """

    def __init__(self, exchange: Exchange, scope: Scope, language: Language, path: str, telling: Telling) -> None:
        self._exchange, self._scope, self._language, self._telling = exchange, scope, language, telling
        self._path_model = foreign_model_in(path)
        self.recording, self.sources = telling.recording, telling.sources
        self._layer = 0
        self._guards = 0
        self._settled = False
        self._waits = False
        self._notes = False
        self._clear()

    def _clear(self) -> None:
        self._began: float | None = None
        self._body: list[bytes] | None = []
        self._size = 0
        self._call = foreign_call.UNREAD
        self._model = self._path_model or ""
        self._status: int | None = None
        self._complete = False
        self._ended: float | None = None
        self._left = False
        self._error: GatewayError | None = None
        self.reading = Reading(self._note)

    def hold(self) -> None:
        """A guard begins: what comes to it is not for telling. It keeps the answer's texts itself.

        Behind two guards none are kept: what the inner one turns back the outer one takes for the app's own.
        """
        self._layer += 1
        self._clear()
        self._pause()
        self._guards += 1
        self._notes = False
        if self._guards > 1:
            self._exchange.capture = None

    def unguarded(self) -> None:
        """The guard lets the answer pass unread, so its texts are kept here."""
        self._notes = self._guards == 1

    async def watch(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app."""
        self._layer += 1
        layer = self._layer
        self._clear()
        self._began = perf_counter()
        self._resume()

        async def receive_watched() -> Message:
            message = await receive()
            if layer == self._layer:
                self._try(lambda: self._asked(message))
            return message

        async def send_watched(message: Message) -> None:
            if layer != self._layer:
                await send(message)
                return
            self._try(lambda: self._answered(message))
            self._pause()
            try:
                await send(message)
            except BaseException:
                self._left = True  # the other side wants no more of it
                raise
            finally:
                self._resume()

        try:
            await app(scope, receive_watched, send_watched)
        except BaseException as error:
            if layer == self._layer:
                self._raised(error)
            raise
        finally:
            if layer == self._layer:
                self._settle()

    def over(self) -> None:
        """The request is over. Where the app is still at work on its answer, a guard has ended that."""
        self._left = True
        self._settle()

    def _settle(self) -> None:
        """Write the record of the call, once: when its last byte has left, or none will. So nobody waits for it."""
        if self._settled:
            return
        self._pause()
        self._settled = True
        self._try(self._write)

    def _pause(self) -> None:
        if self._waits:
            self._waits = False
            self._exchange.waited()

    def _resume(self) -> None:
        if not self._waits and not self._complete:
            self._waits = True
            self._exchange.waiting()

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # no request fails over what is told of it
            self._telling.telemetry.faults.note("observation", error)

    def _note(self, index: int, text: str) -> None:
        if self._notes and self._exchange.capture is not None:
            self._exchange.capture.note(index, text)

    def _asked(self, message: Message) -> None:
        """A message to the app."""
        if message["type"] == "http.disconnect":
            self._left = True
            return
        if self._body is None:
            return
        piece: bytes = message.get("body", b"")
        self._size += len(piece)
        self._body.append(piece)
        if self._size > foreign_call.MAX_BYTES:
            self._body = None
        elif not message.get("more_body", False):
            raw, self._body = b"".join(self._body), None
            self._read(raw)

    def _read(self, raw: bytes) -> None:
        value = foreign_call.decoded(raw, ", ".join(foreign_body.values(self._scope, b"content-encoding")))
        if value is None:
            return
        self._call = foreign_call.call_of(value, self._language)
        request = chat.request(value, self._language, self._path_model)
        self._model = request.model
        if self._exchange.request is None:
            self._exchange.request = request

    def _answered(self, message: Message) -> None:
        """A message from the app."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self.reading.start(message.get("headers", ()))
        elif message["type"] == "http.response.body" and self._status is not None:
            self._complete = not message.get("more_body", False)
            if 200 <= self._status < 300:
                self.reading.feed(message.get("body", b""), final=self._complete, encoding=self._encoding)
            if self._complete:
                self._ended = perf_counter()

    def _raised(self, error: BaseException) -> None:
        """What the app raised, unless it was told to stop."""
        if not self._left and not isinstance(error, asyncio.CancelledError | GeneratorExit):
            self._error = UpstreamError("The app failed.")
        self._left = True

    def _encoding(self) -> str | None:
        return tokens.encoding_for(self._model)

    def _write(self) -> None:
        exchange, reading, prices = self._exchange, self.reading, self._telling.prices
        foreign_who.tell(exchange, self._scope, exchange.request, self.sources)
        if self._guards == 0:
            exchange.capture = None  # nobody has judged these texts, so nothing keeps them
        if self._began is None:
            return
        record = exchange.begin(prices.provider, DEPLOYMENT, self._model or UNKNOWN, self._call, 0)
        record.began, record.ended = self._began, self._ended or perf_counter()
        record.sent, record.status, record.opening = True, self._status, reading.opening
        record.first_chunk = reading.first
        record.finish_reasons = dict(reading.reasons)
        record.error = self._fault()
        record.cut = not self._complete and record.error is None
        exchange.provider, exchange.deployment, exchange.attempts = prices.provider, DEPLOYMENT, 1
        exchange.served_model = self._model or None
        exchange.opening = reading.opening
        exchange.finish_reasons = {**reading.reasons, **exchange.finish_reasons}
        if self._status is None or not 200 <= self._status < 300:
            return
        exchange.error = exchange.error or record.error  # its status says that it is well, and it is not
        used = reading.usage
        if used is None:
            asked = foreign_call.input_tokens(self._call, self._language, self._encoding())
            used = Usage(asked, reading.output_tokens(self._encoding()), estimated=True)
        answered = reading.opening.model if reading.opening else None
        exchange.settle(record, used, cost(used, prices.of(answered, self._model)))

    def _fault(self) -> GatewayError | None:
        """What was wrong with the answer; None for one that is well, or that somebody else has ended."""
        status, reading = self._status, self.reading
        if self._error is not None:
            return self._error
        if status is None:
            return None if self._left else UpstreamError("The app did not answer.")
        if status >= 300:
            return _refused(status)
        if reading.failed:
            return UpstreamError("The app told of an error.")
        if reading.unreadable:
            return UpstreamInvalidResponse("The answer of the app is not JSON.")
        unended = reading.streams and not (reading.done or reading.reasons or reading.blind)
        if unended if self._complete else not self._left:
            return UpstreamConnectionError("The app ended its answer before it was complete.")
        return None


def _refused(status: int) -> GatewayError | None:
    if status < 400:
        return None
    if status == 429:
        return UpstreamRateLimited("The app limits its callers.")
    kind = UpstreamRejected if status < 500 else UpstreamError
    return kind("The app refused the request.", status=status)


class Watched:
    """An app whose calls are watched, where somebody tells of them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        observation: Observation | None = scope.get(OBSERVATION_KEY)
        if observation is None:
            await self.app(scope, receive, send)
        else:
            await observation.watch(self.app, scope, receive, send)
