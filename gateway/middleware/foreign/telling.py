"""The outermost step in front of a foreign app where somebody tells of its requests: their beginning and their end."""

from contextlib import AbstractContextManager, nullcontext

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import exchange as exchanges
from gateway.errors import ClientDisconnected, InternalError, Unavailable
from gateway.exchange import SCOPE_KEY, Exchange
from gateway.middleware import headers
from gateway.middleware.accounting import keep
from gateway.middleware.foreign.observation import OBSERVATION_KEY, Observation, Telling
from gateway.middleware.foreign.scope import answer, minted
from gateway.telemetry import logs
from gateway.telemetry.export import ambient
from gateway.wire.paths import below_root, language_of

_UNKNOWN_CALLER = 401


class TellingMiddleware:
    """Tells of a request once its answer is over, whatever has become of it; nothing of it is changed.

    A request belongs to the trace of the span that is at work around this step (an instrumentation of the application's
    own), else to the caller's. Where spans go to the application's own TracerProvider, spans begun inside the
    application are children of the request's own, those of a streamed answer and of background tasks too: they run
    inside the call. Elsewhere the application's spans are left as they are, for their parent would be in no backend.

    Args:
        app: the next step.
        telling: what is told. A step of the same kind further out tells in this one's place.
        every: tell of every request; otherwise only of POSTs to completions and chat completions.
    """

    def __init__(self, app: ASGIApp, telling: Telling, *, every: bool = False) -> None:
        self.app = app
        self.telling = telling
        self.every = every

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or OBSERVATION_KEY in scope:
            await self._within_another(scope, receive, send)
            return
        path = below_root(scope)
        language = language_of(path) if scope["method"] == "POST" else None
        if language is None and not self.every:
            await self.app(scope, receive, send)
            return
        telling = self.telling
        telling.ready()
        mine = SCOPE_KEY not in scope
        if mine:
            scope[SCOPE_KEY] = minted(scope)
        exchange = exchanges.of(scope)
        around = ambient.caller()
        given, remote = around or ((headers.first(scope, b"traceparent"), headers.first(scope, b"tracestate")), True)
        telling.telemetry.begin(exchange, given, remote=remote)
        observation = Observation(exchange, scope, language, path, telling) if language else None
        scope[OBSERVATION_KEY] = observation
        ends = _Ends(exchange, observation, telling, receive, send)
        token = logs.trace.set(exchange.trace)
        try:
            with self._within(exchange):
                if await _admitted(observation, exchange, ends.send):
                    await self.app(scope, ends.receive, ends.send)
        except BaseException as error:
            ends.failed(error)
            raise
        finally:
            ends.finish()
            logs.trace.reset(token)
            del scope[OBSERVATION_KEY]
            if mine:
                del scope[SCOPE_KEY]

    async def _within_another(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A step further out tells. It sees how the request ends, so what is recorded here is recorded there, and whom
        the request is for is what this step reads."""
        observation: Observation | None = scope.get(OBSERVATION_KEY)
        if self.telling.recording is not None and observation is not None and observation.recording is None:
            observation.recording, observation.sources = self.telling.recording, self.telling.sources
            if not await _admitted(observation, exchanges.of(scope), send):
                return
        await self.app(scope, receive, send)

    def _within(self, exchange: Exchange) -> AbstractContextManager[None]:
        if exchange.trace is None or not self.telling.hosted():
            return nullcontext()
        return ambient.within(exchange.trace)


async def _admitted(observation: Observation | None, exchange: Exchange, send: Send) -> bool:
    """Whether a request may begin. One that is to be recorded and could not be is answered here, where that is
    wanted."""
    if observation is None or observation.recording is None:
        return True
    try:
        exchange.accounted = observation.recording.books.admit()
    except Unavailable as error:
        await answer(error, exchange, send)
        return False
    return True


class _Ends:
    """Both ends of one request, at the server."""

    def __init__(
        self, exchange: Exchange, observation: Observation | None, telling: Telling, receive: Receive, send: Send
    ) -> None:
        self._exchange, self._observation, self._telling = exchange, observation, telling
        self._receive, self._send = receive, send
        self._over = False

    async def receive(self) -> Message:
        """The app's `receive`."""
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self._over:
            self._gone()
        return message

    async def send(self, message: Message) -> None:
        """The app's `send`. With the last byte of the answer the request is over: what an app does after that (its
        background tasks) is no part of it."""
        exchange = self._exchange
        body = message["type"] == "http.response.body"
        if message["type"] == "http.response.start":
            exchange.status, exchange.started = message["status"], True
        elif body and exchange.first_chunk is None and message.get("body") and self._has_text():
            exchange.first_chunk = exchange.duration()
        if body and not message.get("more_body", False):
            self._settle()
        try:
            await self._send(message)
        except OSError:  # how a server tells that nobody listens any more (ASGI HTTP 2.4)
            if not self._over:
                self._gone()
            raise
        if body and not message.get("more_body", False):
            self.finish()

    def failed(self, error: BaseException) -> None:
        """The app raised something, and no step in between has answered it."""
        exchange = self._exchange
        if self._over or exchange.error is not None:
            return
        if not isinstance(error, Exception):
            self._gone()  # cancelled: nobody waits any longer
            return
        exchange.error = InternalError("The application failed on this request.")
        if not exchange.started:
            exchange.status = exchange.error.status

    def finish(self) -> None:
        """Tell of the request, once."""
        if self._over:
            return
        self._over = True
        self._settle()
        self._telling.telemetry.finished(self._exchange)

    def _settle(self) -> None:
        """Make up what is known of a call that is over, and record it: before its last byte leaves. A caller whom
        nobody knows is not recorded."""
        exchange, observation = self._exchange, self._observation
        if observation is not None:
            observation.over()
        if isinstance(exchange.error, ClientDisconnected):
            exchange.status = exchange.error.status
        recording = observation.recording if observation is not None else None
        if recording is not None and exchange.status != _UNKNOWN_CALLER:
            keep(exchange, recording.books, recording.options)
            if recording.options.pseudonym_key != self._telling.telemetry.options.pseudonym_key:
                exchange.record = None  # the log calls end users otherwise

    def _has_text(self) -> bool:
        return self._observation is not None and self._observation.reading.first is not None

    def _gone(self) -> None:
        if self._exchange.error is None:
            self._exchange.error = ClientDisconnected("The client left before its answer was complete.")
