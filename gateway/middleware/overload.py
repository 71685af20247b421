"""So many completions at one time (`protection.max_concurrent`); the others wait in a line, fair between tenants."""

from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import exchange as exchanges
from gateway.middleware.leaving import ClientWatch


class Place(Protocol):
    """A place for one request."""

    def enter_now(self) -> bool:
        """Take it where that needs no wait."""
        ...

    async def enter(self) -> object:
        """Take it, however long that takes.

        Raises:
            Unavailable: `overloaded`.
            UpstreamTimeout: the client's own time was over first.
        """
        ...

    def leave(self) -> None:
        """Give it back, once."""
        ...


class Door(Protocol):
    """Where places are had; `gateway.routing.gate.Gate` is one."""

    most: int | None
    """How many there are, None for any number."""

    def slot(self, tenant: tuple[str, str], left: float | None) -> Place:
        """A place for a tenant, who waits so many seconds at most."""
        ...


class OverloadMiddleware:
    """Holds a place for each completion, from its reading to the last byte of its answer. A client that leaves while it
    waits is out of the line at once; every other request passes untouched.

    Args:
        app: the next step.
        door: None for no bound.
    """

    def __init__(self, app: ASGIApp, door: Door | None = None) -> None:
        self.app = app
        self.door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door = self.door
        if door is None or door.most is None or scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = exchanges.of(scope)
        if exchange.request is None:
            await self.app(scope, receive, send)
            return
        place = door.slot(exchange.tenant, exchange.time_left())
        try:
            if not place.enter_now():
                async with ClientWatch(receive):
                    await place.enter()
            await self.app(scope, receive, send)
        finally:
            place.leave()
