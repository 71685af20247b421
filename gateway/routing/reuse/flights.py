"""Equal requests at one time share one call: the first one makes it, and the others listen.

The call runs in a task of its own, on the account of the request that began it, and goes on while anybody listens: the
last one out ends it. A request whose client has left stays until then, because what its call costs is its own; where it
may not stay (in process, a caller that closes an answer waits a moment only), one that still listens inherits that.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from copy import copy

from gateway.errors import GatewayError, InternalError, UpstreamTimeout
from gateway.exchange import Exchange
from gateway.routing.reuse.answers import confide, free
from gateway.types import Delta

Make = Callable[[], AsyncGenerator[Delta, None]]
"""Begins a call; what it gives is closed by whoever reads it."""

AHEAD = 64
"""Deltas that a call may be ahead of whoever listens most closely."""


class Parted(Exception):
    """The call that a request listened to failed in a way that need not be this request's."""

    def __init__(self, error: GatewayError) -> None:
        super().__init__()
        self.error = error


class Flight:
    """One call and those who listen to it. `deltas` are all that have come, for those who join late."""

    __slots__ = (
        "_behind",
        "_ended",
        "_orphaned",
        "_places",
        "_task",
        "_waiting",
        "deltas",
        "error",
        "exchange",
        "over",
    )

    def __init__(self, exchange: Exchange, ended: Callable[[], None]) -> None:
        """`ended` is told when nobody is to join any more."""
        self.exchange = exchange
        self._ended = ended
        self.deltas: list[Delta] = []
        self.over = False
        self.error: BaseException | None = None
        self._places: dict[object, int] = {}
        self._waiting: set[asyncio.Future[None]] = set()
        self._behind: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._orphaned = False

    def __repr__(self) -> str:
        state = "over" if self.over else "under way"
        return f"<Flight {state}, {len(self.deltas)} deltas, {len(self._places)} listen>"

    def begin(self, make: Make) -> None:
        """Make the call."""
        self._task = asyncio.create_task(self._fly(make))

    async def _fly(self, make: Make) -> None:
        try:
            async with aclosing(make()) as stream:
                async for delta in stream:
                    self.deltas.append(delta)
                    self._notify()
                    while self._places and len(self.deltas) - max(self._places.values()) >= AHEAD:
                        self._behind = asyncio.get_running_loop().create_future()
                        await self._behind
        except (Exception, asyncio.CancelledError) as error:  # raised by those who listen
            self.error = error
        finally:
            self.over = True
            self._ended()
            self._notify()

    def _notify(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def listen(self, exchange: Exchange) -> AsyncGenerator[Delta, None]:
        """Every delta from the first on, as `exchange` waits for them.

        Raises:
            BaseException: what the call failed with, the same object for everybody.
            UpstreamTimeout: the client's own time was over.
        """
        me = object()
        self._places[me] = at = 0
        try:
            while True:
                while at < len(self.deltas):
                    delta = self.deltas[at]
                    self._places[me] = at = at + 1
                    if self._behind is not None and not self._behind.done():
                        self._behind.set_result(None)
                    yield delta
                if self.over:
                    break
                await self._more(exchange)
        finally:
            del self._places[me]
            if not self._places and not self.over and self._task is not None:
                self._ended()
                self._task.cancel()
        if self.error is not None:
            raise self.error

    async def _more(self, exchange: Exchange) -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        left = exchange.time_left()
        timer = None if left is None else loop.call_later(left, _give_up, future)
        self._waiting.add(future)
        exchange.waiting()
        try:
            await future
        finally:
            exchange.waited()
            self._waiting.discard(future)
            if timer is not None:
                timer.cancel()

    async def landed(self) -> None:
        """Wait until the call is over and accounted for. Being cancelled meanwhile leaves it to those who listen."""
        task = self._task
        if task is None or task.done():
            return
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            if self._places and not self.over:
                self._orphaned = True
            else:
                task.cancel()
                await asyncio.wait((task,))
            raise

    async def left(self, exchange: Exchange) -> None:
        """One who listened goes. Whoever is the last of a call whose own request has gone pays for it."""
        if not self._orphaned:
            return
        if not self._places and self._task is not None:
            await asyncio.wait((self._task,))
        if self.over:
            self._orphaned = False
            exchange.usage, exchange.cost = self.exchange.usage, self.exchange.cost


def _give_up(future: "asyncio.Future[None]") -> None:
    if not future.done():
        error = UpstreamTimeout("The answer did not come within the time of the request's x-gateway-timeout.")
        error.which = "total"
        future.set_exception(error)


class Flights:
    """The calls under way that may be listened to. Those of one event loop are apart from another's."""

    def __init__(self) -> None:
        self._flights: dict[tuple[int, str], Flight] = {}

    def __repr__(self) -> str:
        return f"<Flights {len(self._flights)} under way>"

    def find(self, key: str) -> Flight | None:
        """The call under way for a key."""
        return self._flights.get((id(asyncio.get_running_loop()), key))

    async def lead(self, key: str, make: Make, exchange: Exchange) -> AsyncGenerator[Delta, None]:
        """Make the call and let others listen to it, as soon as it is asked for its first delta."""
        place = (id(asyncio.get_running_loop()), key)

        def ended() -> None:
            if self._flights.get(place) is flight:
                del self._flights[place]

        flight = self._flights[place] = Flight(exchange, ended)
        flight.begin(make)
        try:
            async with aclosing(flight.listen(exchange)) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            await flight.landed()

    async def follow(self, flight: Flight, exchange: Exchange, last: bool) -> AsyncGenerator[Delta, None]:
        """Listen to another request's call; its cost is that request's, its tokens are told here too.

        Args:
            last: whether this is the last call to listen to, so that its failure is this request's, whatever it is.

        Raises:
            GatewayError: what it failed with, where a call of this request's own would fail with the same, or a part of
                the answer has been given.
            Parted: it failed otherwise, and nothing has been given.
        """
        given = False
        try:
            async with aclosing(flight.listen(exchange)) as deltas:
                async for delta in deltas:
                    if not given:
                        given = True
                        _adopt(flight.exchange, exchange)
                    yield delta
        except BaseException as error:
            await flight.left(exchange)
            if error is not flight.error:
                raise  # this request's own: its client has left, or its time is over
            raise _told(error, given or last) from error
        _adopt(flight.exchange, exchange)
        free(exchange, flight.exchange.usage, "coalesced")
        await flight.left(exchange)


def _told(error: BaseException, final: bool) -> Exception:
    """A call's failure, as one who listened is told of it; each has an error of his own."""
    if not isinstance(error, GatewayError):
        # Ended from outside, or a fault of the gateway: neither is a word about the request.
        lost = InternalError("The call that this request shared with an equal one failed; send the request again.")
        return lost if final else Parted(lost)
    own = copy(error).with_traceback(None)
    return own if final or not error.retryable else Parted(own)


def _adopt(leader: Exchange, follower: Exchange) -> None:
    """What is known of who serves the one is so for the other."""
    follower.provider, follower.deployment = leader.provider, leader.deployment
    follower.served_model, follower.opening, follower.dropped = leader.served_model, leader.opening, leader.dropped
    confide(follower, leader.confidential)
